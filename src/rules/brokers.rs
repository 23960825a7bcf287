//! What a broker's coming and going does to every partition that it touches.

use super::LiveChange;
use crate::records::Record;

/// Most records of one slice of a plan: a few milliseconds of work, so that other requests get
/// their turn in between.
pub const RECORDS_PER_SLICE_MAX: usize = 2_000;

/// How far a plan has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Partitions where the broker is eligible come after those where it is in sync.
    eligible: bool,
    at: u32,
}

/// The next part of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// Written in one batch.
    pub records: Vec<Record>,
    /// Changes of soft state that go with it.
    pub live: Vec<LiveChange>,
    /// Where the next slice begins; `None` if this was the last one.
    pub next: Option<Cursor>,
}
