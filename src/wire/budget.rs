//! Memory for big requests, shared by all connections, so that many of them together cannot take
//! more than one node has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all big requests together may take: frames under way, and what is decoded of them.
pub const BIG_BYTES_MAX: usize = 512 * 1024 * 1024;
/// A request that takes no more than this is not counted.
pub const SMALL_BYTES_MAX: usize = 64 * 1024;

/// What is left for big requests.
#[derive(Debug)]
pub struct Budget {
    left: AtomicUsize,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn of(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(bytes),
        })
    }
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// Nothing of it yet.
    pub fn none(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            bytes: 0,
        }
    }

    /// Makes this share fit for `bytes`; small ones are free. Whether there was enough left.
    #[must_use]
    pub fn resize(&mut self, bytes: usize) -> bool {
        let bytes = if bytes > SMALL_BYTES_MAX { bytes } else { 0 };
        let left = &self.budget.left;
        if bytes > self.bytes {
            let more = bytes.saturating_sub(self.bytes);
            let take = |left: usize| left.checked_sub(more);
            if left
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
                .is_err()
            {
                return false;
            }
        } else {
            left.fetch_add(self.bytes.saturating_sub(bytes), Ordering::AcqRel);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_requests_share_what_there_is_and_give_it_back() {
        let budget = Budget::of(300_000);
        let left = || budget.left.load(Ordering::Relaxed);
        let (mut one, mut two) = (Share::none(&budget), Share::none(&budget));
        assert!(one.resize(SMALL_BYTES_MAX) && left() == 300_000);
        assert!(one.resize(200_000) && left() == 100_000);
        assert!(!two.resize(100_001) && left() == 100_000);
        assert!(two.resize(100_000) && left() == 0);
        assert!(one.resize(70_000) && left() == 130_000);
        drop(two);
        assert!(one.resize(0));
        assert_eq!(left(), 300_000);
        assert!(one.resize(300_000));
        drop(one);
        assert_eq!(left(), 300_000);
    }
}
