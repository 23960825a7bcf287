//! What changed since an offset: every object carries the stamp of its last change, so there are no
//! deltas to keep, only to find. What is gone left a tombstone, as far back as those are kept.

use std::sync::Arc;

use imbl::Vector;

use crate::ids::{BrokerEpoch, BrokerId, ConfigResource, Offset, Stamp, TopicId, Uuid};
use crate::records::{AccessControlEntryRecord, DelegationTokenRecord, UserScramCredentialRecord};

use super::Image;
use super::cluster::{Broker, Controller};
use super::configs::Config;
use super::keyed::{QuotaEntity, Quotas};
use super::partition::Partition;
use super::side::{Incarnation, ProducerBlock};
use super::views::{PartitionView, TopicView};

/// Most tombstones kept.
pub const TOMBSTONES_MAX: usize = 20_000;

/// Something that is gone, as it was.
#[derive(Clone, Debug, PartialEq)]
pub enum Gone {
    /// A feature, by name.
    Feature(String),
    /// A broker's registration. Its last one is kept by its [`Incarnation`].
    Broker {
        /// Its id.
        id: BrokerId,
        /// Its epoch.
        epoch: BrokerEpoch,
        /// Its incarnation.
        incarnation_id: Uuid,
    },
    /// A topic. Its partitions have tombstones of their own, before it.
    Topic {
        /// Its id.
        id: TopicId,
        /// Its name.
        name: String,
    },
    /// A partition.
    Partition {
        /// Name of its topic.
        topic: String,
        /// What it was.
        partition: Partition,
    },
    /// A resource without keys left.
    Config(ConfigResource),
    /// An entity without quotas left.
    Quota(QuotaEntity),
    /// An access control entry.
    Acl(AccessControlEntryRecord),
    /// A user's credential.
    Credential(UserScramCredentialRecord),
    /// A delegation token.
    Token(DelegationTokenRecord),
}

