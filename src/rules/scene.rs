//! The stage on which rules and APIs are tested: a cluster that obeys, and clocks that wait.
//!
//! A scene begins as a formatted cluster without brokers. What is put on it goes through records,
//! as in life; what is decided on it is applied, plans slice by slice. Broker 1 has the directory
//! 101, and so on; every broker put on it is unfenced, caught up and just heard from.

use crate::clock::{Dice, Ticks};
use crate::ids::{BrokerId, ConfigResource, Endpoint, Millis, QuorumView, TopicId, Uuid, Voter};
use crate::image::Image;
use crate::image::side::SideChange;
use crate::records::control::ControlRecord;
use crate::records::{
    BrokerEndpoint, BrokerFeature, BrokerRegistrationChangeRecord, ConfigRecord,
    FeatureLevelRecord, PartitionRecord, Record, RegisterBrokerRecord, TopicRecord,
};
use crate::rules::{Caller, Ctx, Decision, Live, LiveChange, View, bootstrap, brokers, features};
use crate::settings::Settings;

/// The cluster id of every scene.
pub(crate) const CLUSTER_ID: &str = "cluster";
/// The node that leads: not a broker.
pub(crate) const NODE: BrokerId = BrokerId(3000);

/// A cluster under test. Public fields are there to be changed.
pub(crate) struct Scene {
    pub(crate) image: Image,
    pub(crate) live: Live,
    pub(crate) settings: Settings,
    pub(crate) quorum: QuorumView,
    pub(crate) caller: Caller,
    pub(crate) now: Millis,
    pub(crate) ticks: Ticks,
    dice: Dice,
    records: Vec<Record>,
}

impl Scene {
    /// A cluster of metadata.version 30 with every feature at its default.
    pub(crate) fn new() -> Self {
        Self::at(features::METADATA_VERSION_MAX)
    }

    /// A cluster of this metadata.version with every feature at its default.
    pub(crate) fn at(metadata_version: i16) -> Self {
        let endpoint = Endpoint {
            name: "CONTROLLER".to_owned(),
            host: "localhost".to_owned(),
            port: 9093,
        };
        let voter = Voter {
            id: NODE,
            directory_id: Uuid::from_u128(3000),
            endpoints: vec![endpoint],
        };
        let voters = vec![voter];
        let mut scene = Self {
            image: Image::default(),
            live: Live::default(),
            settings: Settings {
                cluster_id: CLUSTER_ID.to_owned(),
                node_id: NODE,
                ..Settings::default()
            },
            quorum: QuorumView {
                node_id: NODE.0,
                epoch: 1,
                leader: Some(NODE),
                active: true,
                voters: voters.clone().into(),
                ..QuorumView::default()
            },
            caller: Caller::internal(),
            now: 1_700_000_000_000,
            ticks: Ticks(0),
            dice: Dice::seeded(1),
            records: Vec::new(),
        };
        let control = [
            ControlRecord::KRaftVersion(1),
            ControlRecord::KRaftVoters(voters),
        ];
        scene
            .image
            .apply_control(0, 1, scene.now, &control)
            .expect("valid");
        let seeds = bootstrap::default_seeds(metadata_version);
        scene.write(bootstrap::activation(&scene.image, &seeds, &scene.settings));
        scene
    }

    /// The same with a feature at another level.
    pub(crate) fn feature(mut self, name: &str, level: i16) -> Self {
        self.write([FeatureLevelRecord {
            name: name.to_owned(),
            feature_level: level,
        }]);
        self
    }

    /// The same with brokers 1 to `count`.
    pub(crate) fn brokers(mut self, count: i32) -> Self {
        for id in 1..=count {
            self.add_broker(id, None);
        }
        self
    }

    /// The same with one broker per rack, the first one being 1.
    pub(crate) fn racks(mut self, racks: &[&str]) -> Self {
        for (id, rack) in (1..).zip(racks) {
            self.add_broker(id, Some((*rack).to_owned()));
        }
        self
    }

    /// The same with a topic: its partitions' replicas, all of them in sync, led by the first.
    pub(crate) fn topic(mut self, name: &str, partitions: &[&[i32]]) -> Self {
        let topic_id = topic_id(name);
        self.write([TopicRecord {
            name: name.to_owned(),
            topic_id,
        }]);
        for (index, replicas) in (0..).zip(partitions) {
            let replicas: Vec<BrokerId> = ids(replicas);
            let directory = |broker: &BrokerId| directory_id(broker.0);
            self.write([PartitionRecord {
                partition_id: index,
                topic_id,
                isr: replicas.clone(),
                leader: replicas[0],
                leader_epoch: 0,
                partition_epoch: 0,
                directories: replicas.iter().map(directory).collect(),
                replicas,
                ..PartitionRecord::default()
            }]);
        }
        self
    }

