//! Who may lead, in the cluster as it is now: what all partition changes of one decision share.

use std::cell::{Cell, OnceCell};

use super::configs::{Layers, overrides};
use super::election::{Election, PartitionChange, Terms};
use super::placement::directory_of;
use super::{Ctx, features};
use crate::ids::{BrokerId, ConfigResource, TopicId, Uuid, directory};
use crate::image::{Broker, Image, Partition, TopicView};
use crate::records::PartitionChangeRecord;

/// The brokers as voters see them, with the exceptions of the decision that is being made.
pub struct Electorate<'a> {
    ctx: &'a Ctx<'a>,
    metadata_version: i16,
    elr: bool,
    leaving: Option<BrokerId>,
    coming: Option<BrokerId>,
    /// What stands behind the topics' own configuration; read when a first partition needs it.
    layers: OnceCell<Layers<'a>>,
    /// The topic asked for last: the partitions of a walk often come topic by topic.
    last_topic: Cell<Option<(TopicId, TopicTerms)>>,
}

/// What a topic's configuration says about elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicTerms {
    /// Data may be given up for a leader.
    pub unclean: bool,
    /// How many replicas must be in sync: never more than there are.
    pub min_isr: usize,
}

impl<'a> Electorate<'a> {
    /// The brokers as they are.
    pub fn of(ctx: &'a Ctx<'a>) -> Self {
        let features = ctx.image.features();
        Self {
            ctx,
            metadata_version: metadata_version(ctx.image),
            elr: features.elr_enabled(),
            leaving: None,
            coming: None,
            layers: OnceCell::new(),
            last_topic: Cell::new(None),
        }
    }

    /// This broker is not to be elected, although it still looks alive.
    pub fn without(mut self, broker: BrokerId) -> Self {
        self.leaving = Some(broker);
        self
    }

    /// This broker may be elected, although it still looks fenced.
    pub fn with(mut self, broker: BrokerId) -> Self {
        self.coming = Some(broker);
        self
    }

