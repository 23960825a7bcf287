//! The calling side of the peers' traffic. (To come: nobody is reached yet.)

use std::future::Future;

use anyhow::anyhow;
use openraft::error::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::storage::Snapshot;
use openraft::{AnyError, OptionalSend};

use super::snapshot::Pair;
use super::types::{CommittedLeaderId, Config, Member, Vote};

/// Makes connections to peers.
pub(super) struct Network;

/// One peer.
pub struct Client;

fn unreachable() -> Unreachable<Config> {
    Unreachable::new(&AnyError::error(anyhow!("no network yet")))
}

impl RaftNetworkFactory<Config> for Network {
    type Network = Client;

    async fn new_client(&mut self, _target: u64, _node: &Member) -> Client {
        Client
    }
}

impl RaftNetworkV2<Config> for Client {
    type SnapshotData = Pair;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<Config>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Config>, RPCError<Config>> {
        Err(unreachable().into())
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<Config>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Config>, RPCError<Config>> {
        Err(unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot<CommittedLeaderId, u64, Member, Pair>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Config>, StreamingError<Config>> {
        Err(unreachable().into())
    }
}
