//! From a frame to a turn: which row of the API table, which room, and when.
//!
//! A frame is opened, what it may take in memory is charged, and only then is it decoded and
//! started. A write enters the controller's mailbox in that moment, so the requests of a pipeline
//! are decided together; the rest waits for its turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;

use crate::api::{self, Answer, AnyWrite, Kind, Row};
use crate::metrics::Closed;
use crate::rules::View;

use super::budget::{BIG_BYTES_MAX, Budget, Share};
use super::connection::Session;
use super::doors::{Call, Doors, PeerCall};
use super::envelope;
use super::forward;
use super::frame::{FRAME_BYTES_MAX, Head, PEER_KEY_MIN, ReplyTo};
use super::registry::Standing;
use super::shapes;
use super::turn::{Form, Outcome, Patience, ReadRow, Stage, Turn, Wrap};

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

/// What only a leader with a quorum behind it may answer: the broker would take the answer of one
/// that is cut off for the cluster's, and stay with it.
const FOR_A_LEADER_IN_CHARGE: [ApiKey; 2] = [ApiKey::BrokerRegistration, ApiKey::BrokerHeartbeat];

/// Begins requests, for all connections.
pub struct Dispatcher {
    /// Where requests go.
    pub doors: Doors,
    /// Memory for big ones.
    pub budget: Arc<Budget>,
    /// `socket.request.max.bytes`.
    pub frame_bytes_max: usize,
}

/// A frame that was looked into.
struct Opened {
    form: Form,
    start: Start,
    /// What the decoded request may take in memory, beyond the frame.
    decoded: usize,
}

/// What there is to start.
enum Start {
    /// A request for this row.
    Row(&'static Row, Call),
    /// A peer's own frame.
    Peer(PeerCall),
    /// Nothing: it is answered already.
    Answered(Box<dyn Answer>),
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
        let opened = if head.key == forward::FORWARD_KEY {
            self.open_forwarded(session, &head, frame)?
        } else if head.key >= PEER_KEY_MIN {
            open_peers(session, &head, frame)
        } else {
            open_request(session, &head, frame)?
        };
        let Opened {
            form,
            start,
            decoded,
        } = opened;
        let mut memory = Share::none(&self.budget);
        if !memory.resize(size.saturating_add(decoded)) {
            return Err(Closed::Memory);
        }
        let stage = match self.start(start, &form) {
            // What is wrong inside an envelope is said on the envelope.
            Err(why) if matches!(form.wrap, Wrap::Envelope(_)) => Stage::Done(Outcome::Close(why)),
            stage => stage?,
        };
        let api = head.key;
        Ok(Turn {
            api,
            form,
            stage,
            began,
            offset: 0,
            _memory: memory,
        })
    }

    fn open_forwarded(
        &self,
        session: &Session,
        head: &Head,
        body: Bytes,
    ) -> Result<Opened, Closed> {
        let call = forward::read(body, &self.doors.settings.cluster_id)?;
        let row = find(call.api, call.version).ok_or(Closed::Peer)?;
        let decoded = walk(call.api, call.version, &call.body)?;
        session.seat.promote(Standing::Peer);
        let form = Form {
            wrap: Wrap::Forwarded,
            ..Form::plain(peers_reply(head), call.version)
        };
        Ok(Opened {
            form,
            start: Start::Row(row, call),
            decoded,
        })
    }

