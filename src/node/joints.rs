//! Where rooms that do not know each other are joined: the wire's traits over feed and quorum.

use bytes::Bytes;

use crate::controller::Slow;
use crate::wire::doors::{Call, Forward, PeerCall, PeerDoor, Serve, Served};

/// A door to a room that is not there: whoever knocks is sent away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walled;

impl Serve for Walled {
    fn serve(&self, _: Call) -> Slow<Served> {
        Box::pin(async { Served::Close })
    }
}

impl Forward for Walled {
    fn send(&self, _: Bytes) -> Slow<anyhow::Result<Bytes>> {
        Box::pin(async { anyhow::bail!("there is no way to the leader") })
    }
}

impl PeerDoor for Walled {
    fn answer(&self, _: PeerCall) -> Slow<Option<Bytes>> {
        Box::pin(async { None })
    }
}
