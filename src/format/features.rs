//! On which feature levels a new cluster begins (`Formatter.calculateEffectiveFeatureLevels`, 4.3.1).

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};

use crate::records::{FeatureLevelRecord, Record};
use crate::rules::features::{
    FEATURES, KRAFT_VERSION, METADATA_VERSION, METADATA_VERSION_MAX, METADATA_VERSIONS, find,
    metadata_version, metadata_version_named,
};

/// The levels of a new cluster: metadata.version and the others that are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Level of metadata.version.
    pub metadata_version: i16,
    /// Levels above 0 of the others, kraft.version excepted.
    pub others: BTreeMap<&'static str, i16>,
}

impl Levels {
    /// From `--release-version` and the `--feature name=level` options. `kraft_version` is what the
    /// way of formatting makes it; an option may only repeat it.
    pub fn choose(
        release: Option<&str>,
        options: &[String],
        kraft_version: i16,
    ) -> anyhow::Result<Self> {
        let wanted = parse(options)?;
        let metadata_version = match (release, wanted.get(METADATA_VERSION)) {
            (Some(_), Some(_)) => bail!(
                "use --release-version instead of --feature {METADATA_VERSION}=X to avoid ambiguity"
            ),
            (Some(release), None) => named(release)?,
            (None, Some(level)) => *level,
            (None, None) => METADATA_VERSION_MAX,
        };
        if let Some(level) = wanted.get(KRAFT_VERSION) {
            ensure!(
                *level == kraft_version,
                "--feature {KRAFT_VERSION}={level}: it must be {kraft_version}, since it is 1 where \
                 the voters are in the log and 0 where they are in controller.quorum.voters"
            );
        }
        let mut others = BTreeMap::new();
        for feature in FEATURES.iter().filter(|feature| !is_special(feature.name)) {
            let level = wanted.get(feature.name).copied();
            let level = level.unwrap_or_else(|| feature.default_level(metadata_version));
            if let Some(needed) = feature.metadata_version_for(level) {
                ensure!(
                    metadata_version >= needed,
                    "{} could not be set to {level} because it depends on {METADATA_VERSION} level {needed}",
                    feature.name
                );
            }
            if level > 0 {
                others.insert(feature.name, level);
            }
        }
        Ok(Self {
            metadata_version,
            others,
        })
    }

    /// The records, metadata.version first.
    pub fn records(&self) -> Vec<Record> {
        let first = (METADATA_VERSION, self.metadata_version);
        let all =
            std::iter::once(first).chain(self.others.iter().map(|(name, level)| (*name, *level)));
        let record = |(name, level): (&str, i16)| {
            FeatureLevelRecord {
                name: name.to_owned(),
                feature_level: level,
            }
            .into()
        };
        all.map(record).collect()
    }

    /// The name of metadata.version, for example `4.3-IV0`.
    pub fn version_name(&self) -> String {
        metadata_version(self.metadata_version).map_or_else(String::new, ToString::to_string)
    }
}

/// Features that have rules of their own: the first stands in front, the other in control records.
fn is_special(name: &str) -> bool {
    name == METADATA_VERSION || name == KRAFT_VERSION
}

fn parse(options: &[String]) -> anyhow::Result<BTreeMap<&'static str, i16>> {
    let mut wanted = BTreeMap::new();
    for option in options {
        let (name, level) = option
            .split_once('=')
            .with_context(|| format!("--feature {option}: it must be feature=level"))?;
        let (name, level) = (name.trim(), level.trim());
        let feature = find(name).with_context(|| {
            let known: Vec<&str> = FEATURES.iter().map(|feature| feature.name).collect();
            format!(
                "--feature {option}: there is no such feature; there are {}",
                known.join(", ")
            )
        })?;
        let (min, max) = (feature.min, feature.max);
        let level = level
            .parse()
            .ok()
            .filter(|level| feature.supports(*level))
            .with_context(|| {
                format!("--feature {option}: its level must be a whole number from {min} to {max}")
            })?;
        ensure!(
            wanted.insert(feature.name, level).is_none(),
            "--feature {name} stands twice"
        );
    }
    Ok(wanted)
}

fn named(release: &str) -> anyhow::Result<i16> {
    let found = metadata_version_named(release.trim()).with_context(|| {
        let known: Vec<String> = METADATA_VERSIONS.iter().map(ToString::to_string).collect();
        format!(
            "--release-version {release}: there is no such version; there are {}",
            known.join(", ")
        )
    })?;
    Ok(found.level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(release: Option<&str>, options: &[&str], expected: Result<&str, &str>) {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        match (Levels::choose(release, &options, 1), expected) {
            (Ok(levels), Ok(expected)) => {
                let shown: Vec<String> = levels
                    .others
                    .iter()
                    .map(|(name, level)| format!(" {name}={level}"))
                    .collect();
                assert_eq!(levels.version_name() + &shown.concat(), expected);
            }
            (Err(error), Err(expected)) => {
                let error = error.to_string();
                assert!(error.contains(expected), "{error}");
            }
            (found, _) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn levels_as_kafka_storage_chooses_them() {
        check(
            None,
            &[],
            Ok(
                "4.3-IV0 eligible.leader.replicas.version=1 group.version=1 share.version=1 \
                streams.version=1 transaction.version=2",
            ),
        );
        check(Some("3.9"), &[], Ok("3.9-IV0"));
        check(
            Some("4.0.1"),
            &["group.version=0"],
            Ok("4.0-IV3 transaction.version=2"),
        );
        check(
            None,
            &["metadata.version=20", "group.version=1"],
            Ok("3.8-IV0 group.version=1"),
        );
        check(Some("3.9"), &["kraft.version=1"], Ok("3.9-IV0"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        check(
            Some("9.9"),
            &[],
            Err("--release-version 9.9: there is no such version; there are 3.3-IV3, "),
        );
        check(
            Some("3.9"),
            &["metadata.version=20"],
            Err("to avoid ambiguity"),
        );
        check(
            None,
            &["foo=20"],
            Err("--feature foo=20: there is no such feature"),
        );
        check(
            None,
            &["group.version"],
            Err("--feature group.version: it must be feature=level"),
        );
        check(
            None,
            &["group.version=7"],
            Err("must be a whole number from 0 to 1"),
        );
        check(
            None,
            &["group.version=1", "group.version=0"],
            Err("stands twice"),
        );
        check(None, &["kraft.version=0"], Err("it must be 1, since"));
        check(
            Some("3.9"),
            &["eligible.leader.replicas.version=1"],
            Err("because it depends on metadata.version level 23"),
        );
    }
}
