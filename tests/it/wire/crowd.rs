//! Many connections: what they cost, who may stay, and who goes.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use tokio::io::AsyncWriteExt;
use yakt::metrics::Closed;
use yakt::settings::Settings;

use super::server::{Client, Server, frame, leader};

/// Resident memory of this process in kB.
fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The other tests of this binary run beside, so this one counts on its own process.
fn alone(test: &str) -> bool {
    const ALONE: &str = "YAKT_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{complained}"
    );
    false
}

#[test]
fn announcing_99_mb_costs_nothing_until_it_arrives() {
    if !alone("wire::crowd::announcing_99_mb_costs_nothing_until_it_arrives") {
        return;
    }
    runtime().block_on(async {
        let server = Server::leading().await;
        let mut bystander = server.connect().await;
        assert!(bystander.works().await);
        let before = resident_kb();
        let mut announcers = Vec::new();
        for _ in 0..64 {
            let mut client = server.connect().await;
            client.raw(&99_000_000_i32.to_be_bytes()).await;
            announcers.push(client);
        }
        // Some begin to send, and stop.
        for client in announcers.iter_mut().take(32) {
            client.raw(&[0; 10_000]).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let cost = resident_kb().saturating_sub(before);
        assert!(cost <= 5 * 1024, "64 announcements cost {cost} kB");
        assert!(bystander.works().await);
        assert!(server.connect().await.works().await);
        assert_eq!(server.wire.connections(), 66);
    });
}

#[test]
fn five_thousand_idle_connections_cost_little_and_shut_nobody_out() {
    if !alone("wire::crowd::five_thousand_idle_connections_cost_little_and_shut_nobody_out") {
        return;
    }
    runtime().block_on(async {
        let server = Server::leading().await;
        // Both ends are in this process; where it may not hold so many, fewer must do.
        let count = 5_000.min((descriptors() - 600) / 2);
        let mut busy = server.connect().await;
        assert!(busy.works().await);
        let before = resident_kb();
        let mut idle: Vec<Client> = Vec::new();
        for nth in 0..count {
            let mut client = server.connect().await;
            // A third of them has asked something before, a third is in the midst of a frame.
            match nth % 3 {
                0 => assert!(client.works().await),
                1 => {
                    client
                        .raw(&frame(ApiKey::ApiVersions as i16, 0, 1, &[])[..9])
                        .await
                }
                _ => {}
            }
            idle.push(client);
        }
        let cost = resident_kb().saturating_sub(before);
        assert!(cost <= count * 4, "{count} idle connections cost {cost} kB");
        assert!(busy.works().await);
        assert!(server.connect().await.works().await);
        assert!(server.wire.connections() > count);
    });
}

fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    line.split_whitespace()
        .nth(3)
        .unwrap()
        .parse()
        .unwrap_or(usize::MAX)
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_strangers_make_room_and_brokers_stay() {
    let settings = Settings {
        max_connections: 64,
        ..Settings::default()
    };
    let server = Server::with(settings, leader(3000)).await;
    let mut broker = server.connect().await;
    let body = (super::apis::api(ApiKey::BrokerHeartbeat).sample)(1).unwrap();
    assert!(
        broker
            .ask(ApiKey::BrokerHeartbeat, 1, &body)
            .await
            .is_some()
    );
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(server.connect().await);
    }
    let mut newcomer = server.connect().await;
    assert!(newcomer.works().await);
    assert!(
        broker.works().await,
        "the broker was there first and was silent longest"
    );
    let left = crowd.iter_mut().next_back().unwrap();
    assert!(left.works().await);
    assert_eq!(
        crowd[0].receive().await,
        None,
        "the first stranger had to go"
    );
    assert!(server.metrics.connections_closed(Closed::Evicted) >= 150);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_no_whole_request_for_long_is_closed() {
    let settings = Settings {
        connections_max_idle_ms: 1_500,
        ..Settings::default()
    };
    let server = Server::with(settings, leader(3000)).await;
    *server.fakes.hold.lock().unwrap() = true;
    let mut silent = server.connect().await;
    let mut dripping = server.connect().await;
    let mut waiting = server.connect().await;
    let body = (super::apis::api(ApiKey::AllocateProducerIds).sample)(0).unwrap();
    waiting
        .send(ApiKey::AllocateProducerIds as i16, 0, 3, &body)
        .await;
    let held = server.fakes.held(1).await;
    let request = frame(ApiKey::ApiVersions as i16, 0, 1, &[0; 4000]);
    for byte in request.chunks(1).take(35) {
        dripping.raw(byte).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.closed(Closed::Idle, 2).await;
    assert_eq!(silent.receive().await, None);
    assert_eq!(dripping.receive().await, None);
    held.into_iter().for_each(|held| held.decide(&server.fakes));
    assert_eq!(
        waiting.correlation().await,
        Some(3),
        "who waits for us is not silent"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_never_reads_its_answers_is_closed() {
    let settings = Settings {
        connections_max_idle_ms: 1_500,
        ..Settings::default()
    };
    let server = Server::with(settings, leader(3000)).await;
    let mut lazy = server.connect().await;
    let many = frame(ApiKey::ApiVersions as i16, 0, 1, &[]).repeat(1000);
    // Until nothing goes any more: the answers fill all buffers on the way.
    let soon = Duration::from_millis(300);
    while tokio::time::timeout(soon, lazy.stream.write_all(&many))
        .await
        .is_ok()
    {}
    server.closed(Closed::Idle, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn big_requests_together_have_a_bound_and_small_ones_do_not_notice() {
    let server = Server::with_budget(1_000_000).await;
    let topics = |count: usize| {
        let names = [0, 1, b't'].repeat(count);
        let body = [&(count as i32).to_be_bytes(), &names[..]].concat();
        frame(ApiKey::Metadata as i16, 1, 1, &body)
    };
    let mut bystander = server.connect().await;
    // 100,000 names are 300 kB of frame and far more decoded.
    let mut greedy = server.connect().await;
    greedy.raw(&topics(100_000)).await;
    assert_eq!(greedy.receive().await, None);
    // Frames under way count as they grow, whatever they announce.
    let mut halves = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.raw(&topics(150_000)[..400_000]).await;
        halves.push(client);
    }
    server.closed(Closed::Memory, 2).await;
    assert!(bystander.works().await);
    drop(halves);
    server.closed(Closed::ByClient, 2).await;
    let mut modest = server.connect().await;
    modest.raw(&topics(2_000)).await;
    assert_eq!(modest.correlation().await, Some(1));
}
