//! InitProducerId (22): an idempotent producer that was bootstrapped here asks for its id.
//!
//! Without a transactional id any node may answer, so the leader takes a block for itself, as a
//! broker would, and gives out one id after the other; a new leader takes a new block and the rest of
//! the old one is forgotten. Transactions have a coordinator, which is a broker
//! (`TransactionCoordinator.handleInitProducerId`, 4.3.1).

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::allocate_producer_ids::next_block;
use crate::api::Write;
use crate::image::side::PRODUCER_BLOCK_SIZE;
use crate::refusal::{self, Refusal};
use crate::rules::live::ProducerIdBlock;
use crate::rules::{Ctx, Decision, LiveChange};

impl Write for InitProducerIdRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<InitProducerIdResponse>, Refusal> {
        match self.transactional_id.as_ref() {
            Some(id) if id.is_empty() => {
                return Err(refusal::invalid_request("The transactional id is empty."));
            }
            Some(_) => return Err(refusal::not_coordinator()),
            None => (),
        }
        if (self.producer_id.0 == -1) != (self.producer_epoch == -1) {
            return Err(refusal::invalid_request(
                "A producer id and its epoch come together or not at all.",
            ));
        }
        let own = ctx
            .live
            .producer_ids()
            .filter(|block| block.next < block.end);
        let (block, records) = match own {
            Some(block) => (block, Vec::new()),
            None => {
                let epoch = i64::from(ctx.quorum.epoch);
                let record = next_block(ctx, ctx.settings.node_id, epoch)?;
                let end = record.next_producer_id;
                let block = ProducerIdBlock {
                    next: end - PRODUCER_BLOCK_SIZE,
                    end,
                };
                (block, vec![record.into()])
            }
        };
        let response = InitProducerIdResponse::default()
            .with_producer_id(ProducerId(block.next))
            .with_producer_epoch(0);
        let rest = ProducerIdBlock {
            next: block.next + 1,
            ..block
        };
        Ok(Decision::write(records, response).with_live(LiveChange::ProducerIds(rest)))
    }

    fn refuse(&self, refusal: &Refusal) -> InitProducerIdResponse {
        InitProducerIdResponse::default()
            .with_error_code(refusal.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::scene::Scene;
    use kafka_protocol::messages::TransactionalId;
    use kafka_protocol::protocol::StrBytes;

    fn request() -> InitProducerIdRequest {
        InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    }

    #[test]
    fn a_block_is_taken_once_and_given_out_one_by_one() {
        let mut scene = Scene::new().begin();
        for id in 0..1_001 {
            let answer = scene.tell(&request(), 5);
            assert_eq!((answer.producer_id.0, answer.producer_epoch), (id, 0));
        }
        let expected = [
            "producer ids of 3000 below 1000",
            "producer ids of 3000 below 2000",
        ];
        assert_eq!(scene.written(), expected);
        // A new leader, on this node or another, does not know what is left.
        scene.live = crate::rules::Live::begin(&scene.image, scene.ticks);
        assert_eq!(scene.tell(&request(), 5).producer_id.0, 2_000);
    }

    #[test]
    fn transactions_are_for_brokers() {
        #[track_caller]
        fn check(request: &InitProducerIdRequest, code: i16) {
            let answer = Scene::new().tell(request, 5);
            assert_eq!((answer.error_code, answer.producer_id.0), (code, -1));
        }
        let id = |id: &'static str| Some(TransactionalId(StrBytes::from_static_str(id)));
        check(&request().with_transactional_id(id("t")), 16);
        check(&request().with_transactional_id(id("")), 42);
        check(&request().with_producer_epoch(3), 42);
    }
}