    /// The record for a change of a partition of this topic, or `None` if there is nothing to change.
    /// `edit` says what should change; the election goes as far as the topic allows.
    pub fn change(
        &self,
        topic: TopicView<'_>,
        partition: &Partition,
        edit: impl FnOnce(&mut PartitionChange<'_>),
    ) -> Option<PartitionChangeRecord> {
        let terms = self.topic(topic);
        let mut change = PartitionChange::of(partition);
        change.election = if terms.unclean {
            Election::Unclean
        } else {
            Election::Online
        };
        edit(&mut change);
        change.record(&Terms {
            metadata_version: self.metadata_version,
            elr: self.elr,
            min_isr: terms.min_isr,
            acceptable: &|broker| self.accepts(broker, partition),
            default_directory: &|broker| default_directory(self.ctx.image, broker),
        })
    }

    /// What this topic's configuration says about elections.
    pub fn topic(&self, topic: TopicView<'_>) -> TopicTerms {
        let id = topic.id();
        match self.last_topic.get() {
            Some((last, terms)) if last == id => terms,
            _ => {
                let layers = self.layers.get_or_init(|| Layers::of(&self.ctx.view));
                let terms = TopicTerms::of(topic, self.ctx.image, layers);
                self.last_topic.set(Some((id, terms)));
                terms
            }
        }
    }

    fn accepts(&self, broker: BrokerId, partition: &Partition) -> bool {
        if self.leaving == Some(broker) {
            return false;
        }
        let Some(registration) = self.ctx.image.broker(broker) else {
            return false;
        };
        let online = partition
            .directory(broker)
            .is_none_or(|id| is_online(registration, id));
        online && (self.coming == Some(broker) || is_active(self.ctx, broker))
    }
}

impl TopicTerms {
    /// What this topic's configuration says (`ReplicationControlManager.getTopicEffectiveMinIsr`,
    /// 4.3.1: the replicas of its first partition bound it).
    fn of(topic: TopicView<'_>, image: &Image, layers: &Layers<'_>) -> Self {
        let replicas = topic.partition(0).or_else(|| topic.partitions().next());
        let replicas = replicas.map_or(0, |partition| partition.replicas().len());
        let resource = ConfigResource::topic(topic.name());
        let overrides = overrides(image, &resource);
        let min_isr = layers.min_insync_replicas(&overrides);
        Self {
            unclean: layers.unclean_leader_election_enable(&overrides),
            min_isr: usize::try_from(min_isr).unwrap_or(0).min(replicas),
        }
    }
}

/// The finalized metadata.version; before the bootstrap records the lowest one, so that nothing is
/// written that a broker could not read.
pub fn metadata_version(image: &Image) -> i16 {
    image
        .features()
        .metadata_version()
        .unwrap_or(features::METADATA_VERSION_MIN)
}

/// Whether this broker may lead, join an ISR and be given replicas: it is registered, neither fenced
/// nor about to stop, and not on its way out.
pub fn is_active(ctx: &Ctx<'_>, broker: BrokerId) -> bool {
    ctx.image.broker(broker).is_some_and(Broker::is_active) && !ctx.live.is_leaving(broker)
}

/// The directory that a new replica on this broker is recorded with.
pub fn default_directory(image: &Image, broker: BrokerId) -> Uuid {
    let log_dirs = image.broker(broker).map(|broker| &broker.log_dirs[..]);
    directory_of(log_dirs, metadata_version(image))
}

/// Whether a replica in this directory can be used (`DirectoryId.isOnline`, 4.3.1).
pub fn is_online(broker: &Broker, id: Uuid) -> bool {
    match id {
        directory::UNASSIGNED | directory::MIGRATING => true,
        directory::LOST => false,
        id => broker.log_dirs.is_empty() || broker.log_dirs.contains(&id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::configs::{MIN_INSYNC_REPLICAS, UNCLEAN_LEADER_ELECTION_ENABLE};
    use crate::rules::scene::{NODE, Scene, topic_id};

    #[test]
    fn a_topic_obeys_the_nearest_word_about_elections() {
        let scene = |layers: usize| {
            let resources = [
                ConfigResource::cluster(),
                ConfigResource::broker(NODE),
                ConfigResource::topic("a"),
            ];
            let mut scene = Scene::new().brokers(3).topic("a", &[&[1, 2, 3], &[1]]);
            let given = [(MIN_INSYNC_REPLICAS.to_owned(), "2".to_owned())];
            scene.settings.given = given.into();
            for (resource, (min_isr, unclean)) in resources
                .into_iter()
                .zip([("1", "true"), ("3", "false"), ("9", "true")])
                .take(layers)
            {
                scene = scene
                    .config(resource.clone(), MIN_INSYNC_REPLICAS, min_isr)
                    .config(resource, UNCLEAN_LEADER_ELECTION_ENABLE, unclean);
            }
            scene
        };
        // The cluster-wide number of a new cluster stands before the file's. Nine are never asked
        // of three replicas.
        let expected = [(1, false), (1, true), (3, false), (3, true)];
        for (layers, (min_isr, unclean)) in expected.into_iter().enumerate() {
            let scene = scene(layers);
            let ctx = scene.ctx(0);
            let topic = scene
                .image
                .topic(topic_id("a"))
                .expect("it is on the scene");
            let terms = Electorate::of(&ctx).topic(topic);
            assert_eq!(terms, TopicTerms { unclean, min_isr }, "{layers} layers");
        }
    }

    #[test]
    fn only_active_brokers_with_the_directory_online_are_accepted() {
        let scene = Scene::new()
            .brokers(4)
            .topic("a", &[&[1, 2, 3]])
            .fenced(&[2]);
        let mut partition = scene
            .image
            .partition(topic_id("a"), 0)
            .expect("it is on the scene")
            .to_owned();
        partition.directories[2] = Uuid::from_u128(777);
        let ctx = scene.ctx(0);
        let accepted = |electorate: &Electorate<'_>| {
            [1, 2, 3, 4, 9].map(|id| electorate.accepts(BrokerId(id), &partition))
        };
        let as_they_are = accepted(&Electorate::of(&ctx));
        assert_eq!(as_they_are, [true, false, false, true, false]);
        let coming = accepted(&Electorate::of(&ctx).with(BrokerId(2)));
        assert_eq!(coming, [true, true, false, true, false]);
        let leaving = accepted(&Electorate::of(&ctx).without(BrokerId(1)));
        assert_eq!(leaving, [false, false, false, true, false]);
    }
}
