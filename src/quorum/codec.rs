//! Bytes of everything that raft stores or sends: entries, votes, log ids, memberships.
//!
//! The encodings are YAKt's own and fixed by golden tests, never derived from a library's structs:
//! a new openraft may change its structs, but not what lies on disk or what a peer of the previous
//! version understands. All numbers are big-endian. Strings carry a u16 length.
//!
//! ```text
//! entry       format u8 = 1, term u64, kind u8, body, crc32c u32 (over index u64 and all before it)
//!   blank       kind 0, no body
//!   normal      kind 1, run u32, origins (u32 length), side (u32 length), batch (the rest)
//!   membership  kind 2, membership
//! log id      term u64, index u64            optional: u8 0 or 1 before it
//! vote        term u64, node id u64, committed u8
//! membership  configs u8, each: voters u16, ids u64…; nodes u16, each: id u64, directory id 16 bytes,
//!             endpoints u8, each: name, host, port u16
//! origins     each: records u32, principal, client id, api i16
//! side        changes u16, each: kind u8, fields
//! ```

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::types::{
    Change, Entry, EntryPayload, LogId, Member, Membership, StoredMembership, Vote, log_id, term_of,
};
use crate::controller::Origin;
use crate::ids::{BrokerId, Endpoint, Uuid};
use crate::image::side::SideChange;

/// Version of an entry's encoding.
const ENTRY_FORMAT: u8 = 1;
/// Most voters and learners of a membership.
const MEMBERS_MAX: usize = 1_000;
/// Most listeners of one member.
const ENDPOINTS_MAX: usize = 16;
/// Most side changes of one entry.
const SIDE_CHANGES_MAX: usize = 65_535;

const KIND_BLANK: u8 = 0;
const KIND_NORMAL: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

const SIDE_SESSIONLESS: u8 = 0;

/// An entry as it is stored.
pub(super) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(entry_size_hint(entry));
    put_entry(&mut out, entry);
    out
}

/// About how many bytes an entry takes.
pub(super) fn entry_size_hint(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(change) => {
            24 + change.origins.len() + change.side.len() + change.batch.len()
        }
        _ => 256,
    }
}

/// Appends an entry as it is stored and sent.
pub(super) fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    let start = out.len();
    out.put_u8(ENTRY_FORMAT);
    out.put_u64(term_of(&entry.log_id));
    match &entry.payload {
        EntryPayload::Blank => out.put_u8(KIND_BLANK),
        EntryPayload::Normal(change) => {
            out.put_u8(KIND_NORMAL);
            out.put_u32(change.run);
            out.put_u32(change.origins.len() as u32);
            out.put_slice(&change.origins);
            out.put_u32(change.side.len() as u32);
            out.put_slice(&change.side);
            out.put_slice(&change.batch);
        }
        EntryPayload::Membership(membership) => {
            out.put_u8(KIND_MEMBERSHIP);
            put_membership(out, membership);
        }
    }
    let crc = entry_crc(entry.log_id.index, out.get(start..).unwrap_or_default());
    out.put_u32(crc);
}

/// The entry at `index`. The batch is a slice of `bytes`, not a copy.
pub(super) fn decode_entry(index: u64, mut bytes: Bytes) -> Result<Entry> {
    ensure!(
        bytes.len() >= 14,
        "entry {index} is {} bytes long: too short",
        bytes.len()
    );
    let crc = bytes.split_off(bytes.len() - 4).get_u32();
    ensure!(
        crc == entry_crc(index, &bytes),
        "entry {index} has a wrong checksum"
    );
    let mut input = Input(bytes);
    let format = input.u8()?;
    ensure!(
        format == ENTRY_FORMAT,
        "entry {index} has format {format}, this YAKt reads 1"
    );
    let term = input.u64()?;
    let payload = match input.u8()? {
        KIND_BLANK => EntryPayload::Blank,
        KIND_NORMAL => {
            let run = input.u32()?;
            let origins = input.u32()? as usize;
            let origins = input.take(origins)?;
            let side = input.u32()? as usize;
            let side = input.take(side)?;
            let batch = std::mem::take(&mut input.0);
            EntryPayload::Normal(Change {
                run,
                origins,
                side,
                batch,
            })
        }
        KIND_MEMBERSHIP => EntryPayload::Membership(input.membership()?),
        kind => bail!("entry {index} is of unknown kind {kind}"),
    };
    input.end().with_context(|| format!("entry {index}"))?;
    Ok(Entry {
        log_id: log_id(term, index),
        payload,
    })
}

