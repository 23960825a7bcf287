//! Fresh, empty controllers that nobody asks for anything.

use crate::plan::Size;
use crate::process;
use crate::report::Sheet;
use crate::subject::{Cluster, Site, Subject};

/// Starts all subjects, lets them be, and looks.
pub(super) async fn measure(turns: &[Subject], site: &Site, size: &Size, sheet: &mut Sheet) {
    let mut idle = Vec::new();
    for subject in turns {
        match Cluster::start(site, *subject, 1).await {
            Ok(cluster) => idle.push((*subject, cluster)),
            Err(error) => sheet.trouble(*subject, format!("idle: {error:#}")),
        }
    }
    // The first half is for settling down; of the second half the processor time is taken.
    tokio::time::sleep(size.idle / 2).await;
    let before: Vec<f64> = idle
        .iter()
        .map(|(_, it)| process::cpu_seconds(it.nodes[0].pid()))
        .collect();
    tokio::time::sleep(size.idle / 2).await;
    for ((subject, cluster), before) in idle.iter().zip(before) {
        let pid = cluster.nodes[0].pid();
        let busy = (process::cpu_seconds(pid) - before) / (size.idle / 2).as_secs_f64();
        sheet.note(*subject, "idle.rss", process::resident_mb(pid));
        sheet.note(*subject, "idle.cpu", busy * 100.0);
    }
}
