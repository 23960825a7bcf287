//! Which feature levels this software knows: the one table behind ApiVersions, the checks of a
//! registration, formatting, and UpdateFeatures.
//!
//! `metadata.version` says which records may be written and how; the other features switch single
//! abilities of the cluster. A level is a small number; 0 means "off" and is never stored.
//! (`MetadataVersion`, `Feature` and their siblings, 4.3.1.)

/// Says which records may stand in the log, and in which versions.
pub const METADATA_VERSION: &str = "metadata.version";
/// Whether the voters stand in the log (1) or in a file (0). Never in a FeatureLevelRecord: it
/// lives in control records.
pub const KRAFT_VERSION: &str = "kraft.version";
/// How transaction state is written, and whether each transaction bumps the producer epoch.
pub const TRANSACTION_VERSION: &str = "transaction.version";
/// The consumer group protocol of KIP-848.
pub const GROUP_VERSION: &str = "group.version";
/// Eligible leader replicas, KIP-966.
pub const ELR_VERSION: &str = "eligible.leader.replicas.version";
/// Share groups, KIP-932.
pub const SHARE_VERSION: &str = "share.version";
/// Streams groups, KIP-1071.
pub const STREAMS_VERSION: &str = "streams.version";

/// A feature as this software supports it.
#[derive(Debug, PartialEq, Eq)]
pub struct Feature {
    /// Kafka's name for it.
    pub name: &'static str,
    /// Lowest level; 0 where the feature may be off.
    pub min: i16,
    /// Highest level that is not experimental.
    pub max: i16,
    /// For each level from 1: the least metadata.version at which a newly formatted cluster begins
    /// on it.
    pub default_since: &'static [i16],
    /// Least metadata.version that any level from 1 can work with.
    pub needs_metadata_version: i16,
}

/// All features, in the order in which they are advertised.
pub const FEATURES: &[Feature] = &[
    Feature {
        name: METADATA_VERSION,
        min: METADATA_VERSION_MIN,
        max: METADATA_VERSION_MAX,
        default_since: &[],
        needs_metadata_version: METADATA_VERSION_MIN,
    },
    off_by_default(KRAFT_VERSION, &[21], METADATA_VERSION_MIN),
    off_by_default(TRANSACTION_VERSION, &[24, 24], METADATA_VERSION_MIN),
    off_by_default(GROUP_VERSION, &[22], METADATA_VERSION_MIN),
    off_by_default(ELR_VERSION, &[26], gate::ELR),
    off_by_default(SHARE_VERSION, &[28], METADATA_VERSION_MIN),
    off_by_default(STREAMS_VERSION, &[29], METADATA_VERSION_MIN),
];

/// Levels of `metadata.version` from which something may be written or asked for.
pub mod gate {
    /// SCRAM credentials.
    pub const SCRAM: i16 = 11;
    /// A shrinking ISR alone no longer takes a new leader epoch (KAFKA-15021).
    pub const NO_EPOCH_BUMP_ON_SHRINK: i16 = 12;
    /// Begin, End and Abort of metadata transactions.
    pub const TRANSACTIONS: i16 = 13;
    /// Delegation tokens.
    pub const DELEGATION_TOKENS: i16 = 14;
    /// RegisterController records, and tools that talk to controllers directly.
    pub const CONTROLLER_REGISTRATION: i16 = 15;
    /// Log directory ids in broker and partition records (JBOD).
    pub const DIRECTORIES: i16 = 17;
    /// Eligible leader replicas in partition records, ClearElr records.
    pub const ELR: i16 = 23;
    /// Cordoned log directories in broker records.
    pub const CORDONED_DIRECTORIES: i16 = 30;
}

/// One level of `metadata.version`.
#[derive(Debug, PartialEq, Eq)]
pub struct MetadataVersion {
    /// Its number.
    pub level: i16,
    /// Its release, for example `4.0`.
    pub release: &'static str,
    /// Counts within the release: the `n` of `4.0-IVn`.
    pub iv: u8,
    /// The format of records changed here, so nobody may go back behind it.
    pub changes_records: bool,
}

