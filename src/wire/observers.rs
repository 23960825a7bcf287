//! Fetch and FetchSnapshot of the metadata log: from a call to the feed and back.

use kafka_protocol::messages::{ApiKey, FetchRequest, FetchSnapshotRequest};

use super::doors::{Call, Serve, Served};
use crate::api::{Answer, decode};
use crate::controller::Slow;
use crate::feed::serve::Feed;

impl Serve for Feed {
    /// A body that cannot be read closes the connection, as it does in Kafka.
    fn serve(&self, call: Call) -> Slow<Served> {
        let feed = self.clone();
        Box::pin(async move {
            serve(&feed, call)
                .await
                .map_or(Served::Close, Served::Answer)
        })
    }
}

async fn serve(feed: &Feed, call: Call) -> Option<Box<dyn Answer>> {
    let Call {
        api,
        version,
        body,
        caller,
    } = call;
    match api {
        ApiKey::Fetch => {
            let request = decode::<FetchRequest>(body, version).ok()?;
            let answer = feed.fetch(&request, version, &caller.listener).await?;
            Some(Box::new(answer))
        }
        ApiKey::FetchSnapshot => {
            let request = decode::<FetchSnapshotRequest>(body, version).ok()?;
            let answer = feed
                .fetch_snapshot(&request, version, &caller.listener)
                .await?;
            Some(Box::new(answer))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::{Bytes, BytesMut};
    use kafka_protocol::protocol::Encodable;
    use tokio::sync::watch;

    use super::*;
    use crate::clock::SystemClock;
    use crate::feed::Published;
    use crate::rules::Caller;

    /// What becomes of a body: the error code at the top of the answer, or `None` for a close.
    async fn ask(api: ApiKey, version: i16, body: Bytes) -> Option<i16> {
        let (_publisher, published) = watch::channel(Arc::new(Published::default()));
        let feed = Feed::new(published, Arc::new(SystemClock::new()), "cluster", 2_000);
        let caller = Arc::new(Caller::internal());
        match feed
            .serve(Call {
                api,
                version,
                body,
                caller,
            })
            .await
        {
            Served::Answer(answer) => {
                let mut bytes = BytesMut::new();
                answer.append_to(&mut bytes, version).unwrap();
                Some(i16::from_be_bytes([bytes[4], bytes[5]]))
            }
            _ => None,
        }
    }

    fn body(request: &impl Encodable, version: i16) -> Bytes {
        let mut body = BytesMut::new();
        request.encode(&mut body, version).unwrap();
        body.freeze()
    }

    #[tokio::test]
    async fn requests_reach_the_feed_in_every_version() {
        for version in 4..=18 {
            let fetch = body(&FetchRequest::default(), version);
            let answer = ask(ApiKey::Fetch, version, fetch).await;
            // Below version 7 there is no field for it, and the answer is empty.
            assert_eq!(answer, Some(if version < 7 { 0 } else { 42 }));
        }
        for version in 0..=1 {
            let fetch = body(&FetchSnapshotRequest::default(), version);
            assert_eq!(ask(ApiKey::FetchSnapshot, version, fetch).await, Some(42));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_closes() {
        let whole = body(&FetchRequest::default(), 18);
        assert_eq!(ask(ApiKey::Fetch, 18, whole.slice(1..)).await, None);
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(ask(ApiKey::Fetch, 18, longer.into()).await, Some(42));
        assert_eq!(ask(ApiKey::Metadata, 0, Bytes::new()).await, None);
    }
}