/// The log id of an encoded entry, without a look at the rest of it.
pub(super) fn peek_log_id(index: u64, bytes: &[u8]) -> Result<LogId> {
    let term = bytes.get(1..9).and_then(|term| term.try_into().ok());
    let term = term.with_context(|| format!("entry {index} is too short"))?;
    Ok(log_id(u64::from_be_bytes(term), index))
}

fn entry_crc(index: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&index.to_be_bytes()), bytes)
}

/// Appends an optional log id.
pub(super) fn put_log_id(out: &mut impl BufMut, id: Option<&LogId>) {
    out.put_u8(u8::from(id.is_some()));
    if let Some(id) = id {
        out.put_u64(term_of(id));
        out.put_u64(id.index);
    }
}

/// Appends a vote.
pub(super) fn put_vote(out: &mut impl BufMut, vote: &Vote) {
    out.put_u64(vote.leader_id.term);
    out.put_u64(vote.leader_id.voted_for);
    out.put_u8(u8::from(vote.committed));
}

/// A vote by itself.
pub(super) fn encode_vote(vote: &Vote) -> Vec<u8> {
    let mut out = Vec::with_capacity(17);
    put_vote(&mut out, vote);
    out
}

/// An optional log id by itself.
pub(super) fn encode_log_id(id: Option<&LogId>) -> Vec<u8> {
    let mut out = Vec::with_capacity(17);
    put_log_id(&mut out, id);
    out
}

/// Appends a string of at most 65,535 bytes; a longer one cannot come from a checked setting.
pub(super) fn put_string(out: &mut impl BufMut, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.put_u16(len);
    out.put_slice(&text.as_bytes()[..usize::from(len)]);
}

/// Appends a membership.
pub(super) fn put_membership(out: &mut impl BufMut, membership: &Membership) {
    let configs = membership.get_joint_config();
    out.put_u8(configs.len() as u8);
    for config in configs {
        out.put_u16(config.len() as u16);
        for id in config {
            out.put_u64(*id);
        }
    }
    out.put_u16(membership.nodes().count() as u16);
    for (id, member) in membership.nodes() {
        out.put_u64(*id);
        put_member(out, member);
    }
}

/// Appends a stored membership: the log id that brought it, then itself.
pub(super) fn put_stored_membership(out: &mut impl BufMut, stored: &StoredMembership) {
    put_log_id(out, stored.log_id().as_ref());
    put_membership(out, stored.membership());
}

/// Appends a member: directory id and endpoints.
pub(super) fn put_member(out: &mut impl BufMut, member: &Member) {
    out.put_u128(member.directory_id.as_u128());
    out.put_u8(member.endpoints.len().min(ENDPOINTS_MAX) as u8);
    for endpoint in member.endpoints.iter().take(ENDPOINTS_MAX) {
        put_string(out, &endpoint.name);
        put_string(out, &endpoint.host);
        out.put_u16(endpoint.port);
    }
}

/// Who caused how many records of a batch, as it lies in the log.
pub(super) fn encode_origins(origins: &[(u32, Origin)]) -> Bytes {
    // A principal and a client id of any length must not keep a record from being written.
    const TEXT_MAX: usize = 1_024;
    let mut out = BytesMut::new();
    for (records, origin) in origins {
        out.put_u32(*records);
        for text in [&origin.principal, &origin.client_id] {
            let mut len = text.len().min(TEXT_MAX);
            while !text.is_char_boundary(len) {
                len -= 1;
            }
            put_string(&mut out, &text[..len]);
        }
        out.put_i16(origin.api);
    }
    out.freeze()
}

/// The inverse of [`encode_origins`]: nobody asks who changed what yet.
#[cfg(test)]
pub(super) fn decode_origins(bytes: &Bytes) -> Result<Vec<(u32, Origin)>> {
    let mut input = Input(bytes.clone());
    let mut origins = Vec::new();
    while !input.0.is_empty() {
        let records = input.u32()?;
        let origin = Origin {
            principal: input.string()?,
            client_id: input.string()?,
            api: input.u16()? as i16,
        };
        origins.push((records, origin));
    }
    Ok(origins)
}

