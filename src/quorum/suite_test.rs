//! openraft's own test-suite of a store, over the real one, with the cache on and off.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::clock::ManualClock;
use types::Config;

struct Stores {
    cache_bytes_max: usize,
}

/// Ends the writer and removes the directory.
struct Cleanup {
    store: Option<Store>,
    _directory: TempDir,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            store.close();
        }
    }
}

impl StoreBuilder<Config, log::Log, Machine, Cleanup> for Stores {
    async fn build(&self) -> Result<(Cleanup, log::Log, Machine), StorageError<Config>> {
        let directory = tempfile::tempdir().unwrap();
        let fault = Fault::new();
        let snapshots = Snapshots::open(
            directory.path(),
            Arc::new(ManualClock::default()),
            fault.clone(),
        )
        .unwrap();
        let store =
            Store::open(directory.path(), None, self.cache_bytes_max, fault.clone()).unwrap();
        let publisher = Publisher::new(Published::default());
        snapshots.attach(store.log.clone(), store.history_floor, publisher.clone());
        let (events, _) = mpsc::unbounded_channel();
        let clock = Arc::new(ManualClock::default());
        let leadership = Leadership::new(1, clock, publisher.clone(), events);
        let machine = Machine::new(
            Pending::default(),
            publisher,
            leadership,
            snapshots,
            History::new(store.entries.clone()),
            fault,
        );
        let log = store.log.clone();
        Ok((
            Cleanup {
                store: Some(store),
                _directory: directory,
            },
            log,
            machine,
        ))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_what_openraft_asks_for() {
    Suite::test_all(Stores {
        cache_bytes_max: log::CACHE_BYTES_MAX,
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_what_openraft_asks_for_without_a_cache() {
    Suite::test_all(Stores { cache_bytes_max: 0 })
        .await
        .unwrap();
}
