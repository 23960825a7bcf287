//! Brokers and clients of the simulated world: what they ask, and what they were promised.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use kafka_protocol::messages::broker_registration_request::{Feature, Listener};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest,
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest,
    BrokerRegistrationResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use yakt::api::{AnyWrite, erase};
use yakt::controller::core::Replied;
use yakt::ids::{BrokerId, Uuid};
use yakt::rules::features::FEATURES;

use super::world::World;

/// Brokers that may exist.
pub(super) const BROKERS: usize = 5;
/// Topics that may exist.
const TOPICS: usize = 12;

/// A request, as its sender remembers it.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Register {
        broker: usize,
        incarnation: Uuid,
    },
    Heartbeat {
        broker: usize,
        epoch: i64,
        offset: i64,
        want_fence: bool,
        want_shut_down: bool,
    },
    CreateTopic {
        name: String,
        partitions: i32,
        replication: i16,
    },
    DeleteTopic {
        name: String,
    },
    ProducerIds {
        broker: usize,
        epoch: i64,
    },
    ShrinkIsr {
        request: AlterPartitionRequest,
    },
}

impl Asked {
    /// The topic that it is about.
    fn topic(&self) -> Option<&str> {
        match self {
            Self::CreateTopic { name, .. } | Self::DeleteTopic { name } => Some(name),
            _ => None,
        }
    }

    pub(super) fn request(&self) -> (Box<dyn AnyWrite>, i16) {
        match self {
            Self::Register {
                broker,
                incarnation,
            } => (erase(registration(*broker, *incarnation)), 4),
            Self::Heartbeat {
                broker,
                epoch,
                offset,
                want_fence,
                want_shut_down,
            } => {
                let request = BrokerHeartbeatRequest::default()
                    .with_broker_id(id(*broker))
                    .with_broker_epoch(*epoch)
                    .with_current_metadata_offset(*offset)
                    .with_want_fence(*want_fence)
                    .with_want_shut_down(*want_shut_down);
                (erase(request), 1)
            }
            Self::CreateTopic {
                name,
                partitions,
                replication,
            } => {
                let topic = CreatableTopic::default()
                    .with_name(topic_name(name))
                    .with_num_partitions(*partitions)
                    .with_replication_factor(*replication);
                let request = CreateTopicsRequest::default()
                    .with_topics(vec![topic])
                    .with_timeout_ms(60_000);
                (erase(request), 7)
            }
            Self::DeleteTopic { name } => {
                let topic = DeleteTopicState::default().with_name(Some(topic_name(name)));
                let request = DeleteTopicsRequest::default()
                    .with_topics(vec![topic])
                    .with_timeout_ms(60_000);
                (erase(request), 6)
            }
            Self::ProducerIds { broker, epoch } => {
                let request = AllocateProducerIdsRequest::default()
                    .with_broker_id(id(*broker))
                    .with_broker_epoch(*epoch);
                (erase(request), 0)
            }
            Self::ShrinkIsr { request } => (erase(request.clone()), 3),
        }
    }
}

/// One broker process.
#[derive(Clone, Debug, Default)]
struct Broker {
    alive: bool,
    incarnation: Option<Uuid>,
    epoch: Option<i64>,
    stopping: bool,
}

/// What was asked, what was answered, and what follows from it.
#[derive(Default)]
pub(super) struct Deeds {
    ids: u64,
    under_way: BTreeMap<u64, Asked>,
    /// Those of them that name a topic which another one names, too.
    contested: BTreeSet<u64>,
    brokers: [Broker; BROKERS],
    /// Topics whose creation was acknowledged, and nobody asked since to delete.
    pub(super) created: BTreeSet<String>,
    /// Topics whose deletion was acknowledged, and nobody asked since to create.
    pub(super) deleted: BTreeSet<String>,
    /// Blocks of producer ids that were given out, and one that was given out twice.
    producer_ids: BTreeSet<i64>,
    pub(super) twice: Option<i64>,
    /// Epochs that were given to brokers, newest last.
    pub(super) broker_epochs: BTreeMap<usize, Vec<i64>>,
    pub(super) acknowledged: u64,
}

