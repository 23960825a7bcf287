//! A running listener with fakes behind it, and a client that speaks in frames.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    AddRaftVoterResponse, ApiKey, DescribeQuorumResponse, FetchResponse, FetchSnapshotResponse,
    RemoveRaftVoterResponse, UpdateRaftVoterResponse,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use yakt::api::{Answer, AnyWrite};
use yakt::clock::{Clock, Dice, SystemClock, Ticks};
use yakt::controller::Slow;
use yakt::controller::core::Replied;
use yakt::feed::Published;
use yakt::feed::serve::Feed;
use yakt::ids::{BrokerId, Endpoint};
use yakt::metrics::{Closed, Metrics};
use yakt::rules::{Caller, Ctx, Live, View};
use yakt::settings::Settings;
use yakt::wire::Wire;
use yakt::wire::budget::{BIG_BYTES_MAX, Budget};
use yakt::wire::dispatch::Dispatcher;
use yakt::wire::doors::{Call, Doors, Forward, PeerCall, PeerDoor, Serve, Served, Writes};
use yakt::wire::registry::Seats;

/// How long a test waits for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// A peer API of the fake.
pub(super) const PEER_KEY: i16 = 20_007;

/// The listener and all that stands behind it.
pub(super) struct Server {
    pub(super) wire: Wire,
    pub(super) address: SocketAddr,
    pub(super) published: watch::Sender<Arc<Published>>,
    pub(super) fakes: Arc<Fakes>,
    pub(super) metrics: Arc<Metrics>,
}

impl Server {
    /// A node that leads a quorum of one, with an empty image.
    pub(super) async fn leading() -> Self {
        Self::with(Settings::default(), leader(3000)).await
    }

    /// The same, and its Fetch is the real one.
    pub(super) async fn leading_with_feed() -> Self {
        Self::start(Settings::default(), leader(3000), true, BIG_BYTES_MAX).await
    }

    /// The same, and big requests together may take so many bytes.
    pub(super) async fn with_budget(bytes: usize) -> Self {
        Self::start(Settings::default(), leader(3000), false, bytes).await
    }

    pub(super) async fn with(settings: Settings, published: Published) -> Self {
        Self::start(settings, published, false, BIG_BYTES_MAX).await
    }

    async fn start(
        settings: Settings,
        published: Published,
        real_feed: bool,
        budget: usize,
    ) -> Self {
        let max_connections = settings.max_connections as usize;
        let settings = Arc::new(settings);
        let (sender, published) = watch::channel(Arc::new(published));
        let metrics = Arc::new(Metrics::default());
        let fakes = Arc::new(Fakes {
            published: published.clone(),
            settings: Arc::clone(&settings),
            hold: Mutex::default(),
            held: Mutex::default(),
            news: watch::Sender::default(),
            forwarded: Mutex::default(),
            forward_answer: Mutex::default(),
            peer_calls: Mutex::default(),
        });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let feed = Feed::new(published.clone(), Arc::clone(&clock), "", 2_000);
        let doors = Doors {
            published,
            writes: fakes.clone(),
            feed: if real_feed {
                Arc::new(feed)
            } else {
                fakes.clone()
            },
            quorum: fakes.clone(),
            forward: fakes.clone(),
            peers: fakes.clone(),
            settings,
            clock,
            metrics: Arc::clone(&metrics),
        };
        let endpoint = Endpoint {
            name: "CONTROLLER".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 0,
        };
        let dispatcher = Dispatcher {
            budget: Budget::of(budget),
            ..Dispatcher::new(doors)
        };
        let seats = Seats::allowed(max_connections);
        let wire = Wire::start(&[endpoint], seats, dispatcher).await.unwrap();
        let address = wire.addresses()[0];
        Self {
            wire,
            address,
            published: sender,
            fakes,
            metrics,
        }
    }

    pub(super) async fn connect(&self) -> Client {
        Client {
            stream: TcpStream::connect(self.address).await.unwrap(),
        }
    }

