//! UnregisterBroker (64): a broker is struck off for good. It need not be dead; if it lives it
//! notices and registers again (`ReplicationControlManager.unregisterBroker`, 4.3.1).
//!
//! Kafka leaves the broker eligible (ELR) where it was; here it loses that place, too: a broker that
//! does not exist cannot be waited for.

use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use crate::api::{Write, message};
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
            .with_error_message(message(refusal))
    }

    fn broker(&self) -> Option<BrokerId> {
        Some(self.broker_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::scene::Scene;

    #[test]
    fn a_broker_is_struck_off_alive_or_not() {
        let mut scene = Scene::new().brokers(2).topic("a", &[&[1, 2]]).begin();
        let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(1));
        assert_eq!(scene.tell(&request, 0).error_code, 0);
        assert_eq!(scene.written(), ["a-0 isr=[2] leader=2", "unregister 1"]);
        assert!(!scene.live.is_tracked(BrokerId(1)));

        let answer = scene.tell(&request, 0);
        assert_eq!(answer.error_code, 102);
        let text = answer.error_message.expect("it says why");
        assert_eq!(&*text, "Broker ID 1 is not currently registered");
    }
}