/// Side changes as they lie in the log; nothing at all for none.
pub(super) fn encode_side(changes: &[SideChange]) -> Bytes {
    if changes.is_empty() {
        return Bytes::new();
    }
    let mut out = BytesMut::new();
    out.put_u16(changes.len().min(SIDE_CHANGES_MAX) as u16);
    for change in changes.iter().take(SIDE_CHANGES_MAX) {
        match change {
            SideChange::Sessionless { broker } => {
                out.put_u8(SIDE_SESSIONLESS);
                out.put_i32(broker.0);
            }
        }
    }
    out.freeze()
}

/// The inverse of [`encode_side`].
pub(super) fn decode_side(bytes: &Bytes) -> Result<Vec<SideChange>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut input = Input(bytes.clone());
    let count = usize::from(input.u16()?);
    let mut changes = Vec::with_capacity(count.min(input.0.len()));
    for _ in 0..count {
        changes.push(match input.u8()? {
            SIDE_SESSIONLESS => SideChange::Sessionless {
                broker: BrokerId(input.u32()? as i32),
            },
            kind => bail!("a side change is of unknown kind {kind}"),
        });
    }
    input.end().context("side changes")?;
    Ok(changes)
}

/// Bytes that are read front to back. Every read checks that they have arrived; a count is never
/// trusted with more memory than the bytes behind it.
pub(super) struct Input(pub(super) Bytes);

impl Input {
    pub(super) fn take(&mut self, len: usize) -> Result<Bytes> {
        ensure!(
            len <= self.0.len(),
            "{len} bytes announced, {} there",
            self.0.len()
        );
        Ok(self.0.split_to(len))
    }
    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?.get_u8())
    }
    pub(super) fn u16(&mut self) -> Result<u16> {
        Ok(self.take(2)?.get_u16())
    }
    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(self.take(4)?.get_u32())
    }
    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(self.take(8)?.get_u64())
    }
    pub(super) fn i64(&mut self) -> Result<i64> {
        Ok(self.take(8)?.get_i64())
    }
    pub(super) fn flag(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => bail!("{other} is neither yes nor no"),
        }
    }
    pub(super) fn uuid(&mut self) -> Result<Uuid> {
        Ok(Uuid::from_u128(self.take(16)?.get_u128()))
    }
    pub(super) fn string(&mut self) -> Result<String> {
        let len = usize::from(self.u16()?);
        let bytes = self.take(len)?;
        Ok(std::str::from_utf8(&bytes)
            .context("text is not UTF-8")?
            .to_owned())
    }
    pub(super) fn log_id(&mut self) -> Result<Option<LogId>> {
        Ok(if self.flag()? {
            Some(log_id(self.u64()?, self.u64()?))
        } else {
            None
        })
    }
    pub(super) fn vote(&mut self) -> Result<Vote> {
        let (term, node) = (self.u64()?, self.u64()?);
        let committed = self.flag()?;
        Ok(if committed {
            Vote::new_committed(term, node)
        } else {
            Vote::new(term, node)
        })
    }
    pub(super) fn member(&mut self) -> Result<Member> {
        let directory_id = self.uuid()?;
        let count = usize::from(self.u8()?);
        ensure!(
            count <= ENDPOINTS_MAX,
            "{count} endpoints, at most {ENDPOINTS_MAX} are read"
        );
        let mut endpoints = Vec::with_capacity(count);
        for _ in 0..count {
            let (name, host) = (self.string()?, self.string()?);
            endpoints.push(Endpoint {
                name,
                host,
                port: self.u16()?,
            });
        }
        Ok(Member {
            directory_id,
            endpoints,
        })
    }
    pub(super) fn membership(&mut self) -> Result<Membership> {
        let mut configs = Vec::new();
        for _ in 0..self.u8()? {
            let count = usize::from(self.u16()?);
            ensure!(
                count <= MEMBERS_MAX,
                "{count} voters, at most {MEMBERS_MAX} are read"
            );
            let ids: Result<BTreeSet<u64>> = (0..count).map(|_| self.u64()).collect();
            configs.push(ids?);
        }
        let count = usize::from(self.u16()?);
        ensure!(
            count <= MEMBERS_MAX,
            "{count} members, at most {MEMBERS_MAX} are read"
        );
        let mut nodes = BTreeMap::new();
        for _ in 0..count {
            nodes.insert(self.u64()?, self.member()?);
        }
        if configs.is_empty() && nodes.is_empty() {
            return Ok(Membership::default());
        }
        Membership::new(configs, nodes).context("membership")
    }
    pub(super) fn stored_membership(&mut self) -> Result<StoredMembership> {
        Ok(StoredMembership::new(self.log_id()?, self.membership()?))
    }
    /// Everything has been read.
    pub(super) fn end(&self) -> Result<()> {
        ensure!(self.0.is_empty(), "{} bytes are left over", self.0.len());
        Ok(())
    }
}

