//! What changed, old and new.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::node::Node;

async fn create(client: &Client, name: &str) -> super::client::Answer {
    let body = json!({"name": "TopicRecord", "fields": {"name": name}}).to_string();
    let answer = client.post("/create_topic", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

async fn register(client: &Client, id: i32) -> String {
    let body = json!({"name": "RegisterBrokerRecord", "fields": {"brokerId": id}}).to_string();
    let answer = client.post("/register_broker", &body).await.json();
    answer["internalUUID"].as_str().expect("an id").to_owned()
}

fn keys(map: &Value) -> Vec<&str> {
    map.as_object()
        .expect("a map")
        .keys()
        .map(String::as_str)
        .collect()
}

fn told(deltas: &Value) -> Vec<String> {
    let change = |it: &Value| {
        let text = |name: &str| it[name].as_str().expect("text").to_owned();
        format!("{} {} {}", text("op"), text("kind"), text("key"))
    };
    deltas["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .map(change)
        .collect()
}

#[tokio::test]
async fn brokers_and_clients_follow_by_time_and_by_offset() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;
    let id = register(&client, 1).await;
    create(&client, "Likes").await;
    let body = json!({"name": "ProducerIdsRecord", "fields": {"brokerId": id}}).to_string();
    client.post("/record_producer", &body).await;
    let body = json!({"name": "RegistrationChangeBrokerRecord", "fields":
        {"brokerId": id, "brokerStatus": "FENCED"}});
    client
        .post("/register_broker_change", &body.to_string())
        .await;

    let all = client.post("/broker_mgmt", r#"{"timestamp": 0}"#).await;
    assert_eq!(all.header("YAKt-Full"), Some("true"));
    let expect = [
        "ProducerIdsRecord:0".to_owned(),
        format!("RegisterBrokerRecord:{id}"),
        format!("RegistrationChangeBrokerRecord:{id}"),
        "TopicRecord:Likes".to_owned(),
    ];
    assert_eq!(keys(&all.json()), expect);
    let clients = client.post("/client_mgmt", r#"{"timestamp": 0}"#).await;
    assert_eq!(keys(&clients.json()), [&*expect[1], &expect[3]]);

    // The offset is exact: what was told is not told again.
    let offset = all.offset();
    let ask = json!({"offset": offset}).to_string();
    let nothing = client.post("/broker_mgmt", &ask).await;
    assert_eq!(
        (nothing.json(), nothing.header("YAKt-Full")),
        (json!({}), Some("false"))
    );
    create(&client, "Comments").await;
    let news = client.post("/broker_mgmt", &ask).await;
    assert_eq!(keys(&news.json()), ["TopicRecord:Comments"]);
    assert!(news.offset() > offset);

    // A time repeats up to a second, and loses nothing.
    let time: f64 = news
        .header("YAKt-Time")
        .expect("a time")
        .parse()
        .expect("milliseconds");
    create(&client, "Shares").await;
    let later = client
        .post(
            "/client_mgmt",
            &json!({"timestamp": time / 1000.0}).to_string(),
        )
        .await;
    assert!(
        keys(&later.json()).contains(&"TopicRecord:Shares"),
        "{later:?}"
    );
    let behind = json!({"timestamp": time / 1000.0 - 660.0}).to_string();
    let behind = client.post("/client_mgmt", &behind).await;
    assert_eq!(behind.header("YAKt-Full"), Some("true"));
    let future = json!({"timestamp": time / 1000.0 + 3600.0}).to_string();
    assert_eq!(client.post("/client_mgmt", &future).await.json(), json!({}));
}

#[tokio::test]
async fn changes_come_in_the_order_of_offsets() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;
    let start = client.get("/v1/deltas").await;
    assert_eq!((start.status, &start.json()["full"]), (200, &json!(true)));
    let next = start.json()["next"].as_i64().expect("an offset");
    assert_eq!((next, start.offset()), (next, next));

    create(&client, "a").await;
    let created = create(&client, "b").await;
    register(&client, 1).await;
    let news = client.get(&format!("/v1/deltas?after={next}")).await.json();
    assert_eq!(told(&news), ["set topic a", "set topic b", "set broker 1"]);
    assert_eq!(news["full"], false);
    // Every offset that an answer holds is a cursor.
    let after_b = created.offset();
    assert_eq!(news["changes"][1]["offset"].as_i64(), Some(after_b));
    let rest = client
        .get(&format!("/v1/deltas?after={after_b}"))
        .await
        .json();
    assert_eq!(told(&rest), ["set broker 1"]);
    let path = format!("/v1/deltas?after={}", news["next"]);
    assert!(told(&client.get(&path).await.json()).is_empty());

    // In pages, and of one kind.
    let first = client
        .get(&format!("/v1/deltas?after={next}&limit=1"))
        .await
        .json();
    assert_eq!(told(&first), ["set topic a"]);
    let second = client
        .get(&format!("/v1/deltas?after={}&limit=1", first["next"]))
        .await
        .json();
    assert_eq!(told(&second), ["set topic b"]);
    let brokers = client
        .get(&format!("/v1/deltas?after={next}&kinds=broker,config"))
        .await
        .json();
    assert_eq!(told(&brokers), ["set broker 1"]);

    // By time.
    let since = client
        .get("/v1/deltas?since=2000-01-01T00:00:00Z&kinds=topic")
        .await
        .json();
    assert_eq!(
        (told(&since), &since["full"]),
        (
            vec!["set topic a".into(), "set topic b".into()],
            &json!(true)
        )
    );
    let time = since["time"].as_i64().expect("a time");
    let future = client
        .get(&format!("/v1/deltas?since={}", time + 3_600_000))
        .await
        .json();
    assert!(told(&future).is_empty());

    for bad in [
        "after=x",
        "after=1&since=1",
        "since=soon",
        "wait=61",
        "kinds=cats",
        "limit=0",
        "limit=x",
    ] {
        assert_eq!(
            client.get(&format!("/v1/deltas?{bad}")).await.status,
            400,
            "{bad}"
        );
    }
    let beyond = client.get("/v1/deltas?after=1000000").await;
    assert_eq!(beyond.status, 400);
    assert!(
        beyond.body.contains(&since["next"].to_string()),
        "the end is named: {beyond:?}"
    );
}

#[tokio::test]
async fn a_poll_waits_for_what_it_asked_for() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;
    let next = client.get("/v1/deltas").await.json()["next"].clone();
    let path = format!("/v1/deltas?after={next}&kinds=topic&wait=20");
    let poll = client.get(&path);
    let write = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Another kind does not wake it.
        register(&client, 1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        create(&client, "late").await
    };
    let (answer, _) = tokio::join!(poll, write);
    assert_eq!(told(&answer.json()), ["set topic late"]);

    let begun = node.doors.clock.ticks();
    let answer = client
        .get(&format!(
            "/v1/deltas?after={}&wait=1",
            answer.json()["next"]
        ))
        .await;
    assert!(told(&answer.json()).is_empty() && node.doors.clock.ticks().ms_since(begun) >= 1000);
}

#[tokio::test]
async fn what_is_gone_is_told_as_such() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;
    let id = register(&client, 1).await;
    let topic = create(&client, "Likes").await.json()["topicUUID"].clone();
    let body = json!({"name": "PartitionRecord", "fields":
        {"partitionId": 0, "topicUUID": topic, "replicas": [1]}});
    assert_eq!(
        client
            .post("/create_partition", &body.to_string())
            .await
            .status,
        200
    );
    let before = client.get("/v1/deltas").await.json()["next"].clone();

    let id_of_topic = yakt::ids::parse_base64(topic.as_str().expect("an id")).expect("base64");
    let request = kafka_protocol::messages::DeleteTopicsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(vec![
            kafka_protocol::messages::delete_topics_request::DeleteTopicState::default()
                .with_topic_id(id_of_topic),
        ]);
    let caller = yakt::rules::Caller::internal();
    node.doors
        .writes
        .write(request, 6, caller)
        .await
        .expect("it is deleted by frame");
    client
        .delete("/unregister_broker", &json!({"brokerId": id}).to_string())
        .await;

    let news = client
        .get(&format!(
            "/v1/deltas?after={before}&kinds=topic,partition,broker"
        ))
        .await;
    assert_eq!(
        told(&news.json()),
        [
            "delete partition Likes-0",
            "delete topic Likes",
            "delete broker 1"
        ]
    );
    let map = client
        .post("/client_mgmt", &json!({"offset": before}).to_string())
        .await
        .json();
    assert_eq!(map["TopicRecord:Likes"]["deleted"], true);
    assert_eq!(map["PartitionRecord:Likes-0"]["deleted"], true);
    assert_eq!(
        map["PartitionRecord:Likes-0"]["fields"]["replicas"],
        json!([1])
    );
    let closed = &map[format!("RegisterBrokerRecord:{id}")];
    assert_eq!(
        (&closed["fields"]["brokerStatus"], &closed["deleted"]),
        (&json!("CLOSED"), &Value::Null)
    );
    // Who begins anew is told nothing of it, but of the closed broker.
    let all = client
        .post("/client_mgmt", r#"{"timestamp": 0}"#)
        .await
        .json();
    assert_eq!(keys(&all), [format!("RegisterBrokerRecord:{id}")]);
}
