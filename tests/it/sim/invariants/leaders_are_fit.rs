//! A leader is in the ISR, the ISR among the replicas, and no fenced broker leads anything.

use super::World;

pub(super) fn check(world: &mut World) -> Result<(), String> {
    for (place, node) in world.nodes.iter().enumerate() {
        let image = &node.applied.image;
        for partition in image.partitions() {
            let at = format!(
                "node {place}: {}-{}",
                partition.topic_name(),
                partition.index()
            );
            let isr: Vec<_> = partition.isr().to_vec();
            let replicas: Vec<_> = partition.replicas().to_vec();
            if !isr.iter().all(|member| replicas.contains(member)) {
                return Err(format!(
                    "{at}: ISR {isr:?} is not among the replicas {replicas:?}"
                ));
            }
            let Some(leader) = partition.leader() else {
                continue;
            };
            if !isr.contains(&leader) {
                return Err(format!("{at}: leader {leader:?} is not in the ISR {isr:?}"));
            }
            if image.broker(leader).is_none_or(|broker| broker.fenced) {
                return Err(format!("{at}: leader {leader:?} is fenced or gone"));
            }
        }
    }
    Ok(())
}
