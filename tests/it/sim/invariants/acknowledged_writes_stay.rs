//! A topic whose creation was acknowledged is in the committed log, and stays until somebody asks to
//! delete it; the other way round for deletions. (Raft's leader completeness, seen by a client.)

use super::World;

pub(super) fn check(world: &mut World) -> Result<(), String> {
    // The node that has applied most is as far as any acknowledgement can have come.
    let furthest = world.nodes.iter().max_by_key(|node| node.applied.index);
    let Some(image) = furthest.map(|node| &node.applied.image) else {
        return Ok(());
    };
    let deeds = &world.deeds;
    if let Some(name) = deeds
        .created
        .iter()
        .find(|name| image.topic_by_name(name).is_none())
    {
        return Err(format!("{name} was created and is gone"));
    }
    match deeds
        .deleted
        .iter()
        .find(|name| image.topic_by_name(name).is_some())
    {
        Some(name) => Err(format!("{name} was deleted and is there")),
        None => Ok(()),
    }
}
