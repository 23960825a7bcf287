//! A node whose quorum agrees at once: what is proposed is applied, published and reported.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use yakt::clock::{Clock, Dice, SystemClock};
use yakt::controller::core::Core;
use yakt::controller::handle::Handle;
use yakt::controller::task::Controller;
use yakt::controller::{Outcome, Proposal, Propose, QuorumEvent, Slow};
use yakt::feed::Published;
use yakt::feed::serve::Feed;
use yakt::feed::snapshots::SnapshotId;
use yakt::http::{self, Doors, Http, Leader, Snapshots};
use yakt::ids::{BrokerId, Endpoint, QuorumView, Uuid, Voter};
use yakt::metrics::Metrics;
use yakt::refusal::{self, Refusal};
use yakt::rules::bootstrap::default_seeds;
use yakt::settings::Settings;

/// A running node.
pub(super) struct Node {
    pub(super) http: Http,
    pub(super) doors: Doors,
    pub(super) published: watch::Sender<Arc<Published>>,
}

impl Node {
    /// Leads a quorum of one, formatted and activated.
    pub(super) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with other settings.
    pub(super) async fn with(edit: impl FnOnce(&mut Settings)) -> Self {
        let doors = leading(edit).await;
        let published = doors.1;
        let doors = doors.0;
        let http = http::start(doors.clone()).await.expect("it listens");
        Self {
            http,
            doors,
            published,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.http.addresses()[0]
    }
}

/// The doors of a leader, without the listener.
pub(super) async fn leading(
    edit: impl FnOnce(&mut Settings),
) -> (Doors, watch::Sender<Arc<Published>>) {
    let mut settings = Settings {
        cluster_id: "a cluster".to_owned(),
        yakt_http_listeners: vec!["127.0.0.1:0".to_owned()],
        ..Settings::default()
    };
    edit(&mut settings);
    let (events, receiver) = mpsc::unbounded_channel();
    let quorum = view(&settings, true);
    let first = Published {
        quorum,
        ..Published::default()
    };
    let (published, watching) = watch::channel(Arc::new(first));
    let memory = Arc::new(Memory {
        published: published.clone(),
        events: Mutex::new(events),
    });
    let (controller, handle) =
        start_controller(&settings, Arc::clone(&memory) as Arc<dyn Propose>, receiver);
    memory.say(QuorumEvent::Voters(vec![voter()]));
    memory.say(QuorumEvent::Leading {
        epoch: 1,
        image: Default::default(),
    });
    tokio::spawn(controller.run());
    let doors = doors(settings, handle, watching, Arc::new(NoLeader));
    let mut activated = doors.published.clone();
    let is_activated = |now: &Arc<Published>| now.image.features().metadata_version().is_some();
    activated
        .wait_for(is_activated)
        .await
        .expect("the controller activates");
    (doors, published)
}

/// The doors of a node that follows, with this way to its leader. Nothing moves its state by itself.
pub(super) fn following(leader: Arc<dyn Leader>) -> (Doors, watch::Sender<Arc<Published>>) {
    let settings = Settings {
        cluster_id: "a cluster".to_owned(),
        yakt_http_listeners: vec!["127.0.0.1:0".to_owned()],
        ..Settings::default()
    };
    let (events, receiver) = mpsc::unbounded_channel();
    let first = Published {
        quorum: view(&settings, false),
        ..Published::default()
    };
    let (published, watching) = watch::channel(Arc::new(first));
    let memory = Memory {
        published: published.clone(),
        events: Mutex::new(events),
    };
    let (controller, handle) = start_controller(&settings, Arc::new(memory), receiver);
    tokio::spawn(controller.run());
    (doors(settings, handle, watching, leader), published)
}

fn start_controller(
    settings: &Settings,
    propose: Arc<dyn Propose>,
    events: mpsc::UnboundedReceiver<QuorumEvent>,
) -> (Controller, Handle) {
    let core = Core::new(
        Arc::new(settings.clone()),
        default_seeds(30),
        Dice::seeded(7),
    );
    Controller::new(core, Arc::new(SystemClock::new()), propose, events)
}

fn doors(
    settings: Settings,
    writes: Handle,
    published: watch::Receiver<Arc<Published>>,
    leader: Arc<dyn Leader>,
) -> Doors {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let feed = Feed::new(
        published.clone(),
        Arc::clone(&clock),
        &settings.cluster_id,
        2_000,
    );
    Doors {
        published,
        feed,
        writes,
        leader,
        snapshots: Arc::new(NoSnapshots),
        settings: Arc::new(settings),
        clock,
        metrics: Arc::new(Metrics::default()),
    }
}

fn voter() -> Voter {
    let endpoint = Endpoint {
        name: "CONTROLLER".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: 9093,
    };
    Voter {
        id: BrokerId(3000),
        directory_id: Uuid::from_u128(3000),
        endpoints: vec![endpoint],
    }
}

fn view(settings: &Settings, leads: bool) -> QuorumView {
    QuorumView {
        node_id: settings.node_id.0,
        epoch: 1,
        leader: Some(BrokerId(if leads { settings.node_id.0 } else { 3001 })),
        active: leads,
        voters: Arc::new(vec![voter()]),
        ..QuorumView::default()
    }
}

/// The quorum.
struct Memory {
    published: watch::Sender<Arc<Published>>,
    events: Mutex<mpsc::UnboundedSender<QuorumEvent>>,
}

impl Memory {
    fn say(&self, event: QuorumEvent) {
        let _ = self
            .events
            .lock()
            .expect("no test panics with it")
            .send(event);
    }
}

impl Propose for Memory {
    fn propose(&self, proposal: Proposal) {
        self.published.send_modify(|now| {
            let image = proposal.after.clone();
            *now = Arc::new(Published {
                image,
                ..Published::clone(now)
            });
        });
        let (ticket, outcome) = (proposal.ticket, Outcome::Applied);
        self.say(QuorumEvent::Outcome { ticket, outcome });
    }
    fn barrier(&self, epoch: i32) {
        let image = Some(self.published.borrow().image.clone());
        self.say(QuorumEvent::Barrier { epoch, image });
    }
    fn resign(&self, _epoch: i32) {}
    fn add_voter(&self, _voter: Voter) -> Slow<Result<(), Refusal>> {
        Box::pin(async { Err(refusal::internal()) })
    }
    fn remove_voter(&self, _id: BrokerId, _directory_id: Uuid) -> Slow<Result<(), Refusal>> {
        Box::pin(async { Err(refusal::internal()) })
    }
    fn update_voter(&self, _voter: Voter) -> Slow<Result<(), Refusal>> {
        Box::pin(async { Err(refusal::internal()) })
    }
}

/// No leader is known elsewhere.
pub(super) struct NoLeader;

impl Leader for NoLeader {
    fn ask(&self, _body: Bytes) -> Option<Slow<anyhow::Result<Bytes>>> {
        None
    }
}

struct NoSnapshots;

impl Snapshots for NoSnapshots {
    fn make(&self) -> Slow<Result<SnapshotId, Refusal>> {
        Box::pin(async {
            Ok(SnapshotId {
                end_offset: 5,
                epoch: 1,
            })
        })
    }
}
