//! Random valid histories: whatever happened, the image equals the one made from its own snapshot,
//! the plain model that has no rows, and an older image plus what changed since.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Chooses like dice, from the numbers that proptest made and can shrink.
struct Choices<'a>(std::slice::Iter<'a, u32>);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        let choice = self.0.next().copied().unwrap_or(0) as usize;
        if bound == 0 { 0 } else { choice % bound }
    }
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    /// Brokers 0 to 9 without repetition; sometimes more than a row holds.
    fn brokers(&mut self) -> Vec<i32> {
        let count = if self.one_in(6) { 6 } else { 1 + self.below(4) };
        let first = self.below(10);
        (0..count)
            .map(|at| ((first + at * 3) % 10) as i32)
            .collect()
    }
    fn some_of(&mut self, list: &[BrokerId]) -> Vec<BrokerId> {
        let mask = self.below(64);
        let mut some: Vec<_> = list
            .iter()
            .enumerate()
            .filter(|(at, _)| mask >> at & 1 == 1)
            .map(|(_, id)| *id)
            .collect();
        if self.one_in(3) {
            some.reverse();
        }
        if self.one_in(12) {
            some.push(BrokerId(11));
        }
        some
    }
}

/// What partitions are without any rows: the records' own rules and nothing else.
#[derive(Clone, Default)]
struct Plain {
    topics: BTreeMap<String, Uuid>,
    partitions: BTreeMap<(Uuid, i32), Partition>,
}

impl Plain {
    fn apply(&mut self, record: &Record) {
        match record {
            Record::Topic(it) => drop(self.topics.insert(it.name.clone(), it.topic_id)),
            Record::RemoveTopic(it) => {
                self.topics.retain(|_, id| *id != it.topic_id);
                self.partitions.retain(|(id, _), _| *id != it.topic_id);
            }
            Record::Partition(it) => {
                let partition = Partition::from_record(it).unwrap();
                self.partitions
                    .insert((it.topic_id, it.partition_id), partition);
            }
            Record::PartitionChange(it) => {
                let partition = self
                    .partitions
                    .get_mut(&(it.topic_id, it.partition_id))
                    .unwrap();
                *partition = partition.merge(it).unwrap();
            }
            Record::ClearElr(it) => {
                for ((id, _), partition) in &mut self.partitions {
                    let named =
                        it.topic_name.is_empty() || self.topics.get(&it.topic_name) == Some(id);
                    if named && !(partition.elr.is_empty() && partition.last_known_elr.is_empty()) {
                        partition.elr.clear();
                        partition.last_known_elr.clear();
                        partition.partition_epoch += 1;
                    }
                }
            }
            _ => {}
        }
    }

    fn on(&self, wanted: impl Fn(&Partition) -> bool) -> Vec<(Uuid, i32)> {
        self.partitions
            .iter()
            .filter(|(_, it)| wanted(it))
            .map(|(key, _)| *key)
            .collect()
    }
}

