//! Today's resources, health and what the router answers by itself.

use serde_json::json;
use yakt::feed::observers::Ahead;
use yakt::feed::tail::EpochEnd;
use yakt::ids::{BrokerId, Uuid};

use super::client::{Client, raw};
use super::node::Node;

#[tokio::test]
async fn resources_are_read() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;
    let broker = json!({"name": "RegisterBrokerRecord", "fields":
        {"brokerId": 1, "brokerHost": "h", "brokerPort": 9092, "rackId": "r"}});
    assert_eq!(
        client
            .post("/register_broker", &broker.to_string())
            .await
            .status,
        200
    );
    for name in ["a", "b.c"] {
        let body = json!({"name": "TopicRecord", "fields": {"name": name}}).to_string();
        assert_eq!(client.post("/create_topic", &body).await.status, 200);
    }

    let quorum = client.get("/v1/quorum").await;
    assert_eq!(quorum.json()["leader"], 3000);
    assert_eq!(quorum.json()["high_watermark"], quorum.offset());
    let voter = quorum.json()["voters"][0].clone();
    assert_eq!(
        (&voter["id"], &voter["lag"], &voter["endpoint"]["port"]),
        (&json!(3000), &json!(0), &json!(9093))
    );

    let cluster = client.get("/v1/cluster").await.json();
    assert_eq!(
        (&cluster["cluster_id"], &cluster["controller"]),
        (&json!("a cluster"), &json!(3000))
    );
    assert_eq!(
        (
            &cluster["brokers"],
            &cluster["live_brokers"],
            &cluster["topics"]
        ),
        (&json!(1), &json!(1), &json!(2))
    );
    let features = cluster["features"].as_array().expect("features");
    assert!(features.contains(&json!({"name": "metadata.version", "level": 30})));

    let brokers = client.get("/v1/brokers").await.json();
    let told = &brokers["brokers"][0];
    assert_eq!(
        (&told["id"], &told["status"], &told["sessionless"]),
        (&json!(1), &json!("ALIVE"), &json!(true))
    );
    let endpoint =
        json!({"name": "PLAINTEXT", "host": "h", "port": 9092, "security_protocol": "PLAINTEXT"});
    assert_eq!(
        (&told["rack"], &told["endpoints"]),
        (&json!("r"), &json!([endpoint]))
    );

    let topics = client.get("/v1/topics?limit=1").await.json();
    assert_eq!(
        (&topics["topics"][0]["name"], &topics["next"]),
        (&json!("a"), &json!("b.c"))
    );
    let topics = client.get("/v1/topics?from=b.c").await.json();
    assert_eq!(
        (&topics["topics"][0]["name"], &topics["next"]),
        (&json!("b.c"), &json!(null))
    );
    let topic = client.get("/v1/topics/b.c").await.json();
    assert_eq!(
        (&topic["name"], &topic["partitions"]),
        (&json!("b.c"), &json!([]))
    );
    assert_eq!(client.get("/v1/topics/nope").await.status, 404);
    assert_eq!(client.get("/v1/topics?limit=-1").await.status, 400);

    assert_eq!(
        client.get("/v1/snapshots").await.json(),
        json!({"snapshots": []})
    );
    let made = client.post("/v1/snapshots", "").await.json();
    assert_eq!(
        (&made["id"], &made["end_offset"]),
        (&json!("00000000000000000005-0000000001"), &json!(5))
    );
    assert_eq!(
        client
            .get("/v1/snapshots/00000000000000000005-0000000001")
            .await
            .status,
        404
    );
    assert_eq!(client.get("/v1/snapshots/..%2Fetc").await.status, 404);
}

#[tokio::test]
async fn health_follows_the_quorum() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    node.published.send_modify(|now| {
        let mut without = yakt::feed::Published::clone(now);
        (without.quorum.leader, without.quorum.active) = (None, false);
        *now = std::sync::Arc::new(without);
    });
    let unready = client.get("/readyz").await;
    assert_eq!(
        (unready.status, unready.header("Retry-After")),
        (503, Some("1"))
    );
    assert_eq!(client.get("/healthz").await.status, 200);
    assert_eq!(
        client.get("/get_node_info").await.json()["leader"],
        json!(null)
    );
    let body = json!({"name": "TopicRecord", "fields": {"name": "x"}}).to_string();
    let refused = client.post("/create_topic", &body).await;
    assert_eq!(
        (refused.status, refused.header("Retry-After")),
        (503, Some("1")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn unknown_routes_and_wrong_methods_are_told_in_json() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;
    for (method, path, status) in [
        ("GET", "/nope", 404),
        ("POST", "/v1", 404),
        ("GET", "/register_broker", 405),
        ("DELETE", "/v1/deltas", 405),
    ] {
        let answer = client.call(method, path, "").await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.json()["error"].is_string());
    }
}

#[tokio::test]
async fn pages_of_other_sites_may_read_nothing_into_it() {
    let node = Node::start().await;
    let address = node.address();
    let body = json!({"name": "TopicRecord", "fields": {"name": "x"}}).to_string();
    let foreign = [("Origin", "http://evil.example")];
    let answer = raw(address, "POST", "/create_topic", &foreign, &body).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let own = format!("http://{address}");
    let answer = raw(address, "POST", "/create_topic", &[("Origin", &own)], &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_replica_that_is_ahead_makes_the_node_unready() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;
    let replica = BrokerId(1);
    let ahead = Ahead {
        replica,
        fetch_offset: 99,
        ours: EpochEnd {
            epoch: 1,
            offset: 9,
        },
    };
    let ticks = node.doors.clock.ticks();
    node.doors
        .feed
        .observers()
        .is_ahead(1, (replica, Uuid::from_u128(1)), ahead, ticks);
    let unready = client.get("/readyz").await;
    assert_eq!(unready.status, 503);
    assert!(
        unready.body.contains("99"),
        "both positions are named: {unready:?}"
    );
    assert_eq!(client.get("/healthz").await.status, 200);
}
