//! Brokers and controllers as they registered (`ClusterControlManager`, `ClusterImage`, 4.3.1).

use std::sync::Arc;

use imbl::OrdMap;

use crate::ids::{BrokerEpoch, BrokerId, Offset, Stamp, Uuid};
use crate::records::{
    BrokerEndpoint, BrokerFeature, BrokerRegistrationChangeRecord, ControllerEndpoint,
    ControllerFeature, RegisterBrokerRecord, RegisterControllerRecord, UnregisterBrokerRecord,
};

use super::error::ApplyError;

/// The highest number of a security protocol (SASL_SSL).
const SECURITY_PROTOCOL_MAX: i16 = 3;

/// A registered broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Broker {
    /// Its id.
    pub id: BrokerId,
    /// Base offset of the batch that registered it.
    pub epoch: BrokerEpoch,
    /// New with each start of its process.
    pub incarnation_id: Uuid,
    /// Its listeners, as it sent them.
    pub end_points: Vec<BrokerEndpoint>,
    /// The levels it supports of each feature, as it sent them.
    pub features: Vec<BrokerFeature>,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// It may neither lead nor be in an ISR.
    pub fenced: bool,
    /// It wants to stop and gives its leaderships away.
    pub in_controlled_shutdown: bool,
    /// Its online log directories, sorted as Kafka sorts uuids.
    pub log_dirs: Vec<Uuid>,
    /// Those it takes no new replicas into; `None` until it said so.
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
    /// Left from migrations; 4.x brokers always say no.
    pub is_migrating_zk_broker: bool,
    /// Offset of its RegisterBrokerRecord: a broker that has read beyond it is caught up.
    pub registered_at: Offset,
    /// When it changed last.
    pub stamp: Stamp,
}

impl Broker {
    /// Neither fenced nor about to stop.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }
    /// Its listener of this name.
    pub fn end_point(&self, listener: &str) -> Option<&BrokerEndpoint> {
        self.end_points.iter().find(|it| it.name == listener)
    }
    /// The lowest and highest level it supports of this feature.
    pub fn supports(&self, feature: &str) -> Option<(i16, i16)> {
        let found = self.features.iter().find(|it| it.name == feature)?;
        Some((found.min_supported_version, found.max_supported_version))
    }
    /// The record that registers exactly this.
    pub fn to_record(&self) -> RegisterBrokerRecord {
        RegisterBrokerRecord {
            broker_id: self.id,
            is_migrating_zk_broker: self.is_migrating_zk_broker,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            end_points: self.end_points.clone(),
            features: self.features.clone(),
            rack: self.rack.clone(),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            log_dirs: self.log_dirs.clone(),
            cordoned_log_dirs: self.cordoned_log_dirs.clone(),
        }
    }
}

/// A registered controller.
#[derive(Clone, Debug, PartialEq)]
pub struct Controller {
    /// Its node id.
    pub id: BrokerId,
    /// New with each start of its process.
    pub incarnation_id: Uuid,
    /// Left from migrations.
    pub zk_migration_ready: bool,
    /// Its listeners.
    pub end_points: Vec<ControllerEndpoint>,
    /// The levels it supports of each feature.
    pub features: Vec<ControllerFeature>,
    /// When it registered.
    pub stamp: Stamp,
}

impl Controller {
    /// The lowest and highest level it supports of this feature.
    pub fn supports(&self, feature: &str) -> Option<(i16, i16)> {
        let found = self.features.iter().find(|it| it.name == feature)?;
        Some((found.min_supported_version, found.max_supported_version))
    }
    /// The record that registers exactly this.
    pub fn to_record(&self) -> RegisterControllerRecord {
        RegisterControllerRecord {
            controller_id: self.id,
            incarnation_id: self.incarnation_id,
            zk_migration_ready: self.zk_migration_ready,
            end_points: self.end_points.clone(),
            features: self.features.clone(),
        }
    }
}

/// All registrations.
#[derive(Clone, Default)]
pub(super) struct Cluster {
    pub(super) brokers: OrdMap<BrokerId, Arc<Broker>>,
    pub(super) controllers: OrdMap<BrokerId, Arc<Controller>>,
}