/// A vote by itself, as it lies in the store.
pub(super) fn decode_vote(bytes: &[u8]) -> Result<Vote> {
    let mut input = Input(Bytes::copy_from_slice(bytes));
    let vote = input.vote()?;
    input.end().context("vote")?;
    Ok(vote)
}

/// An optional log id by itself, as it lies in the store.
pub(super) fn decode_log_id(bytes: &[u8]) -> Result<Option<LogId>> {
    let mut input = Input(Bytes::copy_from_slice(bytes));
    let id = input.log_id()?;
    input.end().context("log id")?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn sample_membership() -> Membership {
        let member = Member {
            directory_id: Uuid::from_u128(0x0102),
            endpoints: vec![Endpoint {
                name: "CONTROLLER".into(),
                host: "::1".into(),
                port: 9093,
            }],
        };
        Membership::new(vec![BTreeSet::from([3])], BTreeMap::from([(3, member)])).unwrap()
    }

    fn sample_change() -> Change {
        let origin = Origin {
            principal: "User:a".into(),
            client_id: "c".into(),
            api: 19,
        };
        Change {
            run: 2,
            origins: encode_origins(&[(2, origin)]),
            side: encode_side(&[SideChange::Sessionless {
                broker: BrokerId(7),
            }]),
            batch: Bytes::from_static(b"batch"),
        }
    }

    #[track_caller]
    fn check(payload: EntryPayload, golden: &str) {
        let entry = Entry {
            log_id: log_id(5, 9),
            payload,
        };
        let bytes = encode_entry(&entry);
        assert_eq!(hex(&bytes), golden);
        let decoded = decode_entry(9, Bytes::from(bytes.clone())).unwrap();
        assert_eq!(decoded, entry);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            assert!(
                decode_entry(9, damaged.into()).is_err(),
                "damage at byte {at} is not seen"
            );
            assert!(decode_entry(9, Bytes::from(bytes[..at].to_vec())).is_err());
        }
        assert!(
            decode_entry(10, bytes.into()).is_err(),
            "an entry at another index is not seen"
        );
    }

    #[test]
    fn entries_are_these_bytes_for_ever() {
        check(EntryPayload::Blank, "010000000000000005006414dd27");
        check(
            EntryPayload::Normal(sample_change()),
            "010000000000000005010000000200000011000000020006557365723a61000163001300000007000100000000076261746368ee6f6048",
        );
        check(
            EntryPayload::Membership(sample_membership()),
            "010000000000000005020100010000000000000003000100000000000000030000000000000000000000000000010201000a434f4e54524f4c4c455200033a3a312385a10844e8",
        );
    }

    #[test]
    fn small_values_are_these_bytes_for_ever() {
        let vote = Vote::new_committed(7, 3);
        assert_eq!(
            hex(&encode_vote(&vote)),
            "0000000000000007000000000000000301"
        );
        assert_eq!(decode_vote(&encode_vote(&vote)).unwrap(), vote);
        for id in [None, Some(log_id(2, 8))] {
            assert_eq!(decode_log_id(&encode_log_id(id.as_ref())).unwrap(), id);
        }
        assert_eq!(
            hex(&encode_log_id(Some(&log_id(2, 8)))),
            "0100000000000000020000000000000008"
        );
        let change = sample_change();
        let origins = decode_origins(&change.origins).unwrap();
        assert_eq!(
            (origins[0].0, origins[0].1.principal.as_str()),
            (2, "User:a")
        );
        assert_eq!(
            decode_side(&change.side).unwrap(),
            [SideChange::Sessionless {
                broker: BrokerId(7)
            }]
        );
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let origin = Origin {
            principal: "ä".repeat(600),
            client_id: String::new(),
            api: -1,
        };
        let back = decode_origins(&encode_origins(&[(1, origin)])).unwrap();
        let (_, back) = &back[0];
        assert_eq!((back.principal.chars().count(), back.api), (512, -1));
    }
}
