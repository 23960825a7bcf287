//! Three controllers. The leader is killed, or asked to stop; the survivors are asked to write until
//! one does.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::Client;
use crate::fleet::{Broker, Fleet};
use crate::plan::Size;
use crate::report::Sheet;
use crate::stats::Samples;
use crate::subject::{Cluster, Site, Subject, quorum_state};

const NODES: usize = 3;
const BROKERS: i32 = 1;
/// Between two questions to a node that does not lead.
const ASK_AGAIN: Duration = Duration::from_millis(5);
/// A node that does not answer is given up, and asked anew.
const ANSWER_PATIENCE: Duration = Duration::from_millis(500);
/// Until a write must have succeeded, and until a node that came back must have caught up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Peace between two failures: elections are over, timers are fresh.
const REST: Duration = Duration::from_secs(1);

pub(super) async fn measure(
    subject: Subject,
    site: &Site,
    size: &Size,
    sheet: &mut Sheet,
) -> Result<()> {
    let mut cluster = Cluster::start(site, subject, NODES).await?;
    let fleet = Fleet::register(&mut cluster, BROKERS).await?;
    let broker = fleet.broker(0);
    let (mut killed, mut stopped) = (Samples::default(), Samples::default());
    for _ in 0..size.failovers {
        killed.push(fail(&mut cluster, broker, true).await.context("kill -9")?);
        stopped.push(fail(&mut cluster, broker, false).await.context("SIGTERM")?);
    }
    sheet.note(subject, "failover.kill.p50", killed.ms(0.5));
    sheet.note(subject, "failover.kill.p90", killed.ms(0.9));
    sheet.note(subject, "failover.term.p50", stopped.ms(0.5));
    sheet.note(subject, "failover.term.p90", stopped.ms(0.9));
    Ok(())
}

/// Takes the leader away; how long it took until a survivor had written. Brings it back afterwards.
async fn fail(cluster: &mut Cluster<'_>, broker: Broker, kill: bool) -> Result<Duration> {
    caught_up(cluster).await?;
    tokio::time::sleep(REST).await;
    let leader = cluster.leader().await?;
    let survivors: Vec<String> = (0..NODES)
        .filter(|node| *node != leader)
        .map(|node| cluster.nodes[node].address.clone())
        .collect();
    let [one, other] = survivors.as_slice() else {
        bail!("a quorum of three has two survivors");
    };
    // Connections are there before: clients of a controller keep theirs.
    let mut clients = (
        Client::connect(one).await.ok(),
        Client::connect(other).await.ok(),
    );
    let began = Instant::now();
    if kill {
        cluster.nodes[leader].kill();
    } else {
        cluster.nodes[leader].terminate()?;
    }
    let written = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            () = write(one, &mut clients.0, broker) => {}
            () = write(other, &mut clients.1, broker) => {}
        }
    });
    written.await.context("nobody writes any more")?;
    let took = began.elapsed();
    cluster.nodes[leader].wait().await;
    cluster.start_node(leader)?;
    Ok(took)
}

/// Asks one node again and again, until it has written.
async fn write(address: &str, client: &mut Option<Client>, broker: Broker) {
    loop {
        if client.is_none() {
            *client = Client::connect(address).await.ok();
        }
        if let Some(known) = client {
            let request = broker.allocation();
            match tokio::time::timeout(ANSWER_PATIENCE, known.call(&request)).await {
                Ok(Ok(answer)) if answer.error_code == 0 => return,
                Ok(Ok(_)) => {}
                _ => *client = None,
            }
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Waits until every node has the leader's log.
async fn caught_up(cluster: &mut Cluster<'_>) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let leader = cluster.leader().await?;
        if let Ok(state) = quorum_state(&cluster.nodes[leader].address).await {
            let behind = |end: i64| end < state.high_watermark;
            let voters = &state.current_voters;
            if voters.len() == NODES && !voters.iter().any(|it| behind(it.log_end_offset)) {
                return Ok(());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("a node does not catch up")
}
