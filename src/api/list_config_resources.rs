//! ListConfigResources (74), v0 and v1, as a broker answers it: what has a configuration or could
//! have one (`KafkaApis.handleListConfigResources`, 4.3.1).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;

use super::Read;
use super::alter_configs::BROKER_LOGGER;
use crate::ids::ConfigKind;
use crate::rules::View;

/// The types that are listed, in the order of the answer: groups, subscriptions, loggers, brokers,
/// topics.
const TYPES: [i8; 5] = [
    ConfigKind::Group as i8,
    ConfigKind::ClientMetrics as i8,
    BROKER_LOGGER,
    ConfigKind::Broker as i8,
    ConfigKind::Topic as i8,
];

impl Read for ListConfigResourcesRequest {
    /// Empty `resource_types` mean all; before v1 there were only subscriptions.
    fn answer(&self, view: &View<'_>) -> Self::Response {
        let known: &[i8] = if view.version == 0 {
            &TYPES[1..2]
        } else {
            &TYPES
        };
        let answer = ListConfigResourcesResponse::default();
        if self
            .resource_types
            .iter()
            .any(|asked| !known.contains(asked))
        {
            return answer.with_error_code(ResponseError::UnsupportedVersion.code());
        }
        let is_asked =
            |kind: &&i8| self.resource_types.is_empty() || self.resource_types.contains(kind);
        let listed = known
            .iter()
            .filter(is_asked)
            .flat_map(|kind| resources(view, *kind));
        answer.with_config_resources(listed.collect())
    }
}

fn resources(view: &View<'_>, kind: i8) -> Vec<ConfigResource> {
    let image = view.image;
    let names: Vec<String> = if kind == ConfigKind::Topic as i8 {
        image
            .topics()
            .map(|topic| topic.name().to_owned())
            .collect()
    } else if kind == ConfigKind::Broker as i8 || kind == BROKER_LOGGER {
        let live = image.brokers().filter(|broker| !broker.fenced);
        live.map(|broker| broker.id.0.to_string()).collect()
    } else {
        let set = image
            .configs()
            .filter(|(resource, _)| resource.kind as i8 == kind);
        set.map(|(resource, _)| resource.name.clone()).collect()
    };
    let entry = |name| {
        ConfigResource::default()
            .with_resource_name(StrBytes::from_string(name))
            .with_resource_type(kind)
    };
    names.into_iter().map(entry).collect()
}
