//! A request between its arrival and its answer.
//!
//! Everything that looks at state begins when all earlier requests of its connection have been
//! answered, so that a client never reads past its own write. What is in other hands already, a
//! write or a forwarded request, goes on meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use futures::FutureExt;
use tokio::sync::oneshot;

use crate::api::{Answer, AnyRead};
use crate::clock::Ticks;
use crate::controller::Slow;
use crate::controller::core::Replied;
use crate::ids::Offset;
use crate::metrics::{Closed, Metrics};
use crate::refusal::Refusal;

use super::budget::Share;
use super::dispatch::Dispatcher;
use super::doors::{Call, Serve, Served};
use super::envelope;
use super::frame::{ReplyTo, put_frame};

/// A request under way.
pub struct Turn {
    /// The API's number.
    pub(super) api: i16,
    /// How its answer is written.
    pub(super) form: Form,
    /// How far it has come.
    pub(super) stage: Stage,
    /// When its frame was whole.
    pub(super) began: Ticks,
    /// From where on an image holds what a write answers; 0 for everything else.
    pub(super) offset: Offset,
    /// What it takes of the budget for big requests.
    pub(super) _memory: Share,
}

/// How far a request has come.
pub(super) enum Stage {
    /// To be answered from the published image when it is its turn.
    Read(ReadRow, Call),
    /// To be begun when it is its turn.
    Serve(Arc<dyn Serve>, Call),
    /// In the controller's hands.
    Write(oneshot::Receiver<Replied>),
    /// Under way elsewhere.
    Slow(Slow<Outcome>, Patience),
    /// Answered.
    Done(Outcome),
    /// Its answer was taken.
    Gone,
}

/// The function of a row that reads.
pub(super) type ReadRow = fn(Bytes, i16) -> anyhow::Result<Box<dyn AnyRead>>;

/// Whether a stop of the node waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It comes soon, and says what was written.
    WaitFor,
    /// It may take long, and nothing is lost without it: a parked Fetch, a question.
    GiveUp,
}

/// How a request ended.
pub enum Outcome {
    /// Well, or with errors for single elements.
    Answer(Box<dyn Answer>),
    /// Refused as a whole; the answer says so.
    Refused(Refusal, Box<dyn Answer>),
    /// Another node leads; the answer says so.
    NotLeader(Box<dyn Answer>),
    /// With a body that is encoded already.
    Body(Bytes),
    /// Not at all: the connection ends.
    Close(Closed),
}

/// How an answer is written.
pub(super) struct Form {
    pub(super) to: ReplyTo,
    /// The version of the body.
    pub(super) version: i16,
    pub(super) wrap: Wrap,
}

/// What stands around an answer's body.
pub(super) enum Wrap {
    /// Only the response header.
    Plain,
    /// A broker forwarded the request for a client: its whole response is a field of the Envelope's.
    Envelope(ReplyTo),
    /// A follower forwarded it: before the body stands the offset that its own image must reach.
    Forwarded,
}

