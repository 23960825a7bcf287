//! What Kafka 4.3.1's controller was asked about topics and configurations, what it answered, and
//! what it wrote: decided again here on the same state, with the same outcome.

use std::fs;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, IncrementalAlterConfigsRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, Request};
use serde_json::Value;
use yakt::api::{Read, Write};
use yakt::clock::{Dice, Ticks};
use yakt::ids::{BrokerId, QuorumView, Uuid};
use yakt::image::Image;
use yakt::records::batch::{Batch, CutTail};
use yakt::records::{PartitionRecord, Record, TopicRecord};
use yakt::rules::{Caller, Ctx, Live, View};
use yakt::settings::Settings;

/// The step that is answered differently on purpose: Kafka fails inside over an unknown operation,
/// answers UNKNOWN_SERVER_ERROR and gives its leadership up; YAKt answers INVALID_REQUEST.
const OTHER_ANSWER: &str = "probe:incremental-alter-configs-unknown-op";
/// The step that writes something else: new partitions get as many replicas as one that is there
/// already, which Kafka picks by the order of its hash table and YAKt by its number. Here one of
/// them was being reassigned and had more.
const OTHER_RECORDS: &str = "pending-reassign:create-partitions-during";

#[test]
fn recorded_requests_have_their_recorded_outcome() {
    let log = golden("log/00000000000000000000.log");
    let batches = Batch::split(log.into(), CutTail::Refuse).unwrap();
    let mut batches = batches.into_iter().peekable();
    let mut image = Image::default();
    let mut compared = [0, 0];
    for step in steps("decisions/topics-and-configs.jsonl") {
        while let Some(batch) = batches.next_if(|batch| batch.base_offset() < step.end_offset) {
            image.apply_batch(&batch, &[]).unwrap();
        }
        let outcome = step.decide(&image);
        if step.name == OTHER_ANSWER {
            assert!(
                outcome.recorded[0].contains("error_code: -1"),
                "{:?}",
                outcome.recorded
            );
            assert!(
                outcome.answer[0].contains("error_code: 42"),
                "{:?}",
                outcome.answer
            );
            continue;
        }
        assert_eq!(
            outcome.answer, outcome.recorded,
            "{} v{}",
            step.name, step.version
        );
        compared[0] += 1;
        if !outcome.records.is_empty() && step.name != OTHER_RECORDS {
            let next = batches.clone().find(|batch| !is_idle(batch)).unwrap();
            let recorded = next.decode().unwrap();
            let exact = step.name.contains("manual");
            let line = |record| shown(&image, record, exact);
            // Kafka lingers, so a batch may hold the records of a neighbouring request, too.
            let mut theirs: Vec<String> = recorded.iter().map(line).collect();
            for ours in outcome.records.iter().map(line) {
                let found = theirs.iter().position(|it| *it == ours);
                let found =
                    found.unwrap_or_else(|| panic!("{}: {ours}, not {theirs:?}", step.name));
                theirs.remove(found);
            }
            compared[1] += 1;
        }
    }
    assert_eq!(compared, [152, 62], "answers and batches compared");
}

/// One recorded request.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) api: i16,
    pub(super) version: i16,
    forwarded: bool,
    /// Where the log ended when it came.
    pub(super) end_offset: i64,
    pub(super) request: Bytes,
    pub(super) response: Bytes,
}

/// What came out of it: a line for each element of the answer, and the records.
struct Outcome {
    answer: Vec<String>,
    recorded: Vec<String>,
    records: Vec<Record>,
}

impl Step {
    fn decide(&self, image: &Image) -> Outcome {
        let (settings, quorum) = (settings(), QuorumView::default());
        let (live, dice) = (Live::default(), Dice::seeded(1));
        let caller = Caller {
            forwarded: self.forwarded,
            ..Caller::internal()
        };
        let (settings, quorum, caller) = (&settings, &quorum, &caller);
        let view = View {
            image,
            quorum,
            caller,
            settings,
            version: self.version,
        };
        let ctx = Ctx {
            view,
            live: &live,
            now: 0,
            ticks: Ticks(0),
            dice: &dice,
        };
        match self.api {
            CreateTopicsRequest::KEY => self.write::<CreateTopicsRequest>(&ctx, |answer| {
                let line = |it: &_| format!("{it:?}");
                answer
                    .topics
                    .into_iter()
                    .map(|it| line(&it.with_topic_id(Uuid::nil())))
                    .collect()
            }),
            DeleteTopicsRequest::KEY => self.write::<DeleteTopicsRequest>(&ctx, |answer| {
                answer
                    .responses
                    .iter()
                    .map(|it| format!("{it:?}"))
                    .collect()
            }),
            CreatePartitionsRequest::KEY => self.write::<CreatePartitionsRequest>(&ctx, |answer| {
                answer.results.iter().map(|it| format!("{it:?}")).collect()
            }),
            AlterConfigsRequest::KEY => self.write::<AlterConfigsRequest>(&ctx, |answer| {
                answer
                    .responses
                    .iter()
                    .map(|it| format!("{it:?}"))
                    .collect()
            }),
            IncrementalAlterConfigsRequest::KEY => {
                self.write::<IncrementalAlterConfigsRequest>(&ctx, |answer| {
                    let line = |it: &_| format!("{it:?}");
                    answer.responses.iter().map(line).collect()
                })
            }
            DescribeConfigsRequest::KEY => self.read(&view),
            other => panic!("{}: no such API here: {other}", self.name),
        }
    }

