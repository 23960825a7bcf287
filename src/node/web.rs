//! Where the HTTP door is joined to the quorum: writes of a follower go to the leader, and snapshots
//! are made.

use bytes::Bytes;

use crate::controller::Slow;
use crate::feed::snapshots::SnapshotId;
use crate::http::{self, Leader, Snapshots};
use crate::quorum::{HTTP_KEY, Quorum};
use crate::refusal::{self, Refusal};
use crate::wire::doors::{PeerCall, PeerDoor};

impl Leader for Quorum {
    fn ask(&self, body: Bytes) -> Option<Slow<anyhow::Result<Bytes>>> {
        self.forward_http(body)
    }
}

impl Snapshots for Quorum {
    fn make(&self) -> Slow<Result<SnapshotId, Refusal>> {
        let taken = self.take_snapshot();
        Box::pin(async move {
            taken.await.map_err(|error| {
                tracing::error!(%error, "a snapshot that was asked for could not be made");
                refusal::internal()
            })
        })
    }
}

/// The other nodes: raft's own frames, and what they pass on of HTTP.
pub(super) struct PeersAndWeb<P> {
    pub(super) peers: P,
    pub(super) web: http::Doors,
}

impl<P: PeerDoor> PeerDoor for PeersAndWeb<P> {
    fn answer(&self, call: PeerCall) -> Slow<Option<Bytes>> {
        if call.key != HTTP_KEY {
            return self.peers.answer(call);
        }
        let web = self.web.clone();
        Box::pin(async move { http::answer_follower(&web, &call.body).await })
    }
}
