//! What peers say to each other, as bytes.
//!
//! Peers talk on the Kafka listener, in Kafka's request framing (length, API key, version,
//! correlation id, client id, body), with keys that Kafka will never use:
//!
//! | key | name | request | answer |
//! |---|---|---|---|
//! | 20000 | Append | vote, previous log id?, committed?, count u32, each: index u64, length u32, entry | 0 \| 1 conflict \| 2 higher vote |
//! | 20001 | Vote | vote, last log id?, is a hand-over u8 | vote, granted u8, last log id? |
//! | 20002 | PreVote | the same | the same |
//! | 20003 | Snapshot | 0 begin: vote, last log id?, membership, two lengths u64 \| 1 chunk: file u8, position u64, bytes \| 2 end: vote | vote |
//! | 20004 | HandOver | vote, to u64, last log id? | 0 \| 1 vote changed: two votes \| 2 not flushed: two log ids? |
//! | 20005 | Hello | the configured voters, as text | nothing stored yet u8, the same voters u8 |
//! | 20006 | Moved | the sender as a member | – |
//! | 20100 | Forward | the wire room's own | the wire room's own |
//!
//! Every request but Forward begins with a [`Address`]: format u8 = 1, cluster id, sender's node id
//! u64 and directory id, receiver's node id u64 and directory id (zero where unknown). Every answer
//! begins with a status u8 and the answering node's node id u64 and directory id. Small values are
//! those of `codec.rs`; `?` marks an optional one.

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::codec::{self, Input};
use super::types::{Config, Entry, SnapshotMeta, Vote};
use crate::ids::Uuid;

/// Replicate entries; also heartbeats.
pub(super) const APPEND: i16 = 20_000;
/// Ask for a vote.
pub(super) const VOTE: i16 = 20_001;
/// Ask whether a vote would be given.
pub(super) const PRE_VOTE: i16 = 20_002;
/// Send a snapshot, in pieces.
pub(super) const SNAPSHOT: i16 = 20_003;
/// Hand leadership over.
pub(super) const HAND_OVER: i16 = 20_004;
/// Meet before the first election.
pub(super) const HELLO: i16 = 20_005;
/// A voter's endpoints changed.
pub(super) const MOVED: i16 = 20_006;
/// Pass a client's request to the leader; its body is the wire room's.
pub(super) const FORWARD: i16 = 20_100;

/// Version of all of these.
pub(super) const VERSION: i16 = 0;
/// Format of an [`Address`].
const FORMAT: u8 = 1;
/// Most entries in one append.
const ENTRIES_MAX: usize = 65_536;

/// A node for certain: its id, and the id of the directory it keeps its promises in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) node: u64,
    /// Zero: not known.
    pub(super) directory: Uuid,
}

/// Who speaks to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) cluster_id: String,
    pub(super) from: Identity,
    pub(super) to: Identity,
}

/// What a peer thinks of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// The answer follows.
    Fine,
    /// It is of another cluster.
    OtherCluster,
    /// It keeps its promises in another directory than the one addressed: it was wiped, or is
    /// another node altogether. It neither votes nor acknowledges.
    OtherIdentity,
    /// It knows the sender's node id with another directory id.
    Stranger,
    /// The request makes no sense to it.
    Refused,
    /// It is ending.
    Stopping,
}

impl Status {
    const ALL: [Self; 6] = [
        Self::Fine,
        Self::OtherCluster,
        Self::OtherIdentity,
        Self::Stranger,
        Self::Refused,
        Self::Stopping,
    ];

    fn code(self) -> u8 {
        Self::ALL
            .iter()
            .position(|status| *status == self)
            .map_or(u8::MAX, |at| at as u8)
    }

    fn from_code(code: u8) -> Result<Self> {
        Self::ALL
            .get(usize::from(code))
            .copied()
            .context("a peer answers with an unknown status")
    }
}

fn put_identity(out: &mut Vec<u8>, identity: Identity) {
    out.put_u64(identity.node);
    out.put_u128(identity.directory.as_u128());
}