impl Deeds {
    pub(super) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn sent(&mut self, id: u64, asked: Asked) {
        match &asked {
            // From here on nobody knows which way it is, until an answer says so.
            Asked::CreateTopic { name, .. } | Asked::DeleteTopic { name } => {
                self.created.remove(name);
                self.deleted.remove(name);
                let others = self
                    .under_way
                    .iter()
                    .filter(|(_, other)| other.topic() == Some(name.as_str()));
                let others: Vec<u64> = others.map(|(id, _)| *id).collect();
                if !others.is_empty() {
                    // Which of two that are under way at once is decided first, nobody can tell.
                    self.contested.extend(others);
                    self.contested.insert(id);
                }
            }
            _ => {}
        }
        self.under_way.insert(id, asked);
    }

    pub(super) fn answered(&mut self, id: u64, replied: Replied) {
        let Some(asked) = self.under_way.remove(&id) else {
            return;
        };
        let contested = self.contested.remove(&id);
        let Ok(answer) = replied.result else { return };
        let answer = answer.into_any();
        match asked {
            Asked::Register {
                broker,
                incarnation,
            } => {
                let response = answer
                    .downcast::<BrokerRegistrationResponse>()
                    .expect("its own");
                let process = &mut self.brokers[broker];
                if response.error_code == 0 && process.incarnation == Some(incarnation) {
                    process.epoch = Some(response.broker_epoch);
                    self.broker_epochs
                        .entry(broker)
                        .or_default()
                        .push(response.broker_epoch);
                    self.acknowledged += 1;
                }
            }
            Asked::Heartbeat { broker, epoch, .. } => {
                let response = answer
                    .downcast::<BrokerHeartbeatResponse>()
                    .expect("its own");
                let process = &mut self.brokers[broker];
                if response.should_shut_down && process.epoch == Some(epoch) {
                    *process = Broker::default();
                }
            }
            Asked::CreateTopic { name, .. } => {
                let response = answer.downcast::<CreateTopicsResponse>().expect("its own");
                if response.topics[0].error_code == 0 {
                    self.acknowledged += 1;
                    if !contested {
                        self.created.insert(name);
                    }
                }
            }
            Asked::DeleteTopic { name } => {
                let response = answer.downcast::<DeleteTopicsResponse>().expect("its own");
                if response.responses[0].error_code == 0 {
                    self.acknowledged += 1;
                    if !contested {
                        self.deleted.insert(name);
                    }
                }
            }
            Asked::ProducerIds { .. } => {
                let response = answer
                    .downcast::<AllocateProducerIdsResponse>()
                    .expect("its own");
                if response.error_code == 0 {
                    self.acknowledged += 1;
                    let first = response.producer_id_start.0;
                    if !self.producer_ids.insert(first) {
                        self.twice = Some(first);
                    }
                }
            }
            Asked::ShrinkIsr { .. } => {}
        }
    }
}

impl World {
    pub(super) fn client_asks(&mut self) {
        let name = format!("topic-{}", self.dice.below(TOPICS));
        let partitions = 1 + self.dice.below(4) as i32;
        let asked = match self.dice.below(6) {
            0 => Asked::DeleteTopic { name },
            1 => match self.some_broker() {
                Some((broker, epoch)) => Asked::ProducerIds { broker, epoch },
                None => return,
            },
            n => Asked::CreateTopic {
                name,
                partitions,
                replication: 1 + (n % 3) as i16,
            },
        };
        let place = self.believed_leader();
        self.ask(place, asked);
    }

