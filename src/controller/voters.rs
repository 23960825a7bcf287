//! AddRaftVoter (80), RemoveRaftVoter (81), UpdateRaftVoter (82): the quorum changes its own members.
//!
//! What can be judged from the request and the published state is judged here, in Kafka's order
//! (`AddVoterHandler`, `RemoveVoterHandler`, `UpdateVoterHandler`, 4.3.1); the change itself is
//! openraft's, behind [`Propose`]. One change at a time.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::update_raft_voter_response::CurrentLeader;
use kafka_protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
    UpdateRaftVoterRequest, UpdateRaftVoterResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::Propose;
use crate::feed::Published;
use crate::ids::{BrokerId, Endpoint, Epoch, Uuid, Voter};
use crate::refusal::{self, Refusal};
use crate::settings::Settings;

/// What a voter change is judged on.
pub struct Voters<'a> {
    /// The state to judge on.
    pub published: &'a Published,
    /// This node's configuration: cluster id, the name of the default listener.
    pub settings: &'a Settings,
    /// Carries the change out.
    pub propose: &'a dyn Propose,
}

impl Voters<'_> {
    /// Makes an observer a voter.
    pub async fn add(&self, request: &AddRaftVoterRequest) -> AddRaftVoterResponse {
        let done = match self.may_add(request) {
            Ok(voter) => self.propose.add_voter(voter).await,
            Err(refusal) => Err(refusal),
        };
        let response = AddRaftVoterResponse::default();
        match done {
            Ok(()) => response,
            Err(refusal) => response
                .with_error_code(refusal.code())
                .with_error_message(text(&refusal)),
        }
    }

    /// Takes a voter out.
    pub async fn remove(&self, request: &RemoveRaftVoterRequest) -> RemoveRaftVoterResponse {
        let (id, directory_id) = (BrokerId(request.voter_id), request.voter_directory_id);
        let done = match self.may_remove(request.cluster_id.as_deref(), id, directory_id) {
            Ok(()) => self.propose.remove_voter(id, directory_id).await,
            Err(refusal) => Err(refusal),
        };
        let response = RemoveRaftVoterResponse::default();
        match done {
            Ok(()) => response,
            Err(refusal) => response
                .with_error_code(refusal.code())
                .with_error_message(text(&refusal)),
        }
    }

    /// Replaces a voter's listeners.
    pub async fn update(&self, request: &UpdateRaftVoterRequest) -> UpdateRaftVoterResponse {
        let done = match self.may_update(request) {
            Ok(voter) => self.propose.update_voter(voter).await,
            Err(refusal) => Err(refusal),
        };
        let code = done.map_or_else(|refusal| refusal.code(), |()| 0);
        let response = UpdateRaftVoterResponse::default().with_error_code(code);
        let quorum = &self.published.quorum;
        let mut leader = CurrentLeader::default()
            .with_leader_id(quorum.leader.unwrap_or(BrokerId(-1)))
            .with_leader_epoch(quorum.epoch);
        if let Some(endpoint) = quorum
            .leader_voter()
            .and_then(|voter| voter.endpoints.first())
        {
            leader = leader
                .with_host(StrBytes::from_string(endpoint.host.clone()))
                .with_port(i32::from(endpoint.port));
        }
        response.with_current_leader(leader)
    }

    fn may_add(&self, request: &AddRaftVoterRequest) -> Result<Voter, Refusal> {
        self.is_this_cluster(request.cluster_id.as_deref())?;
        self.leads()?;
        let id = BrokerId(request.voter_id);
        is_identity(id, request.voter_directory_id)?;
        let endpoints = request.listeners.iter().map(|listener| Endpoint {
            name: listener.name.to_string(),
            host: listener.host.to_string(),
            port: listener.port,
        });
        let endpoints = self.with_default_first(endpoints.collect())?;
        self.is_ready()?;
        if self.published.quorum.is_voter(id) {
            return Err(refusal::duplicate_voter(id));
        }
        // Beyond Kafka: a broker whose id the leader has ends its process.
        if self.published.image.broker(id).is_some() {
            return Err(refusal::invalid_voter(
                "a broker is registered under its id; node ids and broker ids are one space",
            ));
        }
        Ok(Voter {
            id,
            directory_id: request.voter_directory_id,
            endpoints,
        })
    }

    fn may_remove(
        &self,
        cluster_id: Option<&str>,
        id: BrokerId,
        directory_id: Uuid,
    ) -> Result<(), Refusal> {
        self.is_this_cluster(cluster_id)?;
        self.leads()?;
        is_identity(id, directory_id)?;
        self.is_ready()?;
        let voters = &self.published.quorum.voters;
        let is_there = voters
            .iter()
            .any(|voter| voter.id == id && voter.directory_id == directory_id);
        if is_there && voters.len() > 1 {
            Ok(())
        } else {
            Err(refusal::voter_not_found(id))
        }
    }

    fn may_update(&self, request: &UpdateRaftVoterRequest) -> Result<Voter, Refusal> {
        self.is_this_cluster(request.cluster_id.as_deref())?;
        self.is_in_epoch(request.current_leader_epoch)?;
        self.leads()?;
        is_identity(request.voter_id.into(), request.voter_directory_id)?;
        let endpoints = request.listeners.iter().map(|listener| Endpoint {
            name: listener.name.to_string(),
            host: listener.host.to_string(),
            port: listener.port,
        });
        let endpoints = self.with_default_first(endpoints.collect())?;
        let range = &request.k_raft_version_feature;
        let (least, most) = (range.min_supported_version, range.max_supported_version);
        if least < 0 || most < least {
            return Err(refusal::invalid_voter(
                "its range of kraft.version is not a range",
            ));
        }
        self.is_ready()?;
        let finalized = self.published.image.features().kraft_version();
        if !(least..=most).contains(&finalized) {
            return Err(refusal::invalid_voter(
                "it does not know the finalized kraft.version",
            ));
        }
        let voter = Voter {
            id: request.voter_id.into(),
            directory_id: request.voter_directory_id,
            endpoints,
        };
        let voters = &self.published.quorum.voters;
        if voters
            .iter()
            .any(|old| old.id == voter.id && old.directory_id == voter.directory_id)
        {
            Ok(voter)
        } else {
            Err(refusal::voter_not_found(voter.id))
        }
    }

    fn is_this_cluster(&self, asked: Option<&str>) -> Result<(), Refusal> {
        match asked {
            Some(id) if id != self.settings.cluster_id => Err(refusal::inconsistent_cluster_id(
                id,
                &self.settings.cluster_id,
            )),
            _ => Ok(()),
        }
    }

    fn leads(&self) -> Result<(), Refusal> {
        let quorum = &self.published.quorum;
        if quorum.leader.is_some_and(|leader| leader == quorum.node_id) {
            return Ok(());
        }
        Err(refusal::not_leader(quorum.leader))
    }

    fn is_in_epoch(&self, asked: Epoch) -> Result<(), Refusal> {
        let epoch = self.published.quorum.epoch;
        match asked.cmp(&epoch) {
            std::cmp::Ordering::Less => Err(refusal::fenced_leader_epoch(asked, epoch)),
            std::cmp::Ordering::Greater => Err(refusal::unknown_leader_epoch(asked, epoch)),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }

    /// The leader has passed its barrier, and the log says who votes.
    fn is_ready(&self) -> Result<(), Refusal> {
        let Published { quorum, image, .. } = self.published;
        if !quorum.active || image.features().voters() != &quorum.voters {
            return Err(refusal::voters_not_ready());
        }
        Ok(())
    }

    /// The listener that everybody looks up must be among them; it goes first.
    fn with_default_first(&self, mut endpoints: Vec<Endpoint>) -> Result<Vec<Endpoint>, Refusal> {
        let names = &self.settings.controller_listener_names;
        let default = names.first().map_or("CONTROLLER", String::as_str);
        let place = endpoints
            .iter()
            .position(|endpoint| endpoint.name.eq_ignore_ascii_case(default));
        let Some(place) = place else {
            return Err(refusal::invalid_voter(
                "it has no endpoint for the default listener",
            ));
        };
        endpoints
            .iter_mut()
            .for_each(|endpoint| endpoint.name.make_ascii_uppercase());
        endpoints.swap(0, place);
        Ok(endpoints)
    }
}

fn is_identity(id: BrokerId, directory_id: Uuid) -> Result<(), Refusal> {
    if id.0 < 0 || directory_id.is_nil() {
        return Err(refusal::invalid_voter("it needs an id and a directory id"));
    }
    Ok(())
}

fn text(refusal: &Refusal) -> Option<StrBytes> {
    // Kafka sends no sentence where it would only repeat the code.
    (refusal.code != ResponseError::RequestTimedOut)
        .then(|| StrBytes::from_string(refusal.text.to_string()))
}

#[cfg(test)]
mod tests;
