//! From exec to the first answers, with brokers registered and nothing else in the log.

use std::time::Instant;

use anyhow::Result;

use super::BROKERS;
use crate::fleet::Fleet;
use crate::plan::Size;
use crate::report::Sheet;
use crate::stats::Samples;
use crate::subject::{Cluster, Site, Subject};

pub(super) async fn measure(
    subject: Subject,
    site: &Site,
    size: &Size,
    sheet: &mut Sheet,
) -> Result<()> {
    let mut cluster = Cluster::start(site, subject, 1).await?;
    let fleet = Fleet::register(&mut cluster, BROKERS).await?;
    let allocation = fleet.broker(0).allocation();
    drop(fleet);
    let (mut answers, mut writes) = (Samples::default(), Samples::default());
    for _ in 0..size.restarts {
        cluster.nodes[0].kill();
        let began = Instant::now();
        cluster.start_node(0)?;
        let mut client = cluster.nodes[0].first_answer().await?;
        answers.push(began.elapsed());
        client.until_granted(&allocation).await?;
        writes.push(began.elapsed());
    }
    sheet.note(subject, "start.answer", answers.ms(0.5));
    sheet.note(subject, "start.write", writes.ms(0.5));
    Ok(())
}
