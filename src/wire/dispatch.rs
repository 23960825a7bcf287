//! From a frame to its answer: which row, which room, and when.
//!
//! A request becomes a [`Turn`] when its frame has arrived. A write enters the controller's mailbox
//! in that moment, so the requests of a pipeline are decided together. Everything that looks at state
//! begins when all earlier requests of its connection have been answered, so that a client never
//! reads past its own write; a parked Fetch then parks only its own connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::FutureExt;
use kafka_protocol::messages::ApiKey;
use tokio::sync::oneshot;

use crate::api::{self, Answer, AnyRead, AnyWrite, Kind, Row};
use crate::clock::Ticks;
use crate::controller::Slow;
use crate::ids::{BrokerId, Offset};
use crate::metrics::Closed;
use crate::refusal::Refusal;
use crate::rules::View;

use super::budget::{BIG_BYTES_MAX, Budget, Share};
use super::connection::Session;
use super::doors::{Call, Doors, PeerCall, Serve, Served};
use super::envelope;
use super::forward;
use super::frame::{FRAME_BYTES_MAX, Head, PEER_KEY_MIN, ReplyTo, put_frame};
use super::registry::Standing;
use super::shapes;
use crate::controller::core::Replied;

/// How long Metadata waits for a leader to be known before it answers without one.
const LEADER_PATIENCE: Duration = Duration::from_secs(1);

/// What brokers and controllers send: they look for the leader themselves when they hear that this
/// node is not the one, and must hear it.
const FOR_THE_LEADER: [ApiKey; 6] = [
    ApiKey::AlterPartition,
    ApiKey::BrokerRegistration,
    ApiKey::BrokerHeartbeat,
    ApiKey::AllocateProducerIds,
    ApiKey::ControllerRegistration,
    ApiKey::AssignReplicasToDirs,
];

/// Begins requests and writes their answers, for all connections.
pub struct Dispatcher {
    /// Where requests go.
    pub doors: Doors,
    /// Memory for big ones.
    pub budget: Arc<Budget>,
    /// `socket.request.max.bytes`.
    pub frame_bytes_max: usize,
}

/// A request between its arrival and its answer.
pub struct Turn {
    api: i16,
    form: Form,
    stage: Stage,
    /// From where on an image holds what a write answers; 0 for everything else.
    offset: Offset,
    began: Ticks,
    _memory: Share,
}

/// How far a request has come.
enum Stage {
    /// To be answered from the published image when it is its turn.
    Read(ReadRow, Call),
    /// To be begun when it is its turn.
    Serve(Arc<dyn Serve>, Call),
    /// In the controller's hands.
    Write(oneshot::Receiver<Replied>),
    /// Under way elsewhere; `true`: it may wait for long, and the node's stop does not wait for it.
    Slow(Slow<Outcome>, bool),
    /// Answered.
    Done(Outcome),
    /// Its answer was taken.
    Gone,
}

type ReadRow = fn(Bytes, i16) -> anyhow::Result<Box<dyn AnyRead>>;

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

/// How the answer is written.
struct Form {
    to: ReplyTo,
    version: i16,
    wrap: Wrap,
}

/// What stands around the answer's body.
enum Wrap {
    /// Only the response header.
    Plain,
    /// A broker forwarded the request for a client: its whole response is a field of the Envelope's.
    Envelope(ReplyTo),
    /// A follower forwarded it: the offset from which its own image must hold what is answered.
    Forwarded,
}

