//! Assembly: what is started in which order, and stopped.
//!
//! Up: the store and raft, then the controller's loop, then the doors. Down: leadership first, while
//! the doors still tell clients where to go, then the doors, then the log. A fault of the store (a
//! failed write, a log that does not apply) ends the process at once with its sentence: going on
//! could break a promise.

mod export;
mod joints;
mod web;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::{Clock, Dice, SystemClock};
use crate::controller::core::Core;
use crate::controller::task::Controller;
use crate::feed::serve::Feed;
use crate::format::Opened;
use crate::http::{self, Http};
use crate::metrics::Metrics;
use crate::quorum::Quorum;
use crate::settings::Settings;
use crate::wire::{self, Doors, Wire};
pub use export::{Export, export};
use joints::{Members, Peers};
use web::PeersAndWeb;

/// A node that is up, as the start tells about it.
#[derive(Clone, Copy, Debug)]
pub struct Up<'a> {
    /// Its configuration.
    pub settings: &'a Settings,
    /// The addresses that its Kafka listeners really have.
    pub kafka: &'a [SocketAddr],
    /// The addresses that its HTTP listeners really have.
    pub http: &'a [SocketAddr],
}

/// Runs a node until SIGTERM or SIGINT, and tells by `is_up` when its listeners take connections.
pub async fn run(
    settings: Settings,
    opened: Opened,
    is_up: impl FnOnce(&Up<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let node = Node::start(settings, opened).await?;
    is_up(&Up {
        settings: &node.settings,
        kafka: node.wire.addresses(),
        http: node.web.addresses(),
    })?;
    tokio::select! {
        sentence = node.quorum.fault().raised() => anyhow::bail!("{sentence}"),
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    node.stop().await
}

/// A running node.
struct Node {
    settings: Arc<Settings>,
    quorum: Quorum,
    wire: Wire,
    web: Http,
    /// Keeps other processes out of the data directory.
    _opened: Opened,
}

impl Node {
    async fn start(settings: Settings, opened: Opened) -> anyhow::Result<Self> {
        let settings = Arc::new(settings);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let metrics = Arc::new(Metrics::default());
        let (quorum, events, published) = Quorum::start(
            Arc::clone(&settings),
            Arc::clone(&clock),
            opened.voters.clone(),
        )
        .await?;
        let seeds = opened.records.clone();
        let core = Core::new(Arc::clone(&settings), seeds, Dice::from_entropy());
        let (controller, handle) =
            Controller::new(core, Arc::clone(&clock), Arc::new(quorum.clone()), events);
        let controller = controller.counted_in(Arc::clone(&metrics));
        quorum.fault().guard("the controller", controller.run());
        let feed = Feed::new(
            published.clone(),
            Arc::clone(&clock),
            &settings.cluster_id,
            settings.controller_quorum_fetch_timeout_ms,
        );
        let members = Members {
            quorum: quorum.clone(),
            feed: feed.clone(),
            published: published.clone(),
            settings: Arc::clone(&settings),
        };
        let web = http::Doors {
            published: published.clone(),
            feed: feed.clone(),
            writes: handle.clone(),
            leader: Arc::new(quorum.clone()),
            snapshots: Arc::new(quorum.clone()),
            settings: Arc::clone(&settings),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
        };
        let doors = Doors {
            published,
            writes: Arc::new(handle),
            feed: Arc::new(feed),
            quorum: Arc::new(members),
            forward: Arc::new(Peers(quorum.clone())),
            peers: Arc::new(PeersAndWeb {
                peers: Peers(quorum.clone()),
                web: web.clone(),
            }),
            settings: Arc::clone(&settings),
            clock,
            metrics,
        };
        let wire = wire::start(&settings.listeners, doors).await?;
        let web = http::start(web).await?;
        Ok(Self {
            settings,
            quorum,
            wire,
            web,
            _opened: opened,
        })
    }

    async fn stop(self) -> anyhow::Result<()> {
        let stopped = self.quorum.stop().await;
        self.web.stop().await;
        self.wire.stop().await;
        stopped
    }
}