/// The next record of a history, one that fits the image.
fn next_record(image: &Image, choices: &mut Choices<'_>) -> Record {
    let topic = {
        let at = choices.below(image.counts().topics);
        image.topics().nth(at)
    };
    let partition_of = {
        let at = choices.below(image.counts().partitions);
        image.partitions().nth(at).map(PartitionView::to_owned)
    };
    let broker = {
        let at = choices.below(image.brokers().count());
        image.brokers().nth(at)
    };
    match (choices.below(20), topic, partition_of, broker) {
        (0, ..) => {
            let mut record = register(choices.below(10) as i32, image.end_offset());
            record.fenced = choices.one_in(2);
            if choices.one_in(3)
                && let Some(known) = image.broker(record.broker_id)
            {
                record.incarnation_id = known.incarnation_id;
            }
            record.into()
        }
        (1, .., Some(it)) => UnregisterBrokerRecord {
            broker_id: it.id,
            broker_epoch: it.epoch,
        }
        .into(),
        (2 | 3, .., Some(it)) => BrokerRegistrationChangeRecord {
            broker_id: it.id,
            broker_epoch: it.epoch,
            fenced: choices.below(3) as i8 - 1,
            in_controlled_shutdown: choices.below(2) as i8,
            cordoned_log_dirs: choices.one_in(3).then(Vec::new),
            ..Default::default()
        }
        .into(),
        (4 | 5, ..) => {
            let n = image.end_offset() as u32;
            TopicRecord {
                name: format!("t{}-{n}", choices.below(9)),
                topic_id: topic_id(n),
            }
            .into()
        }
        (6, Some(it), ..) if choices.one_in(2) => RemoveTopicRecord { topic_id: it.id() }.into(),
        (6..=9, Some(it), ..) => {
            let index = it.next_partition_index() + if choices.one_in(8) { 3 } else { 0 };
            let index = if choices.one_in(9) {
                choices.below(5) as i32
            } else {
                index
            };
            let mut record = partition(0, index, &choices.brokers());
            record.topic_id = it.id();
            record.isr = choices.some_of(&record.replicas);
            record.leader = record.isr.first().copied().unwrap_or(BrokerId(-1));
            record.eligible_leader_replicas =
                choices.one_in(3).then(|| choices.some_of(&record.replicas));
            if choices.one_in(6) {
                record.adding_replicas = choices.some_of(&record.replicas);
            }
            if choices.one_in(4) {
                record.directories.clear();
            }
            record.into()
        }
        (10..=15, _, Some(it), _) => {
            let replicas = choices.one_in(5).then(|| ids(&choices.brokers()));
            let now = replicas.clone().unwrap_or_else(|| it.replicas.clone());
            let directories = (replicas.is_some() || choices.one_in(8)).then(|| {
                now.iter()
                    .map(|id| Uuid::from_u128(0xd100 + id.0 as u128))
                    .collect()
            });
            PartitionChangeRecord {
                partition_id: it.index,
                topic_id: it.topic_id,
                isr: choices.one_in(2).then(|| choices.some_of(&now)),
                leader: [-2, -2, -1, now[0].0][choices.below(4)],
                removing_replicas: choices.one_in(6).then(|| choices.some_of(&it.replicas)),
                adding_replicas: choices.one_in(6).then(Vec::new),
                leader_recovery_state: [-1, -1, 0, 1][choices.below(4)],
                eligible_leader_replicas: choices.one_in(3).then(|| choices.some_of(&now)),
                last_known_elr: choices.one_in(4).then(|| choices.some_of(&now)),
                replicas,
                directories,
            }
            .into()
        }
        (16, Some(it), ..) => ClearElrRecord {
            topic_name: if choices.one_in(2) {
                it.name().to_owned()
            } else {
                String::new()
            },
        }
        .into(),
        (17, topic, ..) => ConfigRecord {
            resource_type: if topic.is_some() { 2 } else { 4 },
            resource_name: topic.map_or(String::new(), |it| it.name().to_owned()),
            name: format!("key{}", choices.below(3)),
            value: choices.one_in(2).then(|| format!("{}", choices.below(100))),
        }
        .into(),
        (18, ..) => {
            let next = image.next_producer_id().unwrap_or(0) + 1000;
            let broker_id = BrokerId(choices.below(10) as i32);
            ProducerIdsRecord {
                broker_id,
                broker_epoch: 1,
                next_producer_id: next,
            }
            .into()
        }
        (19, ..) => ClientQuotaRecord {
            entity: vec![EntityData {
                entity_type: "user".to_owned(),
                entity_name: None,
            }],
            key: format!("key{}", choices.below(2)),
            value: choices.below(10) as f64,
            remove: choices.one_in(2),
        }
        .into(),
        _ => NoOpRecord {}.into(),
    }
}

/// Everything an image says, by key: for comparing what changed with what is there.
fn told<'a>(changes: impl IntoIterator<Item = Change<'a>>, known: &mut BTreeMap<String, String>) {
    for change in changes {
        let (key, value) = match change.what {
            Changed::Gone(Gone::Topic { name, .. }) => (format!("topic {name}"), None),
            Changed::Gone(Gone::Partition { topic, partition }) => {
                (format!("partition {topic}-{}", partition.index), None)
            }
            Changed::Gone(Gone::Config(it)) => (format!("config {it:?}"), None),
            Changed::Gone(Gone::Quota(it)) => (format!("quota {it:?}"), None),
            Changed::Gone(Gone::Broker { id, .. }) => (format!("broker {id:?}"), None),
            Changed::Gone(other) => (format!("{other:?}"), None),
            Changed::Feature(name, level) => (format!("feature {name}"), Some(level.to_string())),
            Changed::Broker(it, life) => (
                format!("broker {:?}", it.id),
                Some(format!("{it:?} {life:?}")),
            ),
            Changed::Closed(life, it) => (
                format!("life {}", life.id),
                Some(format!("{life:?} {it:?}")),
            ),
            Changed::Controller(it) => (format!("controller {:?}", it.id), Some(format!("{it:?}"))),
            Changed::Topic(it) => (format!("topic {}", it.name()), Some(it.id().to_string())),
            Changed::Partition(it) => (
                format!("partition {}-{}", it.topic_name(), it.index()),
                Some(format!("{:?}", it.to_owned())),
            ),
            Changed::Config(resource, it) => {
                (format!("config {resource:?}"), Some(format!("{it:?}")))
            }
            Changed::Quota(entity, it) => (format!("quota {entity:?}"), Some(format!("{it:?}"))),
            Changed::ProducerBlock(it) => {
                (format!("block {:?}", it.broker_id), Some(format!("{it:?}")))
            }
            other => (format!("{other:?}"), Some(String::new())),
        };
        match value {
            Some(value) => drop(known.insert(key, value)),
            None => drop(known.remove(&key)),
        }
    }
}

