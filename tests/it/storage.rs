//! The store under a whole node: killed at any moment, and on a disk that refuses to write.
//!
//! The node runs in a process of its own, which is this test binary again: `child` does nothing
//! unless it is told a directory.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use yakt::clock::SystemClock;
use yakt::controller::{Outcome, Propose, QuorumEvent};
use yakt::ids::{BrokerId, Uuid};
use yakt::quorum::Quorum;
use yakt::settings::Settings;

use crate::quorum::node::{Decider, Node};

const DIRECTORY: &str = "YAKT_TEST_STORAGE_CHILD";
/// Proposals that the child keeps under way.
const IN_FLIGHT: usize = 8;

fn settings(directory: &Path) -> Settings {
    let me = BrokerId(1);
    Settings {
        node_id: me,
        cluster_id: "test-cluster".to_owned(),
        directory_id: Uuid::from_u128(0x1000),
        metadata_log_dir: directory.to_owned(),
        controller_quorum_voters: vec![(me, "127.0.0.1".to_owned(), 9093)],
        // Snapshots, purges and retention have their part in it.
        metadata_log_max_record_bytes_between_snapshots: 16_384,
        yakt_history_retention_ms: 0,
        ..Settings::default()
    }
}

/// Starts the child; `under` is a shell's way of starting it.
fn spawn(directory: &Path, under: &str) -> Child {
    let this = std::env::current_exe().unwrap();
    let command = format!(
        "{under} exec {} --exact storage::child --nocapture",
        this.display()
    );
    Command::new("sh")
        .args(["-c", &command])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the child tells, line by line, until it has `enough` or ends: end offsets that were
/// acknowledged, and the sentence it ended with.
fn listen(child: &mut Child, enough: impl Fn(i64) -> bool) -> (i64, String) {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let (mut acknowledged, mut sentence) = (0, String::new());
    for line in lines.map_while(Result::ok) {
        if let Some(offset) = line.strip_prefix("applied ") {
            acknowledged = acknowledged.max(offset.parse().unwrap());
        } else if let Some(text) = line.strip_prefix("ends: ") {
            text.clone_into(&mut sentence);
        }
        if enough(acknowledged) {
            break;
        }
    }
    (acknowledged, sentence)
}

/// A node that proposes topics for as long as it lives, and tells which are applied.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut node = Node::start(settings(Path::new(&directory))).await;
        let (epoch, image) = node.leading().await;
        let mut decider = Decider::new(epoch, image);
        let mut ends = std::collections::BTreeMap::new();
        loop {
            while ends.len() < IN_FLIGHT {
                let name = format!("topic-{}", decider.ahead.end_offset());
                let proposal = decider.topic(&name);
                ends.insert(proposal.ticket, decider.ahead.end_offset());
                node.quorum.propose(proposal);
            }
            let fault = node.quorum.fault().clone();
            let event = tokio::select! {
                event = node.event() => event,
                sentence = fault.raised() => {
                    println!("ends: {sentence}");
                    std::process::exit(1);
                }
            };
            if let QuorumEvent::Outcome {
                ticket,
                outcome: Outcome::Applied,
            } = event
            {
                println!("applied {}", ends.remove(&ticket).unwrap());
            }
        }
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..8 {
        let mut child = spawn(directory.path(), "");
        let goal = acknowledged + 37 * (round + 1);
        let (now, sentence) = listen(&mut child, |now| now >= goal);
        assert!(now >= goal, "round {round}: it ended at {now}: {sentence}");
        child.kill().unwrap();
        child.wait().unwrap();
        // Lines that were still in the pipe count, too.
        let (rest, _) = listen(&mut child, |_| false);
        acknowledged = now.max(rest);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut node = Node::start(settings(directory.path())).await;
        let (_, image) = node.leading().await;
        assert!(image.end_offset() >= acknowledged);
        for offset in 0..acknowledged {
            let name = format!("topic-{offset}");
            assert!(
                image.topic_by_name(&name).is_some(),
                "{name} was acknowledged and is lost"
            );
        }
        node.quorum.stop().await.unwrap();
    });
}

fn has(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    found.is_ok_and(|found| found.status.success())
}

#[test]
fn a_disk_that_refuses_ends_the_node_with_a_sentence_that_names_it() {
    if !has("prlimit") {
        eprintln!("skipped: no prlimit here");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut child = spawn(directory.path(), "trap '' XFSZ;");
    let (before, _) = listen(&mut child, |now| now >= 20);
    let limit = format!("prlimit --pid {} --fsize=1024", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &limit])
            .status()
            .unwrap()
            .success()
    );
    let (after, sentence) = listen(&mut child, |_| false);
    let status: ExitStatus = child.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(
        sentence.contains(directory.path().to_str().unwrap()),
        "{sentence}"
    );

    // Nothing that was acknowledged around the fault is missing.
    let acknowledged = before.max(after);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut node = Node::start(settings(directory.path())).await;
        let (_, image) = node.leading().await;
        assert!(
            image.end_offset() >= acknowledged,
            "{} < {acknowledged}",
            image.end_offset()
        );
        node.quorum.stop().await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_cannot_be_written_is_named() {
    let directory = Path::new("/proc/yakt-cannot-be-here");
    let clock = Arc::new(SystemClock::new());
    let started = Quorum::start(Arc::new(settings(directory)), clock, Vec::new());
    let started = tokio::time::timeout(Duration::from_secs(10), started)
        .await
        .unwrap();
    let sentence = format!("{:#}", started.err().unwrap());
    assert!(sentence.contains("/proc/yakt-cannot-be-here"), "{sentence}");
}
