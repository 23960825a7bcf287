//! Files that are there whole or not at all, and directories that belong to one process.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
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
    /// Takes the directory, making it where it is missing. The error says who else may have it.
    pub fn take(directory: &Path) -> anyhow::Result<Self> {
        create_directory(directory)?;
        let path = directory.join(LOCK_FILE);
        let options = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let lock = options.with_context(|| format!("cannot open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "{} is in use: another process holds the lock on {}",
                directory.display(),
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
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
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
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
        assert!(error.to_string().contains("is in use"), "{error}");
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
