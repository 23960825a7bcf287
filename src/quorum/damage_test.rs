//! What a damaged disk may do to the store: it is refused, or nothing is missing. Never anything
//! between. And a random walk against a model that does not know a disk.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::types::{Change, Entry, EntryPayload, LogId, Vote, log_id};
use super::*;

const ENTRIES: u64 = 60;

fn entry(term: u64, index: u64) -> Entry {
    let change = Change {
        run: 1,
        origins: Bytes::new(),
        side: Bytes::new(),
        batch: Bytes::from(vec![index as u8 ^ 0x5a; 3_000]),
    };
    Entry {
        log_id: log_id(term, index),
        payload: EntryPayload::Normal(change),
    }
}

fn open_store(directory: &Path, cache_bytes_max: usize) -> Result<Store> {
    Store::open(directory, None, cache_bytes_max, Fault::new())
}

async fn append(log: &mut log::Log, entries: Vec<Entry>) {
    let (done, durable) = Config::oneshot();
    log.append(entries, IOFlushed::signal(done)).await.unwrap();
    durable.await.unwrap().unwrap();
}

/// A store with [`ENTRIES`] entries, each synced and committed, closed in good order.
async fn sound_store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = open_store(directory.path(), log::CACHE_BYTES_MAX).unwrap();
    let mut log = store.log.clone();
    log.save_vote(&Vote::new_committed(3, 1)).await.unwrap();
    for index in 0..ENTRIES {
        append(&mut log, vec![entry(3, index)]).await;
        log.save_committed(Some(log_id(3, index))).await.unwrap();
    }
    drop(log);
    tokio::task::spawn_blocking(|| store.close()).await.unwrap();
    directory
}

fn journal(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory.join(keys::STORE_DIR)).unwrap();
    let is_journal = |path: &PathBuf| path.extension().is_some_and(|name| name == "jnl");
    files
        .map(|file| file.unwrap().path())
        .find(is_journal)
        .unwrap()
}

/// Where the bytes of an entry's batch begin in the journal.
fn place_of(journal: &[u8], index: u64) -> usize {
    let pattern = vec![index as u8 ^ 0x5a; 3_000];
    journal
        .windows(pattern.len())
        .position(|window| window == pattern)
        .unwrap()
}

/// Damages a sound store, and expects a refusal that says what is lost.
async fn check(what: &str, damage: impl FnOnce(&Path, &[u8])) {
    let directory = sound_store().await;
    let journal = journal(directory.path());
    let bytes = fs::read(&journal).unwrap();
    damage(&journal, &bytes);
    let reopened = open_store(directory.path(), log::CACHE_BYTES_MAX);
    let Err(error) = reopened else {
        panic!("{what}: the store opens as if nothing were")
    };
    let sentence = format!("{error:#}");
    assert!(
        sentence.contains(directory.path().to_str().unwrap()),
        "{what}: {sentence}"
    );
    assert!(
        sentence.contains("To let this node rejoin"),
        "{what}: {sentence}"
    );
}

fn zero(journal: &Path, from: usize, length: usize) {
    let file = File::options().write(true).open(journal).unwrap();
    file.write_all_at(&vec![0; length], from as u64).unwrap();
}

