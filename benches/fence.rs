//! How long it takes to decide what becomes of a broker's partitions when it falls silent.
//!
//! `cargo bench --bench fence`: three brokers, of which one leads every partition, are asked for the
//! slices of its fencing. The image does not change meanwhile: only deciding is measured.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark tells the time"
)]

use std::time::Instant;

use yakt::clock::{Dice, Ticks};
use yakt::ids::{BrokerId, QuorumView, Stamp, Uuid};
use yakt::image::Image;
use yakt::records::{
    FeatureLevelRecord, PartitionRecord, Record, RegisterBrokerRecord, TopicRecord,
};
use yakt::rules::brokers::{Cursor, RECORDS_PER_SLICE_MAX, slice};
use yakt::rules::{Caller, Ctx, Live, Plan, View};
use yakt::settings::Settings;

const PARTITIONS: u32 = 100_000;
const ROUNDS: usize = 5;

fn main() {
    for topics in [100, PARTITIONS] {
        let image = image(topics);
        let (settings, quorum, caller) = (
            Settings::default(),
            QuorumView::default(),
            Caller::internal(),
        );
        let (live, dice) = (Live::begin(&image, Ticks(0)), Dice::seeded(1));
        let view = View {
            image: &image,
            quorum: &quorum,
            caller: &caller,
            settings: &settings,
            version: 0,
        };
        let ctx = Ctx {
            view,
            live: &live,
            now: 0,
            ticks: Ticks(0),
            dice: &dice,
        };
        let plan = Plan::fence(image.broker(BrokerId(1)).expect("registered"));
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let (mut next, mut records, mut slowest) = (Some(Cursor::default()), 0, 0);
            while let Some(from) = next {
                let slice_began = Instant::now();
                let slice = slice(&ctx, &plan, from, RECORDS_PER_SLICE_MAX);
                slowest = slowest.max(slice_began.elapsed().as_micros());
                records += slice.records.len();
                next = slice.next;
            }
            println!(
                "{topics} topics: {records} records in {} ms, slowest slice {slowest} us",
                began.elapsed().as_millis()
            );
        }
    }
}

/// Every partition on brokers 1, 2 and 3, led by 1.
fn image(topics: u32) -> Image {
    let brokers = [1, 2, 3].map(BrokerId);
    let directory = |broker: &BrokerId| Uuid::from_u128(100 + broker.0 as u128);
    let mut records: Vec<Record> = [
        ("metadata.version", 30),
        ("eligible.leader.replicas.version", 1),
    ]
    .map(|(name, feature_level)| {
        FeatureLevelRecord {
            name: name.to_owned(),
            feature_level,
        }
        .into()
    })
    .into();
    for broker in &brokers {
        records.push(
            RegisterBrokerRecord {
                broker_id: *broker,
                incarnation_id: Uuid::from_u128(broker.0 as u128),
                broker_epoch: records.len() as i64,
                fenced: false,
                log_dirs: vec![directory(broker)],
                ..RegisterBrokerRecord::default()
            }
            .into(),
        );
    }
    for topic in 0..topics {
        let topic_id = Uuid::from_u128(1000 + u128::from(topic));
        records.push(
            TopicRecord {
                name: format!("topic-{topic}"),
                topic_id,
            }
            .into(),
        );
        for partition_id in 0..(PARTITIONS / topics) as i32 {
            records.push(
                PartitionRecord {
                    partition_id,
                    topic_id,
                    replicas: brokers.to_vec(),
                    isr: brokers.to_vec(),
                    leader: brokers[0],
                    leader_epoch: 0,
                    partition_epoch: 0,
                    directories: brokers.iter().map(directory).collect(),
                    ..PartitionRecord::default()
                }
                .into(),
            );
        }
    }
    let mut image = Image::default();
    for (offset, record) in (0..).zip(&records) {
        image
            .apply(record, Stamp { offset, time: 0 })
            .expect("valid");
    }
    image
}
