//! The batch that a step is writing: what several requests decide in one step goes into the log
//! together, as one batch, one proposal, one entry.
//!
//! Each decision is applied to `ahead` at once, so that the next one sees it, and from the bytes
//! that were written: what cannot be read back would end every broker process. One copy of `ahead`
//! for the whole draft, taken when it is finished, is what makes a crowd of requests cheap.

use crate::controller::Origin;
use crate::ids::{Epoch, Millis};
use crate::image::Image;
use crate::image::side::SideChange;
use crate::records::Record;
use crate::records::batch::{Batch, BatchBuilder};
use crate::records::control::ControlRecord;
use crate::rules::features;

/// A draft of so many bytes takes no further decision.
const BYTES_MAX: usize = 64 * 1024;
/// Nor does one of so many decisions.
const DECISIONS_MAX: usize = 256;

/// A batch under way.
pub(super) struct Draft {
    builder: BatchBuilder,
    side: Vec<SideChange>,
    origins: Vec<(u32, Origin)>,
    decisions: usize,
    complete: bool,
}

/// A finished draft.
pub(super) struct Written {
    pub(super) batch: Batch,
    pub(super) side: Vec<SideChange>,
    pub(super) origins: Vec<(u32, Origin)>,
}

/// Why a decision is not in the draft.
pub(super) enum Rejected {
    /// It cannot be written; draft and `ahead` are as they were.
    Unencodable(String),
    /// It was written and cannot be applied: `ahead` is half changed, draft and `ahead` must go.
    Spoilt(String),
}

impl Draft {
    /// A draft of what comes behind `ahead`.
    pub(super) fn begin(ahead: &Image, epoch: Epoch, now: Millis) -> Self {
        let time = now.max(ahead.last_time());
        Self {
            builder: BatchBuilder::new(ahead.end_offset(), epoch, time),
            side: Vec::new(),
            origins: Vec::new(),
            decisions: 0,
            complete: false,
        }
    }

    /// Whether it takes no further decision.
    pub(super) fn is_complete(&self) -> bool {
        self.complete || self.builder.len() >= BYTES_MAX || self.decisions >= DECISIONS_MAX
    }

    /// Whether no decision is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.decisions == 0
    }

    /// Adds what one request decided, all of it or nothing, and applies it to `ahead`.
    pub(super) fn add(
        &mut self,
        records: &[Record],
        side: &[SideChange],
        origin: &Origin,
        ahead: &mut Image,
    ) -> Result<(), Rejected> {
        let begin = self.builder.mark();
        let version = metadata_version(ahead, records);
        for record in records {
            if let Err(error) = self.builder.push(record, version) {
                self.builder.undo(begin);
                return Err(Rejected::Unencodable(error.to_string()));
            }
        }
        let read = self.builder.read_since(begin);
        let read = read.map_err(|error| Rejected::Spoilt(error.to_string()))?;
        let (epoch, time) = (self.builder.epoch(), self.builder.time());
        let (offset, features_before) = (ahead.end_offset(), ahead.features().epoch());
        let applied = ahead.apply_records(offset, epoch, time, &read, side);
        applied.map_err(|error| Rejected::Spoilt(error.to_string()))?;
        // Side changes and the epoch of the features take the offset of the batch's last record: no
        // record may come behind this one's.
        self.complete |= !side.is_empty() || ahead.features().epoch() != features_before;
        self.side.extend_from_slice(side);
        let count = records.len() as u32;
        match self.origins.last_mut() {
            Some((records, last)) if last == origin => *records += count,
            _ => self.origins.push((count, origin.clone())),
        }
        self.decisions += 1;
        Ok(())
    }

    /// The finished batch. An error says why it is none.
    pub(super) fn finish(self) -> Result<Written, String> {
        Ok(Written {
            batch: self.builder.finish().map_err(|error| error.to_string())?,
            side: self.side,
            origins: self.origins,
        })
    }
}

/// A batch of control records, applied to `ahead` like any other.
pub(super) fn control(
    ahead: &mut Image,
    epoch: Epoch,
    now: Millis,
    records: &[ControlRecord],
) -> Result<Written, Rejected> {
    let time = now.max(ahead.last_time());
    let batch = Batch::control(ahead.end_offset(), epoch, time, records);
    let batch = batch.map_err(|error| Rejected::Unencodable(error.to_string()))?;
    let applied = ahead.apply_batch(&batch, &[]);
    applied.map_err(|error| Rejected::Spoilt(error.to_string()))?;
    Ok(Written {
        batch,
        side: Vec::new(),
        origins: vec![(records.len() as u32, Origin::chore())],
    })
}

/// The version in which records are written: the finalized one; in an empty log the one that these
/// records set.
fn metadata_version(image: &Image, records: &[Record]) -> i16 {
    let first = || {
        records.iter().find_map(|record| match record {
            Record::FeatureLevel(level) if level.name == features::METADATA_VERSION => {
                Some(level.feature_level)
            }
            _ => None,
        })
    };
    image
        .features()
        .metadata_version()
        .or_else(first)
        .unwrap_or(features::METADATA_VERSION_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uuid;
    use crate::records::TopicRecord;

    fn topic(name: &str, id: u128) -> Vec<Record> {
        let topic_id = Uuid::from_u128(id);
        let name = name.to_owned();
        vec![TopicRecord { name, topic_id }.into()]
    }

    fn origin(client_id: &str) -> Origin {
        Origin {
            client_id: client_id.to_owned(),
            ..Origin::chore()
        }
    }

    #[test]
    fn what_several_decide_is_one_batch_and_leads_to_one_image() {
        let (mut ahead, before) = (Image::default(), Image::default());
        let mut draft = Draft::begin(&ahead, 3, 1_000);
        for (id, client) in [(1, "a"), (2, "a"), (3, "b")] {
            let records = topic(&format!("t{id}"), id);
            let added = draft.add(&records, &[], &origin(client), &mut ahead);
            assert!(added.is_ok() && ahead.topic_by_name(&format!("t{id}")).is_some());
        }
        let written = draft.finish().unwrap();
        assert_eq!(written.batch.record_count(), 3);
        assert_eq!(written.origins, [(2, origin("a")), (1, origin("b"))]);
        let mut followed = before;
        followed.apply_batch(&written.batch, &written.side).unwrap();
        assert_eq!(followed, ahead);
    }

    #[test]
    fn what_cannot_be_written_leaves_no_trace() {
        let mut ahead = Image::default();
        let mut draft = Draft::begin(&ahead, 3, 1_000);
        let added = draft.add(&topic("good", 1), &[], &origin("a"), &mut ahead);
        assert!(added.is_ok());
        let mut bad = topic("half", 2);
        bad.extend(topic(&"x".repeat(100_000), 3));
        let added = draft.add(&bad, &[], &origin("a"), &mut ahead);
        assert!(matches!(added, Err(Rejected::Unencodable(_))));
        assert!(ahead.topic_by_name("half").is_none());
        assert_eq!(draft.finish().unwrap().batch.record_count(), 1);
    }

    #[test]
    fn what_cannot_be_applied_spoils_the_draft() {
        let mut ahead = Image::default();
        let mut draft = Draft::begin(&ahead, 3, 1_000);
        let mut twice = topic("t", 1);
        twice.extend(topic("t", 1));
        let added = draft.add(&twice, &[], &origin("a"), &mut ahead);
        assert!(matches!(added, Err(Rejected::Spoilt(_))));
    }
}
