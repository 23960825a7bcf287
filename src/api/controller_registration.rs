//! ControllerRegistration (70): a node of the quorum says which features it supports and where it
//! listens. It always writes, and nothing is ever compared or taken back
//! (`ClusterControlManager.registerController`, 4.3.1).

use kafka_protocol::messages::{ControllerRegistrationRequest, ControllerRegistrationResponse};

use super::broker_registration::check_security_protocol;
use crate::api::{Write, message};
use crate::ids::BrokerId;
use crate::records::{ControllerEndpoint, ControllerFeature, RegisterControllerRecord};
use crate::refusal::{self, Refusal};
use crate::rules::electorate::metadata_version;
use crate::rules::features::gate;
use crate::rules::{Ctx, Decision};

impl Write for ControllerRegistrationRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<ControllerRegistrationResponse>, Refusal> {
        if metadata_version(ctx.image) < gate::CONTROLLER_REGISTRATION {
            return Err(refusal::unsupported_version(
                "The current MetadataVersion is too old to support controller registrations.",
            ));
        }
        for listener in &self.listeners {
            check_security_protocol(&listener.name, listener.security_protocol)?;
        }
        let end_points = self.listeners.iter().map(|listener| ControllerEndpoint {
            name: listener.name.to_string(),
            host: listener.host.to_string(),
            port: listener.port,
            security_protocol: listener.security_protocol,
        });
        let features = self.features.iter().map(|feature| ControllerFeature {
            name: feature.name.to_string(),
            min_supported_version: feature.min_supported_version,
            max_supported_version: feature.max_supported_version,
        });
        let record = RegisterControllerRecord {
            controller_id: BrokerId(self.controller_id),
            incarnation_id: self.incarnation_id,
            zk_migration_ready: false,
            end_points: end_points.collect(),
            features: features.collect(),
        };
        Ok(Decision::write(
            vec![record.into()],
            ControllerRegistrationResponse::default(),
        ))
    }

    fn refuse(&self, refusal: &Refusal) -> ControllerRegistrationResponse {
        ControllerRegistrationResponse::default()
            .with_error_code(refusal.code())
            .with_error_message(message(refusal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::scene::Scene;
    use kafka_protocol::messages::controller_registration_request::{Feature, Listener};
    use kafka_protocol::protocol::StrBytes;

    #[test]
    fn a_controller_is_written_down_as_it_says() {
        let name = StrBytes::from_static_str;
        let listener = Listener::default()
            .with_name(name("CONTROLLER"))
            .with_port(9093);
        let feature = Feature::default().with_name(name("metadata.version"));
        let request = ControllerRegistrationRequest::default()
            .with_controller_id(3001)
            .with_listeners(vec![listener.clone()])
            .with_features(vec![feature.with_max_supported_version(30)]);
        let mut scene = Scene::new();
        assert_eq!(scene.tell(&request, 0).error_code, 0);
        let controller = scene
            .image
            .controller(BrokerId(3001))
            .expect("it is registered");
        assert_eq!(controller.supports("metadata.version"), Some((0, 30)));
        assert_eq!(controller.end_points[0].port, 9093);

        assert_eq!(Scene::at(14).tell(&request, 0).error_code, 35);
        let odd = request.with_listeners(vec![listener.with_security_protocol(-1)]);
        assert_eq!(Scene::new().tell(&odd, 0).error_code, 42);
    }
}
