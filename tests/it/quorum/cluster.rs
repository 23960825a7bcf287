//! Several nodes over localhost: each has a runtime of its own, so that it can be killed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener as StdListener;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use kafka_protocol::messages::{AddRaftVoterRequest, AddRaftVoterResponse, ApiKey};
use kafka_protocol::protocol::{Decodable, Encodable};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use yakt::controller::{Outcome, Propose, QuorumEvent};
use yakt::ids::{BrokerId, Endpoint, Epoch, Uuid, Voter};
use yakt::image::Image;
use yakt::quorum::Quorum;
use yakt::settings::Settings;

use super::node::{Decider, Node};

/// Nodes 1, 2, …, their directories and addresses.
struct Cluster {
    seats: Vec<Seat>,
}

struct Seat {
    settings: Settings,
    directory: TempDir,
    running: Option<(Runtime, Node)>,
}

impl Cluster {
    fn new(size: usize) -> Self {
        Self::with(size, |_| {})
    }

    fn with(size: usize, adjust: impl Fn(&mut Settings)) -> Self {
        let ports: Vec<u16> = (0..size)
            .map(|_| StdListener::bind("127.0.0.1:0").unwrap())
            .collect::<Vec<_>>()
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        let voters = ports.iter().zip(1..);
        let voters: Vec<_> = voters
            .map(|(port, id)| (BrokerId(id), "127.0.0.1".to_owned(), *port))
            .collect();
        let seats = voters.iter().map(|(id, _, port)| {
            let directory = tempfile::tempdir().unwrap();
            let mut settings = Settings {
                node_id: *id,
                cluster_id: "test-cluster".to_owned(),
                directory_id: Uuid::from_u128(0x1000 + id.0 as u128),
                metadata_log_dir: directory.path().to_owned(),
                controller_quorum_voters: voters.clone(),
                ..Settings::default()
            };
            settings.listeners[0].port = *port;
            // Many nodes and few processors: nobody is to be taken for dead too soon.
            (settings.raft_election_min_ms, settings.raft_election_max_ms) = (500, 1_000);
            adjust(&mut settings);
            Seat {
                settings,
                directory,
                running: None,
            }
        });
        Self {
            seats: seats.collect(),
        }
    }

    /// Starts a node that is not running.
    fn start(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        assert!(seat.running.is_none());
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (settings, port) = (seat.settings.clone(), seat.settings.listeners[0].port);
        let node = runtime.block_on(async move {
            let node = Node::start(settings).await;
            let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(listen(listener, node.quorum.clone()));
            node
        });
        seat.running = Some((runtime, node));
    }

    fn start_all(size: usize) -> Self {
        Self::new(size).start_every()
    }

    fn start_every(mut self) -> Self {
        (0..self.seats.len()).for_each(|at| self.start(at));
        self
    }

    /// Ends a node as kill -9 does: nothing is told, nothing is handed over.
    fn kill(&mut self, at: usize) {
        let (runtime, node) = self.seats[at].running.take().unwrap();
        runtime.shutdown_timeout(Duration::from_secs(5));
        drop(node);
    }

    /// Ends a node in good order.
    fn stop(&mut self, at: usize) {
        let (runtime, node) = self.seats[at].running.take().unwrap();
        runtime.block_on(node.quorum.stop()).unwrap();
        drop(node);
        runtime.shutdown_timeout(Duration::from_secs(5));
    }

    fn node(&mut self, at: usize) -> (&Runtime, &mut Node) {
        let (runtime, node) = self.seats[at].running.as_mut().unwrap();
        (runtime, node)
    }

    /// Waits for a leader whose term is above `epoch`.
    fn leader_after(&mut self, epoch: Epoch) -> (usize, Epoch, Image) {
        for _ in 0..3_000 {
            for (at, seat) in self.seats.iter_mut().enumerate() {
                let Some((_, node)) = &mut seat.running else {
                    continue;
                };
                while let Ok(event) = node.events.try_recv() {
                    if let QuorumEvent::Leading { epoch: led, image } = event
                        && led > epoch
                    {
                        return (at, led, image);
                    }
                }
            }
            pause();
        }
        panic!("no leader after epoch {epoch}");
    }

