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
