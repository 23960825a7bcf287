//! ControllerRegistration (70): a node of the quorum says which features it supports and where it
//! listens. It always writes, and nothing is ever compared or taken back
//! (`ClusterControlManager.registerController`, 4.3.1).

use kafka_protocol::messages::{ControllerRegistrationRequest, ControllerRegistrationResponse};
use kafka_protocol::protocol::StrBytes;

use super::broker_registration::check_security_protocol;
use crate::api::Write;
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
            .with_error_message(Some(StrBytes::from_string(refusal.text.to_string())))
    }
}