fn take_identity(input: &mut Input) -> Result<Identity> {
    Ok(Identity {
        node: input.u64()?,
        directory: input.uuid()?,
    })
}

/// Appends an address.
pub(super) fn put_address(out: &mut Vec<u8>, address: &Address) {
    out.put_u8(FORMAT);
    codec::put_string(out, &address.cluster_id);
    put_identity(out, address.from);
    put_identity(out, address.to);
}

/// Reads an address off a request.
pub(super) fn take_address(input: &mut Input) -> Result<Address> {
    let format = input.u8()?;
    ensure!(
        format == FORMAT,
        "a peer speaks format {format}, this YAKt speaks {FORMAT}"
    );
    Ok(Address {
        cluster_id: input.string()?,
        from: take_identity(input)?,
        to: take_identity(input)?,
    })
}

/// An answer: who gives it, and what.
pub(super) fn answer(status: Status, from: Identity, body: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(64);
    out.put_u8(status.code());
    put_identity(&mut out, from);
    body(&mut out);
    out.into()
}

/// The inverse of [`answer`]; the body is left in `input`.
pub(super) fn take_answer(input: &mut Input) -> Result<(Status, Identity)> {
    Ok((Status::from_code(input.u8()?)?, take_identity(input)?))
}

/// Body of an append request.
pub(super) fn put_append(out: &mut Vec<u8>, request: &AppendEntriesRequest<Config>) {
    let size: usize = request
        .entries
        .iter()
        .map(|entry| 12 + codec::entry_size_hint(entry))
        .sum();
    out.reserve(64 + size);
    codec::put_vote(out, &request.vote);
    codec::put_log_id(out, request.prev_log_id.as_ref());
    codec::put_log_id(out, request.leader_commit.as_ref());
    out.put_u32(request.entries.len() as u32);
    for entry in &request.entries {
        put_sized_entry(out, entry);
    }
}

fn put_sized_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.put_u64(entry.log_id.index);
    let length_at = out.len();
    out.put_u32(0);
    codec::put_entry(out, entry);
    let length = (out.len() - length_at - 4) as u32;
    if let Some(place) = out.get_mut(length_at..length_at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// Body of an append request; the batches are slices of the input.
pub(super) fn take_append(input: &mut Input) -> Result<AppendEntriesRequest<Config>> {
    let vote = input.vote()?;
    let prev_log_id = input.log_id()?;
    let leader_commit = input.log_id()?;
    let count = input.u32()? as usize;
    ensure!(
        count <= ENTRIES_MAX,
        "{count} entries, at most {ENTRIES_MAX} are read"
    );
    let mut entries = Vec::with_capacity(count.min(input.0.len() / 26));
    for _ in 0..count {
        let index = input.u64()?;
        let length = input.u32()? as usize;
        entries.push(codec::decode_entry(index, input.take(length)?)?);
    }
    input.end()?;
    Ok(AppendEntriesRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    })
}

/// Body of the answer to an append.
pub(super) fn put_appended(out: &mut Vec<u8>, response: &AppendEntriesResponse<Config>) {
    match response {
        AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_) => out.put_u8(0),
        AppendEntriesResponse::Conflict => out.put_u8(1),
        AppendEntriesResponse::HigherVote(vote) => {
            out.put_u8(2);
            codec::put_vote(out, vote);
        }
    }
}

/// The inverse of [`put_appended`].
pub(super) fn take_appended(input: &mut Input) -> Result<AppendEntriesResponse<Config>> {
    let response = match input.u8()? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::Conflict,
        2 => AppendEntriesResponse::HigherVote(input.vote()?),
        other => bail!("a peer answers an append with {other}"),
    };
    input.end()?;
    Ok(response)
}