    /// Waits until so many connections were closed for this reason.
    pub(super) async fn closed(&self, why: Closed, count: u64) {
        let counted = async {
            while self.metrics.connections_closed(why) < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, counted).await;
        let all = Closed::ALL.map(|why| (why, self.metrics.connections_closed(why)));
        waited.unwrap_or_else(|_| panic!("waited for {count} × {why:?}, have {all:?}"));
    }
}

/// What this node publishes when `leader` leads; this node is always 3000.
pub(super) fn leader(leader: i32) -> Published {
    let mut published = Published::default();
    published.quorum.node_id = 3000;
    published.quorum.epoch = 1;
    published.quorum.leader = Some(BrokerId(leader));
    published.quorum.active = leader == 3000;
    // Its quorum will not be missed for as long as a test runs.
    published.contact.heard(Ticks(i64::MAX / 2));
    published
}

/// A write that waits for the test.
pub(super) struct Held {
    pub(super) request: Box<dyn AnyWrite>,
    pub(super) caller: Caller,
    pub(super) api: i16,
    version: i16,
    reply: oneshot::Sender<Replied>,
}

impl Held {
    /// Answers it with what its own decision says, as if that were committed.
    pub(super) fn decide(self, fakes: &Fakes) {
        let Self {
            request,
            caller,
            version,
            reply,
            ..
        } = self;
        let _ = reply.send(fakes.decided(request.as_ref(), &caller, version));
    }
}

/// Everything behind the doors.
pub(super) struct Fakes {
    published: watch::Receiver<Arc<Published>>,
    settings: Arc<Settings>,
    /// Writes wait here while `hold` says so.
    pub(super) hold: Mutex<bool>,
    pub(super) held: Mutex<VecDeque<Held>>,
    /// Fetches wait until this is true.
    pub(super) news: watch::Sender<bool>,
    /// What was forwarded, in order.
    pub(super) forwarded: Mutex<Vec<Bytes>>,
    /// How forwarding ends: the answer's bytes, or an error.
    pub(super) forward_answer: Mutex<Option<Bytes>>,
    /// Peers' frames, in the order they came.
    pub(super) peer_calls: Mutex<Vec<Bytes>>,
}

impl Fakes {
    fn decided(&self, request: &dyn AnyWrite, caller: &Caller, version: i16) -> Replied {
        let published = Arc::clone(&self.published.borrow());
        let clock = SystemClock::new();
        let view = View {
            image: &published.image,
            quorum: &published.quorum,
            caller,
            settings: &self.settings,
            version,
        };
        let (live, dice) = (Live::default(), Dice::seeded(1));
        let ctx = Ctx {
            view,
            live: &live,
            now: clock.now(),
            ticks: clock.ticks(),
            dice: &dice,
        };
        let result = match request.decide(&ctx) {
            Ok(decision) => Ok(decision.response),
            Err(refusal) => {
                let answer = request.refuse(&refusal);
                Err((refusal, answer))
            }
        };
        Replied { result, offset: 7 }
    }

    /// Waits until so many writes are held.
    pub(super) async fn held(&self, count: usize) -> Vec<Held> {
        let there = async {
            while self.held.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, there)
            .await
            .expect("the writes arrive");
        self.held.lock().unwrap().drain(..).collect()
    }
}

impl Writes for Fakes {
    fn submit(
        &self,
        request: Box<dyn AnyWrite>,
        caller: Caller,
        api: i16,
        version: i16,
    ) -> oneshot::Receiver<Replied> {
        let (reply, receiver) = oneshot::channel();
        let held = Held {
            request,
            caller,
            api,
            version,
            reply,
        };
        if *self.hold.lock().unwrap() {
            self.held.lock().unwrap().push_back(held);
        } else {
            held.decide(self);
        }
        receiver
    }
}

