//! Two nodes that have applied the same entries hold the same image and the same end offset.
//! (Raft's state machine safety; it also shows that apply depends on nothing but the log.)

use super::World;

pub(super) fn check(world: &mut World) -> Result<(), String> {
    for (place, node) in world.nodes.iter().enumerate() {
        for (other_place, other) in world.nodes.iter().enumerate().skip(place + 1) {
            if node.applied.index != other.applied.index {
                continue;
            }
            let (a, b) = (&node.applied.image, &other.applied.image);
            if a.end_offset() != b.end_offset() || !a.records().eq(b.records()) {
                return Err(format!(
                    "nodes {place} and {other_place} differ at {}",
                    a.end_offset()
                ));
            }
        }
    }
    Ok(())
}
