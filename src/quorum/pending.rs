//! Proposals on their way: the image that each one leads to, until its entry is applied.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ids::{Epoch, Offset};
use crate::image::Image;

/// Where a batch was decided; rises with each proposal of one leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) epoch: Epoch,
    pub(super) run: u32,
    pub(super) base_offset: Offset,
}

/// Images that wait for their entries, in the order of the proposals. Clones share one queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending(Arc<Mutex<VecDeque<Waiting>>>);

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    place: Place,
    after: Image,
}

impl Pending {
    /// Keeps the image of a proposal.
    pub(super) fn push(&self, ticket: u64, place: Place, after: Image) {
        self.with(|queue| {
            queue.push_back(Waiting {
                ticket,
                place,
                after,
            })
        });
    }

    /// The image of the batch that was decided at this place, if it was proposed here. Images of
    /// earlier places go: their entries will not come any more.
    pub(super) fn take(&self, place: Place) -> Option<Image> {
        self.with(|queue| {
            while queue.front().is_some_and(|waiting| waiting.place < place) {
                queue.pop_front();
            }
            let found = queue.front().is_some_and(|waiting| waiting.place == place);
            if found {
                queue.pop_front().map(|waiting| waiting.after)
            } else {
                None
            }
        })
    }

    /// The proposal is known not to come about, or not through this node.
    pub(super) fn forget(&self, ticket: u64) {
        self.with(|queue| {
            if let Ok(at) = queue.binary_search_by_key(&ticket, |waiting| waiting.ticket) {
                queue.remove(at);
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut VecDeque<Waiting>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_by_the_place_it_was_decided_at() {
        let pending = Pending::default();
        let place = |run, base_offset| Place {
            epoch: 4,
            run,
            base_offset,
        };
        for (ticket, place) in [
            (1, place(1, 0)),
            (2, place(1, 5)),
            (3, place(1, 6)),
            (4, place(2, 5)),
        ] {
            pending.push(ticket, place, Image::default());
        }
        assert!(pending.take(place(1, 1)).is_none(), "nobody proposed it");
        pending.forget(2);
        assert!(pending.take(place(1, 5)).is_none(), "it was given up");
        assert!(pending.take(place(1, 6)).is_some());
        assert!(pending.take(place(2, 5)).is_some());
        assert!(pending.take(place(2, 5)).is_none(), "only once");
    }
}
