//! Where rooms that do not know each other are joined: the wire's traits over feed and quorum.

use bytes::Bytes;

use crate::controller::Slow;
use crate::quorum::Quorum;
use crate::wire::doors::{Call, Forward, PeerCall, PeerDoor, Serve, Served};

/// A door to a room that is not there: whoever knocks is sent away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walled;

impl Serve for Walled {
    fn serve(&self, _: Call) -> Slow<Served> {
        Box::pin(async { Served::Close })
    }
}

/// The other nodes of the quorum.
pub(super) struct Peers(pub(super) Quorum);

impl Forward for Peers {
    fn send(&self, body: Bytes) -> Slow<anyhow::Result<Bytes>> {
        self.0.forward(body)
    }
}

impl PeerDoor for Peers {
    fn answer(&self, call: PeerCall) -> Slow<Option<Bytes>> {
        self.0.answer_peer(call.key, call.version, call.body)
    }
}
