//! ApiVersions: what this listener answers, from [`TABLE`] itself, and which features it knows.
//!
//! Version 3 says nothing of features that may be off (level 0): clients of that time cannot read a
//! least level of 0 (KAFKA-17492). A version to come is answered in version 0, so that the client can
//! read which ones there are (`ApiVersionsRequest.getErrorResponse`, 4.3.1).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use kafka_protocol::protocol::StrBytes;

use crate::api::{Read, Row, TABLE, find};
use crate::image::Image;
use crate::rules::View;
use crate::rules::features::{FEATURES, KRAFT_VERSION, METADATA_VERSION, METADATA_VERSION_MIN};

/// From this version on a feature's least level may be 0.
const ZERO_LEVELS_SINCE: i16 = 4;
/// The first version in which the client names its software.
const SOFTWARE_SINCE: i16 = 3;

impl Read for ApiVersionsRequest {
    fn answer(&self, view: &View<'_>) -> ApiVersionsResponse {
        let named = [&self.client_software_name, &self.client_software_version];
        if view.version >= SOFTWARE_SINCE && !named.iter().all(|text| is_software_name(text)) {
            return error(ResponseError::InvalidRequest);
        }
        let supported = FEATURES
            .iter()
            .filter(|feature| feature.min > 0 || view.version >= ZERO_LEVELS_SINCE)
            .map(|feature| {
                SupportedFeatureKey::default()
                    .with_name(StrBytes::from_static_str(feature.name))
                    .with_min_version(feature.min)
                    .with_max_version(feature.max)
            });
        ApiVersionsResponse::default()
            .with_api_keys(TABLE.iter().map(advertised).collect())
            .with_supported_features(supported.collect())
            .with_finalized_features(finalized(view.image))
            .with_finalized_features_epoch(view.image.features().epoch().unwrap_or(-1))
    }
}

/// What is answered to a version that is not known.
pub fn unsupported_api_versions() -> ApiVersionsResponse {
    let own = find(ApiKey::ApiVersions as i16).map(advertised);
    error(ResponseError::UnsupportedVersion).with_api_keys(own.into_iter().collect())
}

fn error(code: ResponseError) -> ApiVersionsResponse {
    ApiVersionsResponse::default().with_error_code(code.code())
}

fn advertised(row: &Row) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(row.key as i16)
        .with_min_version(*row.versions.start())
        .with_max_version(*row.versions.end())
}

/// The finalized levels; level 0 is never named. Before the first records it is metadata.version's
/// least, as in `FinalizedFeatures.fromKRaftVersion`.
fn finalized(image: &Image) -> Vec<FinalizedFeatureKey> {
    let features = image.features();
    let levels = features
        .iter()
        .map(|(name, level, _)| (name.to_owned(), level));
    let kraft = (KRAFT_VERSION.to_owned(), features.kraft_version());
    let first = match features.metadata_version() {
        Some(_) => None,
        None => Some((METADATA_VERSION.to_owned(), METADATA_VERSION_MIN)),
    };
    let all = levels
        .chain([kraft])
        .chain(first)
        .filter(|(_, level)| *level > 0);
    all.map(|(name, level)| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_string(name))
            .with_max_version_level(level)
            .with_min_version_level(level)
    })
    .collect()
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_software_name(text: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    alphanumeric(bytes.first()) && alphanumeric(bytes.last()) && bytes.iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{World, answer};
    use crate::ids::Stamp;
    use crate::records::{FeatureLevelRecord, Record};

    fn request(name: &'static str, version: &'static str) -> ApiVersionsRequest {
        ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(name))
            .with_client_software_version(StrBytes::from_static_str(version))
    }

    fn supported(response: &ApiVersionsResponse) -> Vec<(&str, i16, i16)> {
        let row = |it: &SupportedFeatureKey| (it.min_version, it.max_version);
        let features = response.supported_features.iter();
        features
            .map(|it| (it.name.as_str(), row(it).0, row(it).1))
            .collect()
    }

    #[test]
    fn what_is_advertised_is_the_table() {
        for version in 0..=4 {
            let response = answer(&request("a", "1"), version);
            assert_eq!(response.error_code, 0);
            let keys: Vec<_> = response.api_keys.iter().map(|it| it.api_key).collect();
            assert!(keys.iter().is_sorted(), "{keys:?}");
            let rows: Vec<_> = TABLE.iter().map(|row| row.key as i16).collect();
            assert_eq!(keys, rows);
        }
    }

    #[test]
    fn old_clients_see_no_feature_that_may_be_off() {
        assert_eq!(
            supported(&answer(&request("a", "1"), 3)),
            [(METADATA_VERSION, 7, 30)]
        );
        let now = answer(&request("a", "1"), 4);
        assert_eq!(supported(&now).len(), 7);
        assert!(supported(&now).contains(&("transaction.version", 0, 2)));
        assert!(supported(&answer(&request("a", "1"), 2)).is_empty());
    }

    #[test]
    fn finalized_features_come_from_the_image() {
        let levels = |response: &ApiVersionsResponse| {
            let features = response.finalized_features.iter();
            let rows = features.map(|it| (it.name.to_string(), it.max_version_level));
            (response.finalized_features_epoch, rows.collect::<Vec<_>>())
        };
        let fresh = answer(&request("a", "1"), 4);
        assert_eq!(levels(&fresh), (-1, vec![(METADATA_VERSION.to_owned(), 7)]));
        let mut world = World::default();
        for (offset, (name, feature_level)) in [(METADATA_VERSION, 30), ("group.version", 1)]
            .into_iter()
            .enumerate()
        {
            let record = FeatureLevelRecord {
                name: name.to_owned(),
                feature_level,
            };
            let stamp = Stamp {
                offset: offset as i64,
                time: 0,
            };
            world
                .image
                .apply(&Record::FeatureLevel(record), stamp)
                .unwrap();
        }
        let (_, rows) = levels(&world.answer(&request("a", "1"), 4));
        assert_eq!(
            rows,
            [
                ("group.version".to_owned(), 1),
                (METADATA_VERSION.to_owned(), 30)
            ]
        );
    }

    #[test]
    fn names_of_software_are_checked_from_version_3_on() {
        let code = |name, software_version, version| {
            answer(&request(name, software_version), version).error_code
        };
        assert_eq!(code("apache-kafka-java", "4.3.1", 3), 0);
        assert_eq!(code("k", "1", 4), 0);
        for (name, version) in [("", "1"), ("k", ""), ("-k", "1"), ("k.", "1"), ("k k", "1")] {
            assert_eq!(
                code(name, version, 4),
                ResponseError::InvalidRequest.code(),
                "{name}"
            );
            assert_eq!(answer(&ApiVersionsRequest::default(), 2).error_code, 0);
        }
    }

    #[test]
    fn a_version_to_come_is_told_which_there_are() {
        let response = unsupported_api_versions();
        assert_eq!(response.error_code, 35);
        let own = ApiVersion::default()
            .with_api_key(18)
            .with_min_version(0)
            .with_max_version(4);
        assert_eq!(response.api_keys, [own]);
    }
}
