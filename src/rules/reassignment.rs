//! Reassignments: moving a partition to other replicas without losing a copy on the way.
//!
//! A reassignment first adds the new replicas behind the wanted ones that stay, then waits until they
//! are in the ISR, then drops the old ones. Its state is three lists of the partition: `replicas`
//! (everything that holds it now), `adding` and `removing`. Every change of a partition may complete
//! it (`PartitionReassignmentReplicas`, `PartitionReassignmentRevert`, 4.3.1).

use crate::ids::BrokerId;
use crate::image::Partition;

/// The lists with which a reassignment starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The target in its own order, followed by what is removed.
    pub replicas: Vec<BrokerId>,
    /// Replicas of the target that are new, ascending.
    pub adding: Vec<BrokerId>,
    /// Replicas that are not in the target, ascending.
    pub removing: Vec<BrokerId>,
}

/// What remains once a reassignment is over, one way or the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The replicas.
    pub replicas: Vec<BrokerId>,
    /// The ISR.
    pub isr: Vec<BrokerId>,
    /// Nobody of the ISR remained and the first replica took its place: data may be lost, so this
    /// is allowed only where unclean elections are.
    pub unclean: bool,
}

/// The lists for a reassignment from `current`, which includes replicas of one that is under way, to
/// `target`. Both lists are always to be written: Kafka leaves an old list in place where the new one
/// is empty, and such a reassignment can never complete.
pub fn start(current: &[BrokerId], target: &[BrokerId]) -> Start {
    let removing = sorted_difference(current, target);
    Start {
        replicas: target.iter().chain(&removing).copied().collect(),
        adding: sorted_difference(target, current),
        removing,
    }
}

/// The end of a reassignment with these lists, if the ISR allows it: all new replicas are in, at
/// least one stays, and where there will be fewer replicas than before, all that stay are in.
pub fn complete(
    replicas: &[BrokerId],
    adding: &[BrokerId],
    removing: &[BrokerId],
    isr: &[BrokerId],
) -> Option<End> {
    if adding.is_empty() && removing.is_empty() {
        return None;
    }
    let isr = without(isr, removing);
    let replicas = without(replicas, removing);
    if !removing.is_empty() && (isr.is_empty() || replicas.is_empty()) {
        return None;
    }
    let in_isr = |list: &[BrokerId]| list.iter().all(|replica| isr.contains(replica));
    if !in_isr(adding) || (adding.len() < removing.len() && !in_isr(&replicas)) {
        return None;
    }
    Some(End {
        replicas,
        isr,
        unclean: false,
    })
}

/// The end of a reassignment that is called off: without the replicas that it was adding. `None`
/// where it was adding all of them, which no valid log can lead to.
pub fn cancel(partition: &Partition) -> Option<End> {
    let replicas = without(&partition.replicas, &partition.adding);
    let isr = without(&partition.isr, &partition.adding);
    if isr.is_empty() {
        let first = *replicas.first()?;
        return Some(End {
            replicas,
            isr: vec![first],
            unclean: true,
        });
    }
    Some(End {
        replicas,
        isr,
        unclean: false,
    })
}

/// `list` without what is in `others`, in its own order.
pub(crate) fn without(list: &[BrokerId], others: &[BrokerId]) -> Vec<BrokerId> {
    list.iter()
        .filter(|replica| !others.contains(replica))
        .copied()
        .collect()
}

fn sorted_difference(list: &[BrokerId], others: &[BrokerId]) -> Vec<BrokerId> {
    let mut difference = without(list, others);
    difference.sort_unstable();
    difference.dedup();
    difference
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::PartitionRecord;

    fn ids(list: &[i32]) -> Vec<BrokerId> {
        list.iter().copied().map(BrokerId).collect()
    }

    #[test]
    fn starts_with_kafkas_lists() {
        #[track_caller]
        fn check(current: &[i32], target: &[i32], replicas: &[i32], add: &[i32], remove: &[i32]) {
            let expected = Start {
                replicas: ids(replicas),
                adding: ids(add),
                removing: ids(remove),
            };
            assert_eq!(start(&ids(current), &ids(target)), expected);
        }
        check(
            &[14, 12],
            &[13, 11],
            &[13, 11, 12, 14],
            &[11, 13],
            &[12, 14],
        );
        check(&[14, 12], &[12, 14], &[12, 14], &[], &[]);
        // Overriding one that is under way: everything that holds a copy counts as current.
        check(
            &[23, 21, 22, 24],
            &[21, 24],
            &[21, 24, 22, 23],
            &[],
            &[22, 23],
        );
    }

    #[test]
    fn completes_when_the_new_replicas_are_in_sync() {
        #[track_caller]
        fn check(replicas: &[i32], add: &[i32], remove: &[i32], isr: &[i32], end: Option<&[i32]>) {
            let found = complete(&ids(replicas), &ids(add), &ids(remove), &ids(isr));
            assert_eq!(found.map(|end| end.replicas), end.map(ids));
        }
        check(&[1, 2], &[], &[], &[1, 2], None);
        check(&[3, 4, 1, 2], &[3, 4], &[1, 2], &[1, 2, 3], None);
        check(
            &[3, 4, 1, 2],
            &[3, 4],
            &[1, 2],
            &[1, 2, 3, 4],
            Some(&[3, 4]),
        );
        check(&[3, 1, 2], &[3], &[1], &[1], None);
        check(&[1, 2, 3], &[3], &[], &[1, 3], Some(&[1, 2, 3]));
        // Fewer replicas than before: all that stay must be in sync.
        check(&[1, 2, 3], &[], &[3], &[1, 3], None);
        check(&[1, 2, 3], &[], &[3], &[1, 2], Some(&[1, 2]));
        check(&[1, 2], &[], &[1, 2], &[1], None);
    }

    #[test]
    fn cancels_by_dropping_what_was_added() {
        #[track_caller]
        fn check(replicas: &[i32], add: &[i32], isr: &[i32], end: Option<(&[i32], &[i32], bool)>) {
            let record = PartitionRecord {
                partition_id: 0,
                replicas: ids(replicas),
                adding_replicas: ids(add),
                isr: ids(isr),
                ..PartitionRecord::default()
            };
            let partition = Partition::from_record(&record).unwrap();
            let expected = end.map(|(replicas, isr, unclean)| End {
                replicas: ids(replicas),
                isr: ids(isr),
                unclean,
            });
            assert_eq!(cancel(&partition), expected);
        }
        check(
            &[13, 11, 12, 14],
            &[11, 13],
            &[14, 12],
            Some((&[12, 14], &[14, 12], false)),
        );
        check(&[3, 1], &[3], &[3], Some((&[1], &[1], true)));
        check(&[3], &[3], &[3], None);
    }
}