    /// The same with a key set on a resource.
    pub(crate) fn config(mut self, resource: ConfigResource, key: &str, value: &str) -> Self {
        self.write([ConfigRecord {
            resource_type: resource.kind as i8,
            resource_name: resource.name,
            name: key.to_owned(),
            value: Some(value.to_owned()),
        }]);
        self
    }

    /// The same with these brokers fenced, by record alone: what they led they still lead.
    pub(crate) fn fenced(mut self, brokers: &[i32]) -> Self {
        for id in brokers {
            let broker = self
                .image
                .broker(BrokerId(*id))
                .expect("it is on the scene");
            let record = BrokerRegistrationChangeRecord {
                fenced: 1,
                ..brokers::change_of(broker)
            };
            self.write([record]);
        }
        self
    }

    /// The same with another state of a partition: its ISR, its leader (-1: none), its ELR.
    pub(crate) fn partition(
        mut self,
        name: &str,
        index: i32,
        isr: &[i32],
        leader: i32,
        elr: &[i32],
    ) -> Self {
        let partition = self
            .image
            .partition(topic_id(name), index)
            .expect("it is on the scene");
        let mut record = partition.to_owned().to_record();
        record.isr = ids(isr);
        record.leader = BrokerId(leader);
        record.eligible_leader_replicas = Some(ids(elr));
        self.write([record]);
        self
    }

    /// Registers an unfenced broker that is caught up and was just heard from.
    pub(crate) fn add_broker(&mut self, id: i32, rack: Option<String>) {
        let (broker, epoch) = (BrokerId(id), self.image.end_offset());
        self.write([RegisterBrokerRecord {
            broker_id: broker,
            incarnation_id: Uuid::from_u128(9_000 + id as u128),
            broker_epoch: epoch,
            end_points: vec![BrokerEndpoint {
                name: "PLAINTEXT".to_owned(),
                host: "localhost".to_owned(),
                port: 9_000 + id as u16,
                security_protocol: 0,
            }],
            features: all_features(),
            rack,
            fenced: false,
            log_dirs: vec![directory_id(id)],
            ..RegisterBrokerRecord::default()
        }]);
        self.live.apply(LiveChange::Registered { broker, epoch });
        self.hear(id);
    }

    /// A heartbeat of this broker comes in: it lives and has read everything.
    pub(crate) fn hear(&mut self, id: i32) {
        let metadata_offset = self.image.end_offset() - 1;
        let (broker, at) = (BrokerId(id), self.ticks);
        let epoch = self.image.broker(broker).expect("it is on the scene").epoch;
        self.live.apply(LiveChange::Heartbeat {
            broker,
            epoch,
            at,
            metadata_offset,
        });
    }

    /// Time passes, on both clocks.
    pub(crate) fn advance_ms(&mut self, ms: i64) {
        self.now += ms;
        self.ticks = self.ticks.plus_ms(ms);
    }

    /// Writes records, as they are.
    pub(crate) fn write<R: Into<Record>>(&mut self, records: impl IntoIterator<Item = R>) {
        let records = records.into_iter().map(Into::into).collect();
        self.commit(records, &[]);
    }

