//! A follower passes writes on and answers when it has applied them itself.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use yakt::controller::Slow;
use yakt::http::{self, Doors, Leader, answer_follower};

use super::client::Client;
use super::node::{NoLeader, following, leading};

/// The leader's doors, asked directly.
struct Direct(Doors);

impl Leader for Direct {
    fn ask(&self, body: Bytes) -> Option<Slow<anyhow::Result<Bytes>>> {
        let doors = self.0.clone();
        Some(Box::pin(async move {
            answer_follower(&doors, &body)
                .await
                .ok_or_else(|| anyhow::anyhow!("not for this cluster"))
        }))
    }
}

/// A leader that never answers.
struct Mute;

impl Leader for Mute {
    fn ask(&self, _body: Bytes) -> Option<Slow<anyhow::Result<Bytes>>> {
        Some(Box::pin(async { anyhow::bail!("the connection broke") }))
    }
}

#[tokio::test]
async fn a_write_is_answered_when_this_node_has_it() {
    let (leader, _at_leader) = leading(|_| {}).await;
    let (follower, published) = following(Arc::new(Direct(leader.clone())));
    let node = http::start(follower).await.expect("it listens");
    let client = Client::of(node.addresses()[0]).await;

    let body = json!({"name": "TopicRecord", "fields": {"name": "Likes"}}).to_string();
    let mut state = leader.published.clone();
    let catch_up = async {
        // The follower hears of it a little later than the leader has answered.
        let there = state
            .wait_for(|now| now.image.topic_by_name("Likes").is_some())
            .await;
        let image = there.expect("it is written").image.clone();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        published.send_modify(|now| {
            let mut with = yakt::feed::Published::clone(now);
            with.image = image;
            *now = Arc::new(with);
        });
    };
    let (created, ()) = tokio::join!(client.post("/create_topic", &body), catch_up);
    assert_eq!(created.status, 200, "{created:?}");
    let read = client
        .post("/get_topic_by_name", r#"{"topic_name": "Likes"}"#)
        .await;
    assert_eq!(
        read.status, 200,
        "a POST that said yes is not followed by a 404"
    );
    let again = client.post("/create_topic", &body).await;
    assert_eq!(
        again.status, 400,
        "the leader's refusal comes through: {again:?}"
    );
    assert_eq!(
        client.get("/v1/topics/Likes?consistent=true").await.status,
        200
    );
    assert_eq!(
        client.get("/get_node_info").await.json()["role"],
        "follower"
    );
}

#[tokio::test]
async fn a_leader_that_is_silent_or_unknown_is_told_apart() {
    for (leader, status, outcome) in [
        (Arc::new(NoLeader) as Arc<dyn Leader>, 503, json!(null)),
        (Arc::new(Mute) as Arc<dyn Leader>, 504, json!("unknown")),
    ] {
        let (follower, _published) = following(leader);
        let node = http::start(follower).await.expect("it listens");
        let client = Client::of(node.addresses()[0]).await;
        let body = json!({"name": "TopicRecord", "fields": {"name": "Likes"}}).to_string();
        let answer = client.post("/create_topic", &body).await;
        assert_eq!(
            (answer.status, &answer.json()["outcome"]),
            (status, &outcome),
            "{answer:?}"
        );
        assert_eq!(client.get("/readyz").await.status, 503);
    }
}

#[tokio::test]
async fn another_clusters_node_is_not_served() {
    let (leader, _published) = leading(|_| {}).await;
    let body = json!({"cluster_id": "another", "principal": "", "host": "", "change": "Nothing"});
    assert!(
        answer_follower(&leader, body.to_string().as_bytes())
            .await
            .is_none()
    );
    assert!(answer_follower(&leader, b"x").await.is_none());
}
