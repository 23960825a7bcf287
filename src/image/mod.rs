//! What is true: the state that the records add up to.
//!
//! An [`Image`] is built by applying records and read by everybody. It is a handful of persistent
//! containers: a clone copies a few pointers, keeps what it saw, and costs memory only where the
//! two then differ. So apply each record **once**, and hand out clones: applied to two images of
//! the same history, records make them grow apart in memory for good.
//!
//! Every object carries the [`Stamp`](crate::ids::Stamp) of its last change, so "what changed
//! since" needs no deltas ([`changes`]). What an image is made of comes out again as records
//! ([`snapshot`]).
//!
//! | file | holds |
//! |---|---|
//! | `apply` `read` | what each record does; everything that can be asked |
//! | `features` `cluster` `configs` `keyed` | the small rooms |
//! | `topics` `partitions` `partition` `views` | topics and partitions: what records do, and how others see them |
//! | `rows` `pvec` `names` `interner` `shards` `by_broker` | how a million of them fit in 50 MB |
//! | `side` | what Kafka's records cannot say |
//! | `changes` `times` | what changed since when |
//! | `snapshot` `side_file` `side_codec` | out and in again |
//!
//! The image knows nothing of requests, clocks, tasks or JSON.

pub mod changes;
pub mod cluster;
pub mod configs;
pub mod error;
pub mod features;
pub mod keyed;
pub mod partition;
pub mod side;
pub mod snapshot;
pub mod views;

mod apply;
mod by_broker;
mod interner;
mod names;
mod partitions;
mod pvec;
mod read;
mod rows;
mod shards;
mod side_codec;
mod side_file;
mod times;
mod topics;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::ids::{Epoch, Millis, Offset, Uuid};
use crate::records::{AccessControlEntryRecord, DelegationTokenRecord, UserScramCredentialRecord};

pub use changes::{Change, Changed, Gone, Kinds};
pub use cluster::{Broker, Controller};
pub use configs::Config;
pub use error::ApplyError;
pub use features::Features;
pub use keyed::{QuotaEntity, Quotas, Stamped};
pub use partition::Partition;
pub use side::{BrokerStatus, Incarnation, ProducerBlock};
pub use snapshot::Loader;
pub use topics::Counts;
pub use views::{Brokers, Cursor, Directories, PartitionView, TopicView};

use changes::Tombstones;
use cluster::Cluster;
use configs::Configs;
use keyed::Keyed;
use side::Side;
use times::Times;
use topics::Topics;

/// The whole metadata state at one offset. Clone is O(1).
#[derive(Clone, Default)]
pub struct Image {
    end_offset: Offset,
    last_epoch: Epoch,
    last_time: Millis,
    features: Features,
    cluster: Cluster,
    topics: Topics,
    configs: Configs,
    quotas: Keyed<QuotaEntity, Quotas>,
    next_producer_id: Option<Stamped<i64>>,
    acls: Keyed<Uuid, AccessControlEntryRecord>,
    /// By mechanism, then user.
    credentials: Keyed<(i8, String), UserScramCredentialRecord>,
    tokens: Keyed<String, DelegationTokenRecord>,
    transaction: Option<Arc<Transaction>>,
    side: Side,
    tombstones: Tombstones,
    times: Times,
}

/// A metadata transaction that has begun and not ended.
struct Transaction {
    name: Option<String>,
    /// The image without it, in case it is aborted.
    before: Image,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("end_offset", &self.end_offset)
            .field("last_epoch", &self.last_epoch)
            .field("brokers", &self.cluster.brokers.len())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
