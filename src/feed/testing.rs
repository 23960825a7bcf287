//! Published states for the tests of this room.

use std::fs;
use std::sync::Arc;

use super::Published;
use super::fetch::Asked;
use super::snapshots::{Snapshot, SnapshotId};
use super::tail::tests::batch;
use crate::clock::Ticks;
use crate::ids::{BrokerId, Endpoint, Epoch, Offset, QuorumView, Uuid, Voter};

pub(super) const ME: i32 = 3000;
pub(super) const OTHER: i32 = 3001;
pub(super) const CLUSTER: &str = "CNi-Mi4bQci9gi1TsXKryQ";

/// Two voters; this one leads epoch 5, is past its barrier and heard a quorum at tick 0. The log:
/// two records a batch, epoch 2 from offset 0, epoch 4 from 10, epoch 5 from 20 to 24.
pub(super) fn leader() -> Published {
    let voter = |id: i32| {
        let endpoint = |name: &str, port| Endpoint {
            name: name.into(),
            host: format!("h{id}"),
            port,
        };
        Voter {
            id: BrokerId(id),
            directory_id: Uuid::from_u128(id as u128),
            endpoints: vec![endpoint("CONTROLLER", 9093), endpoint("SECURE", 9094)],
        }
    };
    let quorum = QuorumView {
        node_id: ME,
        epoch: 5,
        leader: Some(BrokerId(ME)),
        active: true,
        voters: Arc::new(vec![voter(ME), voter(OTHER)]),
        ..QuorumView::default()
    };
    let mut published = Published {
        quorum,
        ..Published::default()
    };
    published.contact.heard(Ticks(0));
    for (epoch, offsets) in [(2, 0..10), (4, 10..20), (5, 20..24)] {
        offsets
            .step_by(2)
            .for_each(|offset| published.tail.push(batch(offset, epoch, 2)));
    }
    published
}

/// The same with another leader; `None`: nobody knows one.
pub(super) fn follower(leader: Option<i32>) -> Published {
    let mut published = self::leader();
    published.quorum.leader = leader.map(BrokerId);
    published.quorum.active = false;
    published
}

/// The same with snapshot files of ten bytes; the log begins at the first one's end. They are gone
/// when the state is.
pub(super) fn with_snapshots(mut published: Published, ids: &[(Epoch, Offset)]) -> Published {
    let folder = tempfile::tempdir().unwrap();
    let open = |&(epoch, end_offset): &(Epoch, Offset)| {
        let id = SnapshotId { epoch, end_offset };
        fs::write(folder.path().join(id.file_name()), b"0123456789").unwrap();
        Arc::new(Snapshot::open(folder.path(), id).unwrap())
    };
    published.snapshots = Arc::new(ids.iter().map(open).collect());
    published
}

pub(super) fn asked() -> Asked<'static> {
    Asked {
        version: 18,
        listener: "CONTROLLER",
        cluster_id: CLUSTER,
        now: Ticks(0),
        fetch_timeout_ms: 2_000,
        fetched_before: true,
    }
}
