//! How openraft is set up, and why.

use anyhow::{Context, Result};
use openraft::SnapshotPolicy;

use crate::settings::Settings;

/// How many entries raft keeps behind a snapshot, for followers a little behind: about as many as go
/// between two snapshots. It also bounds how long a new leader probes for the end of a follower's log.
fn entries_to_keep(settings: &Settings) -> u64 {
    const TYPICAL_ENTRY_BYTES: u64 = 1024;
    const ENTRIES_MAX: u64 = 20_000;
    let between = settings.metadata_log_max_record_bytes_between_snapshots;
    (between / TYPICAL_ENTRY_BYTES).min(ENTRIES_MAX)
}

/// openraft's settings from ours. Errors: timeouts that do not go together.
pub(super) fn raft_config(settings: &Settings) -> Result<openraft::Config> {
    let config = openraft::Config {
        cluster_name: settings.cluster_id.clone(),
        heartbeat_interval: settings.raft_heartbeat_ms,
        election_timeout_min: settings.raft_election_min_ms,
        election_timeout_max: settings.raft_election_max_ms,
        enable_pre_vote: Some(true),
        // A restarted leader must be elected again: its term is Kafka's epoch.
        enable_leader_restore: Some(false),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: entries_to_keep(settings),
        replication_lag_threshold: 200_000,
        // A purge moves a mark: there is nothing to save by waiting for more.
        purge_batch_size: 1,
        max_payload_entries: 1_024,
        max_append_entries: Some(4_096),
        install_snapshot_timeout: 10_000,
        snapshot_max_chunk_size: 1024 * 1024,
        backoff: "10ms 20ms ...200ms".to_owned(),
        ..openraft::Config::default()
    };
    config.validate().context("raft's timeouts")
}
