//! Many partitions in few requests.

use std::sync::Arc;

use anyhow::Result;

use super::BROKERS;
use super::topics::Create;
use crate::client::PATIENCE;
use crate::fleet::Fleet;
use crate::plan::Size;
use crate::pressure::{Pressure, press};
use crate::process;
use crate::report::Sheet;
use crate::subject::{Cluster, Site, Subject};

/// Ten topics of a hundred partitions.
const BATCH: Create = Create {
    topics: 10,
    partitions: 100,
};
const BATCH_PARTITIONS: usize = 1_000;
/// Requests under way.
const DEPTH: usize = 4;

pub(super) async fn measure(
    subject: Subject,
    site: &Site,
    size: &Size,
    sheet: &mut Sheet,
) -> Result<()> {
    let mut cluster = Cluster::start(site, subject, 1).await?;
    let _fleet = Fleet::register(&mut cluster, BROKERS).await?;
    let client = cluster.connect().await?;
    let pressure = Pressure {
        connections: 1,
        depth: DEPTH,
        time: PATIENCE,
        requests_max: (size.bulk_partitions / BATCH_PARTITIONS) as u64,
    };
    let (node, numbers) = (&cluster.nodes[0], Arc::default());
    let felt = press(&node.address, client.versions(), pressure, BATCH, &numbers).await?;
    sheet.note(
        subject,
        "bulk.rate",
        felt.per_second * BATCH_PARTITIONS as f64,
    );
    sheet.note(subject, "bulk.rss", process::resident_mb(node.pid()));
    Ok(())
}
