//! What a new leader writes before anything else.
//!
//! Into a log without a metadata.version it writes what formatting chose for the new cluster (the
//! seeds: feature levels first, then SCRAM credentials), between the brackets of a metadata
//! transaction. Into any other it writes nothing, unless its predecessor left such a bracket open
//! (`ActivationRecordsGenerator`, 4.3.1).

use super::configs::MIN_INSYNC_REPLICAS;
use super::features::{self, gate};
use crate::ids::ConfigKind;
use crate::image::Image;
use crate::records::{
    AbortTransactionRecord, BeginTransactionRecord, ConfigRecord, EndTransactionRecord,
    FeatureLevelRecord, Record,
};
use crate::settings::Settings;

/// The records with which a leader begins on this image; often none. One batch.
pub fn activation(image: &Image, seeds: &[Record], settings: &Settings) -> Vec<Record> {
    let mut records = Vec::new();
    if image.open_transaction().is_some() {
        let reason = Some("Controller failover".to_owned());
        records.push(AbortTransactionRecord { reason }.into());
    }
    // An open bootstrap transaction shows a metadata.version that does not count yet.
    let is_begun = image.features().metadata_version().is_some();
    if !is_begun || image.open_transaction() == Some(TRANSACTION) {
        records.extend(first_records(seeds, settings));
    }
    records
}

/// Kafka's name for the transaction around the first records.
const TRANSACTION: &str = "Bootstrap records";

fn first_records(seeds: &[Record], settings: &Settings) -> Vec<Record> {
    let mut records = seeds.to_vec();
    if level(seeds, features::ELR_VERSION) > 0 {
        // ELR counts replicas against a number that all controllers agree on.
        let config = ConfigRecord {
            resource_type: ConfigKind::Broker as i8,
            resource_name: String::new(),
            name: MIN_INSYNC_REPLICAS.to_owned(),
            value: Some(settings.min_insync_replicas.to_string()),
        };
        records.push(config.into());
    }
    if level(seeds, features::METADATA_VERSION) >= gate::TRANSACTIONS {
        let name = Some(TRANSACTION.to_owned());
        records.insert(0, BeginTransactionRecord { name }.into());
        records.push(EndTransactionRecord {}.into());
    }
    records
}

/// The seeds of a cluster formatted with this metadata.version and nothing else said:
/// metadata.version first, then the other features by name.
pub fn default_seeds(metadata_version: i16) -> Vec<Record> {
    let mut others: Vec<_> = features::FEATURES
        .iter()
        .filter(|feature| {
            ![features::METADATA_VERSION, features::KRAFT_VERSION].contains(&feature.name)
        })
        .map(|feature| (feature.name, feature.default_level(metadata_version)))
        .filter(|(_, level)| *level > 0)
        .collect();
    others.sort_unstable();
    let first = (features::METADATA_VERSION, metadata_version);
    let level = |(name, feature_level): (&str, i16)| {
        FeatureLevelRecord {
            name: name.to_owned(),
            feature_level,
        }
        .into()
    };
    std::iter::once(first).chain(others).map(level).collect()
}

fn level(seeds: &[Record], name: &str) -> i16 {
    let mut levels = seeds.iter().rev().filter_map(|record| match record {
        Record::FeatureLevel(level) if level.name == name => Some(level.feature_level),
        _ => None,
    });
    levels.next().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Stamp;

    fn names(records: &[Record]) -> Vec<String> {
        let show = |record: &Record| match record {
            Record::FeatureLevel(level) => format!("{}={}", level.name, level.feature_level),
            Record::Config(config) => {
                format!(
                    "{}={}",
                    config.name,
                    config.value.as_deref().unwrap_or("null")
                )
            }
            other => other.name().to_owned(),
        };
        records.iter().map(show).collect()
    }

    fn image(records: &[Record]) -> Image {
        let mut image = Image::default();
        for (offset, record) in (0..).zip(records) {
            image.apply(record, Stamp { offset, time: 0 }).unwrap();
        }
        image
    }

    #[test]
    fn a_new_cluster_begins_with_the_levels_it_was_formatted_with() {
        let records = activation(&Image::default(), &default_seeds(30), &Settings::default());
        let expected = [
            "BeginTransactionRecord",
            "metadata.version=30",
            "eligible.leader.replicas.version=1",
            "group.version=1",
            "share.version=1",
            "streams.version=1",
            "transaction.version=2",
            "min.insync.replicas=1",
            "EndTransactionRecord",
        ];
        assert_eq!(names(&records), expected);
        assert_eq!(
            activation(&image(&records), &default_seeds(30), &Settings::default()),
            []
        );
    }

    #[test]
    fn older_versions_have_no_brackets() {
        let records = activation(&Image::default(), &default_seeds(12), &Settings::default());
        assert_eq!(names(&records), ["metadata.version=12"]);
    }

    #[test]
    fn what_a_predecessor_left_open_is_called_off() {
        let whole = activation(&Image::default(), &default_seeds(30), &Settings::default());
        let records = activation(
            &image(&whole[..3]),
            &default_seeds(30),
            &Settings::default(),
        );
        assert_eq!(names(&records[..1]), ["AbortTransactionRecord"]);
        assert_eq!(names(&records[1..]), names(&whole));

        let mut log = whole;
        log.push(BeginTransactionRecord { name: None }.into());
        let records = activation(&image(&log), &default_seeds(30), &Settings::default());
        assert_eq!(names(&records), ["AbortTransactionRecord"]);
    }
}
