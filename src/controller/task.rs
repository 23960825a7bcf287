//! The loop around [`Core`]: waits for events, steps, carries out the effects. It has no opinion
//! about Kafka.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::controller::core::{Ask, Core, Effects, Event, Now, Touch};
use crate::controller::handle::{BROKER_MAILBOX_MAX, Handle, MAILBOX_MAX};
use crate::controller::meter::Meter;
use crate::controller::{Propose, QuorumEvent};
use crate::metrics::Metrics;

/// Most requests taken from a mailbox at a time, before the quorum's news are looked at again.
const ASKS_PER_TURN_MAX: usize = 64;

/// The loop's inputs, before it runs.
pub struct Controller {
    core: Core,
    clock: Arc<dyn Clock>,
    propose: Arc<dyn Propose>,
    events: mpsc::UnboundedReceiver<QuorumEvent>,
    clients: mpsc::Receiver<Ask>,
    brokers: mpsc::Receiver<Ask>,
    touches: Arc<Mutex<Vec<Touch>>>,
    meter: Meter,
}

impl Controller {
    /// The loop, not running yet, and the door to it. `events` is bounded by what the core has under
    /// way: one outcome for each proposal.
    pub fn new(
        core: Core,
        clock: Arc<dyn Clock>,
        propose: Arc<dyn Propose>,
        events: mpsc::UnboundedReceiver<QuorumEvent>,
    ) -> (Self, Handle) {
        let (clients_in, clients) = mpsc::channel(MAILBOX_MAX);
        let (brokers_in, brokers) = mpsc::channel(BROKER_MAILBOX_MAX);
        let touches = Arc::new(Mutex::new(Vec::new()));
        let handle = Handle {
            clients: clients_in,
            brokers: brokers_in,
            touches: Arc::clone(&touches),
            clock: Arc::clone(&clock),
        };
        let meter = Meter::new(Arc::default(), Arc::clone(&clock));
        (
            Self {
                core,
                clock,
                propose,
                events,
                clients,
                brokers,
                touches,
                meter,
            },
            handle,
        )
    }

    /// The same loop, counting here.
    pub fn counted_in(mut self, metrics: Arc<Metrics>) -> Self {
        self.meter.metrics = metrics;
        self
    }

    /// Runs until every [`Handle`] is gone or the quorum has stopped.
    pub async fn run(mut self) {
        let mut from_brokers = Vec::new();
        let mut from_clients = Vec::new();
        loop {
            let wake = self.wake();
            let takes_asks = self.core.takes_asks();
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(event) => self.step(Event::Quorum(event)),
                    None => return,
                },
                taken = self.brokers.recv_many(&mut from_brokers, ASKS_PER_TURN_MAX), if takes_asks => {
                    if taken == 0 { return }
                    self.step_touches();
                    self.step_asks(std::mem::take(&mut from_brokers));
                }
                () = wake => {
                    self.step_touches();
                    self.step(Event::Tick);
                }
                taken = self.clients.recv_many(&mut from_clients, ASKS_PER_TURN_MAX), if takes_asks => {
                    if taken == 0 { return }
                    self.step_asks(std::mem::take(&mut from_clients));
                }
            }
        }
    }

    /// Ends at the core's next deadline; never if it has none.
    fn wake(&self) -> impl Future<Output = ()> + use<> {
        let now = self.clock.ticks();
        let wait = match (self.core.busy(), self.core.wake_at()) {
            (true, _) => Some(Duration::ZERO),
            (false, at) => {
                at.map(|at| Duration::from_micros(at.0.saturating_sub(now.0).max(0) as u64))
            }
        };
        async move {
            match wait {
                Some(wait) if wait.is_zero() => {}
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    fn step_touches(&mut self) {
        let mut touches = self
            .touches
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let taken = std::mem::take(&mut *touches);
        drop(touches);
        if !taken.is_empty() {
            self.meter.heard(&taken);
            self.step(Event::Touches(taken));
        }
    }

    fn step_asks(&mut self, mut asks: Vec<Ask>) {
        asks.iter_mut().for_each(|ask| self.meter.took(ask));
        self.step(Event::Asks(asks));
    }

    fn step(&mut self, event: Event) {
        let now = Now {
            millis: self.clock.now(),
            ticks: self.clock.ticks(),
        };
        if let Event::Quorum(news) = &event {
            self.meter.news(news, self.core.node_id());
        }
        let effects = self.core.step(event, now);
        self.meter.stepped(now.ticks, &effects);
        let Effects {
            proposals,
            replies,
            barrier,
            resign,
            elections: _,
        } = effects;
        for proposal in proposals {
            self.propose.propose(proposal);
        }
        for (reply, replied) in replies {
            reply(replied);
        }
        if let Some(epoch) = barrier {
            self.propose.barrier(epoch);
        }
        if let Some(epoch) = resign {
            self.propose.resign(epoch);
        }
    }
}
