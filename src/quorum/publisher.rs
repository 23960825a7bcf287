//! The one value that the outside sees, and the only two who change it: the machine (what is
//! committed) and the leadership watcher (who leads, who votes).

use std::sync::Arc;

use tokio::sync::watch;

use crate::feed::Published;

/// The sending side. Clones share one value.
#[derive(Clone, Debug)]
pub(super) struct Publisher(Arc<watch::Sender<Arc<Published>>>);

impl Publisher {
    pub(super) fn new(first: Published) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(first))))
    }

    /// Changes it whole: readers see all of the edit or nothing.
    pub(super) fn edit(&self, edit: impl FnOnce(&mut Published)) {
        self.0.send_modify(|published| {
            let mut next = Published::clone(published);
            edit(&mut next);
            *published = Arc::new(next);
        });
    }

    pub(super) fn current(&self) -> Arc<Published> {
        Arc::clone(&self.0.borrow())
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Published>> {
        self.0.subscribe()
    }
}
