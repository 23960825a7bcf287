//! The second file of a snapshot, `<index>.yakt`: what raft and YAKt need beside Kafka's, and the
//! length and checksum of that one. Its rename commits the pair.
//!
//! ```text
//! magic "YAKT", format u8 = 1, body, crc32c u32 of all before it
//! body: last log id, membership (codec.rs), end offset i64, epoch i32, log time i64, guard, index,
//!       checkpoint length u64 and crc32c u32, side room u32 length and bytes
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BufMut, Bytes};

use super::checkpoint;
use super::codec::{self, Input};
use super::files::{TEMPORARY, rename, sync_directory};
use super::guard::Guard;
use super::index::Index;
use super::machine::State;
use super::types::{LogId, SnapshotMeta, StoredMembership};
use crate::feed::snapshots::{SnapshotId, Written};
use crate::ids::Millis;

/// Suffix of the side files.
pub(super) const SIDE: &str = ".yakt";

const MAGIC: &[u8; 4] = b"YAKT";
const FORMAT: u8 = 1;

/// What the side file of a kept pair says, without what only a restart needs.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The last entry in it; `None` in one that was taken before the first.
    pub(super) last: Option<LogId>,
    pub(super) membership: StoredMembership,
    pub(super) id: SnapshotId,
    pub(super) time: Millis,
    pub(super) checkpoint: Written,
}

impl Kept {
    pub(super) fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.last,
            last_membership: self.membership.clone(),
        }
    }

    /// Index of the last entry in it.
    pub(super) fn index(&self) -> u64 {
        self.last.map_or(0, |last| last.index)
    }

    pub(super) fn side_name(&self) -> String {
        side_name(self.index())
    }
}

fn side_name(index: u64) -> String {
    format!("{index:020}{SIDE}")
}

/// A side file's whole content.
pub(super) struct Side {
    pub(super) kept: Kept,
    pub(super) guard: Guard,
    pub(super) index: Index,
    /// The side room.
    pub(super) side: Bytes,
}

impl Side {
    pub(super) fn encode(&self) -> Vec<u8> {
        let kept = &self.kept;
        let mut out = Vec::new();
        out.put_slice(MAGIC);
        out.put_u8(FORMAT);
        codec::put_log_id(&mut out, kept.last.as_ref());
        codec::put_stored_membership(&mut out, &kept.membership);
        out.put_i64(kept.id.end_offset);
        out.put_i32(kept.id.epoch);
        out.put_i64(kept.time);
        self.guard.encode(&mut out);
        self.index.encode(&mut out);
        out.put_u64(kept.checkpoint.bytes);
        out.put_u32(kept.checkpoint.crc);
        out.put_u32(self.side.len() as u32);
        out.put_slice(&self.side);
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self> {
        ensure!(bytes.len() > 9, "a side file of {} bytes", bytes.len());
        let crc = bytes.split_off(bytes.len() - 4).get_u32();
        ensure!(
            crc == crc32c::crc32c(&bytes),
            "a side file with a wrong checksum"
        );
        let mut input = Input(bytes);
        ensure!(*input.take(4)? == *MAGIC, "no side file");
        let format = input.u8()?;
        ensure!(
            format == FORMAT,
            "a side file of format {format}; this YAKt reads {FORMAT}"
        );
        let last = input.log_id()?;
        let membership = input.stored_membership()?;
        let id = SnapshotId {
            end_offset: input.i64()?,
            epoch: input.u32()? as i32,
        };
        let time = input.i64()?;
        let guard = Guard::decode(&mut input)?;
        let index = Index::decode(&mut input)?;
        let checkpoint = Written {
            bytes: input.u64()?,
            crc: input.u32()?,
        };
        let side = input.u32()? as usize;
        let side = input.take(side)?;
        input.end()?;
        let kept = Kept {
            last,
            membership,
            id,
            time,
            checkpoint,
        };
        Ok(Self {
            kept,
            guard,
            index,
            side,
        })
    }

    /// The state, with the image from the checkpoint at `path`.
    pub(super) fn state(&self, path: &Path) -> Result<State> {
        let image = checkpoint::read(path, self.kept.id, self.side.clone())
            .with_context(|| format!("cannot load {}", path.display()))?;
        Ok(State {
            last: self.kept.last,
            membership: self.kept.membership.clone(),
            image,
            guard: self.guard,
            index: self.index.clone(),
        })
    }
}

/// What the side file at `path` says.
pub(super) fn read_side(path: &Path) -> Result<Kept> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let kept = Side::decode(bytes.into())?.kept;
    let name = path.file_name().and_then(|name| name.to_str());
    ensure!(
        name == Some(&kept.side_name()),
        "it is the side file of {:?}",
        kept.last
    );
    Ok(kept)
}

/// Writes a side file, synced, and names it: that commits its pair.
pub(super) fn write_side(directory: &Path, side: &Side) -> Result<()> {
    let (kept, bytes) = (&side.kept, side.encode());
    let path = directory.join(kept.side_name());
    let temporary = directory.join(format!("{}{TEMPORARY}", kept.side_name()));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", temporary.display()))?;
    rename(&temporary, &path)?;
    sync_directory(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::guard::Claim;
    use crate::quorum::index::Spot;
    use crate::quorum::types::log_id;

    fn side() -> Side {
        let mut guard = Guard::default();
        guard.pass(
            Claim {
                term: 5,
                run: 2,
                base_offset: 0,
            },
            5,
            0,
        );
        let mut index = Index::default();
        index.push(
            Spot {
                offset: 0,
                time: 1_000,
                index: 3,
            },
            5,
            70,
        );
        index.push_void(4);
        let kept = Kept {
            last: Some(log_id(5, 9)),
            membership: StoredMembership::default(),
            id: SnapshotId {
                epoch: 5,
                end_offset: 7,
            },
            time: 1_000,
            checkpoint: Written {
                bytes: 100,
                crc: 0xabcd,
            },
        };
        Side {
            kept,
            guard,
            index,
            side: Bytes::from_static(b"side"),
        }
    }

    #[test]
    fn a_side_file_is_these_bytes_for_ever() {
        let bytes = side().encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = concat!(
            "59414b5401",
            "0100000000000000050000000000000009",
            "00000000",
            "00000000000000070000000500000000000003e8",
            "00000000000000050000000200",
            "00000001000000000000000000000000000003e80000000000000003",
            "000000010000000000000004",
            "00000001000000050000000000000000",
            "0000000000000046",
            "00000000000000640000abcd",
            "0000000473696465",
        );
        assert_eq!(hex[..hex.len() - 8], *golden);
        let back = Side::decode(bytes.clone().into()).unwrap();
        assert_eq!(back.encode(), bytes);
        assert_eq!(back.kept.side_name(), "00000000000000000009.yakt");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(
                Side::decode(damaged.into()).is_err(),
                "damage at byte {at} is not seen"
            );
            assert!(Side::decode(bytes[..at].to_vec().into()).is_err());
        }
    }
}