impl Cluster {
    /// RegisterBrokerRecord: replaces the whole registration; nothing else follows from it.
    pub(super) fn register(
        &mut self,
        record: &RegisterBrokerRecord,
        stamp: Stamp,
    ) -> Result<Option<Arc<Broker>>, ApplyError> {
        if record.end_points.iter().any(|it| it.name.is_empty()) {
            return Err(ApplyError::BadListener(record.broker_id));
        }
        let broker = Broker {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            end_points: record.end_points.clone(),
            features: record.features.clone(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_dirs: sorted(&record.log_dirs),
            cordoned_log_dirs: record.cordoned_log_dirs.clone(),
            is_migrating_zk_broker: record.is_migrating_zk_broker,
            registered_at: stamp.offset,
            stamp,
        };
        Ok(self.brokers.insert(record.broker_id, Arc::new(broker)))
    }

    /// UnregisterBrokerRecord: the registration goes; replicas and configs stay.
    pub(super) fn unregister(
        &mut self,
        record: &UnregisterBrokerRecord,
    ) -> Result<Arc<Broker>, ApplyError> {
        let broker = self.expect(record.broker_id, record.broker_epoch)?;
        self.brokers.remove(&record.broker_id);
        Ok(broker)
    }

    /// FenceBrokerRecord, UnfenceBrokerRecord: only old logs have them.
    pub(super) fn set_fenced(
        &mut self,
        id: BrokerId,
        epoch: BrokerEpoch,
        fenced: bool,
        stamp: Stamp,
    ) -> Result<(), ApplyError> {
        let broker = self.expect(id, epoch)?;
        self.brokers.insert(
            id,
            Arc::new(Broker {
                fenced,
                stamp,
                ..Broker::clone(&broker)
            }),
        );
        Ok(())
    }

    /// BrokerRegistrationChangeRecord: what is absent stays.
    pub(super) fn change(
        &mut self,
        record: &BrokerRegistrationChangeRecord,
        stamp: Stamp,
    ) -> Result<(), ApplyError> {
        let broker = self.expect(record.broker_id, record.broker_epoch)?;
        let mut broker = Broker {
            stamp,
            ..Broker::clone(&broker)
        };
        match record.fenced {
            -1 => broker.fenced = false,
            0 => {}
            1 => broker.fenced = true,
            other => return Err(ApplyError::BadField("fenced", i64::from(other))),
        }
        match record.in_controlled_shutdown {
            0 => {}
            1 => broker.in_controlled_shutdown = true,
            other => {
                return Err(ApplyError::BadField(
                    "inControlledShutdown",
                    i64::from(other),
                ));
            }
        }
        if !record.log_dirs.is_empty() {
            broker.log_dirs = sorted(&record.log_dirs);
        }
        if let Some(cordoned) = &record.cordoned_log_dirs {
            broker.cordoned_log_dirs = Some(cordoned.clone());
        }
        self.brokers.insert(record.broker_id, Arc::new(broker));
        Ok(())
    }

    /// RegisterControllerRecord: replaces the whole registration.
    pub(super) fn register_controller(
        &mut self,
        record: &RegisterControllerRecord,
        stamp: Stamp,
    ) -> Result<(), ApplyError> {
        let known = 0..=SECURITY_PROTOCOL_MAX;
        let bad =
            |it: &ControllerEndpoint| it.name.is_empty() || !known.contains(&it.security_protocol);
        if record.end_points.iter().any(bad) {
            return Err(ApplyError::BadListener(record.controller_id));
        }
        let controller = Controller {
            id: record.controller_id,
            incarnation_id: record.incarnation_id,
            zk_migration_ready: record.zk_migration_ready,
            end_points: record.end_points.clone(),
            features: record.features.clone(),
            stamp,
        };
        self.controllers
            .insert(record.controller_id, Arc::new(controller));
        Ok(())
    }

    /// A snapshot knows where a broker registered, its record does not.
    pub(super) fn set_registered_at(&mut self, id: BrokerId, registered_at: Offset) {
        if let Some(broker) = self.brokers.get_mut(&id) {
            *broker = Arc::new(Broker {
                registered_at,
                ..Broker::clone(broker)
            });
        }
    }

    fn expect(&self, id: BrokerId, epoch: BrokerEpoch) -> Result<Arc<Broker>, ApplyError> {
        let broker = self.brokers.get(&id).ok_or(ApplyError::UnknownBroker(id))?;
        if broker.epoch != epoch {
            return Err(ApplyError::BrokerEpoch {
                broker: id,
                expected: broker.epoch,
                found: epoch,
            });
        }
        Ok(broker.clone())
    }
}

/// Java orders uuids by their two halves as signed numbers.
fn sorted(ids: &[Uuid]) -> Vec<Uuid> {
    let mut ids = ids.to_vec();
    ids.sort_unstable_by_key(|id| {
        let (high, low) = id.as_u64_pair();
        (high as i64, low as i64)
    });
    ids
}
