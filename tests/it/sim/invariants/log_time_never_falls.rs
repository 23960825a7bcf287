//! Log time is monotonic over leaders, however their clocks jump: a time can be turned into an offset.

use super::super::log::Content;
use super::World;

pub(super) fn check(world: &mut World) -> Result<(), String> {
    let committed = &world.log.entries[..world.log.committed];
    let mut last = (0, 0);
    for entry in committed.iter().rev().take(50).rev() {
        let Content::Batch { batch, .. } = &entry.content else {
            continue;
        };
        // A void batch takes no part: its successor repeats its offset.
        if batch.base_offset() > last.0 && batch.time() < last.1 {
            return Err(format!(
                "the batch at {} is older than its predecessor",
                batch.base_offset()
            ));
        }
        last = (batch.base_offset(), batch.time());
    }
    Ok(())
}
