//! What the disk alone can do: append, fdatasync, and nothing else.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::stats::Samples;

/// About what one entry of the log has.
const WRITE_BYTES: usize = 200;

/// Appends and syncs so many times, in the directory where the subjects keep their data.
pub(crate) fn measure(directory: &Path, times: usize) -> Result<Samples> {
    let path = directory.join("floor");
    let mut file = File::create(&path).with_context(|| path.display().to_string())?;
    let bytes = [7; WRITE_BYTES];
    let mut samples = Samples::default();
    for _ in 0..times {
        let began = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        samples.push(began.elapsed());
    }
    std::fs::remove_file(&path)?;
    Ok(samples)
}