/// Body of a vote or pre-vote request.
pub(super) fn put_vote_request(out: &mut Vec<u8>, request: &VoteRequest<Config>) {
    codec::put_vote(out, &request.vote);
    codec::put_log_id(out, request.last_log_id.as_ref());
    out.put_u8(u8::from(request.leadership_transfer));
}

/// The inverse of [`put_vote_request`].
pub(super) fn take_vote_request(input: &mut Input) -> Result<VoteRequest<Config>> {
    let mut request = VoteRequest::new(input.vote()?, input.log_id()?);
    request.leadership_transfer = input.flag()?;
    input.end()?;
    Ok(request)
}

/// Body of the answer to a vote.
pub(super) fn put_voted(out: &mut Vec<u8>, response: &VoteResponse<Config>) {
    codec::put_vote(out, &response.vote);
    out.put_u8(u8::from(response.vote_granted));
    codec::put_log_id(out, response.last_log_id.as_ref());
}

/// The inverse of [`put_voted`].
pub(super) fn take_voted(input: &mut Input) -> Result<VoteResponse<Config>> {
    let (vote, granted) = (input.vote()?, input.flag()?);
    let last = input.log_id()?;
    input.end()?;
    Ok(VoteResponse::new(vote, last, granted))
}

/// Body of a request to take leadership over.
pub(super) fn put_hand_over(out: &mut Vec<u8>, request: &TransferLeaderRequest<Config>) {
    codec::put_vote(out, request.from_leader());
    out.put_u64(*request.to_node_id());
    codec::put_log_id(out, request.last_log_id());
}

/// The inverse of [`put_hand_over`].
pub(super) fn take_hand_over(input: &mut Input) -> Result<TransferLeaderRequest<Config>> {
    let request = TransferLeaderRequest::new(input.vote()?, input.u64()?, input.log_id()?);
    input.end()?;
    Ok(request)
}

/// Body of the answer to it.
pub(super) fn put_handed_over(out: &mut Vec<u8>, response: &TransferLeaderResponse<Config>) {
    match response {
        Ok(()) => out.put_u8(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            out.put_u8(1);
            codec::put_vote(out, expected);
            codec::put_vote(out, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            out.put_u8(2);
            codec::put_log_id(out, expected.as_ref());
            codec::put_log_id(out, actual.as_ref());
        }
    }
}

/// The inverse of [`put_handed_over`].
pub(super) fn take_handed_over(input: &mut Input) -> Result<TransferLeaderResponse<Config>> {
    let response = match input.u8()? {
        0 => Ok(()),
        1 => {
            let (expected, actual) = (input.vote()?, input.vote()?);
            Err(TransferLeaderError::VoteChanged { expected, actual })
        }
        2 => {
            let (expected, actual) = (input.log_id()?, input.log_id()?);
            Err(TransferLeaderError::LogNotFlushed { expected, actual })
        }
        other => bail!("a peer answers a hand-over with {other}"),
    };
    input.end()?;
    Ok(response)
}

/// Which of a pair's files a chunk belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Side,
    Checkpoint,
}

/// One step of sending a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SnapshotStep {
    /// It begins; whatever was received before is dropped.
    Begin {
        vote: Vote,
        meta: SnapshotMeta,
        side_bytes: u64,
        checkpoint_bytes: u64,
    },
    /// The next bytes of a file.
    Chunk {
        part: Part,
        position: u64,
        bytes: Bytes,
    },
    /// All has been sent.
    End { vote: Vote },
}

/// Body of a snapshot request.
pub(super) fn put_snapshot_step(out: &mut Vec<u8>, step: &SnapshotStep) {
    match step {
        SnapshotStep::Begin {
            vote,
            meta,
            side_bytes,
            checkpoint_bytes,
        } => {
            out.put_u8(0);
            codec::put_vote(out, vote);
            codec::put_log_id(out, meta.last_log_id.as_ref());
            codec::put_stored_membership(out, &meta.last_membership);
            out.put_u64(*side_bytes);
            out.put_u64(*checkpoint_bytes);
        }
        SnapshotStep::Chunk {
            part,
            position,
            bytes,
        } => {
            out.put_u8(1);
            out.put_u8(u8::from(*part == Part::Checkpoint));
            out.put_u64(*position);
            out.put_slice(bytes);
        }
        SnapshotStep::End { vote } => {
            out.put_u8(2);
            codec::put_vote(out, vote);
        }
    }
}