    /// Sends a request on its way.
    fn start(&self, start: Start, form: &Form) -> Result<Stage, Closed> {
        let (row, call) = match start {
            Start::Row(row, call) => (row, call),
            Start::Peer(call) => {
                let answer = self.doors.peers.answer(call).map(|body| match body {
                    Some(body) => Outcome::Body(body),
                    None => Outcome::Close(Closed::Peer),
                });
                return Ok(Stage::Slow(Box::pin(answer), Patience::GiveUp));
            }
            Start::Answered(answer) => return Ok(Stage::Done(Outcome::Answer(answer))),
        };
        // What was passed on once is not passed on again, and a broker finds the leader itself.
        let elsewhere = matches!(form.wrap, Wrap::Plain) && self.leader_is_elsewhere();
        Ok(match row.kind {
            Kind::Read(read) => Stage::Read(read, call),
            Kind::Write(write) => self.write(write, call, elsewhere)?,
            Kind::Feed => Stage::Serve(Arc::clone(&self.doors.feed), call),
            Kind::Quorum if elsewhere => {
                Stage::Slow(forward::quorum(&self.doors, call), Patience::WaitFor)
            }
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
        if FOR_A_LEADER_IN_CHARGE.contains(&call.api) && self.leads_without_quorum() {
            return Err(Closed::NotNow);
        }
        let write = decode(call.body.clone(), call.version).map_err(|_| Closed::Malformed)?;
        if elsewhere && !FOR_THE_LEADER.contains(&call.api) {
            let answer = forward::write(&self.doors, call, write);
            return Ok(Stage::Slow(answer, Patience::WaitFor));
        }
        let Call {
            api,
            version,
            caller,
            ..
        } = call;
        let caller = Arc::unwrap_or_clone(caller);
        Ok(Stage::Write(
            self.doors.writes.submit(write, caller, api as i16, version),
        ))
    }

    /// Answers a read, or says what it must wait for first.
    pub(super) fn read(&self, read: ReadRow, call: Call) -> Stage {
        let leader = self.doors.published.borrow().quorum.leader;
        if leader.is_some() || call.api != ApiKey::Metadata {
            return Stage::Done(read_now(&self.doors, read, call));
        }
        let doors = self.doors.clone();
        let answer = async move {
            let mut published = doors.published.clone();
            let known = published.wait_for(|now| now.quorum.leader.is_some());
            let _ = tokio::time::timeout(LEADER_PATIENCE, known).await;
            read_now(&doors, read, call)
        };
        Stage::Slow(Box::pin(answer), Patience::GiveUp)
    }

    /// Whether another node leads, as far as is known.
    fn leader_is_elsewhere(&self) -> bool {
        let published = self.doors.published.borrow();
        let quorum = &published.quorum;
        quorum
            .leader
            .is_some_and(|leader| !quorum.active && leader.0 != quorum.node_id)
    }

    /// Whether this node takes itself for the leader, but its quorum was not heard lately: another
    /// one may lead by now.
    fn leads_without_quorum(&self) -> bool {
        let published = self.doors.published.borrow();
        let fetch_timeout_ms = self.doors.settings.controller_quorum_fetch_timeout_ms;
        let now = self.doors.clock.ticks();
        published.quorum.active && !published.is_in_charge(now, fetch_timeout_ms)
    }
}

fn open_request(session: &mut Session, head: &Head, body: Bytes) -> Result<Opened, Closed> {
    let api = ApiKey::try_from(head.key).map_err(|()| Closed::UnknownApi)?;
    let to = ReplyTo::request(head, api);
    let Some(row) = find(api, head.version) else {
        // Clients ask with their newest version first; only this API tells them what to try.
        if api == ApiKey::ApiVersions {
            return Ok(answered(to, api::unsupported_api_versions()));
        }
        return Err(Closed::UnsupportedVersion);
    };
    let decoded = walk(api, head.version, &body)?;
    let broker = matches!(api, ApiKey::BrokerRegistration | ApiKey::BrokerHeartbeat);
    if broker || matches!(row.kind, Kind::Feed) {
        session.seat.promote(Standing::Known);
    }
    let caller = session.caller(head.client_id.as_ref());
    let call = Call {
        api,
        version: head.version,
        body,
        caller,
    };
    if api == ApiKey::Envelope {
        let opened = open_envelope(to, &call, decoded);
        return Ok(opened.unwrap_or_else(|code| answered(to, envelope::refused(code))));
    }
    Ok(Opened {
        form: Form::plain(to, head.version),
        start: Start::Row(row, call),
        decoded,
    })
}

fn open_envelope(to: ReplyTo, call: &Call, outer: usize) -> Result<Opened, ResponseError> {
    let inner = envelope::open(call)?;
    let row = find(inner.api, inner.version).ok_or(envelope::UNSUPPORTED)?;
    let decoded = walk(inner.api, inner.version, &inner.body).map_err(|_| envelope::UNSUPPORTED)?;
    let wrap = Wrap::Envelope(inner.reply_to);
    let form = Form {
        wrap,
        ..Form::plain(to, inner.version)
    };
    let start = Start::Row(row, inner.into_call());
    Ok(Opened {
        form,
        start,
        decoded: decoded.saturating_add(outer),
    })
}

fn open_peers(session: &Session, head: &Head, body: Bytes) -> Opened {
    session.seat.promote(Standing::Peer);
    let call = PeerCall {
        key: head.key,
        version: head.version,
        body,
    };
    let form = Form::plain(peers_reply(head), head.version);
    Opened {
        form,
        start: Start::Peer(call),
        decoded: 0,
    }
}

fn peers_reply(head: &Head) -> ReplyTo {
    ReplyTo {
        correlation_id: head.correlation_id,
        flexible: false,
    }
}

/// Both answers that are known at once are said in version 0.
fn answered(to: ReplyTo, answer: impl Answer) -> Opened {
    Opened {
        form: Form::plain(to, 0),
        start: Start::Answered(Box::new(answer)),
        decoded: 0,
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
