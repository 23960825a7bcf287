//! UnregisterBroker (64): a broker is struck off for good. It need not be dead; if it lives it
//! notices and registers again (`ReplicationControlManager.unregisterBroker`, 4.3.1).
//!
//! Kafka leaves the broker eligible (ELR) where it was; here it loses that place, too: a broker that
//! does not exist cannot be waited for.

use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use kafka_protocol::protocol::StrBytes;

use crate::api::Write;
use crate::ids::BrokerId;
use crate::refusal::{self, Refusal};
use crate::rules::{Ctx, Decision, Plan, brokers};

impl Write for UnregisterBrokerRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<UnregisterBrokerResponse>, Refusal> {
        let broker = ctx.image.broker(self.broker_id);
        let broker = broker.ok_or_else(|| refusal::broker_id_not_registered(self.broker_id))?;
        if ctx.live.is_busy(broker.id) {
            return Err(refusal::broker_is_busy(broker.id));
        }
        let decision = Decision::answer(UnregisterBrokerResponse::default());
        Ok(brokers::carry_out(decision, ctx, Plan::unregister(broker)))
    }

    fn refuse(&self, refusal: &Refusal) -> UnregisterBrokerResponse {
        UnregisterBrokerResponse::default()
            .with_error_code(refusal.code())
            .with_error_message(Some(StrBytes::from_string(refusal.text.to_string())))
    }

    fn broker(&self) -> Option<BrokerId> {
        Some(self.broker_id)
    }
}