    /// What a decision in this version may look at.
    pub(crate) fn ctx(&self, version: i16) -> Ctx<'_> {
        let Self {
            image,
            live,
            settings,
            quorum,
            caller,
            now,
            ticks,
            dice,
            ..
        } = self;
        let view = View {
            image,
            quorum,
            caller,
            settings,
            version,
        };
        Ctx {
            view,
            live,
            now: *now,
            ticks: *ticks,
            dice,
        }
    }

    /// Carries a decision out, its plan to the end, and gives its answer.
    pub(crate) fn apply<R>(&mut self, decision: Decision<R>) -> R {
        decision
            .live
            .into_iter()
            .for_each(|change| self.live.apply(change));
        self.commit(decision.records, &decision.side);
        if let Some(plan) = decision.plan {
            let mut next = Some(plan.from);
            while let Some(from) = next {
                let slice =
                    brokers::slice(&self.ctx(0), &plan, from, brokers::RECORDS_PER_SLICE_MAX);
                slice
                    .live
                    .into_iter()
                    .for_each(|change| self.live.apply(change));
                self.commit(slice.records, &[]);
                next = slice.next;
            }
        }
        decision.response
    }

    /// What was written since this was asked last, one line each.
    pub(crate) fn written(&mut self) -> Vec<String> {
        let records = std::mem::take(&mut self.records);
        records.iter().map(|record| self.shown(record)).collect()
    }

    /// Forgets what was written so far.
    pub(crate) fn begin(mut self) -> Self {
        self.records.clear();
        self
    }

    /// A record in a line: its name and the fields that say something.
    pub(crate) fn shown(&self, record: &Record) -> String {
        let name_of = |id: TopicId| {
            self.image
                .topic(id)
                .map_or_else(|| id.to_string(), |topic| topic.name().to_owned())
        };
        match record {
            Record::PartitionChange(it) => {
                let place = format!("{}-{}", name_of(it.topic_id), it.partition_id);
                let list = |name: &str, list: &Option<Vec<BrokerId>>| {
                    list.as_ref()
                        .map(|list| format!("{name}={:?}", numbers(list)))
                };
                let fields = [
                    list("isr", &it.isr),
                    (it.leader != -2).then(|| format!("leader={}", it.leader)),
                    list("replicas", &it.replicas),
                    list("removing", &it.removing_replicas),
                    list("adding", &it.adding_replicas),
                    (it.leader_recovery_state != -1)
                        .then(|| format!("recovery={}", it.leader_recovery_state)),
                    list("elr", &it.eligible_leader_replicas),
                    list("last", &it.last_known_elr),
                    it.directories.as_ref().map(|ids| {
                        format!(
                            "directories={:?}",
                            ids.iter().map(Uuid::as_u128).collect::<Vec<_>>()
                        )
                    }),
                ];
                let fields: Vec<String> = fields.into_iter().flatten().collect();
                format!("{place} {}", fields.join(" "))
            }
            Record::BrokerRegistrationChange(it) => {
                let dirs = |ids: &[Uuid]| ids.iter().map(Uuid::as_u128).collect::<Vec<_>>();
                let fields = [
                    (it.fenced != 0).then(|| format!("fenced={}", it.fenced)),
                    (it.in_controlled_shutdown != 0).then(|| "stopping".to_owned()),
                    (!it.log_dirs.is_empty()).then(|| format!("dirs={:?}", dirs(&it.log_dirs))),
                    it.cordoned_log_dirs
                        .as_ref()
                        .map(|ids| format!("cordoned={:?}", dirs(ids))),
                ];
                let fields: Vec<String> = fields.into_iter().flatten().collect();
                format!("broker {} {}", it.broker_id.0, fields.join(" "))
                    .trim_end()
                    .to_owned()
            }
            Record::RegisterBroker(it) => {
                let state = if it.fenced { "fenced" } else { "unfenced" };
                format!(
                    "register {} epoch={} {state}",
                    it.broker_id.0, it.broker_epoch
                )
            }
            Record::UnregisterBroker(it) => format!("unregister {}", it.broker_id.0),
            Record::ProducerIds(it) => {
                format!(
                    "producer ids of {} below {}",
                    it.broker_id.0, it.next_producer_id
                )
            }
            other => format!("{other:?}"),
        }
    }

    fn commit(&mut self, records: Vec<Record>, side: &[SideChange]) {
        let base = self.image.end_offset();
        let applied = self
            .image
            .apply_records(base, self.quorum.epoch, self.now, &records, side);
        applied.expect("what is decided can be applied");
        self.records.extend(records);
    }
}

/// Plain numbers as broker ids.
pub(crate) fn ids(list: &[i32]) -> Vec<BrokerId> {
    list.iter().copied().map(BrokerId).collect()
}

/// Broker ids as plain numbers.
pub(crate) fn numbers(list: &[BrokerId]) -> Vec<i32> {
    list.iter().map(|broker| broker.0).collect()
}

/// The id of the topic of this name on any scene.
pub(crate) fn topic_id(name: &str) -> TopicId {
    let bytes = name
        .bytes()
        .fold(0u128, |id, byte| id << 8 | u128::from(byte));
    Uuid::from_u128(1 << 120 | bytes)
}

/// The only directory of this broker.
pub(crate) fn directory_id(broker: i32) -> Uuid {
    Uuid::from_u128(100 + broker as u128)
}

/// Every feature, as a broker of this release supports them.
pub(crate) fn all_features() -> Vec<BrokerFeature> {
    let feature = |feature: &features::Feature| BrokerFeature {
        name: feature.name.to_owned(),
        min_supported_version: feature.min,
        max_supported_version: feature.max,
    };
    features::FEATURES.iter().map(feature).collect()
}
