//! What brokers and their operators asked of Kafka 4.3.1's controller, what it answered, and what it
//! wrote: decided again here on the same state, with the same outcome.
//!
//! The state is the log up to the request. Who was heard from when is not in the log: every unfenced
//! broker counts as just heard from, and nobody as shutting down.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, Message, Request};
use yakt::api::Write;
use yakt::clock::{Dice, Ticks};
use yakt::ids::QuorumView;
use yakt::image::Image;
use yakt::records::Record;
use yakt::records::batch::{Batch, CutTail};
use yakt::rules::{Caller, Ctx, Live, View};
use yakt::settings::Settings;

use crate::decisions::{Step, golden, is_idle, settings, steps};

/// Steps that are answered differently here, and why.
const OTHER_ANSWERS: &[(&str, &str)] = &[
    ("broker-3-kill9-immediate-restart", "its session was over"),
    (
        "broker-3-return-dir-repaired",
        "it was fenced, but its session was not over",
    ),
    ("probe:re-register-while-in-controlled-shutdown", "the same"),
    ("probe:re-register-after-shutdown", "the same"),
    (
        "probe:want-shutdown-2",
        "it was shutting down, and others had read less",
    ),
    ("probe:want-shutdown-3", "the same"),
    (
        "probe:alter-partition-bad-recovery-state",
        "Kafka fails inside and gives its leadership up; YAKt answers INVALID_REQUEST",
    ),
];
/// Steps that write something else here, and why.
const OTHER_RECORDS: &[(&str, &str)] = &[
    (
        "unregister-broker-3",
        "Kafka leaves a broker eligible that is struck off",
    ),
    ("unregister-live-broker-3-bc", "the same"),
    ("probe:unregister-live", "the same"),
    (
        "probe:register-no-listeners",
        "its batch is not the next one",
    ),
];

#[test]
fn recorded_brokers_are_answered_as_in_kafka() {
    let log = golden("log/00000000000000000000.log");
    let batches = Batch::split(log.into(), CutTail::Refuse).unwrap();
    let mut batches = batches.into_iter().peekable();
    let mut image = Image::default();
    let mut compared = [0, 0];
    for step in steps("decisions/brokers.jsonl") {
        while let Some(batch) = batches.next_if(|batch| batch.base_offset() < step.end_offset) {
            image.apply_batch(&batch, &[]).unwrap();
        }
        let outcome = decide(&step, &image);
        let is_in = |list: &[(&str, &str)]| list.iter().any(|(name, _)| *name == step.name);
        let place = format!("{} (API {}): {}", step.name, step.api, outcome.request);
        if outcome.answer != outcome.recorded {
            let (ours, theirs) = (outcome.answer, outcome.recorded);
            assert!(
                is_in(OTHER_ANSWERS),
                "{place}\nhere {ours:#?}\nthere {theirs:#?}"
            );
            continue;
        }
        compared[0] += 1;
        if outcome.records.is_empty() || is_in(OTHER_RECORDS) {
            continue;
        }
        let next = batches.clone().find(|batch| !is_idle(batch)).unwrap();
        // Kafka lingers, so a batch may hold the records of a neighbouring request, too.
        let mut theirs = next.decode().unwrap();
        for ours in outcome.records {
            let found = theirs.iter().position(|record| *record == ours);
            let found = found.unwrap_or_else(|| panic!("{place}\n{ours:?}, not {theirs:#?}"));
            theirs.remove(found);
            compared[1] += 1;
        }
    }
    assert_eq!(compared, [183, 243], "answers and records compared");
}

/// The answers are lists of lines, in an order of their own.
struct Outcome {
    request: String,
    answer: Vec<String>,
    recorded: Vec<String>,
    records: Vec<Record>,
}

fn decide(step: &Step, image: &Image) -> Outcome {
    match step.api {
        ElectLeadersRequest::KEY => run::<ElectLeadersRequest>(step, image, |answer| {
            let mut lines = vec![answer.error_code.to_string()];
            for topic in answer.replica_election_results {
                let name = topic.topic.to_string();
                let line = |result: &_| format!("{name} {result:?}");
                lines.push(name.clone());
                lines.extend(topic.partition_result.iter().map(line));
            }
            lines.sort();
            lines
        }),
        AlterPartitionRequest::KEY => run::<AlterPartitionRequest>(step, image, whole),
        BrokerRegistrationRequest::KEY => run::<BrokerRegistrationRequest>(step, image, whole),
        BrokerHeartbeatRequest::KEY => run::<BrokerHeartbeatRequest>(step, image, whole),
        UnregisterBrokerRequest::KEY => run::<UnregisterBrokerRequest>(step, image, whole),
        AllocateProducerIdsRequest::KEY => run::<AllocateProducerIdsRequest>(step, image, whole),
        ControllerRegistrationRequest::KEY => {
            run::<ControllerRegistrationRequest>(step, image, whole)
        }
        AssignReplicasToDirsRequest::KEY => run::<AssignReplicasToDirsRequest>(step, image, whole),
        other => panic!("{}: no such API here: {other}", step.name),
    }
}

fn whole(answer: impl Debug) -> Vec<String> {
    vec![format!("{answer:?}")]
}

fn run<R: Write + Debug>(
    step: &Step,
    image: &Image,
    lines: fn(R::Response) -> Vec<String>,
) -> Outcome {
    let request = R::decode(&mut step.request.clone(), known::<R>(step.version)).unwrap();
    let settings = Settings {
        cluster_id: "CNi-Mi4bQci9gi1TsXKryQ".to_owned(),
        ..settings()
    };
    let (live, dice) = (Live::begin(image, Ticks(0)), Dice::seeded(1));
    let (quorum, caller) = (QuorumView::default(), Caller::internal());
    let view = View {
        image,
        quorum: &quorum,
        caller: &caller,
        settings: &settings,
        version: step.version,
    };
    let ctx = Ctx {
        view,
        live: &live,
        now: 0,
        ticks: Ticks(0),
        dice: &dice,
    };
    let (records, answer) = match request.decide(&ctx) {
        Ok(decision) => (decision.records, decision.response),
        Err(refusal) => (Vec::new(), request.refuse(&refusal)),
    };
    let version = known::<R::Response>(step.version);
    let mut bytes = BytesMut::new();
    answer.encode(&mut bytes, version).unwrap();
    let read = |mut bytes: Bytes| lines(R::Response::decode(&mut bytes, version).unwrap());
    Outcome {
        request: format!("{request:?}"),
        answer: read(bytes.freeze()),
        recorded: read(step.response.clone()),
        records,
    }
}

/// The version by which the wire crate knows the message.
fn known<M: Message>(version: i16) -> i16 {
    version.min(M::VERSIONS.max)
}
