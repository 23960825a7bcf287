//! With nothing under way, what the leader decides on is what is committed.

use super::World;

pub(super) fn check(world: &mut World) -> Result<(), String> {
    let Some(leader) = world.log.leader else {
        return Ok(());
    };
    let node = &world.nodes[leader];
    let ahead = node
        .core
        .ahead()
        .ok_or("the leader does not lead, although all is calm")?;
    let committed = &node.applied.image;
    if ahead.end_offset() == committed.end_offset() && ahead.records().eq(committed.records()) {
        return Ok(());
    }
    Err(format!(
        "the leader is at {} and the log at {}",
        ahead.end_offset(),
        committed.end_offset()
    ))
}