impl Serve for Fakes {
    fn serve(&self, call: Call) -> Slow<Served> {
        let mut news = self.news.subscribe();
        let leads = self.published.borrow().quorum.active;
        Box::pin(async move {
            let answer: Box<dyn Answer> = match call.api {
                ApiKey::Fetch => {
                    let _ = news.wait_for(|news| *news).await;
                    Box::new(FetchResponse::default())
                }
                ApiKey::FetchSnapshot => Box::new(FetchSnapshotResponse::default()),
                ApiKey::DescribeQuorum if !leads => {
                    return Served::NotLeader(Box::new(DescribeQuorumResponse::default()));
                }
                ApiKey::DescribeQuorum => Box::new(DescribeQuorumResponse::default()),
                ApiKey::AddRaftVoter => Box::new(AddRaftVoterResponse::default()),
                ApiKey::RemoveRaftVoter => Box::new(RemoveRaftVoterResponse::default()),
                ApiKey::UpdateRaftVoter => Box::new(UpdateRaftVoterResponse::default()),
                _ => return Served::Close,
            };
            Served::Answer(answer)
        })
    }
}

impl Forward for Fakes {
    fn send(&self, body: Bytes) -> Slow<anyhow::Result<Bytes>> {
        self.forwarded.lock().unwrap().push(body);
        let answer = self.forward_answer.lock().unwrap().clone();
        Box::pin(async move { answer.ok_or_else(|| anyhow::anyhow!("the leader is gone")) })
    }
}

impl PeerDoor for Fakes {
    fn answer(&self, call: PeerCall) -> Slow<Option<Bytes>> {
        let calls = {
            let mut calls = self.peer_calls.lock().unwrap();
            calls.push(call.body.clone());
            calls.len()
        };
        Box::pin(async move {
            // Later frames are ready first; answers leave in order all the same.
            tokio::time::sleep(Duration::from_millis(40 / calls as u64)).await;
            (call.key == PEER_KEY).then_some(call.body)
        })
    }
}

/// A client that speaks in frames.
pub(super) struct Client {
    pub(super) stream: TcpStream,
}

impl Client {
    /// Sends bytes as they are.
    pub(super) async fn raw(&mut self, bytes: &[u8]) {
        // The server may have closed already; what it says to that is what the test looks at.
        let _ = self.stream.write_all(bytes).await;
    }

    pub(super) async fn send(&mut self, key: i16, version: i16, correlation: i32, body: &[u8]) {
        self.raw(&frame(key, version, correlation, body)).await;
    }

    /// The next frame without its length; `None` if the server closes instead.
    pub(super) async fn receive(&mut self) -> Option<Bytes> {
        let whole = async {
            let length = self.stream.read_i32().await.ok()?;
            let mut frame = vec![0; length as usize];
            self.stream.read_exact(&mut frame).await.ok()?;
            Some(Bytes::from(frame))
        };
        tokio::time::timeout(PATIENCE, whole)
            .await
            .expect("an answer or the end in time")
    }

    /// The correlation id of the next answer.
    pub(super) async fn correlation(&mut self) -> Option<i32> {
        let frame = self.receive().await?;
        Some(i32::from_be_bytes(frame[..4].try_into().unwrap()))
    }

    /// Sends a request and waits for its answer's body.
    pub(super) async fn ask(&mut self, key: ApiKey, version: i16, body: &[u8]) -> Option<Bytes> {
        self.send(key as i16, version, 77, body).await;
        let mut frame = self.receive().await?;
        assert_eq!(frame.split_to(4), 77_i32.to_be_bytes().as_slice());
        if key.response_header_version(version) == 1 {
            assert_eq!(frame.split_to(1), [0].as_slice());
        }
        Some(frame)
    }

    /// Whether the connection still answers: ApiVersions 0 is always answered.
    pub(super) async fn works(&mut self) -> bool {
        self.ask(ApiKey::ApiVersions, 0, &[]).await.is_some()
    }
}

/// A request frame with its length and the header that its key and version demand.
pub(super) fn frame(key: i16, version: i16, correlation: i32, body: &[u8]) -> Vec<u8> {
    let api = ApiKey::try_from(key);
    let flexible = api.is_ok_and(|api| api.request_header_version(version) == 2);
    let mut content = BytesMut::new();
    content.put_i16(key);
    content.put_i16(version);
    content.put_i32(correlation);
    content.put_i16(4);
    content.put_slice(b"test");
    if flexible {
        content.put_u8(0);
    }
    content.put_slice(body);
    [&(content.len() as i32).to_be_bytes(), &content[..]].concat()
}
