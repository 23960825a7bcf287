//! Finalized feature levels, and what control records say about the quorum.

use std::sync::Arc;

use imbl::OrdMap;

use crate::ids::{Offset, Stamp, Voter};
use crate::records::FeatureLevelRecord;

use super::error::ApplyError;

/// The feature that names the format of all records.
pub const METADATA_VERSION: &str = "metadata.version";
/// The quorum's own feature. It lives in control records; a FeatureLevelRecord of it is ignored.
pub const KRAFT_VERSION: &str = "kraft.version";
/// The feature behind eligible leader replicas.
pub const ELIGIBLE_LEADER_REPLICAS_VERSION: &str = "eligible.leader.replicas.version";

/// The levels of each feature that this software knows, in name order (`QuorumFeatures`, 4.3.1).
pub const SUPPORTED: &[(&str, i16, i16)] = &[
    (ELIGIBLE_LEADER_REPLICAS_VERSION, 0, 1),
    ("group.version", 0, 1),
    (KRAFT_VERSION, 0, 1),
    (METADATA_VERSION, 7, 30),
    ("share.version", 0, 1),
    ("streams.version", 0, 1),
    ("transaction.version", 0, 2),
];

/// Finalized features.
#[derive(Clone, Debug, Default)]
pub struct Features {
    levels: OrdMap<String, Level>,
    kraft_version: i16,
    voters: Arc<Vec<Voter>>,
    pub(super) changed_in: Option<Offset>,
}

#[derive(Clone, Debug)]
struct Level {
    level: i16,
    stamp: Stamp,
}

impl Features {
    /// The level of `metadata.version`; `None` before the bootstrap records.
    pub fn metadata_version(&self) -> Option<i16> {
        self.levels.get(METADATA_VERSION).map(|it| it.level)
    }
    /// The finalized level of this feature; 0 if it has none.
    pub fn level(&self, name: &str) -> i16 {
        match name {
            KRAFT_VERSION => self.kraft_version,
            name => self.levels.get(name).map_or(0, |it| it.level),
        }
    }
    /// Whether partitions keep eligible leader replicas.
    pub fn elr_enabled(&self) -> bool {
        self.level(ELIGIBLE_LEADER_REPLICAS_VERSION) > 0
    }
    /// Name, level and last change of each feature, `metadata.version` included and
    /// `kraft.version` not, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i16, Stamp)> {
        self.levels
            .iter()
            .map(|(name, it)| (name.as_str(), it.level, it.stamp))
    }
    /// The last offset of the newest batch that changed a feature: Kafka's `FinalizedFeaturesEpoch`.
    pub fn epoch(&self) -> Option<Offset> {
        self.changed_in
    }
    /// The level of `kraft.version`.
    pub fn kraft_version(&self) -> i16 {
        self.kraft_version
    }
    /// The voters of the newest KRaftVoters control record; empty if there was none.
    pub fn voters(&self) -> &Arc<Vec<Voter>> {
        &self.voters
    }

    pub(super) fn get(&self, name: &str) -> Option<(i16, Stamp)> {
        self.levels.get(name).map(|it| (it.level, it.stamp))
    }

    /// FeatureLevelRecord: sets a level; level 0 removes the feature.
    pub(super) fn set(
        &mut self,
        record: &FeatureLevelRecord,
        stamp: Stamp,
    ) -> Result<(), ApplyError> {
        if record.name == KRAFT_VERSION {
            return Ok(());
        }
        let known = SUPPORTED.iter().find(|(name, ..)| *name == record.name);
        let fits = match known {
            Some((_, low, high)) => (*low..=*high).contains(&record.feature_level),
            None => record.feature_level == 0,
        };
        if !fits {
            return Err(ApplyError::BadFeatureLevel(
                record.name.clone(),
                record.feature_level,
            ));
        }
        if record.feature_level == 0 {
            self.levels.remove(&record.name);
        } else {
            self.levels.insert(
                record.name.clone(),
                Level {
                    level: record.feature_level,
                    stamp,
                },
            );
        }
        self.changed_in = self.changed_in.max(Some(stamp.offset));
        Ok(())
    }

    pub(super) fn set_kraft_version(&mut self, level: i16) {
        self.kraft_version = level;
    }

    pub(super) fn set_voters(&mut self, voters: Vec<Voter>) {
        self.voters = Arc::new(voters);
    }
}