    /// A random broker does what it has to do next.
    pub(super) fn broker_acts(&mut self) {
        let broker = self.dice.below(BROKERS);
        let process = self.deeds.brokers[broker].clone();
        if !process.alive {
            return;
        }
        let place = self.believed_leader();
        let Some(epoch) = process.epoch else {
            let incarnation = process.incarnation.expect("a living broker has one");
            return self.ask(
                place,
                Asked::Register {
                    broker,
                    incarnation,
                },
            );
        };
        if self.dice.below(6) == 0
            && let Some(request) = self.isr_change(broker, epoch)
        {
            return self.ask(place, Asked::ShrinkIsr { request });
        }
        // It has read what some node has committed.
        let reads_at = self.dice.below(self.nodes.len());
        let offset = self.nodes[reads_at].applied.image.end_offset() - 1;
        let want_shut_down = process.stopping;
        let heartbeat = Asked::Heartbeat {
            broker,
            epoch,
            offset,
            want_fence: false,
            want_shut_down,
        };
        self.ask(place, heartbeat);
    }

    pub(super) fn broker_dies_or_returns(&mut self) {
        let broker = self.dice.below(BROKERS);
        let incarnation = self.dice.uuid();
        let dies = self.dice.below(3) == 0;
        let process = &mut self.deeds.brokers[broker];
        match process.alive {
            true if dies => *process = Broker::default(),
            true => process.stopping = true,
            false => {
                *process = Broker {
                    alive: true,
                    incarnation: Some(incarnation),
                    ..Broker::default()
                };
            }
        }
    }

    fn some_broker(&self) -> Option<(usize, i64)> {
        let broker = self.dice.below(BROKERS);
        Some((broker, self.deeds.brokers[broker].epoch?))
    }

    /// The leader of a partition drops a follower from the ISR, or takes one in.
    fn isr_change(&self, broker: usize, epoch: i64) -> Option<AlterPartitionRequest> {
        let image = &self.nodes[self.dice.below(self.nodes.len())].applied.image;
        let led: Vec<_> = image
            .partitions()
            .filter(|partition| partition.leader() == Some(id(broker)))
            .map(|partition| partition.to_owned())
            .collect();
        let led_by_it = led.get(self.dice.below(led.len()))?;
        let full = self.dice.below(2) == 0;
        let isr = if full {
            led_by_it.replicas.clone()
        } else {
            vec![id(broker)]
        };
        let isr = isr.into_iter().map(|member| {
            let epoch = image.broker(member).map_or(-1, |broker| broker.epoch);
            BrokerState::default()
                .with_broker_id(member)
                .with_broker_epoch(epoch)
        });
        let partition = PartitionData::default()
            .with_partition_index(led_by_it.index)
            .with_leader_epoch(led_by_it.leader_epoch)
            .with_partition_epoch(led_by_it.partition_epoch)
            .with_new_isr_with_epochs(isr.collect());
        let topic = TopicData::default()
            .with_topic_id(led_by_it.topic_id)
            .with_partitions(vec![partition]);
        let request = AlterPartitionRequest::default()
            .with_broker_id(id(broker))
            .with_broker_epoch(epoch)
            .with_topics(vec![topic]);
        Some(request)
    }
}

pub(super) fn id(broker: usize) -> BrokerId {
    BrokerId(broker as i32 + 1)
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn registration(broker: usize, incarnation: Uuid) -> BrokerRegistrationRequest {
    let listener = Listener::default()
        .with_name(StrBytes::from_static_str("PLAINTEXT"))
        .with_host(StrBytes::from_static_str("localhost"))
        .with_port(9092 + broker as u16);
    let features = FEATURES.iter().map(|feature| {
        Feature::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_supported_version(feature.min)
            .with_max_supported_version(feature.max)
    });
    BrokerRegistrationRequest::default()
        .with_broker_id(id(broker))
        .with_cluster_id(StrBytes::from_static_str("sim"))
        .with_incarnation_id(incarnation)
        .with_listeners(vec![listener])
        .with_features(features.collect())
        .with_log_dirs(vec![Uuid::from_u128(5000 + broker as u128)])
        .with_rack(Some(StrBytes::from_string(format!("rack-{}", broker % 3))))
        .with_previous_broker_epoch(-1)
}