    /// Waits until a node says that it leads.
    fn anybody_leading(&self) -> (usize, Epoch) {
        for _ in 0..3_000 {
            for (at, seat) in self.seats.iter().enumerate() {
                let Some((_, node)) = &seat.running else {
                    continue;
                };
                let published = node.published.borrow();
                if published.quorum.active {
                    return (at, published.quorum.epoch);
                }
            }
            pause();
        }
        panic!("nobody leads");
    }

    /// Proposes topics on the leader, all at once, and sees to it that each is applied there: like
    /// the controller, it settles after anything else, and decides what is missing anew.
    fn commit(&mut self, leader: usize, decider: &mut Decider, names: &[String]) {
        let (runtime, node) = self.node(leader);
        loop {
            let missing = names
                .iter()
                .filter(|name| decider.ahead.topic_by_name(name).is_none());
            let proposals: Vec<_> = missing.collect();
            for name in &proposals {
                node.quorum.propose(decider.topic(name));
            }
            let outcomes = runtime.block_on(node.outcomes(proposals.len()));
            if outcomes
                .iter()
                .all(|(_, outcome)| *outcome == Outcome::Applied)
            {
                return;
            }
            decider.ahead = runtime.block_on(node.barrier(decider.epoch));
            decider.run += 1;
        }
    }

    /// Waits until every running node has applied this much, and compares their images.
    fn agree_on(&mut self, end: i64) {
        let mut images = Vec::new();
        for seat in &mut self.seats {
            let Some((runtime, node)) = &mut seat.running else {
                continue;
            };
            let published = runtime.block_on(node.until(|now| now.image.end_offset() >= end));
            assert_eq!(published.tail.end(), published.image.end_offset());
            images.push(published.image.clone());
        }
        assert!(
            images.windows(2).all(|pair| pair[0] == pair[1]),
            "the nodes' images differ"
        );
    }
}

async fn listen(listener: TcpListener, quorum: Quorum) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        tokio::spawn(serve(stream, quorum.clone()));
    }
}

const ADD_RAFT_VOTER: i16 = ApiKey::AddRaftVoter as i16;

/// What the controller does with AddRaftVoter; header and body are flexible.
async fn add_voter(quorum: &Quorum, mut body: Bytes) -> Bytes {
    body.advance(1);
    let request = AddRaftVoterRequest::decode(&mut body, 0).unwrap();
    assert_eq!(request.cluster_id.unwrap().as_str(), "test-cluster");
    let endpoints = request.listeners.iter().map(|listener| Endpoint {
        name: listener.name.to_string(),
        host: listener.host.to_string(),
        port: listener.port,
    });
    let voter = Voter {
        id: BrokerId(request.voter_id),
        directory_id: request.voter_directory_id,
        endpoints: endpoints.collect(),
    };
    let code = quorum
        .add_voter(voter)
        .await
        .map_or_else(|refusal| refusal.code(), |()| 0);
    let mut answer = BytesMut::from(&[0][..]);
    AddRaftVoterResponse::default()
        .with_error_code(code)
        .encode(&mut answer, 0)
        .unwrap();
    answer.freeze()
}

