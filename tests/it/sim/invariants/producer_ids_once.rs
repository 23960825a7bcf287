//! No block of producer ids is given out twice, over all leaders.

use super::World;

pub(super) fn check(world: &mut World) -> Result<(), String> {
    match world.deeds.twice {
        Some(first) => Err(format!("the block from {first} was given to two brokers")),
        None => Ok(()),
    }
}
