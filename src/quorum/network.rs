//! The calling side of the peers' traffic.
//!
//! Replication, heartbeats, votes and snapshots each have a connection of their own, so that none
//! waits behind another. Appends are pipelined: up to [`IN_FLIGHT_MAX`] requests are under way, the
//! answers come in order. A connection is opened only when the first request is at hand: openraft
//! waits out its backoff inside the stream of requests, and who connects before that spins.

use std::collections::VecDeque;
use std::future::Future;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, Either, select};
use futures::stream::{BoxStream, Stream, StreamExt};
use openraft::error::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::storage::Snapshot;
use openraft::{AnyError, OptionalSend};

use super::codec::Input;
use super::connection::Connection;
use super::frames::{self, Part, SnapshotStep, Status};
use super::gate::{Gate, Heard};
use super::pair::Pair;
use super::types::{CommittedLeaderId, Config, LogId, Member, Vote};

/// Most appends that wait for their answers on one connection.
const IN_FLIGHT_MAX: usize = 32;
/// Bytes of a snapshot in one request.
const CHUNK_BYTES: usize = 1024 * 1024;
/// A connection is made within this time, or within the caller's if that is longer.
const CONNECT_WITHIN: Duration = Duration::from_millis(200);
/// A peer verifies, names and loads a snapshot within this time.
const INSTALL_WITHIN: Duration = Duration::from_secs(120);

/// Makes a [`Client`] for each purpose and peer.
pub(super) struct Network(pub(super) Gate);

impl RaftNetworkFactory<Config> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, member: &Member) -> Client {
        Client {
            gate: self.0.clone(),
            target,
            member: member.clone(),
            connection: None,
        }
    }
}

/// One connection to one peer, for one purpose.
pub(super) struct Client {
    gate: Gate,
    target: u64,
    /// The peer as it was when this client was made.
    member: Member,
    /// Open and with nothing outstanding.
    connection: Option<Connection>,
}

fn unreachable(error: &anyhow::Error) -> Unreachable<Config> {
    Unreachable::new(&AnyError::error(format!("{error:#}")))
}

impl Client {
    /// The peer as the membership has it now: it may have moved since this client was made.
    fn peer(&self) -> Member {
        self.gate
            .member(self.target)
            .unwrap_or_else(|| self.member.clone())
    }

    async fn connect(&mut self, within: Duration) -> Result<Connection> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.peer(), within.max(CONNECT_WITHIN)).await,
        }
    }

    /// Appends the address that every request begins with.
    fn put_address(&self, out: &mut Vec<u8>) {
        let address = self.gate.address(self.target, self.peer().directory_id);
        frames::put_address(out, &address);
    }

    /// Checks who answered; the answer's own body is left.
    fn accept(&self, answer: Bytes) -> Result<Input> {
        let mut input = Input(answer);
        let (status, identity) = frames::take_answer(&mut input)?;
        self.gate.hear(self.target, Heard { identity, status });
        match status {
            Status::Fine => Ok(input),
            status => bail!("node {} answers {status:?}", self.target),
        }
    }

    /// One request and its answer. The connection is kept only if all went well.
    async fn ask<T>(
        &mut self,
        key: i16,
        within: Duration,
        put: impl FnOnce(&mut Vec<u8>),
        take: impl FnOnce(&mut Input) -> Result<T>,
    ) -> Result<T> {
        let mut connection = self.connect(within).await?;
        let mut address = Vec::new();
        self.put_address(&mut address);
        let answer = connection.ask(key, |out| {
            out.extend_from_slice(&address);
            put(out);
        });
        let answer = answer.await?;
        let value = take(&mut self.accept(answer)?)?;
        self.connection = Some(connection);
        Ok(value)
    }
}

