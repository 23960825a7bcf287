//! ListConfigResources (74), v0 and v1, as a broker answers it: what has a configuration or could
//! have one (`KafkaApis.handleListConfigResources`, 4.3.1).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource as ListedResource;
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

fn resources(view: &View<'_>, kind: i8) -> Vec<ListedResource> {
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
        ListedResource::default()
            .with_resource_name(StrBytes::from_string(name))
            .with_resource_type(kind)
    };
    names.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConfigResource;
    use crate::rules::scene::Scene;

    #[test]
    fn what_is_listed() {
        let resource = |kind, name: &str| ConfigResource {
            kind,
            name: name.to_owned(),
        };
        let scene = Scene::new()
            .brokers(2)
            .fenced(&[2])
            .topic("t", &[&[1]])
            .config(
                resource(ConfigKind::Group, "g"),
                "share.isolation.level",
                "read_committed",
            )
            .config(
                resource(ConfigKind::ClientMetrics, "s"),
                "interval.ms",
                "100",
            );
        let check = |version: i16, types: &[i8], expected: &[&str]| {
            let request = ListConfigResourcesRequest::default().with_resource_types(types.to_vec());
            let answer = request.answer(&scene.ctx(version));
            let line = |it: &ListedResource| format!("{} {}", it.resource_type, it.resource_name);
            let found: Vec<String> = answer.config_resources.iter().map(line).collect();
            assert_eq!(found, expected, "{types:?}");
            answer.error_code
        };
        assert_eq!(check(1, &[], &["32 g", "16 s", "8 1", "4 1", "2 t"]), 0);
        assert_eq!(check(1, &[2, 4], &["4 1", "2 t"]), 0);
        assert_eq!(check(0, &[], &["16 s"]), 0);
        assert_eq!(check(1, &[2, 99], &[]), 35);
    }
}