/// What the wire room does with a connection of peers.
async fn serve(stream: TcpStream, quorum: Quorum) {
    let (mut read, mut write) = stream.into_split();
    let (frames, mut arrived) = tokio::sync::mpsc::channel::<Bytes>(64);
    tokio::spawn(async move {
        while let Ok(length) = read.read_i32().await {
            let mut frame = vec![0; length as usize];
            if read.read_exact(&mut frame).await.is_err()
                || frames.send(frame.into()).await.is_err()
            {
                return;
            }
        }
    });
    let mut answers = FuturesOrdered::new();
    loop {
        tokio::select! {
            frame = arrived.recv() => {
                let Some(frame) = frame else { return };
                let key = i16::from_be_bytes(frame[..2].try_into().unwrap());
                let version = i16::from_be_bytes(frame[2..4].try_into().unwrap());
                let correlation = frame.slice(4..8);
                let body = frame.slice(10..);
                let quorum = quorum.clone();
                answers.push_back(async move {
                    let answer = match key {
                        ADD_RAFT_VOTER => Some(add_voter(&quorum, body).await),
                        _ => quorum.answer_peer(key, version, body).await,
                    };
                    (correlation, answer)
                });
            }
            Some((correlation, answer)) = answers.next(), if !answers.is_empty() => {
                let Some(answer) = answer else { return };
                let mut out = ((answer.len() + 4) as i32).to_be_bytes().to_vec();
                out.extend_from_slice(&correlation);
                out.extend_from_slice(&answer);
                if write.write_all(&out).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "events of several runtimes cannot be awaited at once"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

#[test]
fn three_nodes_form_a_quorum_and_hold_the_same() {
    let mut cluster = Cluster::start_all(3);
    let (leader, epoch, image) = cluster.leader_after(0);
    let mut decider = Decider::new(epoch, image);
    cluster.commit(leader, &mut decider, &names("a", 100));
    cluster.agree_on(100);
    for at in 0..3 {
        let (_, node) = cluster.node(at);
        let quorum = node.published.borrow().quorum.clone();
        assert_eq!(quorum.leader, Some(BrokerId(leader as i32 + 1)));
        assert_eq!(quorum.voters.len(), 3);
        assert_eq!(quorum.active, at == leader);
        assert_eq!(node.quorum.quorum_fresh(), at == leader);
    }
}

#[test]
fn a_killed_leader_is_replaced_and_comes_back_as_a_follower() {
    let mut cluster = Cluster::start_all(3);
    let (first, epoch, image) = cluster.leader_after(0);
    let mut decider = Decider::new(epoch, image);
    cluster.commit(first, &mut decider, &names("a", 50));
    cluster.kill(first);

    let (second, epoch, image) = cluster.leader_after(epoch);
    assert_ne!(second, first);
    assert_eq!(
        image.end_offset(),
        50,
        "everything acknowledged is there when leading begins"
    );
    let mut decider = Decider::new(epoch, image);
    cluster.commit(second, &mut decider, &names("b", 50));

    cluster.start(first);
    cluster.agree_on(100);
}

/// A snapshot every few kilobytes, and little log kept behind it.
fn with_many_snapshots(settings: &mut Settings) {
    settings.metadata_log_max_record_bytes_between_snapshots = 4_096;
}

#[test]
fn a_node_restarts_from_its_snapshot_and_the_log_above_it() {
    let mut cluster = Cluster::with(1, with_many_snapshots).start_every();
    let (_, epoch, image) = cluster.leader_after(0);
    let mut decider = Decider::new(epoch, image);
    for round in 0..4 {
        cluster.commit(0, &mut decider, &names(&format!("r{round}-"), 100));
        let (runtime, node) = cluster.node(0);
        let taken = runtime.block_on(node.quorum.take_snapshot()).unwrap();
        assert_eq!((taken.end_offset, taken.epoch), (100 * (round + 1), epoch));
    }
    cluster.commit(0, &mut decider, &names("above", 10));
    let before = {
        let (_, node) = cluster.node(0);
        let published = node.published.borrow();
        assert_eq!(published.snapshots.len(), 2, "two are kept");
        assert_eq!(published.log_start(), 300);
        published.image.clone()
    };
    cluster.kill(0);

    cluster.start(0);
    let (_, _, image) = cluster.leader_after(epoch);
    assert!(image == before, "the image changed over a restart");
    let (_, node) = cluster.node(0);
    let published = node.published.borrow().clone();
    assert_eq!(published.log_start(), 300);
    assert_eq!(
        published.tail.epochs().len(),
        1,
        "a term without records has no start"
    );
    // What lies before the snapshot comes from disk: raft has given it up, history has not.
    let old = published.tail.slice(5, 1).unwrap();
    assert_eq!((old[0].base_offset(), old[0].epoch()), (5, epoch));
    let all: i64 = published
        .tail
        .slice(0, usize::MAX)
        .unwrap()
        .iter()
        .map(|batch| i64::from(batch.record_count()))
        .sum();
    assert_eq!(all, 410);
}

#[test]
fn a_node_that_fell_behind_is_caught_up_by_a_snapshot() {
    let mut cluster = Cluster::with(3, with_many_snapshots).start_every();
    let (leader, epoch, image) = cluster.leader_after(0);
    let mut decider = Decider::new(epoch, image);
    cluster.commit(leader, &mut decider, &names("a", 10));
    let behind = (leader + 1) % 3;
    cluster.kill(behind);
    for round in 0..3 {
        cluster.commit(leader, &mut decider, &names(&format!("r{round}-"), 200));
        let (runtime, node) = cluster.node(leader);
        runtime.block_on(node.quorum.take_snapshot()).unwrap();
    }
    cluster.commit(leader, &mut decider, &names("z", 5));

    cluster.start(behind);
    cluster.agree_on(615);
    let (runtime, node) = cluster.node(behind);
    let published = node.published.borrow().clone();
    assert_eq!(
        published.log_start(),
        610,
        "it began at the snapshot that it was sent"
    );
    assert!(
        published.tail.slice(600, 1).is_err(),
        "it never had what lies before"
    );
    assert_eq!(published.tail.slice(610, 1).unwrap()[0].base_offset(), 610);
    runtime.block_on(node.quorum.take_snapshot()).unwrap();

    // What it was sent is its own now. (The log it shows keeps its store open.)
    drop(published);
    cluster.kill(behind);
    cluster.start(behind);
    cluster.agree_on(615);
}

#[test]
fn a_stop_hands_leadership_over_and_loses_nothing() {
    let mut cluster = Cluster::start_all(3);
    let (first, epoch, image) = cluster.leader_after(0);
    let mut decider = Decider::new(epoch, image);
    cluster.commit(first, &mut decider, &names("a", 50));
    let begun = Instant::now();
    cluster.stop(first);
    let (second, epoch, image) = cluster.leader_after(epoch);
    // Without a hand-over the others wait for at least the longest election timeout, one second.
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(image.end_offset(), 50);
    assert_ne!(second, first);
    let mut decider = Decider::new(epoch, image);
    cluster.commit(second, &mut decider, &names("b", 10));
    cluster.start(first);
    cluster.agree_on(60);
}

#[test]
fn a_wiped_voter_is_let_back_in_under_its_new_identity() {
    let mut cluster = Cluster::start_all(3);
    let (leader, epoch, image) = cluster.leader_after(0);
    let mut decider = Decider::new(epoch, image);
    cluster.commit(leader, &mut decider, &names("a", 50));
    let wiped = (leader + 1) % 3;
    cluster.kill(wiped);
    let new_id = Uuid::from_u128(0x2000);
    {
        let seat = &mut cluster.seats[wiped];
        seat.directory = tempfile::tempdir().unwrap();
        seat.settings.metadata_log_dir = seat.directory.path().to_owned();
        seat.settings.directory_id = new_id;
    }
    cluster.start(wiped);
    let voter = BrokerId(wiped as i32 + 1);
    let (runtime, node) = cluster.node(leader);
    let published = runtime.block_on(node.until(|now| {
        let voters = now.quorum.voters.iter();
        voters.len() == 3
            && voters
                .clone()
                .any(|one| one.id == voter && one.directory_id == new_id)
    }));
    assert!(published.quorum.active, "the leader stays the leader");
    cluster.commit(leader, &mut decider, &names("b", 10));
    cluster.agree_on(60);
}

#[test]
fn voters_are_added_and_removed_one_by_one() {
    let mut cluster = Cluster::new(3);
    let all = cluster.seats[0].settings.controller_quorum_voters.clone();
    cluster.seats[0]
        .settings
        .controller_quorum_voters
        .truncate(1);
    // These two know no voters: they wait until they are called.
    cluster.seats[1].settings.controller_quorum_voters.clear();
    cluster.seats[2].settings.controller_quorum_voters.clear();
    (0..3).for_each(|at| cluster.start(at));
    let (leader, epoch, image) = cluster.leader_after(0);
    assert_eq!(leader, 0);
    let mut decider = Decider::new(epoch, image);
    cluster.commit(0, &mut decider, &names("a", 50));
    for (at, (id, host, port)) in all.into_iter().enumerate().skip(1) {
        let endpoint = Endpoint {
            name: "CONTROLLER".to_owned(),
            host,
            port,
        };
        let directory_id = cluster.seats[at].settings.directory_id;
        let voter = Voter {
            id,
            directory_id,
            endpoints: vec![endpoint],
        };
        let (runtime, node) = cluster.node(0);
        // What takes longer than Kafka waits is answered REQUEST_TIMED_OUT, and goes on.
        let added = runtime.block_on(node.quorum.add_voter(voter.clone()));
        assert!(
            added.as_ref().map_or_else(|no| no.code() == 7, |()| true),
            "{added:?}"
        );
        runtime.block_on(node.until(|now| now.quorum.voters.len() == at + 1));
        let again = runtime.block_on(node.quorum.add_voter(voter)).unwrap_err();
        assert_eq!(again.code(), 126);
    }
    cluster.commit(0, &mut decider, &names("b", 50));
    cluster.agree_on(100);

    let directory_id = cluster.seats[2].settings.directory_id;
    let (runtime, node) = cluster.node(0);
    let remove = |directory_id| node.quorum.remove_voter(BrokerId(3), directory_id);
    let other = runtime.block_on(remove(Uuid::from_u128(5))).unwrap_err();
    assert_eq!(other.code(), 127, "another directory id is another voter");
    runtime.block_on(remove(directory_id)).unwrap();
    runtime.block_on(node.until(|now| now.quorum.voters.len() == 2));
    cluster.commit(0, &mut decider, &names("c", 10));
}

#[test]
fn a_controller_joins_by_itself_where_it_may() {
    let mut cluster = Cluster::new(2);
    let (_, host, port) = cluster.seats[0].settings.controller_quorum_voters[0].clone();
    cluster.seats[0]
        .settings
        .controller_quorum_voters
        .truncate(1);
    let joining = &mut cluster.seats[1].settings;
    joining.controller_quorum_voters.clear();
    joining.controller_quorum_bootstrap_servers = vec![(host, port)];
    joining.controller_quorum_auto_join_enable = true;
    (0..2).for_each(|at| cluster.start(at));
    let (leader, epoch, image) = cluster.leader_after(0);
    let mut decider = Decider::new(epoch, image);
    cluster.commit(leader, &mut decider, &names("a", 20));
    let (runtime, node) = cluster.node(leader);
    runtime.block_on(node.until(|now| now.quorum.voters.len() == 2));
    cluster.agree_on(20);
}

#[test]
fn a_leader_without_its_quorum_is_not_in_charge() {
    let impatient = |settings: &mut Settings| settings.controller_quorum_fetch_timeout_ms = 400;
    let mut cluster = Cluster::with(3, impatient).start_every();
    let (leader, epoch, image) = cluster.leader_after(0);
    let mut decider = Decider::new(epoch, image);
    cluster.commit(leader, &mut decider, &names("a", 5));
    // It stays in charge for as long as it is heard, and not only for the barrier's sake.
    for _ in 0..100 {
        pause();
    }
    assert!(cluster.node(leader).1.quorum.quorum_fresh());

    (0..3)
        .filter(|at| *at != leader)
        .for_each(|at| cluster.kill(at));
    let begun = Instant::now();
    while cluster.node(leader).1.quorum.quorum_fresh() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it believes to be in charge for ever"
        );
        pause();
    }
    let (runtime, node) = cluster.node(leader);
    assert!(
        runtime.block_on(node.try_barrier(epoch)).is_none(),
        "a barrier without a quorum"
    );
    node.quorum.propose(decider.topic("never"));
    let outcomes = runtime.block_on(node.outcomes(1));
    assert!(
        matches!(outcomes[..], [(_, Outcome::NotAppended)]),
        "{outcomes:?}"
    );

    (0..3)
        .filter(|at| *at != leader)
        .for_each(|at| cluster.start(at));
    let (leader, ..) = cluster.anybody_leading();
    let begun = Instant::now();
    while !cluster.node(leader).1.quorum.quorum_fresh() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it never comes back"
        );
        pause();
    }
}

