//! Every keyspace and key of the store, and the files beside it.
//!
//! ```text
//! <metadata.log.dir>/
//!   raft/                    the fjall database
//!     log                    index (u64, big-endian) -> entry (codec.rs)
//!     meta                   the keys below -> small values (codec.rs)
//!   quorum-state             two slots: vote and watermark (quorum_state.rs)
//!   <offset>-<epoch>.checkpoint, <index>.yakt    snapshots, always in pairs (snapshot.rs)
//! ```
//!
//! `meta/format` names the version of all of this. A store of a newer format is refused.

use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy, PinningPolicy};
use fjall::{CompressionType, KeyspaceCreateOptions};

/// Version of the key layouts and value encodings below.
pub(super) const FORMAT: u8 = 1;

/// Directory of the fjall database within the metadata directory.
pub(super) const STORE_DIR: &str = "raft";

/// Keyspace of the entries.
pub(super) const LOG: &str = "log";
/// Keyspace of the single values.
pub(super) const META: &str = "meta";

/// One byte: [`FORMAT`].
pub(super) const META_FORMAT: &[u8] = b"format";
/// The vote that raft saved last.
pub(super) const META_VOTE: &[u8] = b"vote";
/// Log id up to which entries are known to be committed.
pub(super) const META_COMMITTED: &[u8] = b"committed";
/// Log id up to which raft has given its entries up; they may still be there as history.
pub(super) const META_PURGED: &[u8] = b"purged";
/// First index (u64, big-endian) that history may read; below it entries are gone or never counted.
pub(super) const META_HISTORY_FLOOR: &[u8] = b"history-floor";

/// The key of an entry.
pub(super) fn log_key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// The index of an entry's key; `None` if it is not one.
pub(super) fn log_index(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

/// How the log is stored. fjall keeps these options from the keyspace's creation on: changing them
/// here changes nothing for a store that exists.
///
/// No compression and no filters: entries are small, are never looked up in vain, and are dropped
/// whole before they reach the lower levels.
pub(super) fn log_options() -> KeyspaceCreateOptions {
    plain_options().max_memtable_size(8 * 1024 * 1024)
}

/// How the single values are stored.
pub(super) fn meta_options() -> KeyspaceCreateOptions {
    plain_options().max_memtable_size(1024 * 1024)
}

fn plain_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        .index_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        .data_block_size_policy(BlockSizePolicy::all(16 * 1024))
        .index_block_pinning_policy(PinningPolicy::all(false))
        .filter_block_pinning_policy(PinningPolicy::all(false))
        .filter_policy(FilterPolicy::disabled())
}
