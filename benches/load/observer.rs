//! A follower of the metadata log, as a broker is one: Fetch, long polled, committed records only.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use kafka_protocol::messages::{BrokerId, FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::client::{Client, ok};
use crate::subject::quorum_state;

/// How long a Fetch may be parked; a broker's value.
const MAX_WAIT_MS: i32 = 500;
const MAX_BYTES: i32 = 1024 * 1024;
/// The id of `__cluster_metadata`.
const METADATA_TOPIC: Uuid = Uuid::from_u128(1);
/// Empty answers until what is waited for must have come.
const FETCHES_MAX: usize = 40;
/// The header of a record batch.
const BATCH_HEADER_BYTES: usize = 61;

/// An observer. One Fetch of it is always under way.
pub(crate) struct Observer {
    client: Client,
    cluster_id: StrBytes,
    epoch: i32,
    next: i64,
    /// Batches that arrived before they were committed, with their end offsets.
    uncommitted: Vec<(i64, Bytes)>,
}

impl Observer {
    /// Follows the log from its end on.
    pub(crate) async fn follow(address: &str, cluster_id: &str) -> Result<Self> {
        let state = quorum_state(address).await?;
        let mut observer = Self {
            client: Client::connect(address).await?,
            cluster_id: StrBytes::from_string(cluster_id.to_owned()),
            epoch: state.leader_epoch,
            next: state.high_watermark,
            uncommitted: Vec::new(),
        };
        observer.ask().await?;
        Ok(observer)
    }

    /// When a committed record with these bytes arrives.
    pub(crate) async fn see(&mut self, bytes: &[u8]) -> Result<Instant> {
        for _ in 0..FETCHES_MAX {
            let high_watermark = self.take().await?;
            let arrived = Instant::now();
            self.ask().await?;
            let mut seen = false;
            self.uncommitted.retain(|(end, batch)| {
                let committed = *end <= high_watermark;
                seen |= committed && batch.windows(bytes.len()).any(|it| it == bytes);
                !committed
            });
            if seen {
                return Ok(arrived);
            }
        }
        bail!("the observer waits in vain")
    }

    async fn ask(&mut self) -> Result<()> {
        let partition = FetchPartition::default()
            .with_current_leader_epoch(self.epoch)
            .with_fetch_offset(self.next)
            .with_last_fetched_epoch(self.epoch)
            .with_partition_max_bytes(MAX_BYTES);
        let topic = FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_static_str("__cluster_metadata")))
            .with_topic_id(METADATA_TOPIC)
            .with_partitions(vec![partition]);
        let replica = ReplicaState::default()
            .with_replica_id(BrokerId(1))
            .with_replica_epoch(-1);
        let request = FetchRequest::default()
            .with_cluster_id(Some(self.cluster_id.clone()))
            .with_replica_state(replica)
            .with_max_wait_ms(MAX_WAIT_MS)
            .with_max_bytes(MAX_BYTES)
            .with_topics(vec![topic]);
        self.client.begin(&request)?;
        self.client.send().await
    }

    /// Takes the answer in, and gives back its high watermark.
    async fn take(&mut self) -> Result<i64> {
        let answer = self.client.answer::<FetchRequest>().await?;
        ok(answer.error_code)?;
        let topic = answer.responses.into_iter().next();
        let partition = topic.and_then(|it| it.partitions.into_iter().next());
        let partition = partition.context("an empty answer to Fetch")?;
        ok(partition.error_code)?;
        let mut bytes = partition.records.unwrap_or_default();
        while let Some((batch, end)) = next_batch(&mut bytes) {
            self.next = end;
            self.uncommitted.push((end, batch));
        }
        Ok(partition.high_watermark)
    }
}

/// The next whole batch, and the offset behind it.
fn next_batch(bytes: &mut Bytes) -> Option<(Bytes, i64)> {
    let mut header = bytes.get(..BATCH_HEADER_BYTES)?;
    let base_offset = header.get_i64();
    let length = 12 + header.get_u32() as usize;
    // Leader epoch, magic, checksum, attributes.
    header.advance(4 + 1 + 4 + 2);
    let last_delta = header.get_i32();
    let whole = (length <= bytes.len()).then(|| bytes.split_to(length))?;
    Some((whole, base_offset + i64::from(last_delta) + 1))
}