fn cut(journal: &Path, at: usize) {
    File::options()
        .write(true)
        .open(journal)
        .unwrap()
        .set_len(at as u64)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_store_opens() {
    let directory = sound_store().await;
    let store = open_store(directory.path(), log::CACHE_BYTES_MAX).unwrap();
    assert_eq!(store.log.last(), Some(log_id(3, ENTRIES - 1)));
    tokio::task::spawn_blocking(|| store.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_loss_of_synced_entries_is_refused() {
    let last = ENTRIES - 1;
    check("the end of the last batch is cut off", |journal, bytes| {
        cut(journal, place_of(bytes, last) + 3_000);
    })
    .await;
    check("the last batch is torn", |journal, bytes| {
        cut(journal, place_of(bytes, last) + 100)
    })
    .await;
    check("a hole in the last batch", |journal, bytes| {
        zero(journal, place_of(bytes, last) + 100, 512);
    })
    .await;
    check("the last batch but one is zeroed", |journal, bytes| {
        let (from, to) = (place_of(bytes, last - 1), place_of(bytes, last));
        zero(journal, from - 60, to - from - 20);
    })
    .await;
    check("one bit in the middle", |journal, bytes| {
        let at = place_of(bytes, ENTRIES / 2) + 1_000;
        let file = File::options().write(true).open(journal).unwrap();
        file.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
    })
    .await;
    check("a page in the middle is zeroed", |journal, bytes| {
        zero(journal, place_of(bytes, ENTRIES / 2) / 4096 * 4096, 4096);
    })
    .await;
    check(
        "the head of a batch in the middle is zeroed",
        |journal, bytes| {
            zero(journal, place_of(bytes, ENTRIES / 2) - 40, 30);
        },
    )
    .await;
    check("the journal is cut in the middle", |journal, bytes| {
        cut(journal, place_of(bytes, ENTRIES / 2));
    })
    .await;
    check("the journal is missing", |journal, _| {
        fs::remove_file(journal).unwrap()
    })
    .await;
    check("the whole database is missing", |journal, _| {
        fs::remove_dir_all(journal.parent().unwrap()).unwrap();
    })
    .await;
    check("what was promised is missing", |journal, _| {
        let directory = journal.parent().and_then(Path::parent).unwrap();
        fs::remove_file(directory.join(quorum_state::FILE)).unwrap();
    })
    .await;
}

/// What the store must say, by a model that is a vector.
#[derive(Default)]
struct Model {
    entries: Vec<(u64, u64)>,
    purged: Option<LogId>,
    committed: Option<LogId>,
    vote: Option<Vote>,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.entries
            .last()
            .map(|(term, index)| log_id(*term, *index))
            .or(self.purged)
    }
    fn next(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_random_walk_with_restarts_agrees_with_the_model() {
    for (seed, cache_bytes_max) in [(1, log::CACHE_BYTES_MAX), (2, 0), (3, 8_000), (4, 0)] {
        walk(seed, cache_bytes_max).await;
    }
}

async fn walk(seed: u64, cache_bytes_max: usize) {
    let directory = tempfile::tempdir().unwrap();
    let mut dice = SmallRng::seed_from_u64(seed);
    let mut model = Model::default();
    let mut term = 1;
    let mut store = open_store(directory.path(), cache_bytes_max).unwrap();
    for step in 0..150 {
        let mut log = store.log.clone();
        match dice.random_range(0..10) {
            0..5 => {
                let count = dice.random_range(1..5);
                let new: Vec<_> = (model.next()..)
                    .take(count)
                    .map(|at| entry(term, at))
                    .collect();
                model
                    .entries
                    .extend(new.iter().map(|entry| (term, entry.log_id.index)));
                append(&mut log, new).await;
            }
            5 => {
                // Only what is not committed may be cut.
                let floor = model
                    .committed
                    .max(model.purged)
                    .map_or(0, |id| id.index + 1);
                let keep = dice.random_range(floor..=model.next().max(floor));
                model.entries.retain(|(_, index)| *index < keep);
                log.truncate_after(model.last()).await.unwrap();
                term += 1;
            }
            6 => {
                model.committed = model.last().max(model.committed);
                log.save_committed(model.committed).await.unwrap();
            }
            7 => {
                if let Some(upto) = model.committed {
                    model.entries.retain(|(_, index)| *index > upto.index);
                    model.purged = model.purged.max(Some(upto));
                    log.purge(upto).await.unwrap();
                }
            }
            8 => {
                term += 1;
                model.vote = Some(Vote::new(term, seed));
                log.save_vote(&Vote::new(term, seed)).await.unwrap();
            }
            _ => {
                drop(log);
                tokio::task::spawn_blocking(|| store.close()).await.unwrap();
                store = open_store(directory.path(), cache_bytes_max).unwrap();
            }
        }
        agree(
            &mut store.log.clone(),
            &model,
            &format!("seed {seed}, step {step}"),
        )
        .await;
    }
    tokio::task::spawn_blocking(|| store.close()).await.unwrap();
}

async fn agree(log: &mut log::Log, model: &Model, at: &str) {
    let state = log.get_log_state().await.unwrap();
    assert_eq!(state.last_log_id, model.last(), "{at}");
    assert_eq!(state.last_purged_log_id, model.purged, "{at}");
    assert_eq!(log.read_vote().await.unwrap(), model.vote, "{at}");
    assert_eq!(log.read_committed().await.unwrap(), model.committed, "{at}");
    let entries = log.try_get_log_entries(..).await.unwrap();
    let found: Vec<_> = entries
        .iter()
        .map(|entry| (types::term_of(&entry.log_id), entry.log_id.index))
        .collect();
    assert_eq!(found, model.entries, "{at}");
    assert!(
        entries
            .iter()
            .all(|found| *found == entry(types::term_of(&found.log_id), found.log_id.index))
    );
}