    fn write<R: Write>(&self, ctx: &Ctx<'_>, lines: fn(R::Response) -> Vec<String>) -> Outcome
    where
        R::Response: Decodable,
    {
        let request = R::decode(&mut self.request.clone(), self.version).unwrap();
        let (records, response) = match request.decide(ctx) {
            Ok(decision) => (decision.records, decision.response),
            Err(refusal) => (Vec::new(), request.refuse(&refusal)),
        };
        let answer = sorted(lines(self.again(&response)));
        let recorded = R::Response::decode(&mut self.response.clone(), self.version).unwrap();
        Outcome {
            answer,
            recorded: sorted(lines(recorded)),
            records,
        }
    }

    fn read(&self, view: &View<'_>) -> Outcome {
        type Answer = <DescribeConfigsRequest as Request>::Response;
        let request = DescribeConfigsRequest::decode(&mut self.request.clone(), self.version);
        let lines = |answer: Answer| {
            let mut lines = Vec::new();
            for mut result in answer.results {
                let entries = std::mem::take(&mut result.configs);
                lines.push(format!("{result:?}"));
                lines.extend(sorted(entries.iter().map(|it| format!("{it:?}")).collect()));
            }
            lines
        };
        let answer = lines(self.again(&request.unwrap().answer(view)));
        let recorded = Answer::decode(&mut self.response.clone(), self.version).unwrap();
        Outcome {
            answer,
            recorded: lines(recorded),
            records: Vec::new(),
        }
    }

    /// The response as a client of this version reads it.
    fn again<M: Encodable + Decodable>(&self, message: &M) -> M {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes, self.version).unwrap();
        M::decode(&mut bytes.freeze(), self.version).unwrap()
    }
}

/// A record in a line, without the ids that are drawn by chance. Only assignments by hand say which
/// replicas there are.
fn shown(image: &Image, record: &Record, by_hand: bool) -> String {
    match record {
        Record::Topic(it) => {
            format!(
                "{:?}",
                TopicRecord {
                    topic_id: Uuid::nil(),
                    ..it.clone()
                }
            )
        }
        Record::Partition(it) if by_hand => {
            format!(
                "{:?}",
                PartitionRecord {
                    topic_id: Uuid::nil(),
                    ..it.clone()
                }
            )
        }
        Record::Partition(it) => {
            assert_eq!(it.isr.first(), Some(&it.leader), "the first in sync leads");
            let directories: Vec<_> = it.replicas.iter().zip(&it.directories).collect();
            for (broker, directory) in directories {
                let registered = &image.broker(*broker).unwrap().log_dirs;
                assert_eq!(registered.len() == 1, registered.contains(directory));
            }
            let (replicas, in_sync) = (it.replicas.len(), it.isr.len());
            format!(
                "partition {} on {replicas}, {in_sync} in sync",
                it.partition_id
            )
        }
        other => format!("{other:?}"),
    }
}

pub(super) fn is_idle(batch: &Batch) -> bool {
    batch.is_control() || matches!(batch.decode().unwrap()[..], [Record::NoOp(_)])
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

pub(super) fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/golden")
        .join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(super) fn steps(file: &str) -> Vec<Step> {
    let text = String::from_utf8(golden(file)).unwrap();
    let step = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let number = |field: &str| line[field].as_i64().unwrap();
        let text = |field: &str| line[field].as_str().unwrap();
        Step {
            name: text("step").to_owned(),
            api: number("api") as i16,
            version: number("version") as i16,
            forwarded: line["forwarded"].as_bool().unwrap(),
            end_offset: number("end_offset"),
            request: unhex(text("request")),
            response: unhex(text("response")),
        }
    };
    text.lines().map(step).collect()
}

fn unhex(text: &str) -> Bytes {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// The controller's file, as it was when the frames were recorded.
pub(super) fn settings() -> Settings {
    let given = [
        ("process.roles", "controller"),
        ("node.id", "3000"),
        ("controller.quorum.bootstrap.servers", "127.0.0.1:21193"),
        ("controller.listener.names", "CONTROLLER"),
        ("listeners", "CONTROLLER://127.0.0.1:21093"),
        ("advertised.listeners", "CONTROLLER://127.0.0.1:21193"),
        ("log.dirs", "data/ctl"),
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        ),
        ("super.users", "User:ANONYMOUS"),
        ("delegation.token.secret.key", "golden-secret"),
        ("metadata.log.max.record.bytes.between.snapshots", "20000"),
    ];
    let given = given
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    Settings {
        node_id: BrokerId(3000),
        given,
        ..Settings::default()
    }
}
