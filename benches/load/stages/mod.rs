//! What is done to each subject. A stage that fails for one subject leaves a note in its place.

mod bulk;
mod failover;
mod hostile;
mod idle;
mod load;
mod restart;
mod topics;

use anyhow::Result;
use clap::ValueEnum;

use crate::floor;
use crate::plan::Size;
use crate::report::Sheet;
use crate::subject::{Site, Subject};

/// Brokers that are registered wherever topics are created.
const BROKERS: i32 = 10;

/// One part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// From exec to the first answers
    Start,
    /// Resident memory and processor time of a fresh, empty controller
    Idle,
    /// CreateTopics and AllocateProducerIds, one at a time and many; visibility at an observer
    Load,
    /// Topics by the hundred in one request
    Bulk,
    /// Connections that announce more than they send
    Hostile,
    /// Three controllers, whose leader is killed, or stopped
    Failover,
}

impl Stage {
    /// As the help has it.
    pub(crate) fn about(self) -> String {
        let value = self.to_possible_value();
        let help = value.as_ref().and_then(|it| it.get_help());
        help.map(ToString::to_string).unwrap_or_default()
    }
}

/// Measures one stage, subject after subject.
pub(crate) async fn measure(
    stage: Stage,
    turns: &[Subject],
    site: &Site,
    size: &Size,
    sheet: &mut Sheet,
) {
    if stage == Stage::Idle {
        // Nothing happens in it, so all wait at the same time.
        return idle::measure(turns, site, size, sheet).await;
    }
    for subject in turns {
        if let Err(error) = measure_one(stage, *subject, site, size, sheet).await {
            sheet.trouble(*subject, format!("{}: {error:#}", stage.about()));
        }
    }
}

async fn measure_one(
    stage: Stage,
    subject: Subject,
    site: &Site,
    size: &Size,
    sheet: &mut Sheet,
) -> Result<()> {
    if stage != Stage::Failover {
        let floor = floor::measure(site.work(), size.syncs)?;
        sheet.note(subject, "floor.p50", floor.ms(0.5));
        sheet.note(subject, "floor.p99", floor.ms(0.99));
    }
    match stage {
        Stage::Start => restart::measure(subject, site, size, sheet).await,
        Stage::Load => load::measure(subject, site, size, sheet).await,
        Stage::Bulk => bulk::measure(subject, site, size, sheet).await,
        Stage::Hostile => hostile::measure(subject, site, size, sheet).await,
        Stage::Failover => failover::measure(subject, site, size, sheet).await,
        Stage::Idle => Ok(()),
    }
}