/// The inverse of [`put_snapshot_step`].
pub(super) fn take_snapshot_step(input: &mut Input) -> Result<SnapshotStep> {
    let step = match input.u8()? {
        0 => {
            let vote = input.vote()?;
            let last_log_id = input.log_id()?;
            let last_membership = input.stored_membership()?;
            let meta = SnapshotMeta {
                last_log_id,
                last_membership,
            };
            let (side_bytes, checkpoint_bytes) = (input.u64()?, input.u64()?);
            SnapshotStep::Begin {
                vote,
                meta,
                side_bytes,
                checkpoint_bytes,
            }
        }
        1 => {
            let part = if input.flag()? {
                Part::Checkpoint
            } else {
                Part::Side
            };
            let position = input.u64()?;
            SnapshotStep::Chunk {
                part,
                position,
                bytes: std::mem::take(&mut input.0),
            }
        }
        2 => SnapshotStep::End {
            vote: input.vote()?,
        },
        other => bail!("a snapshot step of kind {other}"),
    };
    input.end()?;
    Ok(step)
}

/// What a node says to Hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// It has neither a vote nor a log.
    pub(super) empty: bool,
    /// It is configured with the same voters.
    pub(super) same_voters: bool,
}

/// Body of the answer to Hello.
pub(super) fn put_hello(out: &mut Vec<u8>, hello: Hello) {
    out.put_u8(u8::from(hello.empty));
    out.put_u8(u8::from(hello.same_voters));
}

/// The inverse of [`put_hello`].
pub(super) fn take_hello(input: &mut Input) -> Result<Hello> {
    let hello = Hello {
        empty: input.flag()?,
        same_voters: input.flag()?,
    };
    input.end()?;
    Ok(hello)
}

