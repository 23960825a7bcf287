//! What Kafka 4.3.1's controller did to every partition when a broker was fenced, unfenced, stopped,
//! restarted, lost a directory or was struck off: decided again here on the same state, with the same
//! records.
//!
//! Kafka lingers, so one batch may hold what several decisions wrote. Each decision is found by the
//! record that makes it official, which comes first (unfenced, stopping) or last (all others).

use std::fs;
use std::path::PathBuf;

use yakt::clock::{Dice, Ticks};
use yakt::ids::{BrokerId, QuorumView, Stamp};
use yakt::image::Image;
use yakt::records::batch::{Batch, CutTail};
use yakt::records::{BrokerRegistrationChangeRecord, Record};
use yakt::rules::brokers::{Cursor, slice};
use yakt::rules::{Caller, Ctx, Live, Plan, View};
use yakt::settings::Settings;

#[test]
fn brokers_come_and_go_as_they_did_in_kafka() {
    let mut story = Story::default();
    for batch in batches("00000000000000000000.log") {
        story.read(&batch);
    }
    let compared = Compared {
        fenced: 21,
        unfenced: 19,
        stopping: 4,
        directories: 3,
        restarted: 21,
        struck_off: 4,
    };
    assert_eq!(story.compared, compared);
}

/// How many decisions of each kind had Kafka's records.
#[derive(Debug, Default, PartialEq, Eq)]
struct Compared {
    fenced: usize,
    unfenced: usize,
    stopping: usize,
    directories: usize,
    restarted: usize,
    struck_off: usize,
}

#[derive(Default)]
struct Story {
    image: Image,
    compared: Compared,
}

impl Story {
    fn read(&mut self, batch: &Batch) {
        if batch.is_control() {
            self.image.apply_batch(batch, &[]).unwrap();
            return;
        }
        let records = batch.decode().unwrap();
        let mut at = 0;
        while at < records.len() {
            let rest = &records[at..];
            let before = at.checked_sub(1).map(|at| &records[at]);
            let length = self
                .opened_by(rest)
                .or_else(|| self.closed_in(rest, before))
                .unwrap_or(1);
            for (offset, record) in (batch.base_offset() + at as i64..).zip(&rest[..length]) {
                self.image
                    .apply(
                        record,
                        Stamp {
                            offset,
                            time: batch.time(),
                        },
                    )
                    .unwrap();
            }
            at += length;
        }
    }

    /// The length of a decision whose first record makes it official.
    fn opened_by(&mut self, records: &[Record]) -> Option<usize> {
        let Record::BrokerRegistrationChange(change) = &records[0] else {
            return None;
        };
        let broker = self.image.broker(change.broker_id).unwrap();
        let plan = match change {
            it if it.fenced == -1 => Plan::unfence(broker),
            it if it.in_controlled_shutdown == 1 => Plan::shut_down(broker),
            _ => return None,
        };
        let ours = self.decide(&plan);
        assert_eq!(lines(&ours), lines(&records[..ours.len()]), "{change:?}");
        match change.fenced {
            -1 => self.compared.unfenced += 1,
            _ => self.compared.stopping += 1,
        }
        Some(ours.len())
    }

    /// The length of a decision whose last record makes it official, if it begins right here.
    fn closed_in(&mut self, records: &[Record], before: Option<&Record>) -> Option<usize> {
        let last = records
            .iter()
            .position(|it| !matches!(it, Record::PartitionChange(_)))?;
        let plans = self.plans(&records[last]);
        let theirs = comparable(&records[..=last]);
        let matching = plans
            .iter()
            .any(|plan| comparable(&self.decide(plan)) == theirs);
        let counter = match &records[last] {
            Record::BrokerRegistrationChange(it) if it.fenced == 1 => &mut self.compared.fenced,
            Record::BrokerRegistrationChange(it) if !it.log_dirs.is_empty() => {
                &mut self.compared.directories
            }
            Record::RegisterBroker(_) => &mut self.compared.restarted,
            Record::UnregisterBroker(_) => &mut self.compared.struck_off,
            _ => return None,
        };
        // The first changes may be another decision's. But what is ours is ours to the first: the
        // official record would match alone, too, once its changes are applied.
        let alone = last == 0 && matches!(before, Some(Record::PartitionChange(_)));
        if matching && !alone {
            *counter += 1;
            return Some(last + 1);
        }
        assert_ne!(
            last,
            0,
            "{:?}: {:?}",
            records[0],
            lines(&self.decide(&plans[0]))
        );
        None
    }

    /// What may have led to this record. A request said whether a broker stopped cleanly before.
    fn plans(&self, official: &Record) -> Vec<Plan> {
        match official {
            Record::BrokerRegistrationChange(BrokerRegistrationChangeRecord {
                broker_id,
                fenced: 1,
                ..
            }) => vec![Plan::fence(self.image.broker(*broker_id).unwrap())],
            Record::BrokerRegistrationChange(it) if !it.log_dirs.is_empty() => {
                let broker = self.image.broker(it.broker_id).unwrap();
                let mut failed = broker.log_dirs.clone();
                failed.retain(|id| !it.log_dirs.contains(id));
                Plan::directories_offline(broker, &failed)
                    .into_iter()
                    .collect()
            }
            Record::RegisterBroker(it) => self.with_ctx(|ctx| {
                [true, false]
                    .map(|clean| Plan::restart(ctx, it.clone(), clean))
                    .into()
            }),
            Record::UnregisterBroker(it) => {
                vec![Plan::unregister(self.image.broker(it.broker_id).unwrap())]
            }
            _ => Vec::new(),
        }
    }

    fn decide(&self, plan: &Plan) -> Vec<Record> {
        self.with_ctx(|ctx| slice(ctx, plan, Cursor::default(), usize::MAX).records)
    }

    fn with_ctx<T>(&self, decide: impl FnOnce(&Ctx<'_>) -> T) -> T {
        let (live, dice) = (Live::default(), Dice::seeded(1));
        let settings = Settings {
            node_id: BrokerId(3000),
            ..Settings::default()
        };
        let (quorum, caller) = (QuorumView::default(), Caller::internal());
        let view = View {
            image: &self.image,
            quorum: &quorum,
            caller: &caller,
            settings: &settings,
            version: 4,
        };
        decide(&Ctx {
            view,
            live: &live,
            now: 0,
            ticks: Ticks(0),
            dice: &dice,
        })
    }
}

/// Kafka leaves a broker eligible (ELR) that does not exist any more; here it loses that place. All
/// the rest of what is done to whoever is struck off is the same.
fn comparable(records: &[Record]) -> Vec<String> {
    let mut records = records.to_vec();
    if let Some(Record::UnregisterBroker(_)) = records.last() {
        records.retain_mut(|record| match record {
            Record::PartitionChange(change) => {
                change.eligible_leader_replicas = None;
                change.isr.is_some()
            }
            _ => true,
        });
    }
    lines(&records)
}

/// The records in an order of their own: Kafka walks through partitions by a hash table.
fn lines(records: &[Record]) -> Vec<String> {
    let mut lines: Vec<String> = records.iter().map(|record| format!("{record:?}")).collect();
    lines.sort();
    lines
}

fn batches(name: &str) -> Vec<Batch> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/golden/log")
        .join(name);
    Batch::split(fs::read(path).unwrap().into(), CutTail::Refuse).unwrap()
}
