//! One connection: bytes in, turns in a queue, bytes out.
//!
//! ```text
//!  socket ──read──▶ inbox ──frames──▶ dispatcher ──▶ turns ──in order──▶ out ──write──▶ socket
//!                                        │ writes enter the mailbox here
//! ```
//!
//! One task does all of it, and moves whatever can move each time it is woken. It stops reading when
//! too many turns are under way or too many answers wait to be sent, so a client that asks faster
//! than it reads is held up by its own socket. Between requests a connection holds no buffer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use kafka_protocol::protocol::StrBytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::metrics::Closed;
use crate::rules::Caller;

use super::budget::Share;
use super::dispatch::Dispatcher;
use super::doors::Doors;
use super::frame::Inbox;
use super::registry::{Seat, Verdict};
use super::turn::Turn;

/// Most requests of one connection that are under way at once.
pub const IN_FLIGHT_MAX: usize = 64;
/// With so many bytes of answers unsent, no further answer is written.
pub const OUT_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// An idle connection keeps a buffer for answers up to this size.
const OUT_KEPT_BYTES: usize = 1024;
/// And place for so many turns.
const TURNS_KEPT: usize = 4;

thread_local! {
    /// Where bytes arrive before it is known how many they are: one per thread, not per connection.
    static ARRIVALS: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A connection as its requests see it.
pub struct Session {
    /// Its place among all.
    pub seat: Seat,
    caller: Arc<Caller>,
}

impl Session {
    /// A client that has not said anything yet.
    pub fn new(seat: Seat, listener: &str, peer: SocketAddr, local: SocketAddr) -> Self {
        let caller = Caller {
            host: peer.ip().to_canonical().to_string(),
            listener: listener.to_owned(),
            local_addr: Some(local),
            ..Caller::internal()
        };
        Self {
            seat,
            caller: Arc::new(caller),
        }
    }

    /// Who asks, under the name that this request's header gives.
    pub fn caller(&mut self, client_id: Option<&StrBytes>) -> Arc<Caller> {
        if self.caller.client_id.as_deref() != client_id.map(StrBytes::as_str) {
            let client_id = client_id.map(|id| id.as_str().to_owned());
            self.caller = Arc::new(Caller {
                client_id,
                ..self.caller.as_ref().clone()
            });
        }
        Arc::clone(&self.caller)
    }
}

/// A connection, as a future that ends with the reason why it did.
pub struct Connection {
    stream: TcpStream,
    session: Session,
    dispatcher: Arc<Dispatcher>,
    inbox: Inbox,
    arriving: Share,
    turns: VecDeque<Turn>,
    out: BytesMut,
    /// Nothing more is read: once everything is answered and sent, this is why it ends.
    ending: Option<Closed>,
}

impl Connection {
    /// A connection on which nothing has happened yet.
    pub fn new(stream: TcpStream, session: Session, dispatcher: Arc<Dispatcher>) -> Self {
        let arriving = Share::none(&dispatcher.budget);
        Self {
            stream,
            session,
            dispatcher,
            inbox: Inbox::default(),
            arriving,
            turns: VecDeque::new(),
            out: BytesMut::new(),
            ending: None,
        }
    }

    /// Moves what can move; an error is the reason why the connection ends now.
    fn drive(&mut self, cx: &mut Context<'_>) -> Result<(), Closed> {
        self.heed(cx)?;
        loop {
            self.begin_turns();
            let answered = self.finish_turns(cx);
            let wrote = self.write(cx)?;
            if let Some(why) = self.ending
                && self.turns.is_empty()
                && self.out.is_empty()
            {
                return Err(why);
            }
            let read = self.read(cx)?;
            if !(answered || wrote || read) {
                // Who has answers to read and does not read them is not waiting for us.
                let waiting = !self.turns.is_empty() && self.out.is_empty();
                self.session.seat.set_waiting(waiting);
                return Ok(());
            }
        }
    }

    /// Does as the registry says.
    fn heed(&mut self, cx: &Context<'_>) -> Result<(), Closed> {
        match self.session.seat.verdict(cx) {
            Verdict::Stay => Ok(()),
            Verdict::Finish => {
                self.ending.get_or_insert(Closed::Stopping);
                self.turns.iter_mut().for_each(Turn::hurry);
                Ok(())
            }
            Verdict::Leave(why) => Err(why),
        }
    }

    /// Begins the requests that have arrived whole.
    fn begin_turns(&mut self) {
        while self.ending.is_none() && self.turns.len() < IN_FLIGHT_MAX {
            let begun = self
                .inbox
                .next_frame(self.dispatcher.frame_bytes_max)
                .and_then(|frame| {
                    let Some(frame) = frame else { return Ok(None) };
                    let Self {
                        session,
                        dispatcher,
                        arriving,
                        inbox,
                        ..
                    } = self;
                    // What is left is less than before, so there is enough of the budget.
                    let _ = arriving.resize(inbox.len());
                    session.seat.heard(dispatcher.doors.clock.ticks());
                    catch_unwind(AssertUnwindSafe(|| dispatcher.begin(session, frame)))
                        .unwrap_or(Err(Closed::Failed))
                        .map(Some)
                });
            match begun {
                Ok(Some(turn)) => self.turns.push_back(turn),
                Ok(None) => break,
                Err(why) => self.ending = Some(why),
            }
        }
    }

    /// Answers from the front of the queue, as far as answers are there. Whether there was any.
    fn finish_turns(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while self.out.len() < OUT_BYTES_MAX
            && let Some(first) = self.turns.front_mut()
        {
            let Poll::Ready(outcome) = first.poll(&self.dispatcher, cx) else {
                self.turns
                    .iter_mut()
                    .skip(1)
                    .for_each(|turn| turn.poll_ahead(cx));
                break;
            };
            any = true;
            let Some(turn) = self.turns.pop_front() else {
                break;
            };
            let Doors { metrics, clock, .. } = &self.dispatcher.doors;
            let finished = turn.finish(&outcome, metrics, clock.ticks(), &mut self.out);
            if let Err(why) = finished {
                self.turns.clear();
                self.ending = Some(why);
            }
        }
        if self.turns.is_empty() {
            self.turns.shrink_to(TURNS_KEPT);
        }
        any
    }

    /// Sends what the socket takes. Whether it took anything.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let mut any = false;
        while !self.out.is_empty() {
            match pin!(&mut self.stream).poll_write(cx, &self.out) {
                Poll::Ready(Ok(sent)) if sent > 0 => self.out.advance(sent),
                Poll::Ready(_) => return Err(Closed::Io),
                Poll::Pending => return Ok(any),
            }
            any = true;
        }
        if any {
            let now = self.dispatcher.doors.clock.ticks();
            self.session.seat.heard(now);
        }
        if self.out.capacity() > OUT_KEPT_BYTES {
            self.out = BytesMut::new();
        }
        Ok(any)
    }

    /// Reads once, if there is room for what comes. Whether anything came.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        if self.ending.is_some()
            || self.turns.len() >= IN_FLIGHT_MAX
            || self.out.len() >= OUT_BYTES_MAX
        {
            return Ok(false);
        }
        ARRIVALS.with_borrow_mut(|arrivals| {
            let mut arrived = ReadBuf::new(arrivals);
            match pin!(&mut self.stream).poll_read(cx, &mut arrived) {
                Poll::Ready(Ok(())) if arrived.filled().is_empty() => Err(Closed::ByClient),
                Poll::Ready(Ok(())) => {
                    self.inbox.extend(arrived.filled());
                    let fits = self.arriving.resize(self.inbox.len());
                    fits.then_some(true).ok_or(Closed::Memory)
                }
                Poll::Ready(Err(_)) => Err(Closed::Io),
                Poll::Pending => Ok(false),
            }
        })
    }
}

impl Future for Connection {
    type Output = Closed;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Closed> {
        match self.get_mut().drive(cx) {
            Ok(()) => Poll::Pending,
            Err(why) => Poll::Ready(why),
        }
    }
}
