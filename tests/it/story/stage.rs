//! Where a story is played: a leader whose proposals commit at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use kafka_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use kafka_protocol::messages::broker_registration_request::{Feature, Listener};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AlterPartitionRequest, BrokerHeartbeatRequest,
    BrokerRegistrationRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    IncrementalAlterConfigsRequest, TopicName, UnregisterBrokerRequest,
};
use kafka_protocol::protocol::StrBytes;
use yakt::api::{AnyWrite, erase};
use yakt::clock::{Dice, Ticks};
use yakt::controller::core::{Ask, Core, Effects, Event, Now, Replied, Touch};
use yakt::controller::{Outcome, QuorumEvent};
use yakt::ids::{BrokerId, Endpoint, Uuid, Voter};
use yakt::image::Image;
use yakt::rules::Caller;
use yakt::rules::bootstrap::default_seeds;
use yakt::rules::features::FEATURES;
use yakt::settings::Settings;

use super::tell;

/// How often a living broker sends a heartbeat, in milliseconds.
const HEARTBEAT_MS: i64 = 2_000;

pub(super) struct Stage {
    core: Core,
    committed: Image,
    now: Now,
    /// Brokers that send heartbeats.
    alive: BTreeSet<i32>,
    /// How often each broker came.
    lives: BTreeMap<i32, u32>,
    answers: Arc<Mutex<Vec<Replied>>>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let settings = Settings {
            cluster_id: "story".to_owned(),
            metadata_max_idle_interval_ms: 0,
            ..Settings::default()
        };
        let now = Now {
            millis: 1_000_000,
            ticks: Ticks(0),
        };
        let core = Core::new(Arc::new(settings), default_seeds(30), Dice::seeded(1));
        let mut stage = Self {
            core,
            committed: Image::default(),
            now,
            alive: BTreeSet::new(),
            lives: BTreeMap::new(),
            answers: Arc::default(),
        };
        let endpoint = Endpoint {
            name: "CONTROLLER".to_owned(),
            host: "localhost".to_owned(),
            port: 9093,
        };
        let voter = Voter {
            id: BrokerId(3000),
            directory_id: Uuid::from_u128(1000),
            endpoints: vec![endpoint],
        };
        stage.event(Event::Quorum(QuorumEvent::Voters(vec![voter])));
        let image = stage.committed.clone();
        stage.event(Event::Quorum(QuorumEvent::Leading { epoch: 1, image }));
        stage
    }

    /// Plays one command; gives the records and answers it led to, a line each.
    pub(super) fn play(&mut self, command: &str) -> Vec<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let named: BTreeMap<&str, &str> = words
            .iter()
            .filter_map(|word| word.split_once('='))
            .collect();
        let number = |name: &str, default: i32| {
            named
                .get(name)
                .map_or(default, |text| text.parse().expect("a number"))
        };
        match words.as_slice() {
            ["register-broker", id, ..] => {
                let id = id.parse().expect("a broker id");
                let mut lines = self.register(id, named.get("rack").copied());
                if !words.contains(&"only") {
                    lines.extend(self.heartbeat(id, false));
                }
                lines
            }
            ["heartbeat", id] => self.heartbeat(id.parse().expect("a broker id"), false),
            ["stop-broker", id] => self.heartbeat(id.parse().expect("a broker id"), true),
            ["unregister-broker", id] => {
                let id = id.parse().expect("a broker id");
                self.alive.remove(&id);
                let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(id));
                self.ask(erase(request), 0)
            }
            ["silence", id, ..] => {
                let silent = id.parse().expect("a broker id");
                let seconds = named["for"].trim_end_matches('s').parse::<i64>();
                self.alive.remove(&silent);
                self.pass(seconds.expect("seconds") * 1000)
            }
            ["create-topic", name, ..] => {
                let topic = CreatableTopic::default()
                    .with_name(topic_name(name))
                    .with_num_partitions(number("partitions", 1))
                    .with_replication_factor(number("rf", 1) as i16);
                let request = CreateTopicsRequest::default()
                    .with_topics(vec![topic])
                    .with_timeout_ms(10_000);
                self.ask(erase(request), 7)
            }
            ["delete-topic", name] => {
                let topic = DeleteTopicState::default().with_name(Some(topic_name(name)));
                let request = DeleteTopicsRequest::default()
                    .with_topics(vec![topic])
                    .with_timeout_ms(10_000);
                self.ask(erase(request), 6)
            }
            ["add-partitions", name, ..] => {
                let topic = CreatePartitionsTopic::default()
                    .with_name(topic_name(name))
                    .with_count(number("to", 2))
                    .with_assignments(None);
                let request = CreatePartitionsRequest::default()
                    .with_topics(vec![topic])
                    .with_timeout_ms(10_000);
                self.ask(erase(request), 3)
            }
            ["set-config", "topic", name, ..] => self.set_config(2, name, &words[3..]),
            ["set-config", "broker", name, ..] => self.set_config(4, name, &words[3..]),
            ["set-config", "cluster", ..] => self.set_config(4, "", &words[2..]),
            ["alter-isr", partition, isr] => self.alter_isr(partition, isr),
            ["producer-ids", id] => {
                let id = id.parse().expect("a broker id");
                let request = AllocateProducerIdsRequest::default()
                    .with_broker_id(BrokerId(id))
                    .with_broker_epoch(self.epoch(id));
                self.ask(erase(request), 0)
            }
            ["show", partition] => vec![tell::partition(&self.committed, partition)],
            _ => panic!("no such command: {command:?}"),
        }
    }

    fn register(&mut self, id: i32, rack: Option<&str>) -> Vec<String> {
        self.alive.insert(id);
        let lives = self.lives.entry(id).or_default();
        *lives += 1;
        let incarnation = Uuid::from_u128((id as u128) << 64 | u128::from(*lives) << 8 | 0xff);
        let listener = Listener::default()
            .with_name(StrBytes::from_static_str("PLAINTEXT"))
            .with_host(StrBytes::from_static_str("localhost"))
            .with_port(9092);
        let features = FEATURES.iter().map(|feature| {
            Feature::default()
                .with_name(StrBytes::from_static_str(feature.name))
                .with_min_supported_version(feature.min)
                .with_max_supported_version(feature.max)
        });
        let request = BrokerRegistrationRequest::default()
            .with_broker_id(BrokerId(id))
            .with_cluster_id(StrBytes::from_static_str("story"))
            .with_incarnation_id(incarnation)
            .with_listeners(vec![listener])
            .with_features(features.collect())
            .with_rack(rack.map(|rack| StrBytes::from_string(rack.to_owned())))
            .with_log_dirs(vec![Uuid::from_u128(0xd000 + id as u128)])
            .with_previous_broker_epoch(-1);
        self.ask(erase(request), 4)
    }

    fn heartbeat(&mut self, id: i32, want_shut_down: bool) -> Vec<String> {
        let epoch = self.epoch(id);
        let request = BrokerHeartbeatRequest::default()
            .with_broker_id(BrokerId(id))
            .with_broker_epoch(epoch)
            .with_current_metadata_offset(self.committed.end_offset() - 1)
            .with_want_shut_down(want_shut_down);
        let touch = Touch {
            broker: BrokerId(id),
            epoch,
            at: self.now.ticks,
        };
        self.event(Event::Touches(vec![touch]));
        self.ask(erase(request), 1)
    }

    fn set_config(&mut self, kind: i8, name: &str, settings: &[&str]) -> Vec<String> {
        let configs = settings.iter().map(|setting| {
            let (key, value) = setting.split_once('=').expect("key=value");
            let value = (!value.is_empty()).then(|| StrBytes::from_string(value.to_owned()));
            AlterableConfig::default()
                .with_name(StrBytes::from_string(key.to_owned()))
                .with_config_operation(i8::from(value.is_none()))
                .with_value(value)
        });
        let resource = AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_string(name.to_owned()))
            .with_configs(configs.collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        self.ask(erase(request), 1)
    }

    /// The leader of a partition reports its ISR: `alter-isr orders-0 [1,2]`.
    fn alter_isr(&mut self, partition: &str, isr: &str) -> Vec<String> {
        let (name, index) = partition.rsplit_once('-').expect("topic-index");
        let index = index.parse().expect("an index");
        let topic = self
            .committed
            .topic_by_name(name)
            .expect("a topic of the story");
        let now = topic.partition(index).expect("a partition of the story");
        let members = isr.trim_matches(['[', ']']).split(',').map(|id| {
            let id = BrokerId(id.parse().expect("a broker id"));
            BrokerState::default()
                .with_broker_id(id)
                .with_broker_epoch(self.epoch(id.0))
        });
        let data = PartitionData::default()
            .with_partition_index(index)
            .with_leader_epoch(now.leader_epoch())
            .with_partition_epoch(now.partition_epoch())
            .with_new_isr_with_epochs(members.collect());
        let leader = now.leader().expect("a leader reports");
        let topic = TopicData::default()
            .with_topic_id(topic.id())
            .with_partitions(vec![data]);
        let request = AlterPartitionRequest::default()
            .with_broker_id(leader)
            .with_broker_epoch(self.epoch(leader.0))
            .with_topics(vec![topic]);
        self.ask(erase(request), 3)
    }

    /// Time passes; who is there sends heartbeats.
    fn pass(&mut self, ms: i64) -> Vec<String> {
        let mut lines = Vec::new();
        let end = self.now.ticks.plus_ms(ms);
        let mut next_heartbeat = self.now.ticks.plus_ms(HEARTBEAT_MS);
        while self.now.ticks < end {
            let wake = self.core.wake_at().unwrap_or(end).max(self.now.ticks);
            let until = wake.min(next_heartbeat).min(end);
            self.now.millis += until.ms_since(self.now.ticks);
            self.now.ticks = until;
            if until == next_heartbeat {
                next_heartbeat = until.plus_ms(HEARTBEAT_MS);
                for id in self.alive.iter().copied().collect::<Vec<_>>() {
                    lines.extend(self.heartbeat(id, false));
                }
            }
            lines.extend(self.event(Event::Tick));
            // A timer that asks to be woken at once must not stop the clock.
            self.now.ticks = Ticks(self.now.ticks.0 + 1);
        }
        lines
    }

    fn ask(&mut self, request: Box<dyn AnyWrite>, version: i16) -> Vec<String> {
        let answers = Arc::clone(&self.answers);
        let reply =
            Box::new(move |replied| answers.lock().expect("no answer panics").push(replied));
        let (caller, arrived) = (Caller::internal(), self.now.ticks);
        let mut lines = self.event(Event::Asks(vec![Ask {
            request,
            caller,
            api: -1,
            version,
            arrived,
            reply,
        }]));
        for replied in std::mem::take(&mut *self.answers.lock().expect("no answer panics")) {
            lines.extend(tell::answer(replied));
        }
        lines
    }

    /// One event and all that follows from it: proposals commit at once.
    fn event(&mut self, event: Event) -> Vec<String> {
        let mut lines = Vec::new();
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let Effects {
                proposals, replies, ..
            } = self.core.step(event, self.now);
            for (reply, replied) in replies {
                reply(replied);
            }
            for proposal in proposals.into_iter().rev() {
                lines.extend(tell::batch(&self.committed, &proposal.batch));
                self.committed = proposal.after;
                let (ticket, outcome) = (proposal.ticket, Outcome::Applied);
                events.push(Event::Quorum(QuorumEvent::Outcome { ticket, outcome }));
            }
            if events.is_empty() && self.core.busy() {
                events.push(Event::Tick);
            }
        }
        lines
    }

    fn epoch(&self, id: i32) -> i64 {
        self.committed
            .broker(BrokerId(id))
            .map_or(-1, |broker| broker.epoch)
    }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
