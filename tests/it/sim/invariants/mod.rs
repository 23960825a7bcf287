//! What must be true whatever happens: one file each.

mod acknowledged_writes_stay;
mod ahead_is_committed_when_idle;
mod broker_epochs_rise;
mod leaders_are_fit;
mod log_time_never_falls;
mod nodes_agree;
mod partition_epochs_never_fall;
mod producer_ids_once;
mod snapshots_lose_nothing;

use super::world::World;

type Invariant = fn(&mut World) -> Result<(), String>;

/// Asked after every step.
const ALWAYS: &[(&str, Invariant)] = &[
    ("acknowledged writes stay", acknowledged_writes_stay::check),
    ("broker epochs rise", broker_epochs_rise::check),
    ("leaders are fit", leaders_are_fit::check),
    ("log time never falls", log_time_never_falls::check),
    ("nodes agree", nodes_agree::check),
    (
        "partition epochs never fall",
        partition_epochs_never_fall::check,
    ),
    ("producer ids are given out once", producer_ids_once::check),
];

/// Asked when everything is committed and applied everywhere.
const WHEN_CALM: &[(&str, Invariant)] = &[
    (
        "ahead is committed when idle",
        ahead_is_committed_when_idle::check,
    ),
    ("snapshots lose nothing", snapshots_lose_nothing::check),
];

pub(super) fn check(world: &mut World) -> Result<(), String> {
    all(ALWAYS, world)
}

pub(super) fn check_calm(world: &mut World) -> Result<(), String> {
    all(ALWAYS, world)?;
    all(WHEN_CALM, world)
}

fn all(invariants: &[(&str, Invariant)], world: &mut World) -> Result<(), String> {
    for (name, invariant) in invariants {
        invariant(world).map_err(|broken| format!("{name}: {broken}"))?;
    }
    Ok(())
}