/// Lowest metadata.version supported.
pub const METADATA_VERSION_MIN: i16 = 7;
/// Highest metadata.version supported; newly formatted clusters begin on it.
pub const METADATA_VERSION_MAX: i16 = 30;

/// All levels from [`METADATA_VERSION_MIN`] to [`METADATA_VERSION_MAX`], ascending and without gaps.
pub const METADATA_VERSIONS: &[MetadataVersion] = &[
    level(7, "3.3", 3, true),
    level(8, "3.4", 0, true),
    level(9, "3.5", 0, false),
    level(10, "3.5", 1, false),
    level(11, "3.5", 2, true),
    level(12, "3.6", 0, false),
    level(13, "3.6", 1, true),
    level(14, "3.6", 2, true),
    level(15, "3.7", 0, true),
    level(16, "3.7", 1, false),
    level(17, "3.7", 2, true),
    level(18, "3.7", 3, false),
    level(19, "3.7", 4, false),
    level(20, "3.8", 0, false),
    level(21, "3.9", 0, false),
    level(22, "4.0", 0, false),
    level(23, "4.0", 1, true),
    level(24, "4.0", 2, false),
    level(25, "4.0", 3, false),
    level(26, "4.1", 0, false),
    level(27, "4.1", 1, false),
    level(28, "4.2", 0, false),
    level(29, "4.2", 1, false),
    level(30, "4.3", 0, true),
];

/// The feature of this name, if this software knows it.
pub fn find(name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.name == name)
}

impl Feature {
    /// Whether this software can work at that level. Level 0 of a feature other than
    /// metadata.version is "off", which it always can.
    pub fn supports(&self, level: i16) -> bool {
        (self.min..=self.max).contains(&level)
    }

    /// The level on which a cluster formatted with this metadata.version begins.
    pub fn default_level(&self, metadata_version: i16) -> i16 {
        if self.name == METADATA_VERSION {
            return metadata_version;
        }
        let reached = self
            .default_since
            .iter()
            .filter(|since| **since <= metadata_version);
        reached.count() as i16
    }

    /// The least metadata.version on which this level can work; `None` for "off".
    pub fn metadata_version_for(&self, level: i16) -> Option<i16> {
        (self.name != METADATA_VERSION && level > 0).then_some(self.needs_metadata_version)
    }
}

/// The level of `metadata.version` with this number, if known.
pub fn metadata_version(level: i16) -> Option<&'static MetadataVersion> {
    METADATA_VERSIONS.iter().find(|known| known.level == level)
}

/// Reads what people write for a metadata.version: `3.7-IV2` exactly, or a release (`4.0`, `4.0.1`),
/// which means its newest level (`MetadataVersion.fromVersionString`, 4.3.1).
pub fn metadata_version_named(text: &str) -> Option<&'static MetadataVersion> {
    let mut parts = text.splitn(3, '.');
    let (major, minor) = (parts.next()?, parts.next()?);
    if let Some((minor, iv)) = minor.split_once("-IV") {
        let is_wanted = |known: &&MetadataVersion| {
            known.iv.to_string() == iv && is_release(known, major, minor)
        };
        return METADATA_VERSIONS.iter().find(is_wanted);
    }
    METADATA_VERSIONS
        .iter()
        .rev()
        .find(|known| is_release(known, major, minor))
}

fn is_release(known: &MetadataVersion, major: &str, minor: &str) -> bool {
    known.release.split_once('.') == Some((major, minor))
}

/// Whether metadata.version may go from one level down to another: never behind a level that
/// changed the records (`FeatureControlManager.updateMetadataVersion`, 4.3.1).
pub fn downgrade_keeps_records(from: i16, to: i16) -> bool {
    METADATA_VERSIONS
        .iter()
        .filter(|known| known.level > to && known.level <= from)
        .all(|known| !known.changes_records)
}

