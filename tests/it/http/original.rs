//! The original endpoints, asked in the order in which the original's own client asks them.

use serde_json::{Value, json};

use super::client::Client;
use super::node::Node;

fn broker(id: i32, port: &str) -> String {
    let fields = json!({
        "internalUUID": "", "brokerId": id, "brokerHost": "127.0.0.1", "brokerPort": port,
        "securityProtocol": "", "brokerStatus": "", "rackId": "", "epoch": 0,
    });
    envelope("RegisterBrokerRecord", fields)
}

fn envelope(name: &str, fields: Value) -> String {
    json!({"type": "metadata", "name": name, "fields": fields, "timestamp": 1700000000}).to_string()
}

#[tokio::test]
async fn the_originals_own_client_goes_on_working() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;

    let info = client.get("/get_node_info").await.json();
    assert_eq!(
        (&info["nid"], &info["role"]),
        (&json!(3000), &json!("leader"))
    );
    assert_eq!(
        (&info["ip"], &info["port"]),
        (&json!("127.0.0.1"), &json!(9093))
    );
    assert_eq!((&info["leader"], &info["term"]), (&json!(3000), &json!(1)));

    // Register 0, register 1, 1 again.
    let zero = client.post("/register_broker", &broker(0, "8000")).await;
    assert_eq!(zero.status, 200, "{zero:?}");
    let one = client.post("/register", &broker(1, "8001")).await.json();
    assert_eq!(one["brokerId"], 1);
    let again = client.post("/register_broker", &broker(1, "8001")).await;
    assert_eq!(again.status, 400, "{again:?}");

    // Active brokers, broker by id.
    let (zero, one) = (
        zero.json()["internalUUID"].clone(),
        one["internalUUID"].clone(),
    );
    for spelling in ["/get_active_brokers", "/get_all_active_brokers"] {
        let active = client.get(spelling).await.json();
        assert_eq!(active["active_brokers_ids"], json!([zero, one]));
    }
    let record = client
        .post(
            "/get_broker_by_id",
            &json!({"internalUUID": one}).to_string(),
        )
        .await;
    let record = record.json();
    assert_eq!(
        (&record["type"], &record["name"]),
        (&json!("metadata"), &json!("RegisterBrokerRecord"))
    );
    let expect = json!({
        "internalUUID": one, "brokerId": 1, "brokerHost": "127.0.0.1", "brokerPort": 8001,
        "securityProtocol": "PLAINTEXT", "brokerStatus": "ALIVE", "rackId": null, "epoch": 0,
        "brokerEpoch": record["fields"]["brokerEpoch"],
    });
    assert_eq!(record["fields"], expect);
    assert!(
        record["timestamp"].as_f64().expect("seconds") > 1.7e9,
        "the time is the server's"
    );
    for (body, status) in [
        (r#"{"internalUUID": "nobody"}"#, 404),
        ("{}", 400),
        ("[]", 400),
        ("x", 400),
    ] {
        assert_eq!(
            client.post("/get_broker_by_id", body).await.status,
            status,
            "{body}"
        );
    }

    // Topics Likes and Comments, topic by name.
    let mut ids = Vec::new();
    for name in ["Likes", "Comments"] {
        let body = envelope("TopicRecord", json!({"name": name, "topicUUID": ""}));
        let created = client.post("/create_topic", &body).await.json();
        assert_eq!(created["topic_name"], name);
        ids.push(created["topicUUID"].clone());
    }
    let duplicate = envelope("TopicRecord", json!({"name": "Likes"}));
    assert_eq!(client.post("/create_topic", &duplicate).await.status, 400);
    let topic = client
        .post("/get_topic_by_name", r#"{"topic_name": "Likes"}"#)
        .await
        .json();
    assert_eq!(
        topic["fields"],
        json!({"name": "Likes", "topicUUID": ids[0]})
    );
    assert_eq!(
        client
            .post("/get_topic_by_name", r#"{"topic_name": "Nope"}"#)
            .await
            .status,
        404
    );

    // A partition of a topic that does not exist, then one that does.
    let partition = |topic: &Value, replicas: Value, isr: Value, leader: Value| {
        let fields = json!({
            "partitionId": 0, "topicUUID": topic, "replicas": replicas, "ISR": isr,
            "removingReplicas": [], "addingReplicas": [], "leader": leader, "partitionEpoch": 0,
        });
        envelope("PartitionRecord", fields)
    };
    let nowhere = partition(
        &json!("AAAAAAAAAAAAAAAAAAAAZQ"),
        json!([0]),
        json!([0]),
        json!("0"),
    );
    assert_eq!(client.post("/create_partition", &nowhere).await.status, 404);
    let good = partition(&ids[0], json!([0, "1"]), json!([0, 1]), json!("1"));
    let created = client.post("/create_partition", &good).await;
    assert_eq!(
        (created.status, created.json()),
        (200, json!({"partitionId": 0}))
    );
    for bad in [
        good.clone(),
        partition(&ids[1], json!([0, 5]), json!([0]), json!("")),
        partition(&ids[1], json!([0]), json!([1]), json!("")),
        partition(&ids[1], json!([0, 1]), json!([0]), json!(1)),
    ] {
        assert_eq!(
            client.post("/create_partition", &bad).await.status,
            400,
            "{bad}"
        );
    }

    // Replicas added and removed.
    let third = client.post("/register_broker", &broker(2, "8002")).await;
    assert_eq!(third.status, 200);
    let mut changes = Vec::new();
    for (path, field) in [
        ("/add_replica", "addingReplicas"),
        ("/remove_replica", "removingReplicas"),
    ] {
        let body = envelope("PartitionRecord", json!({"partitionId": 0, field: 2}));
        let answer = client.post(path, &body).await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"partitionId": 0})),
            "{path}"
        );
        let map = client
            .post("/broker_mgmt", r#"{"timestamp": 0}"#)
            .await
            .json();
        changes.push(map["PartitionRecord:Likes-0"]["fields"].clone());
    }
    assert_eq!(changes[0]["addingReplicas"], json!([2]));
    assert_eq!(
        (&changes[0]["partitionEpoch"], &changes[1]["partitionEpoch"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(changes[1]["replicas"], json!([0, 1]));
    assert_eq!(changes[1]["leader"], 1);

    // A producer.
    let producer = envelope(
        "ProducerIdsRecord",
        json!({"brokerId": one, "producerId": 7}),
    );
    let recorded = client.post("/record_producer", &producer).await.json();
    assert_eq!(recorded, json!({"producerId": 0, "brokerUUId": one}));
    let readme = envelope("ProducerIDsRecord", json!({"brokerId": one}));
    assert_eq!(
        client.post("/register_producer", &readme).await.json()["producerId"],
        1000
    );
    let nobody = envelope("ProducerIdsRecord", json!({"brokerId": "nobody"}));
    assert_eq!(client.post("/record_producer", &nobody).await.status, 404);

    // A change, a change of nobody, unregister.
    let change = |id: &Value, status: &str| {
        let fields = json!({
            "brokerId": id, "brokerHost": "h", "brokerPort": "9999", "securityProtocol": "SSL",
            "brokerStatus": status, "epoch": 0,
        });
        envelope("RegistrationChangeBrokerRecord", fields)
    };
    let changed = client
        .post("/register_broker_change", &change(&one, "FENCED"))
        .await
        .json();
    let fields = &changed["fields"];
    assert_eq!(
        (&fields["brokerHost"], &fields["brokerPort"]),
        (&json!("h"), &json!(9999))
    );
    assert_eq!(
        (&fields["securityProtocol"], &fields["brokerStatus"]),
        (&json!("SSL"), &json!("FENCED"))
    );
    assert_eq!(fields["epoch"], 1);
    assert_eq!(
        client
            .post("/register_broker_change", &change(&json!("x"), "ALIVE"))
            .await
            .status,
        404
    );
    assert_eq!(
        client
            .post("/register_broker_change", &change(&one, "SLEEPY"))
            .await
            .status,
        400
    );
    let readme = change(&one, "UNFENCED").replace(
        "RegistrationChangeBrokerRecord",
        "BrokerRegistrationChangeBrokerRecord",
    );
    let changed = client.post("/register_broker_change", &readme).await.json();
    assert_eq!(
        (
            &changed["fields"]["brokerStatus"],
            &changed["fields"]["epoch"]
        ),
        (&json!("ALIVE"), &json!(2))
    );

    let by_id = json!({"brokerId": one}).to_string();
    let gone = client.delete("/unregister_broker", &by_id).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    assert!(
        gone.json()["message"]
            .as_str()
            .expect("a message")
            .contains("CLOSED")
    );
    let record = client
        .post(
            "/get_broker_by_id",
            &json!({"internalUUID": one}).to_string(),
        )
        .await;
    assert_eq!(record.json()["fields"]["brokerStatus"], "CLOSED");
    assert_eq!(
        client
            .delete("/unregister_broker", r#"{"brokerId": "nobody"}"#)
            .await
            .status,
        404
    );
    assert_eq!(client.delete("/unregister_broker", "{}").await.status, 400);
    let closed = client.post("/record_producer", &producer).await;
    assert_eq!(closed.status, 403, "{closed:?}");
    assert_eq!(
        client
            .post("/register_broker", &broker(1, "8001"))
            .await
            .status,
        200,
        "its id is free"
    );

    node.http.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_with_400() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;
    let cases = [
        (
            "/register_broker",
            envelope("TopicRecord", json!({"brokerId": 1})),
        ),
        (
            "/register_broker",
            envelope("RegisterBrokerRecord", json!({})),
        ),
        (
            "/register_broker",
            envelope("RegisterBrokerRecord", json!({"brokerId": "one"})),
        ),
        (
            "/register_broker",
            envelope("RegisterBrokerRecord", json!({"brokerId": -1})),
        ),
        (
            "/register_broker",
            envelope("RegisterBrokerRecord", json!({"brokerId": 3000})),
        ),
        (
            "/register_broker",
            envelope(
                "RegisterBrokerRecord",
                json!({"brokerId": 1, "brokerStatus": "?"}),
            ),
        ),
        (
            "/register_broker",
            envelope(
                "RegisterBrokerRecord",
                json!({"brokerId": 1, "brokerStatus": "CLOSED"}),
            ),
        ),
        (
            "/register_broker",
            envelope(
                "RegisterBrokerRecord",
                json!({"brokerId": 1, "securityProtocol": "?"}),
            ),
        ),
        (
            "/register_broker",
            envelope(
                "RegisterBrokerRecord",
                json!({"brokerId": 1, "brokerPort": 70000}),
            ),
        ),
        (
            "/register_broker",
            envelope(
                "RegisterBrokerRecord",
                json!({"brokerId": 1, "brokerHost": "h"}),
            ),
        ),
        (
            "/register_broker",
            r#"{"name": "RegisterBrokerRecord"}"#.to_owned(),
        ),
        (
            "/create_topic",
            envelope("TopicRecord", json!({"name": ""})),
        ),
        (
            "/create_topic",
            envelope("TopicRecord", json!({"name": "bad name"})),
        ),
        (
            "/create_topic",
            envelope("TopicRecord", json!({"name": ["x"]})),
        ),
        (
            "/create_partition",
            envelope("PartitionRecord", json!({"partitionId": 0})),
        ),
        (
            "/add_replica",
            envelope("PartitionRecord", json!({"addingReplicas": 1})),
        ),
        ("/broker_mgmt", "{}".to_owned()),
        ("/broker_mgmt", r#"{"timestamp": "soon"}"#.to_owned()),
        ("/client_mgmt", r#"{"offset": 1000000}"#.to_owned()),
    ];
    for (path, body) in cases {
        let answer = client.post(path, &body).await;
        assert_eq!(answer.status, 400, "{path} {body}: {answer:?}");
    }
    assert!(client.get("/get_active_brokers").await.json()["active_brokers_ids"] == json!([]));
}

#[tokio::test]
async fn without_writes_reads_go_on() {
    let node = Node::with(|settings| settings.yakt_http_writes = false).await;
    let client = Client::of(node.address()).await;
    let body = envelope("TopicRecord", json!({"name": "Likes"}));
    let refused = client.post("/create_topic", &body).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("yakt.http.writes"), "{refused:?}");
    assert_eq!(client.post("/v1/snapshots", "").await.status, 403);
    assert_eq!(
        client
            .post("/broker_mgmt", r#"{"timestamp": 0}"#)
            .await
            .status,
        200
    );
    assert_eq!(client.get("/v1/cluster?consistent=true").await.status, 200);
}
