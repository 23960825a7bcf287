//! The door through which every write goes in.

use std::sync::Arc;
use std::sync::Mutex;

use kafka_protocol::protocol::Request;
use tokio::sync::{mpsc, oneshot};

use crate::api::{Answer, AnyWrite, Write, erase};
use crate::clock::Clock;
use crate::controller::core::{Ask, Replied, Touch};
use crate::ids::Offset;
use crate::refusal::{self, Refusal};
use crate::rules::Caller;

/// Most client requests that wait to be decided; a further one is refused, retriably.
pub const MAILBOX_MAX: usize = 16_384;
/// The same for brokers' own requests, which have a mailbox of their own that goes first.
pub const BROKER_MAILBOX_MAX: usize = 16_384;
/// Most heartbeats noted at the door between two looks of the controller.
const TOUCHES_MAX: usize = 65_536;

/// Takes requests to the controller. Clone is cheap; calls from one task keep their order.
#[derive(Clone)]
pub struct Handle {
    pub(super) clients: mpsc::Sender<Ask>,
    pub(super) brokers: mpsc::Sender<Ask>,
    pub(super) touches: Arc<Mutex<Vec<Touch>>>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Handle {
    /// Puts a request into the mailbox and returns at once; it is decided in the order of these
    /// calls. Refused here only if the mailbox is full, which also comes as an answer. A receiver whose
    /// sender is gone means that the controller has stopped.
    pub fn submit(
        &self,
        request: Box<dyn AnyWrite>,
        caller: Caller,
        api: i16,
        version: i16,
    ) -> oneshot::Receiver<Replied> {
        let (sender, receiver) = oneshot::channel();
        let arrived = self.clock.ticks();
        let broker = request.broker();
        if let Some((broker, epoch)) = request.heartbeat() {
            // Noted before the mailbox: a controller that is behind must not take a broker for silent.
            let mut touches = self
                .touches
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            if touches.len() < TOUCHES_MAX {
                touches.push(Touch {
                    broker,
                    epoch,
                    at: arrived,
                });
            }
        }
        let reply = Box::new(move |replied| {
            // Whoever asked may have hung up; then nobody wants the answer.
            let _ = sender.send(replied);
        });
        let ask = Ask {
            request,
            caller,
            api,
            version,
            arrived,
            reply,
        };
        let mailbox = if broker.is_some() {
            &self.brokers
        } else {
            &self.clients
        };
        if let Err(mpsc::error::TrySendError::Full(ask) | mpsc::error::TrySendError::Closed(ask)) =
            mailbox.try_send(ask)
        {
            let refusal = refusal::overloaded();
            let answer = ask.request.refuse(&refusal);
            (ask.reply)(Replied {
                result: Err((refusal, answer)),
                offset: 0,
            });
        }
        receiver
    }

    /// Asks for a write and waits until it is committed. Gives the response and the end offset from
    /// which an image holds what it says.
    pub async fn write<R: Write>(
        &self,
        request: R,
        version: i16,
        caller: Caller,
    ) -> Result<(R::Response, Offset), Refusal>
    where
        R::Response: Send + 'static,
    {
        let reply = self.submit(erase(request), caller, <R as Request>::KEY, version);
        let Ok(Replied { result, offset }) = reply.await else {
            return Err(refusal::outcome_unknown());
        };
        let answer: Box<dyn Answer> = result.map_err(|(refusal, _)| refusal)?;
        match answer.into_any().downcast::<R::Response>() {
            Ok(response) => Ok((*response, offset)),
            Err(_) => Err(refusal::internal()),
        }
    }
}