impl std::fmt::Display for MetadataVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-IV{}", self.release, self.iv)
    }
}

const fn level(
    level: i16,
    release: &'static str,
    iv: u8,
    changes_records: bool,
) -> MetadataVersion {
    MetadataVersion {
        level,
        release,
        iv,
        changes_records,
    }
}

const fn off_by_default(
    name: &'static str,
    default_since: &'static [i16],
    needs_metadata_version: i16,
) -> Feature {
    Feature {
        name,
        min: 0,
        max: default_since.len() as i16,
        default_since,
        needs_metadata_version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_dense() {
        let levels: Vec<i16> = METADATA_VERSIONS.iter().map(|known| known.level).collect();
        assert_eq!(
            levels,
            (METADATA_VERSION_MIN..=METADATA_VERSION_MAX).collect::<Vec<_>>()
        );
    }

    #[test]
    fn names_of_metadata_versions() {
        let check = |text: &str, level: Option<i16>| {
            assert_eq!(
                metadata_version_named(text).map(|known| known.level),
                level,
                "{text}"
            );
        };
        // The release aliases that Kafka's tools accept.
        for (text, level) in [
            ("3.3", 7),
            ("3.4", 8),
            ("3.5", 11),
            ("3.6", 14),
            ("3.7", 19),
            ("3.8", 20),
            ("3.9", 21),
            ("4.0", 25),
            ("4.1", 27),
            ("4.2", 29),
            ("4.3", 30),
            ("3.8.1", 20),
            ("4.3.whatever", 30),
            ("3.7-IV2", 17),
            ("4.0-IV1", 23),
        ] {
            check(text, Some(level));
        }
        for text in [
            "", "4", "3.2", "3.3-IV2", "4.4-IV0", "4.0-IV01", "04.0", "x.y",
        ] {
            check(text, None);
        }
        assert_eq!(metadata_version(30).unwrap().to_string(), "4.3-IV0");
    }

    #[test]
    fn going_back_stops_at_a_change_of_records() {
        for (from, to, allowed) in [
            (29, 23, true),
            (30, 29, false),
            (22, 17, true),
            (17, 16, false),
            (26, 24, true),
            (23, 22, false),
        ] {
            assert_eq!(downgrade_keeps_records(from, to), allowed, "{from} to {to}");
        }
    }

    #[test]
    fn defaults_of_a_new_cluster() {
        let levels = |metadata_version: i16| -> Vec<i16> {
            FEATURES
                .iter()
                .map(|feature| feature.default_level(metadata_version))
                .collect()
        };
        assert_eq!(levels(30), [30, 1, 2, 1, 1, 1, 1]);
        assert_eq!(levels(24), [24, 1, 2, 1, 0, 0, 0]);
        assert_eq!(levels(7), [7, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn ranges_are_those_of_4_3_1() {
        let shown: Vec<String> = FEATURES
            .iter()
            .map(|feature| format!("{} {}-{}", feature.name, feature.min, feature.max))
            .collect();
        assert_eq!(
            shown,
            [
                "metadata.version 7-30",
                "kraft.version 0-1",
                "transaction.version 0-2",
                "group.version 0-1",
                "eligible.leader.replicas.version 0-1",
                "share.version 0-1",
                "streams.version 0-1",
            ]
        );
        assert_eq!(find(ELR_VERSION).unwrap().metadata_version_for(1), Some(23));
        assert_eq!(find(ELR_VERSION).unwrap().metadata_version_for(0), None);
        assert!(!find(METADATA_VERSION).unwrap().supports(6));
        assert!(find("no.such.feature").is_none());
    }

    #[test]
    fn the_image_takes_what_is_supported() {
        let mut ranges: Vec<_> = FEATURES
            .iter()
            .map(|it| (it.name, it.min, it.max))
            .collect();
        ranges.sort_unstable();
        assert_eq!(ranges, crate::image::features::SUPPORTED);
    }
}
