//! The end of this node: the first thing that must not be survived, told once.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

/// Raised where going on could break a promise: a failed write, a log that cannot be applied. The
/// first sentence counts; whoever waits gets it and ends the process.
#[derive(Clone, Debug)]
pub struct Fault(Arc<watch::Sender<Option<Arc<str>>>>);

impl Fault {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    pub(super) fn raise(&self, sentence: String) {
        let first = self.0.send_if_modified(|told| {
            let first = told.is_none();
            if first {
                *told = Some(sentence.as_str().into());
            }
            first
        });
        if first {
            tracing::error!("{sentence}");
        }
    }

    /// What happened, if anything has.
    pub fn sentence(&self) -> Option<Arc<str>> {
        self.0.borrow().clone()
    }

    /// Waits for it; the sentence names the path and what failed. Exit status 1 belongs to it.
    pub async fn raised(&self) -> Arc<str> {
        let mut watch = self.0.subscribe();
        match watch.wait_for(Option::is_some).await {
            Ok(told) => told.clone().unwrap_or_else(|| "unknown".into()),
            // The sender lives as long as self.
            Err(_) => std::future::pending().await,
        }
    }

    pub(super) fn as_io(&self) -> io::Error {
        match self.sentence() {
            Some(sentence) => io::Error::other(sentence.to_string()),
            None => io::Error::other("the thread that writes the log has ended"),
        }
    }
}
