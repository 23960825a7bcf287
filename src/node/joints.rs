//! Where rooms that do not know each other are joined: the wire's traits over the quorum.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{
    AddRaftVoterRequest, ApiKey, DescribeQuorumRequest, RemoveRaftVoterRequest,
    UpdateRaftVoterRequest,
};
use tokio::sync::watch;

use crate::api::{Answer, Read, decode};
use crate::controller::voters::Voters;
use crate::controller::{Propose, Slow};
use crate::feed::Published;
use crate::feed::serve::Feed;
use crate::ids::QuorumView;
use crate::quorum::Quorum;
use crate::rules::View;
use crate::settings::Settings;
use crate::wire::doors::{Call, Forward, PeerCall, PeerDoor, Serve, Served};

/// Raft's own state and membership.
#[derive(Clone)]
pub(super) struct Members {
    pub(super) quorum: Quorum,
    pub(super) feed: Feed,
    pub(super) published: watch::Receiver<Arc<Published>>,
    pub(super) settings: Arc<Settings>,
}

impl Serve for Members {
    fn serve(&self, call: Call) -> Slow<Served> {
        let members = self.clone();
        Box::pin(async move { members.answer(call).await.unwrap_or(Served::Close) })
    }
}

impl Members {
    async fn answer(&self, call: Call) -> Option<Served> {
        let published = Arc::clone(&self.published.borrow());
        let leads = published
            .quorum
            .leader
            .is_some_and(|leader| leader == published.quorum.node_id);
        let propose: &dyn Propose = &self.quorum;
        let voters = Voters {
            published: &published,
            settings: &self.settings,
            propose,
        };
        let (body, version) = (call.body.clone(), call.version);
        let answer: Box<dyn Answer> = match call.api {
            ApiKey::DescribeQuorum => {
                let request: DescribeQuorumRequest = decode(body, version).ok()?;
                Box::new(self.describe(&request, &published, &call))
            }
            ApiKey::AddRaftVoter => {
                let request: AddRaftVoterRequest = decode(body, version).ok()?;
                Box::new(voters.add(&request).await)
            }
            ApiKey::RemoveRaftVoter => {
                let request: RemoveRaftVoterRequest = decode(body, version).ok()?;
                Box::new(voters.remove(&request).await)
            }
            ApiKey::UpdateRaftVoter => {
                let request: UpdateRaftVoterRequest = decode(body, version).ok()?;
                Box::new(voters.update(&request).await)
            }
            _ => return None,
        };
        Some(if leads {
            Served::Answer(answer)
        } else {
            Served::NotLeader(answer)
        })
    }

    /// Voters' positions come from raft, observers' from who fetches here.
    fn describe(
        &self,
        request: &DescribeQuorumRequest,
        published: &Published,
        call: &Call,
    ) -> <DescribeQuorumRequest as kafka_protocol::protocol::Request>::Response {
        let mut replicas = self.quorum.replicas();
        replicas.extend(self.feed.observer_rows(published.quorum.epoch));
        let quorum = QuorumView {
            replicas: Arc::new(replicas),
            ..published.quorum.clone()
        };
        request.answer(&View {
            image: &published.image,
            quorum: &quorum,
            caller: &call.caller,
            settings: &self.settings,
            version: call.version,
        })
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
