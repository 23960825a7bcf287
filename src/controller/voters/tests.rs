//! What is refused before raft is asked, in Kafka's order.

use std::sync::Arc;

use futures::FutureExt;
use kafka_protocol::messages::add_raft_voter_request;
use kafka_protocol::messages::update_raft_voter_request;

use super::*;
use crate::controller::{Proposal, Slow};
use crate::records::batch::Batch;
use crate::records::control::ControlRecord;
use crate::rules::scene::Scene;

const EPOCH: Epoch = 5;
const OWN: u128 = 300;

/// A quorum that carries out whatever it is asked.
struct Willing;

impl Propose for Willing {
    fn propose(&self, _: Proposal) {}
    fn barrier(&self, _: Epoch) {}
    fn resign(&self, _: Epoch) {}
    fn add_voter(&self, _: Voter) -> Slow<Result<(), Refusal>> {
        Box::pin(async { Ok(()) })
    }
    fn remove_voter(&self, _: BrokerId, _: Uuid) -> Slow<Result<(), Refusal>> {
        Box::pin(async { Ok(()) })
    }
    fn update_voter(&self, _: Voter) -> Slow<Result<(), Refusal>> {
        Box::pin(async { Ok(()) })
    }
}

fn voter(id: i32, directory: u128) -> Voter {
    let endpoint = Endpoint {
        name: "CONTROLLER".to_owned(),
        host: "localhost".to_owned(),
        port: 9093,
    };
    Voter {
        id: BrokerId(id),
        directory_id: Uuid::from_u128(directory),
        endpoints: vec![endpoint],
    }
}

/// Node 3000 leads voters 3000 and 3001; broker 1 is registered.
fn leading() -> Published {
    let voters = vec![voter(3000, OWN), voter(3001, 301)];
    let mut image = Scene::new().brokers(1).image;
    let records = [
        ControlRecord::KRaftVersion(1),
        ControlRecord::KRaftVoters(voters.clone()),
    ];
    let batch = Batch::control(image.end_offset(), EPOCH, 0, &records).unwrap();
    image.apply_batch(&batch, &[]).unwrap();
    let mut published = Published {
        image,
        ..Published::default()
    };
    let quorum = &mut published.quorum;
    (quorum.node_id, quorum.epoch) = (3000, EPOCH);
    (quorum.leader, quorum.active) = (Some(BrokerId(3000)), true);
    quorum.voters = Arc::new(voters);
    published
}

fn following() -> Published {
    let mut published = leading();
    published.quorum.leader = Some(BrokerId(3001));
    published.quorum.active = false;
    published
}

/// The voter set changed, and the log does not say so yet.
fn changing() -> Published {
    let mut published = leading();
    published.quorum.voters = Arc::new(vec![voter(3000, OWN)]);
    published
}

fn settings() -> Settings {
    Settings {
        cluster_id: "here".to_owned(),
        ..Settings::default()
    }
}

/// Judges a request; the quorum behind it answers at once.
fn ask<T>(published: &Published, ask: impl AsyncFnOnce(&Voters<'_>) -> T) -> T {
    let settings = settings();
    let voters = Voters {
        published,
        settings: &settings,
        propose: &Willing,
    };
    ask(&voters).now_or_never().expect("nothing waits")
}

#[track_caller]
fn add(
    published: &Published,
    id: i32,
    directory: u128,
    listener: &str,
    cluster: &str,
    expected: i16,
) {
    let listener = add_raft_voter_request::Listener::default()
        .with_name(StrBytes::from_string(listener.to_owned()))
        .with_host(StrBytes::from_static_str("localhost"))
        .with_port(9093);
    let request = AddRaftVoterRequest::default()
        .with_cluster_id(Some(StrBytes::from_string(cluster.to_owned())))
        .with_voter_id(id)
        .with_voter_directory_id(Uuid::from_u128(directory))
        .with_listeners(vec![listener]);
    let answer = ask(published, async |voters| voters.add(&request).await);
    assert_eq!(answer.error_code, expected);
}

#[test]
fn a_voter_is_added_if_it_can_be() {
    add(&leading(), 3002, 302, "controller", "here", 0);
    add(&following(), 3002, 302, "CONTROLLER", "there", 104);
    add(&following(), -1, 0, "OTHER", "here", 6);
    add(&changing(), -1, 302, "CONTROLLER", "here", 42);
    add(&changing(), 3002, 0, "CONTROLLER", "here", 42);
    add(&changing(), 3002, 302, "OTHER", "here", 42);
    add(&changing(), 3002, 302, "CONTROLLER", "here", 7);
    add(&leading(), 3001, 999, "CONTROLLER", "here", 126);
    add(&leading(), 1, 302, "CONTROLLER", "here", 42);
}

#[track_caller]
fn remove(published: &Published, id: i32, directory: u128, expected: i16) {
    let request = RemoveRaftVoterRequest::default()
        .with_cluster_id(None)
        .with_voter_id(id)
        .with_voter_directory_id(Uuid::from_u128(directory));
    let answer = ask(published, async |voters| voters.remove(&request).await);
    assert_eq!(answer.error_code, expected);
}

#[test]
fn a_voter_is_removed_by_both_halves_of_its_identity() {
    remove(&leading(), 3001, 301, 0);
    remove(&leading(), 3000, OWN, 0);
    remove(&following(), 3001, 301, 6);
    remove(&leading(), -1, 301, 42);
    remove(&changing(), 3001, 301, 7);
    remove(&leading(), 3001, 999, 127);
    remove(&leading(), 3002, 302, 127);
}

#[track_caller]
fn update(published: &Published, epoch: Epoch, id: i32, range: (i16, i16), expected: i16) {
    let listener = update_raft_voter_request::Listener::default()
        .with_name(StrBytes::from_static_str("CONTROLLER"))
        .with_host(StrBytes::from_static_str("elsewhere"))
        .with_port(9093);
    let feature = update_raft_voter_request::KRaftVersionFeature::default()
        .with_min_supported_version(range.0)
        .with_max_supported_version(range.1);
    let request = UpdateRaftVoterRequest::default()
        .with_cluster_id(None)
        .with_current_leader_epoch(epoch)
        .with_voter_id(id)
        .with_voter_directory_id(Uuid::from_u128(301))
        .with_listeners(vec![listener])
        .with_k_raft_version_feature(feature);
    let answer = ask(published, async |voters| voters.update(&request).await);
    assert_eq!(answer.error_code, expected);
    let leader = published.quorum.leader.unwrap();
    assert_eq!(answer.current_leader.leader_id, leader);
    assert_eq!(answer.current_leader.leader_epoch, EPOCH);
}

#[test]
fn a_voter_moves_in_the_leaders_own_epoch() {
    update(&leading(), EPOCH, 3001, (0, 1), 0);
    update(&following(), EPOCH - 1, 3001, (0, 1), 74);
    update(&following(), EPOCH + 1, 3001, (0, 1), 75);
    update(&following(), EPOCH, 3001, (0, 1), 6);
    update(&changing(), EPOCH, 3001, (1, 0), 42);
    update(&changing(), EPOCH, 3001, (0, 1), 7);
    update(&leading(), EPOCH, 3001, (0, 0), 42);
    update(&leading(), EPOCH, 3002, (0, 1), 127);
}
