//! What goes on in the background: when a snapshot is due, and what history may go.
//!
//! Raft's purge only moves a mark. The entries stay as history until `yakt.history.retention.*` lets
//! them go, and then whole tables of the store are dropped, off the path of writes. What the oldest
//! kept snapshot still needs stays, whatever the settings say.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use fjall::{AbstractTree, Keyspace};
use openraft::Raft;

use super::history::History;
use super::index::{Index, SPOT_BYTES};
use super::keys;
use super::log::Log;
use super::machine::Machine;
use super::snapshot::Snapshots;
use super::types::Config;
use crate::clock::Clock;
use crate::ids::Millis;
use crate::settings::Settings;

/// How often both are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Less history than so many entries is not worth a compaction.
const PIECE_ENTRIES: u64 = 1_000;

/// All that it takes.
pub(super) struct Upkeep {
    pub(super) raft: Raft<Config, Machine>,
    pub(super) settings: Arc<Settings>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) snapshots: Snapshots,
    pub(super) history: History,
    pub(super) log: Log,
    pub(super) entries: Keyspace,
}

impl Upkeep {
    /// Runs until the node stops.
    pub(super) async fn run(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.snapshots.is_due(&self.settings)
                && self.raft.trigger().snapshot().await.is_err()
            {
                return;
            }
            if let Err(error) = self.let_history_go().await {
                tracing::error!("old history stays on the disk: {error:#}");
            }
        }
    }

    async fn let_history_go(&self) -> Result<()> {
        let Some((oldest, _)) = self.snapshots.oldest_and_newest() else {
            return Ok(());
        };
        let Some(purged) = self.log.purged() else {
            return Ok(());
        };
        let limit = (oldest.index() + 1).min(purged.index + 1);
        let retention = Retention {
            ms: self.settings.yakt_history_retention_ms,
            bytes: self.settings.yakt_history_retention_bytes,
        };
        let floor = retention.floor(&self.history.index(), self.clock.now(), limit);
        if floor < self.snapshots.history_floor() + PIECE_ENTRIES {
            return Ok(());
        }
        self.snapshots.raise_history_floor(floor).await?;
        self.history.forget_below(floor);
        let entries = self.entries.clone();
        let drop = move || entries.tree.drop_range(..keys::log_key(floor));
        tokio::task::spawn_blocking(drop)
            .await?
            .context("the store cannot drop old entries")?;
        tracing::info!("history before entry {floor} is let go");
        Ok(())
    }
}

/// How much history is kept; -1: all of it.
struct Retention {
    ms: i64,
    bytes: i64,
}

impl Retention {
    /// The first entry that stays, no later than `limit`.
    fn floor(&self, index: &Index, now: Millis, limit: u64) -> u64 {
        let by_time = (self.ms >= 0).then(|| {
            let oldest = now.saturating_sub(self.ms);
            let stays = index.spots().find(|spot| spot.time >= oldest);
            stays.map_or(limit, |spot| spot.index)
        });
        let by_size = (self.bytes >= 0).then(|| {
            let spots = index.spots().count();
            let stay = usize::try_from(self.bytes.unsigned_abs() / SPOT_BYTES).unwrap_or(spots);
            let stays = index.spots().nth(spots.saturating_sub(stay));
            stays.map_or(limit, |spot| spot.index)
        });
        by_time.max(by_size).unwrap_or(0).min(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::index::Spot;

    /// Spots every ten entries and 100 ms, from entry 0 at time 0 on.
    fn index() -> Index {
        let mut index = Index::default();
        for n in 0..10 {
            let spot = Spot {
                offset: n * 10,
                time: n * 100,
                index: n as u64 * 10,
            };
            index.push(spot, 1, SPOT_BYTES as usize);
        }
        index
    }

    #[test]
    fn the_stricter_bound_decides_but_never_beyond_what_is_needed() {
        let floor = |ms, bytes, limit| Retention { ms, bytes }.floor(&index(), 1_000, limit);
        assert_eq!(floor(-1, -1, 95), 0);
        assert_eq!(floor(500, -1, 95), 50);
        assert_eq!(floor(0, -1, 95), 95);
        assert_eq!(floor(500, -1, 30), 30);
        assert_eq!(floor(-1, 3 * SPOT_BYTES as i64, 95), 70);
        assert_eq!(floor(500, 3 * SPOT_BYTES as i64, 95), 70);
        assert_eq!(floor(100, 3 * SPOT_BYTES as i64, 95), 90);
        assert_eq!(floor(-1, 0, 95), 95);
        assert_eq!(floor(-1, i64::MAX, 95), 0);
    }
}
