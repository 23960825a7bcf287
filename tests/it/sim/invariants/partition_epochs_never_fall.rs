//! Leader and partition epochs of a partition never fall, and change only together with something:
//! a broker takes a lower one for old news (`PartitionRegistration.merge`, 4.3.1).

use super::World;

pub(super) fn check(world: &mut World) -> Result<(), String> {
    // Nodes are at different points of the same log: the one further on must not be lower.
    let mut nodes: Vec<_> = world.nodes.iter().map(|node| &node.applied).collect();
    nodes.sort_by_key(|applied| applied.index);
    for pair in nodes.windows(2) {
        let (older, newer) = (&pair[0].image, &pair[1].image);
        for before in older.partitions() {
            let Some(after) = newer.partition(before.topic_id(), before.index()) else {
                continue;
            };
            if after.leader_epoch() < before.leader_epoch()
                || after.partition_epoch() < before.partition_epoch()
            {
                let name = before.topic_name();
                return Err(format!("{name}-{} went back in its epochs", before.index()));
            }
        }
    }
    Ok(())
}