/// One client's view: what it was told is applied.
#[derive(Default)]
struct Told {
    applied: BTreeSet<String>,
    /// Rise over all attempts, on whichever node.
    run: u32,
    ticket: u64,
}

impl Told {
    /// Proposes what is not known to be applied on whoever leads, and waits for the outcomes;
    /// `kill` dies in the middle of it.
    fn attempt(&mut self, cluster: &mut Cluster, names: &[String], kill: Option<usize>) {
        let (leader, epoch) = cluster.anybody_leading();
        let (runtime, node) = cluster.node(leader);
        let Some(ahead) = runtime.block_on(node.try_barrier(epoch)) else {
            return;
        };
        self.run += 1;
        let mut decider = Decider {
            epoch,
            run: self.run,
            ticket: self.ticket,
            ahead,
        };
        let mut tickets = BTreeMap::new();
        for name in names {
            if decider.ahead.topic_by_name(name).is_some() {
                // Its outcome was not known then; it is now.
                self.applied.insert(name.clone());
                continue;
            }
            let proposal = decider.topic(name);
            tickets.insert(proposal.ticket, name.clone());
            node.quorum.propose(proposal);
        }
        self.ticket = decider.ticket;
        if let Some(victim) = kill {
            let half = tickets.len() / 2;
            let outcomes = runtime.block_on(node.outcomes(half));
            self.note(&mut tickets, outcomes);
            cluster.kill(victim);
            if victim == leader {
                return;
            }
        }
        let (runtime, node) = cluster.node(leader);
        let outcomes = runtime.block_on(node.outcomes(tickets.len()));
        self.note(&mut tickets, outcomes);
        assert!(tickets.is_empty(), "without an outcome: {tickets:?}");
    }

    fn note(&mut self, tickets: &mut BTreeMap<u64, String>, outcomes: Vec<(u64, Outcome)>) {
        for (ticket, outcome) in outcomes {
            let name = tickets
                .remove(&ticket)
                .expect("each proposal has one outcome");
            if outcome == Outcome::Applied {
                self.applied.insert(name);
            }
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_whoever_dies() {
    let mut cluster = Cluster::with(3, with_many_snapshots).start_every();
    let mut dice = SmallRng::seed_from_u64(7);
    let mut told = Told::default();
    for round in 0..6 {
        let names = names(&format!("r{round}-"), 60);
        let victim = dice.random_range(0..3);
        told.attempt(&mut cluster, &names, Some(victim));
        while !names.iter().all(|name| told.applied.contains(name)) {
            told.attempt(&mut cluster, &names, None);
        }
        cluster.start(victim);
        let (leader, _) = cluster.anybody_leading();
        let image = cluster.node(leader).1.published.borrow().image.clone();
        for name in &told.applied {
            assert!(
                image.topic_by_name(name).is_some(),
                "{name} was acknowledged and is lost"
            );
        }
        cluster.agree_on(image.end_offset());
    }
}
