//! AllocateProducerIds (67): a broker takes the next block of a thousand producer ids. No id is ever
//! given twice (`ProducerIdControlManager.generateNextProducerId`, 4.3.1).

use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, ProducerId,
};

use crate::api::Write;
use crate::ids::{BrokerEpoch, BrokerId};
use crate::image::side::PRODUCER_BLOCK_SIZE;
use crate::records::ProducerIdsRecord;
use crate::refusal::{self, Refusal};
use crate::rules::{Ctx, Decision, View, brokers};

impl Write for AllocateProducerIdsRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<AllocateProducerIdsResponse>, Refusal> {
        brokers::registered(ctx, self.broker_id, self.broker_epoch)?;
        let record = next_block(ctx, self.broker_id, self.broker_epoch)?;
        let first = record.next_producer_id - PRODUCER_BLOCK_SIZE;
        let response = AllocateProducerIdsResponse::default()
            .with_producer_id_start(ProducerId(first))
            .with_producer_id_len(PRODUCER_BLOCK_SIZE as i32);
        Ok(Decision::write(vec![record.into()], response))
    }

    fn refuse(&self, refusal: &Refusal) -> AllocateProducerIdsResponse {
        AllocateProducerIdsResponse::default().with_error_code(refusal.code())
    }

    fn broker(&self) -> Option<BrokerId> {
        Some(self.broker_id)
    }
}

/// The record that gives the next block to this node, which ends at the record's id. There is no
/// block behind the last number of 64 bits.
pub(crate) fn next_block(
    view: &View<'_>,
    node: BrokerId,
    epoch: BrokerEpoch,
) -> Result<ProducerIdsRecord, Refusal> {
    let first = view.image.next_producer_id().unwrap_or(0);
    let end = first
        .checked_add(PRODUCER_BLOCK_SIZE)
        .ok_or_else(refusal::producer_ids_exhausted)?;
    Ok(ProducerIdsRecord {
        broker_id: node,
        broker_epoch: epoch,
        next_producer_id: end,
    })
}
