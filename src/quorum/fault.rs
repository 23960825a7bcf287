//! The end of this node: the first thing that must not be survived, told once.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

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

    /// Starts a task that this node cannot do without. A panic in it is the end of the node: one that
    /// lost its controller, say, would lead on and never answer.
    pub fn guard(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let fault = self.clone();
        tokio::spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                fault.raise(format!("{name} panicked; see the log above"));
            }
        })
    }

    pub(super) fn as_io(&self) -> io::Error {
        match self.sentence() {
            Some(sentence) => io::Error::other(sentence.to_string()),
            None => io::Error::other("the thread that writes the log has ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_task_ends_the_node_and_its_end_does_not() {
        let fault = Fault::new();
        fault.guard("the proposer", async {}).await.unwrap();
        assert_eq!(fault.sentence(), None);
        fault
            .guard("the controller", async { panic!("on purpose") })
            .await
            .unwrap();
        assert!(fault.raised().await.contains("the controller panicked"));
    }
}