impl Turn {
    /// The end of the request if it has come to it; to be asked of the first in line.
    pub fn poll(&mut self, dispatcher: &Dispatcher, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Gone) {
                Stage::Read(read, call) => self.stage = dispatcher.read(read, call),
                Stage::Serve(room, call) => {
                    let answer = room.serve(call).map(Outcome::from);
                    self.stage = Stage::Slow(Box::pin(answer), Patience::GiveUp);
                }
                Stage::Write(mut reply) => match reply.poll_unpin(cx) {
                    Poll::Ready(Ok(Replied { result, offset })) => {
                        self.offset = offset;
                        return Poll::Ready(Outcome::from(result));
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Outcome::Close(Closed::Stopping)),
                    Poll::Pending => {
                        self.stage = Stage::Write(reply);
                        return Poll::Pending;
                    }
                },
                Stage::Slow(mut slow, patience) => match slow.poll_unpin(cx) {
                    Poll::Ready(outcome) => return Poll::Ready(outcome),
                    Poll::Pending => {
                        self.stage = Stage::Slow(slow, patience);
                        return Poll::Pending;
                    }
                },
                Stage::Done(outcome) => return Poll::Ready(outcome),
                Stage::Gone => return Poll::Ready(Outcome::Close(Closed::Failed)),
            }
        }
    }

    /// Lets what is under way elsewhere move on while others are first in line.
    pub fn poll_ahead(&mut self, cx: &mut Context<'_>) {
        if let Stage::Slow(slow, _) = &mut self.stage
            && let Poll::Ready(outcome) = slow.poll_unpin(cx)
        {
            self.stage = Stage::Done(outcome);
        }
    }

    /// Gives up waiting for what may take long: the node stops.
    pub fn hurry(&mut self) {
        if matches!(
            self.stage,
            Stage::Serve(..) | Stage::Slow(_, Patience::GiveUp)
        ) {
            self.stage = Stage::Done(Outcome::Close(Closed::Stopping));
        }
    }

    /// Writes the answer behind what is already to be sent. An error ends the connection, and `out`
    /// is as it was.
    pub fn finish(
        self,
        outcome: &Outcome,
        metrics: &Metrics,
        now: Ticks,
        out: &mut BytesMut,
    ) -> Result<(), Closed> {
        if let Outcome::Close(why) = outcome
            && !matches!(self.form.wrap, Wrap::Envelope(_))
        {
            return Err(*why);
        }
        let counted = metrics.api(self.api);
        counted.requests.inc();
        counted.time.note(self.began, now);
        if matches!(outcome, Outcome::Refused(..) | Outcome::NotLeader(_)) {
            counted.errors.inc();
        }
        let before = out.len();
        let written = catch_unwind(AssertUnwindSafe(|| self.put(outcome, out)));
        if let Ok(Ok(())) = written {
            return Ok(());
        }
        out.truncate(before);
        if let Outcome::Close(why) = outcome {
            return Err(*why);
        }
        let error = written.ok().and_then(Result::err);
        tracing::error!(api = self.api, ?error, "an answer could not be encoded");
        Err(Closed::Failed)
    }

    fn put(&self, outcome: &Outcome, out: &mut BytesMut) -> anyhow::Result<()> {
        let Form { to, version, wrap } = &self.form;
        put_frame(out, |out| {
            to.put(out);
            match wrap {
                Wrap::Plain => outcome.put(*version, out),
                Wrap::Envelope(inner) => envelope::put(*inner, outcome, *version, out),
                Wrap::Forwarded => {
                    out.put_i64(self.offset);
                    outcome.put(*version, out)
                }
            }
        })
    }
}

impl Form {
    /// An answer with nothing around it.
    pub(super) fn plain(to: ReplyTo, version: i16) -> Self {
        Self {
            to,
            version,
            wrap: Wrap::Plain,
        }
    }
}

impl Outcome {
    /// Appends the answer's body.
    pub(super) fn put(&self, version: i16, out: &mut BytesMut) -> anyhow::Result<()> {
        match self {
            Self::Answer(answer) | Self::Refused(_, answer) | Self::NotLeader(answer) => {
                answer.append_to(out, version)
            }
            Self::Body(body) => {
                out.put_slice(body);
                Ok(())
            }
            Self::Close(_) => anyhow::bail!("a connection that ends has no answer"),
        }
    }
}

impl From<Served> for Outcome {
    fn from(served: Served) -> Self {
        match served {
            Served::Answer(answer) => Self::Answer(answer),
            Served::NotLeader(answer) => Self::NotLeader(answer),
            Served::Close => Self::Close(Closed::NotNow),
        }
    }
}

impl From<Result<Box<dyn Answer>, (Refusal, Box<dyn Answer>)>> for Outcome {
    fn from(result: Result<Box<dyn Answer>, (Refusal, Box<dyn Answer>)>) -> Self {
        match result {
            Ok(answer) => Self::Answer(answer),
            Err((refusal, answer)) => Self::Refused(refusal, answer),
        }
    }
}
