//! Small steps with files, each error naming the path.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;

/// Suffix of whatever is not finished; what has it is swept away at start.
pub(super) const TEMPORARY: &str = ".tmp";

/// Names a file.
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

/// Makes names durable.
pub(super) fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("cannot sync {}", directory.display()))
}

/// A whole file from its beginning.
pub(super) fn read_all(mut file: &File) -> Result<Bytes> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Copies an open file to `path`, synced.
pub(super) fn copy_from(mut file: &File, path: &Path) -> Result<()> {
    let mut copy = || -> io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        let mut out = File::create(path)?;
        io::copy(&mut file, &mut out)?;
        out.sync_all()
    };
    copy().with_context(|| format!("cannot copy a snapshot to {}", path.display()))
}

/// CRC-32C of a whole file.
pub(super) fn crc_of(mut file: &File) -> io::Result<u32> {
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; 256 * 1024];
    let mut crc = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(crc);
        }
        crc = crc32c::crc32c_append(crc, &buffer[..read]);
    }
}