impl Turn {
    /// The end of the request if it has come to it; to be asked of the first in line.
    pub fn poll(&mut self, dispatcher: &Dispatcher, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Gone) {
                Stage::Read(read, call) => match dispatcher.read(read, call) {
                    Ok(outcome) => return Poll::Ready(outcome),
                    Err(slow) => self.stage = Stage::Slow(slow, true),
                },
                Stage::Serve(room, call) => {
                    self.stage = Stage::Slow(Box::pin(room.serve(call).map(Outcome::from)), true);
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
                Stage::Slow(mut slow, parked) => match slow.poll_unpin(cx) {
                    Poll::Ready(outcome) => return Poll::Ready(outcome),
                    Poll::Pending => {
                        self.stage = Stage::Slow(slow, parked);
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
        if matches!(self.stage, Stage::Serve(..) | Stage::Slow(_, true)) {
            self.stage = Stage::Done(Outcome::Close(Closed::Stopping));
        }
    }
}

impl Dispatcher {
    /// A dispatcher over these doors, with a budget of its own.
    pub fn new(doors: Doors) -> Self {
        let frame_bytes_max = usize::try_from(doors.settings.socket_request_max_bytes);
        let budget = Budget::of(BIG_BYTES_MAX);
        Self {
            doors,
            budget,
            frame_bytes_max: frame_bytes_max.unwrap_or(FRAME_BYTES_MAX),
        }
    }

    /// Begins the request of a whole frame. An error ends the connection once what came before is
    /// answered.
    pub fn begin(&self, session: &mut Session, mut frame: Bytes) -> Result<Turn, Closed> {
        let began = self.doors.clock.ticks();
        let size = frame.len();
        let head = Head::take(&mut frame)?;
        let mut memory = Share::none(&self.budget);
        let (form, stage, decoded) = if head.key >= PEER_KEY_MIN {
            self.begin_peer(session, &head, frame)?
        } else {
            self.begin_request(session, &head, frame)?
        };
        if !memory.resize(size.saturating_add(decoded)) {
            return Err(Closed::Memory);
        }
        Ok(Turn {
            api: head.key,
            form,
            stage,
            offset: 0,
            began,
            _memory: memory,
        })
    }

    fn begin_request(
        &self,
        session: &mut Session,
        head: &Head,
        body: Bytes,
    ) -> Result<(Form, Stage, usize), Closed> {
        let api = ApiKey::try_from(head.key).map_err(|()| Closed::UnknownApi)?;
        let to = ReplyTo::request(head, api);
        let Some(row) = find(api, head.version) else {
            // Clients ask with their newest version first; only this API tells them what to try.
            if api == ApiKey::ApiVersions {
                let form = Form {
                    to,
                    version: 0,
                    wrap: Wrap::Plain,
                };
                let answer = Box::new(api::unsupported_api_versions());
                return Ok((form, Stage::Done(Outcome::Answer(answer)), 0));
            }
            return Err(Closed::UnsupportedVersion);
        };
        let decoded = walk(api, head.version, &body)?;
        let caller = session.caller(head.client_id.as_ref());
        let call = Call {
            api,
            version: head.version,
            body,
            caller,
        };
        if matches!(api, ApiKey::BrokerRegistration | ApiKey::BrokerHeartbeat)
            || matches!(row.kind, Kind::Feed)
        {
            session.seat.promote(Standing::Known);
        }
        if api == ApiKey::Envelope {
            return self.begin_envelope(to, call, decoded);
        }
        let form = Form {
            to,
            version: head.version,
            wrap: Wrap::Plain,
        };
        Ok((
            form,
            self.stage(row, call, self.leader_elsewhere().is_some())?,
            decoded,
        ))
    }

    fn begin_envelope(
        &self,
        to: ReplyTo,
        call: Call,
        decoded: usize,
    ) -> Result<(Form, Stage, usize), Closed> {
        let opened = envelope::open(&call).and_then(|inner| {
            let row = find(inner.api, inner.version).ok_or(envelope::UNSUPPORTED)?;
            let more = shapes::walk(inner.api, inner.version, &inner.body)
                .map_err(|_| envelope::UNSUPPORTED)?;
            let (to, version) = (inner.reply_to, inner.version);
            let stage = self
                .stage(row, inner.into_call(), false)
                .map_err(|_| envelope::UNSUPPORTED)?;
            Ok((to, version, stage, more))
        });
        Ok(match opened {
            Ok((inner, version, stage, more)) => {
                let form = Form {
                    to,
                    version,
                    wrap: Wrap::Envelope(inner),
                };
                (form, stage, decoded.saturating_add(more))
            }
            Err(code) => {
                let form = Form {
                    to,
                    version: call.version,
                    wrap: Wrap::Plain,
                };
                let answer = Box::new(envelope::refused(code));
                (form, Stage::Done(Outcome::Answer(answer)), decoded)
            }
        })
    }

    fn begin_peer(
        &self,
        session: &Session,
        head: &Head,
        body: Bytes,
    ) -> Result<(Form, Stage, usize), Closed> {
        session.seat.promote(Standing::Peer);
        let to = ReplyTo {
            correlation_id: head.correlation_id,
            flexible: false,
        };
        if head.key == forward::FORWARD_KEY {
            let call = forward::read(body, &self.doors.settings.cluster_id)?;
            let row = find(call.api, call.version).ok_or(Closed::Peer)?;
            let decoded = walk(call.api, call.version, &call.body)?;
            let form = Form {
                to,
                version: call.version,
                wrap: Wrap::Forwarded,
            };
            return Ok((form, self.stage(row, call, false)?, decoded));
        }
        let call = PeerCall {
            key: head.key,
            version: head.version,
            body,
        };
        let answer = self.doors.peers.answer(call).map(|body| match body {
            Some(body) => Outcome::Body(body),
            None => Outcome::Close(Closed::Peer),
        });
        let form = Form {
            to,
            version: head.version,
            wrap: Wrap::Plain,
        };
        Ok((form, Stage::Slow(Box::pin(answer), true), 0))
    }

    /// Sends a request on its way. `elsewhere`: another node leads, and may be asked.
    fn stage(&self, row: &Row, call: Call, elsewhere: bool) -> Result<Stage, Closed> {
        Ok(match row.kind {
            Kind::Read(read) => Stage::Read(read, call),
            Kind::Write(write) => self.write(write, call, elsewhere)?,
            Kind::Feed => Stage::Serve(Arc::clone(&self.doors.feed), call),
            Kind::Quorum if elsewhere => Stage::Slow(forward::change(&self.doors, call), false),
            Kind::Quorum => Stage::Serve(Arc::clone(&self.doors.quorum), call),
            // The only one, Envelope, was opened before.
            Kind::Session => return Err(Closed::UnsupportedVersion),
        })
    }

    fn write(
        &self,
        decode: fn(Bytes, i16) -> anyhow::Result<Box<dyn AnyWrite>>,
        call: Call,
        elsewhere: bool,
    ) -> Result<Stage, Closed> {
        let body = call.body.clone();
        let decoded = catch_unwind(AssertUnwindSafe(|| decode(body, call.version)));
        let write = match decoded {
            Ok(Ok(write)) => write,
            Ok(Err(_)) => return Err(Closed::Malformed),
            Err(_) => return Err(Closed::Failed),
        };
        if elsewhere && !FOR_THE_LEADER.contains(&call.api) {
            return Ok(Stage::Slow(forward::write(&self.doors, call, write), false));
        }
        let Call {
            api,
            version,
            caller,
            ..
        } = call;
        let caller = caller.as_ref().clone();
        Ok(Stage::Write(
            self.doors.writes.submit(write, caller, api as i16, version),
        ))
    }

    /// Answers a read, or gives back what it must wait for.
    fn read(&self, read: ReadRow, call: Call) -> Result<Outcome, Slow<Outcome>> {
        if call.api == ApiKey::Metadata && self.doors.published.borrow().quorum.leader.is_none() {
            let doors = self.doors.clone();
            return Err(Box::pin(async move {
                let mut published = doors.published.clone();
                let known = published.wait_for(|now| now.quorum.leader.is_some());
                let _ = tokio::time::timeout(LEADER_PATIENCE, known).await;
                read_now(&doors, read, call)
            }));
        }
        Ok(read_now(&self.doors, read, call))
    }

    /// Another node that leads, as far as is known.
    fn leader_elsewhere(&self) -> Option<BrokerId> {
        let published = self.doors.published.borrow();
        let quorum = &published.quorum;
        quorum
            .leader
            .filter(|leader| !quorum.active && leader.0 != quorum.node_id)
    }

    /// Writes the answer behind what is already to be sent.
    pub fn finish(&self, turn: Turn, outcome: Outcome, out: &mut BytesMut) -> Result<(), Closed> {
        let counted = self.doors.metrics.api(turn.api);
        counted.requests.inc();
        counted.time.note(turn.began, self.doors.clock.ticks());
        if matches!(outcome, Outcome::Refused(..) | Outcome::NotLeader(_)) {
            counted.errors.inc();
        }
        let Form { to, version, wrap } = turn.form;
        let before = out.len();
        let written = catch_unwind(AssertUnwindSafe(|| {
            put_frame(out, |out| {
                to.put(out);
                match wrap {
                    Wrap::Plain => put_body(&outcome, version, out),
                    Wrap::Envelope(inner) => envelope::put(inner, &outcome, version, out),
                    Wrap::Forwarded => {
                        out.put_i64(turn.offset);
                        put_body(&outcome, version, out)
                    }
                }
            })
        }));
        if let Ok(Ok(())) = written {
            return Ok(());
        }
        out.truncate(before);
        let error = written.ok().and_then(Result::err);
        tracing::error!(
            api = turn.api,
            version,
            ?error,
            "an answer could not be encoded"
        );
        Err(Closed::Failed)
    }
}

fn read_now(doors: &Doors, read: ReadRow, call: Call) -> Outcome {
    let published = Arc::clone(&doors.published.borrow());
    let view = View {
        image: &published.image,
        quorum: &published.quorum,
        caller: &call.caller,
        settings: &doors.settings,
        version: call.version,
    };
    let answered = catch_unwind(AssertUnwindSafe(|| match read(call.body, call.version) {
        Ok(request) if !request.expects_answer() => Outcome::Close(Closed::NoAnswerWanted),
        Ok(request) => Outcome::Answer(request.answer(&view)),
        Err(_) => Outcome::Close(Closed::Malformed),
    }));
    answered.unwrap_or_else(|_| {
        tracing::error!(api = ?call.api, version = call.version, "an answer panicked");
        Outcome::Close(Closed::Failed)
    })
}

/// Appends an answer's body.
pub(super) fn put_body(outcome: &Outcome, version: i16, out: &mut BytesMut) -> anyhow::Result<()> {
    match outcome {
        Outcome::Answer(answer) | Outcome::Refused(_, answer) | Outcome::NotLeader(answer) => {
            answer.append_to(out, version)
        }
        Outcome::Body(body) => {
            out.put_slice(body);
            Ok(())
        }
        Outcome::Close(_) => anyhow::bail!("a connection that ends has no answer"),
    }
}

fn find(api: ApiKey, version: i16) -> Option<&'static Row> {
    api::find(api as i16).filter(|row| row.versions.contains(&version))
}

fn walk(api: ApiKey, version: i16, body: &[u8]) -> Result<usize, Closed> {
    shapes::walk(api, version, body).map_err(|malformed| {
        tracing::debug!(?api, version, %malformed, "a request is refused");
        Closed::Malformed
    })
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