impl RaftNetworkV2<Config> for Client {
    type SnapshotData = Pair;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Config>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Config>, RPCError<Config>> {
        let put = |out: &mut Vec<u8>| frames::put_append(out, &request);
        let take = |input: &mut Input| take_appended(input, &request.vote);
        self.ask(frames::APPEND, option.soft_ttl(), put, take)
            .await
            .map_err(|error| unreachable(&error).into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<
            BoxStream<'s, Result<StreamAppendResult<Config>, RPCError<Config>>>,
            RPCError<Config>,
        >,
    >
    where
        S: Stream<Item = AppendEntriesRequest<Config>> + OptionalSend + Unpin + 'static,
    {
        let within = option.soft_ttl();
        let session = Session {
            client: self,
            requests: input,
            more: true,
            connection: None,
            in_flight: VecDeque::new(),
            within,
        };
        let answers = futures::stream::unfold(Some(session), |session| async move {
            let mut session = session?;
            match session.next().await {
                Ok(Some(answer)) => {
                    // After a conflict or a higher vote the rest of the pipeline is void.
                    let next = answer.is_ok().then_some(session);
                    Some((Ok(answer), next))
                }
                Ok(None) => {
                    session.close();
                    None
                }
                Err(error) => Some((Err(RPCError::from(unreachable(&error))), None)),
            }
        });
        Box::pin(std::future::ready(Ok(answers.boxed())))
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Config>,
        option: RPCOption,
    ) -> Result<VoteResponse<Config>, RPCError<Config>> {
        self.ask_for_vote(frames::VOTE, &request, option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Config>,
        option: RPCOption,
    ) -> Result<VoteResponse<Config>, RPCError<Config>> {
        self.ask_for_vote(frames::PRE_VOTE, &request, option).await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Config>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Config>, RPCError<Config>> {
        let put = |out: &mut Vec<u8>| frames::put_hand_over(out, &request);
        self.ask(
            frames::HAND_OVER,
            option.soft_ttl(),
            put,
            frames::take_handed_over,
        )
        .await
        .map_err(|error| unreachable(&error).into())
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<CommittedLeaderId, u64, Member, Pair>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Config>, StreamingError<Config>> {
        let sending = Box::pin(self.send_snapshot(vote, snapshot));
        match select(sending, Box::pin(cancel)).await {
            Either::Left((sent, _)) => sent.map_err(|error| unreachable(&error).into()),
            Either::Right((closed, _)) => Err(closed.into()),
        }
    }
}

/// A peer that answers with a term out of all proportion is not believed: openraft would take the term
/// for its own.
fn check_vote(told: &Vote, own: &Vote) -> Result<()> {
    ensure!(
        Gate::is_plausible(told, own.leader_id.term),
        "it claims term {}",
        told.leader_id.term
    );
    Ok(())
}

fn take_appended(input: &mut Input, own: &Vote) -> Result<AppendEntriesResponse<Config>> {
    let response = frames::take_appended(input)?;
    if let AppendEntriesResponse::HigherVote(told) = &response {
        check_vote(told, own)?;
    }
    Ok(response)
}

impl Client {
    async fn ask_for_vote(
        &mut self,
        key: i16,
        request: &VoteRequest<Config>,
        option: RPCOption,
    ) -> Result<VoteResponse<Config>, RPCError<Config>> {
        let put = |out: &mut Vec<u8>| frames::put_vote_request(out, request);
        let take = |input: &mut Input| {
            let response = frames::take_voted(input)?;
            check_vote(&response.vote, &request.vote)?;
            Ok(response)
        };
        self.ask(key, option.soft_ttl(), put, take)
            .await
            .map_err(|error| unreachable(&error).into())
    }

    async fn send_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<CommittedLeaderId, u64, Member, Pair>,
    ) -> Result<SnapshotResponse<Config>> {
        let Snapshot {
            meta,
            snapshot: pair,
        } = snapshot;
        let length = |file: &std::fs::File| file.metadata().map(|metadata| metadata.len());
        let (side_bytes, checkpoint_bytes) = (length(&pair.side)?, length(&pair.checkpoint)?);
        let begin = SnapshotStep::Begin {
            vote,
            meta,
            side_bytes,
            checkpoint_bytes,
        };
        let known = self.snapshot_step(&begin).await?;
        check_vote(&known, &vote)?;
        if known > vote {
            return Ok(SnapshotResponse::new(known));
        }
        for (part, file, length) in [
            (Part::Side, pair.side, side_bytes),
            (Part::Checkpoint, pair.checkpoint, checkpoint_bytes),
        ] {
            let file = std::sync::Arc::new(file);
            let mut position = 0;
            while position < length {
                let size = CHUNK_BYTES.min((length - position) as usize);
                let from = std::sync::Arc::clone(&file);
                let read = move || -> std::io::Result<Bytes> {
                    let mut chunk = BytesMut::zeroed(size);
                    from.read_exact_at(&mut chunk, position)?;
                    Ok(chunk.freeze())
                };
                let bytes = tokio::task::spawn_blocking(read).await?;
                let bytes = bytes.context("cannot read the snapshot")?;
                self.snapshot_step(&SnapshotStep::Chunk {
                    part,
                    position,
                    bytes,
                })
                .await?;
                position += size as u64;
            }
        }
        if let Some(connection) = &mut self.connection {
            connection.patience = INSTALL_WITHIN;
        }
        let known = self.snapshot_step(&SnapshotStep::End { vote }).await?;
        self.connection = None;
        check_vote(&known, &vote)?;
        Ok(SnapshotResponse::new(known))
    }

    /// Sends one step and gives back the peer's vote.
    async fn snapshot_step(&mut self, step: &SnapshotStep) -> Result<Vote> {
        let put = |out: &mut Vec<u8>| frames::put_snapshot_step(out, step);
        let take = |input: &mut Input| {
            let vote = input.vote()?;
            input.end()?;
            Ok(vote)
        };
        self.ask(frames::SNAPSHOT, CONNECT_WITHIN, put, take).await
    }
}

/// One run of pipelined appends. Only a run that ended with nothing outstanding gives its
/// connection back.
struct Session<'s, S> {
    client: &'s mut Client,
    requests: S,
    more: bool,
    connection: Option<Connection>,
    in_flight: VecDeque<InFlight>,
    within: Duration,
}

struct InFlight {
    correlation: i32,
    vote: Vote,
    previous: Option<LogId>,
    last: Option<LogId>,
}

impl<S: Stream<Item = AppendEntriesRequest<Config>> + Unpin> Session<'_, S> {
    /// The next answer; `None` when all requests are answered and no more come.
    async fn next(&mut self) -> Result<Option<StreamAppendResult<Config>>> {
        loop {
            let Some(oldest) = self.in_flight.front() else {
                // A stream that has ended must not be asked again.
                let request = if self.more {
                    self.requests.next().await
                } else {
                    None
                };
                self.more = request.is_some();
                match request {
                    Some(request) => self.send(&request).await?,
                    None => return Ok(None),
                }
                continue;
            };
            let correlation = oldest.correlation;
            let connection = self.connection.as_mut().context("not connected")?;
            if !self.more || self.in_flight.len() >= IN_FLIGHT_MAX {
                let answer = connection.receive(correlation).await?;
                return self.answered(answer).map(Some);
            }
            let step = {
                let receive = std::pin::pin!(connection.receive(correlation));
                match select(self.requests.next(), receive).await {
                    Either::Left((request, _)) => Either::Left(request),
                    Either::Right((answer, _)) => Either::Right(answer),
                }
            };
            match step {
                Either::Left(Some(request)) => self.send(&request).await?,
                Either::Left(None) => self.more = false,
                Either::Right(answer) => return self.answered(answer?).map(Some),
            }
        }
    }

    async fn send(&mut self, request: &AppendEntriesRequest<Config>) -> Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.client.connect(self.within).await?,
        };
        let client = &*self.client;
        let correlation = connection.send(frames::APPEND, |out| {
            client.put_address(out);
            frames::put_append(out, request);
        });
        let correlation = correlation.await?;
        self.connection = Some(connection);
        let last = request
            .entries
            .last()
            .map(|entry| entry.log_id)
            .or(request.prev_log_id);
        self.in_flight.push_back(InFlight {
            correlation,
            vote: request.vote,
            previous: request.prev_log_id,
            last,
        });
        Ok(())
    }

    fn answered(&mut self, answer: Bytes) -> Result<StreamAppendResult<Config>> {
        let asked = self.in_flight.pop_front().context("not asked")?;
        let InFlight { previous, last, .. } = asked;
        let response = take_appended(&mut self.client.accept(answer)?, &asked.vote)?;
        if matches!(response, AppendEntriesResponse::Conflict) && previous.is_none() {
            bail!("a conflict with nothing");
        }
        Ok(response.into_stream_result(previous, last))
    }

    fn close(self) {
        if self.in_flight.is_empty() {
            self.client.connection = self.connection;
        }
    }
}
