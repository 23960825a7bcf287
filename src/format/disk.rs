//! Files that are there whole or not at all, and directories that belong to one process.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Name of the file whose lock says that a process works in the directory; Kafka's own.
const LOCK_FILE: &str = ".lock";

/// A directory that this process alone works in, until this is dropped.
#[derive(Debug)]
pub struct LockedDirectory {
    _lock: File,
}

impl LockedDirectory {
    /// Takes the directory, making it where it is missing. The error names both processes.
    pub fn take(directory: &Path) -> anyhow::Result<Self> {
        create_directory(directory)?;
        let path = directory.join(LOCK_FILE);
        let options = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut lock = options.with_context(|| format!("cannot open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "{} is in use by process {}; this process ({}) cannot share it",
                directory.display(),
                holder(&mut lock),
                std::process::id()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { _lock: lock })
    }
}

/// Who wrote its number into the lock file; Kafka, for one, writes none.
fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

/// Makes the directory and those above it.
pub(super) fn create_directory(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))
}

/// Writes a file so that after a crash it is there whole or not at all.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let attempt = || -> io::Result<()> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".tmp");
        let partial = PathBuf::from(partial);
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = LockedDirectory::take(directory.path()).expect("free");
        let error = LockedDirectory::take(directory.path()).expect_err("taken");
        let ours = format!("in use by process {}", std::process::id());
        assert!(error.to_string().contains(&ours), "{error}");
        drop(first);
        LockedDirectory::take(directory.path()).expect("free again");
    }

    #[test]
    fn an_error_names_the_path() {
        let error =
            write_durably(Path::new("/proc/none/file"), b"x").expect_err("no such directory");
        assert!(error.to_string().contains("/proc/none/file"), "{error}");
    }
}
