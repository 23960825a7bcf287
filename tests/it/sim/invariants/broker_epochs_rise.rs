//! A broker's epoch is an offset of the log: each registration of a broker gets a higher one, and no
//! two brokers share one (`ClusterControlManager.registerBroker`, 4.3.1).

use std::collections::BTreeMap;

use super::World;

pub(super) fn check(world: &mut World) -> Result<(), String> {
    let mut owner = BTreeMap::new();
    for (broker, epochs) in &world.deeds.broker_epochs {
        if let Some(pair) = epochs.windows(2).find(|pair| pair[0] > pair[1]) {
            return Err(format!(
                "broker {broker} went from epoch {} to {}",
                pair[0], pair[1]
            ));
        }
        for epoch in epochs {
            if let Some(other) = owner
                .insert(*epoch, broker)
                .filter(|other| *other != broker)
            {
                return Err(format!("brokers {other} and {broker} share epoch {epoch}"));
            }
        }
    }
    Ok(())
}