/// A whole request frame, length included.
pub(super) fn request(key: i16, correlation: i32, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.put_i32(0);
    out.put_i16(key);
    out.put_i16(VERSION);
    out.put_i32(correlation);
    out.put_i16(-1);
    body(&mut out);
    let length = (out.len() - 4) as i32;
    if let Some(place) = out.get_mut(..4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::types::{EntryPayload, StoredMembership, log_id};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The bytes are these for ever, they are read back as what they were, and no shorter run of
    /// them is.
    #[track_caller]
    fn check<T: std::fmt::Debug>(
        value: T,
        put: impl Fn(&mut Vec<u8>, &T),
        take: impl Fn(&mut Input) -> Result<T>,
        golden: &str,
    ) {
        let mut bytes = Vec::new();
        put(&mut bytes, &value);
        assert_eq!(hex(&bytes), golden);
        let back = take(&mut Input(bytes.clone().into())).unwrap();
        assert_eq!(format!("{back:?}"), format!("{value:?}"));
        for length in 0..bytes.len() {
            let cut = Bytes::from(bytes[..length].to_vec());
            assert!(
                take(&mut Input(cut)).is_err(),
                "{length} bytes are taken for the whole"
            );
        }
    }

    const VOTE_HEX: &str = "0000000000000007000000000000000301";
    const ID_HEX: &str = "0100000000000000060000000000000008";

    #[test]
    fn requests_are_these_bytes_for_ever() {
        let vote = Vote::new_committed(7, 3);
        let entry = Entry {
            log_id: log_id(5, 9),
            payload: EntryPayload::Blank,
        };
        let append = AppendEntriesRequest {
            vote,
            prev_log_id: Some(log_id(6, 8)),
            entries: vec![entry],
            leader_commit: None,
        };
        let entries = "00000001" /* count */
            .to_owned()
            + "0000000000000009"
            + "0000000e"
            + "010000000000000005006414dd27";
        check(
            append,
            put_append,
            take_append,
            &format!("{VOTE_HEX}{ID_HEX}00{entries}"),
        );
        let mut request = VoteRequest::new(vote, Some(log_id(6, 8)));
        request.leadership_transfer = true;
        check(
            request,
            put_vote_request,
            take_vote_request,
            &format!("{VOTE_HEX}{ID_HEX}01"),
        );
        check(
            TransferLeaderRequest::new(vote, 2, Some(log_id(6, 8))),
            put_hand_over,
            take_hand_over,
            &format!("{VOTE_HEX}0000000000000002{ID_HEX}"),
        );
        let address = Address {
            cluster_id: "c".into(),
            from: Identity {
                node: 1,
                directory: Uuid::from_u128(0xa),
            },
            to: Identity {
                node: 2,
                directory: Uuid::nil(),
            },
        };
        check(
            address,
            put_address,
            take_address,
            "01000163\
             00000000000000010000000000000000000000000000000a\
             000000000000000200000000000000000000000000000000",
        );
    }

    #[test]
    fn snapshot_steps_are_these_bytes_for_ever() {
        let vote = Vote::new_committed(7, 3);
        let meta = SnapshotMeta {
            last_log_id: Some(log_id(6, 8)),
            last_membership: StoredMembership::default(),
        };
        check(
            SnapshotStep::Begin {
                vote,
                meta,
                side_bytes: 1,
                checkpoint_bytes: 2,
            },
            put_snapshot_step,
            take_snapshot_step,
            &format!("00{VOTE_HEX}{ID_HEX}00000000{:016x}{:016x}", 1, 2),
        );
        check(
            SnapshotStep::End { vote },
            put_snapshot_step,
            take_snapshot_step,
            &format!("02{VOTE_HEX}"),
        );
        let chunk = SnapshotStep::Chunk {
            part: Part::Checkpoint,
            position: 3,
            bytes: Bytes::from_static(b"xy"),
        };
        let mut bytes = Vec::new();
        put_snapshot_step(&mut bytes, &chunk);
        assert_eq!(hex(&bytes), "010100000000000000037879");
        assert_eq!(take_snapshot_step(&mut Input(bytes.into())).unwrap(), chunk);
    }

    #[test]
    fn answers_are_these_bytes_for_ever() {
        let vote = Vote::new_committed(7, 3);
        let higher = AppendEntriesResponse::HigherVote(vote);
        check(
            AppendEntriesResponse::Success,
            put_appended,
            take_appended,
            "00",
        );
        check(
            AppendEntriesResponse::Conflict,
            put_appended,
            take_appended,
            "01",
        );
        check(
            higher,
            put_appended,
            take_appended,
            &format!("02{VOTE_HEX}"),
        );
        check(
            VoteResponse::new(vote, Some(log_id(6, 8)), true),
            put_voted,
            take_voted,
            &format!("{VOTE_HEX}01{ID_HEX}"),
        );
        check(Ok(()), put_handed_over, take_handed_over, "00");
        let hello = Hello {
            empty: true,
            same_voters: false,
        };
        check(
            hello,
            |out, hello| put_hello(out, *hello),
            take_hello,
            "0100",
        );
        let identity = Identity {
            node: 1,
            directory: Uuid::from_u128(0xa),
        };
        let bytes = answer(Status::Stranger, identity, |_| {});
        assert_eq!(
            hex(&bytes),
            "0300000000000000010000000000000000000000000000000a"
        );
        let mut input = Input(bytes);
        assert_eq!(
            take_answer(&mut input).unwrap(),
            (Status::Stranger, identity)
        );
    }

    #[test]
    fn a_request_is_framed_as_kafka_frames_them() {
        let frame = request(HELLO, 5, |out| out.put_u8(9));
        assert_eq!(
            hex(&frame),
            "0000000b4e2500000000".to_owned() + "0005ffff09"
        );
    }
}