fn everything(image: &Image) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    told(image.everything(Kinds::ALL), &mut known);
    known
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_way_to_an_image_leads_to_the_same(
        numbers in proptest::collection::vec(any::<u32>(), 1500),
        pick in any::<proptest::sample::Index>(),
    ) {
        let mut choices = Choices(numbers.iter());
        let mut build = Build::default();
        build.add(metadata_version(30));
        let mut plain = Plain::default();
        let mut older = vec![build.image.clone()];
        while !choices.0.as_slice().is_empty() {
            let record = next_record(&build.image, &mut choices);
            let sessionless = match &record {
                Record::RegisterBroker(it) if choices.one_in(3) => {
                    vec![SideChange::Sessionless { broker: it.broker_id }]
                }
                _ => Vec::new(),
            };
            build.try_add_with(record.clone(), &sessionless).expect("the record fits");
            plain.apply(&record);
            older.push(build.image.clone());
        }
        let image = build.image;

        prop_assert_eq!(&reloaded(&image, true), &image);
        prop_assert!(reloaded(&image, false).records().eq(image.records()));
        same_as_plain(&image, &plain);
        same_as_plain(&reloaded(&image, true), &plain);

        let then = pick.get(&older);
        let mut known = everything(then);
        told(image.changes(then.end_offset() - 1, Kinds::ALL), &mut known);
        prop_assert_eq!(known, everything(&image));
    }
}

fn same_as_plain(image: &Image, plain: &Plain) {
    let sorted = |views: &mut dyn Iterator<Item = PartitionView<'_>>| {
        let mut keys: Vec<_> = views.map(|it| (it.topic_id(), it.index())).collect();
        keys.sort();
        keys
    };
    let topics: Vec<_> = image
        .topics()
        .map(|it| (it.name().to_owned(), it.id()))
        .collect();
    assert_eq!(topics, plain.topics.clone().into_iter().collect::<Vec<_>>());
    assert_eq!(sorted(&mut image.partitions()), plain.on(|_| true));
    for ((id, index), expected) in &plain.partitions {
        let view = image
            .partition(*id, *index)
            .expect("the plain model has it");
        assert_eq!(view.to_owned(), *expected);
        assert_eq!(view.replicas(), expected.replicas);
        assert_eq!(view.directories(), expected.directories);
        assert_eq!(view.isr(), expected.isr);
        assert_eq!(view.elr(), expected.elr);
        assert_eq!(view.last_known_elr(), expected.last_known_elr);
        assert_eq!(
            (view.adding(), view.removing()),
            (&*expected.adding, &*expected.removing)
        );
        assert_eq!(
            (view.leader(), view.recovering()),
            (expected.leader, expected.recovering)
        );
        assert_eq!(view.preferred_leader(), expected.preferred_leader());
    }
    for broker in (0..12).map(BrokerId) {
        let start = Cursor::default();
        let on = plain.on(|it| it.replicas.contains(&broker));
        assert_eq!(sorted(&mut image.partitions_on(broker, start)), on);
        assert_eq!(image.replica_count(broker), on.len());
        let led = plain.on(|it| it.leader == Some(broker));
        assert_eq!(sorted(&mut image.led_by(broker, start)), led);
        assert_eq!(image.leader_count(broker), led.len());
        let in_isr = plain.on(|it| it.isr.contains(&broker));
        assert_eq!(sorted(&mut image.in_isr_of(broker, start)), in_isr);
        let leaderless = plain.on(|it| it.leader.is_none() && it.replicas.contains(&broker));
        assert_eq!(sorted(&mut image.leaderless_on(broker, start)), leaderless);
        // In slices of one, each from where the last one ended.
        let mut slices = Vec::new();
        let mut cursor = start;
        while let Some(it) = image.partitions_on(broker, cursor).next() {
            slices.push((it.topic_id(), it.index()));
            cursor = it.next();
        }
        slices.sort();
        assert_eq!(slices, on);
    }
    let counts = image.counts();
    assert_eq!(
        (counts.topics, counts.partitions),
        (plain.topics.len(), plain.partitions.len())
    );
    assert_eq!(counts.leaderless, plain.on(|it| it.leader.is_none()).len());
    let not_preferred = plain.on(|it| it.leader.is_none() || it.leader != it.preferred_leader());
    assert_eq!(counts.not_preferred, not_preferred.len());
}