/// One thing that changed, as it is now.
#[derive(Clone, Debug)]
pub enum Changed<'a> {
    /// A feature's level.
    Feature(&'a str, i16),
    /// A registered broker, with its life in the side room.
    Broker(&'a Broker, Option<&'a Incarnation>),
    /// A broker's life that ended, with its last registration.
    Closed(&'a Incarnation, &'a Broker),
    /// A registered controller.
    Controller(&'a Controller),
    /// A topic was created.
    Topic(TopicView<'a>),
    /// A partition.
    Partition(PartitionView<'a>),
    /// The configuration of a resource.
    Config(&'a ConfigResource, &'a Config),
    /// The quotas of an entity.
    Quota(&'a QuotaEntity, &'a Quotas),
    /// The newest block of producer ids of a broker.
    ProducerBlock(&'a ProducerBlock),
    /// An access control entry.
    Acl(&'a AccessControlEntryRecord),
    /// A user's credential.
    Credential(&'a UserScramCredentialRecord),
    /// A delegation token.
    Token(&'a DelegationTokenRecord),
    /// Something is gone.
    Gone(&'a Gone),
}

/// A change and when it happened.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// When.
    pub stamp: Stamp,
    /// What.
    pub what: Changed<'a>,
}

/// The kinds of things one can ask about; combine with `|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// Features.
    pub const FEATURE: Self = Self(1);
    /// Brokers, ended ones too.
    pub const BROKER: Self = Self(1 << 1);
    /// Controllers.
    pub const CONTROLLER: Self = Self(1 << 2);
    /// Topics.
    pub const TOPIC: Self = Self(1 << 3);
    /// Partitions.
    pub const PARTITION: Self = Self(1 << 4);
    /// Configurations.
    pub const CONFIG: Self = Self(1 << 5);
    /// Client quotas.
    pub const QUOTA: Self = Self(1 << 6);
    /// Blocks of producer ids.
    pub const PRODUCER_IDS: Self = Self(1 << 7);
    /// Access control entries.
    pub const ACL: Self = Self(1 << 8);
    /// SCRAM credentials.
    pub const CREDENTIAL: Self = Self(1 << 9);
    /// Delegation tokens.
    pub const TOKEN: Self = Self(1 << 10);
    /// Everything.
    pub const ALL: Self = Self((1 << 11) - 1);

    /// Whether all of `other` are among these.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Kinds {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Gone {
    /// The kind it was of.
    pub fn kind(&self) -> Kinds {
        match self {
            Self::Feature(_) => Kinds::FEATURE,
            Self::Broker { .. } => Kinds::BROKER,
            Self::Topic { .. } => Kinds::TOPIC,
            Self::Partition { .. } => Kinds::PARTITION,
            Self::Config(_) => Kinds::CONFIG,
            Self::Quota(_) => Kinds::QUOTA,
            Self::Acl(_) => Kinds::ACL,
            Self::Credential(_) => Kinds::CREDENTIAL,
            Self::Token(_) => Kinds::TOKEN,
        }
    }
}

/// The newest tombstones, the oldest first. Clone is O(1).
#[derive(Clone, Default)]
pub(super) struct Tombstones {
    log: Vector<Arc<(Stamp, Gone)>>,
    /// Everything that went after this offset is still in the log.
    pub(super) complete_since: Option<Offset>,
}

impl Tombstones {
    pub(super) fn push(&mut self, stamp: Stamp, gone: Gone) {
        self.log.push_back(Arc::new((stamp, gone)));
        while self.log.len() > TOMBSTONES_MAX {
            let forgotten = self.log.pop_front();
            self.complete_since = self.complete_since.max(forgotten.map(|it| it.0.offset));
        }
    }

    /// Those with a stamp above `after`, in order.
    fn since(&self, after: Offset) -> impl Iterator<Item = &(Stamp, Gone)> {
        let (mut low, mut high) = (0, self.log.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.log.get(middle).is_some_and(|it| it.0.offset <= after) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.log.iter().skip(low).map(|it| &**it)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Stamp, Gone)> {
        self.log.iter().map(|it| &**it)
    }
}

impl Image {
    /// The oldest offset that [`changes`](Self::changes) can be asked about: what went at or before
    /// it is forgotten. -1 if nothing is.
    pub fn complete_since(&self) -> Offset {
        self.tombstones.complete_since.unwrap_or(-1)
    }

    /// Everything of these kinds that is there, in the order of last changes.
    pub fn everything(&self, kinds: Kinds) -> Vec<Change<'_>> {
        let mut all = self.changes(-1, kinds);
        all.retain(|change| !matches!(change.what, Changed::Gone(_)));
        all
    }

    /// Everything of these kinds that changed after this offset, in the order of offsets: what is
    /// there as it is now, what is gone as it was. Right only from
    /// [`complete_since`](Self::complete_since) on; before it, start over with
    /// [`everything`](Self::everything).
    pub fn changes(&self, after: Offset, kinds: Kinds) -> Vec<Change<'_>> {
        let mut found = Vec::new();
        let mut add = |stamp: Stamp, what| {
            if stamp.offset > after {
                found.push(Change { stamp, what });
            }
        };
        if kinds.has(Kinds::FEATURE) {
            self.features
                .iter()
                .for_each(|(name, level, stamp)| add(stamp, Changed::Feature(name, level)));
        }
        if kinds.has(Kinds::BROKER) {
            for broker in self.brokers() {
                let life = self.incarnation(broker.incarnation_id);
                add(broker.stamp, Changed::Broker(broker, life));
            }
            for (life, broker) in self.closed_brokers() {
                add(life.stamp(), Changed::Closed(life, broker));
            }
        }
        if kinds.has(Kinds::CONTROLLER) {
            self.controllers()
                .for_each(|it| add(it.stamp, Changed::Controller(it)));
        }
        if kinds.has(Kinds::TOPIC) {
            let newer = self.topics.since(after);
            let views = newer.filter_map(|slot| TopicView::at(self, slot));
            views.for_each(|topic| add(topic.stamp(), Changed::Topic(topic)));
        }
        if kinds.has(Kinds::PARTITION) {
            let newer = self.topics.partitions.since(after);
            let views = newer.filter_map(|slot| PartitionView::at(self, slot));
            views.for_each(|partition| add(partition.stamp(), Changed::Partition(partition)));
        }
        if kinds.has(Kinds::CONFIG) && self.configs.newest > after {
            self.configs()
                .for_each(|(resource, it)| add(it.stamp(), Changed::Config(resource, it)));
        }
        if kinds.has(Kinds::QUOTA) && self.quotas.newest > after {
            self.quotas()
                .for_each(|(entity, it)| add(it.stamp, Changed::Quota(entity, it)));
        }
        if kinds.has(Kinds::PRODUCER_IDS) {
            self.producer_blocks()
                .for_each(|it| add(it.stamp, Changed::ProducerBlock(it)));
        }
        if kinds.has(Kinds::ACL) && self.acls.newest > after {
            self.acls().for_each(|it| add(it.stamp, Changed::Acl(it)));
        }
        if kinds.has(Kinds::CREDENTIAL) && self.credentials.newest > after {
            self.scram_credentials()
                .for_each(|it| add(it.stamp, Changed::Credential(it)));
        }
        if kinds.has(Kinds::TOKEN) && self.tokens.newest > after {
            self.delegation_tokens()
                .for_each(|it| add(it.stamp, Changed::Token(it)));
        }
        for (stamp, gone) in self.tombstones.since(after) {
            if kinds.has(gone.kind()) {
                add(*stamp, Changed::Gone(gone));
            }
        }
        // Stable: what happened at one offset stays in the order above, what is gone last.
        found.sort_by_key(|change| change.stamp.offset);
        found
    }
}
