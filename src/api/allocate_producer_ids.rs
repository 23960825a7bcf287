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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::scene::Scene;

    #[test]
    fn blocks_follow_one_another() {
        let mut scene = Scene::new().brokers(2).begin();
        for (id, first) in [(1, 0), (2, 1_000), (1, 2_000)] {
            let epoch = scene
                .image
                .broker(BrokerId(id))
                .expect("it is on the scene")
                .epoch;
            let request = AllocateProducerIdsRequest::default()
                .with_broker_id(BrokerId(id))
                .with_broker_epoch(epoch);
            let answer = scene.tell(&request, 0);
            assert_eq!(
                (answer.producer_id_start.0, answer.producer_id_len),
                (first, 1_000)
            );
            let written = format!("producer ids of {id} below {}", first + 1_000);
            assert_eq!(scene.written(), [written]);
            let stale = request.with_broker_epoch(epoch - 1);
            assert_eq!(scene.tell(&stale, 0).error_code, 77);
        }
    }

    #[test]
    fn there_is_no_block_behind_the_last_number() {
        let mut scene = Scene::new().brokers(1);
        let next_producer_id = i64::MAX - 999;
        scene.write([ProducerIdsRecord {
            next_producer_id,
            ..ProducerIdsRecord::default()
        }]);
        let epoch = scene
            .image
            .broker(BrokerId(1))
            .expect("it is on the scene")
            .epoch;
        let request = AllocateProducerIdsRequest::default()
            .with_broker_id(BrokerId(1))
            .with_broker_epoch(epoch);
        assert_eq!(scene.tell(&request, 0).error_code, -1);
    }
}
