//! The listening sockets: accept, give a seat, start the connection's task; sweep, and stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::task::JoinHandle;

use crate::ids::Endpoint;

use super::connection::{Connection, Session};
use super::dispatch::Dispatcher;
use super::registry::{Registry, Seats};

/// Connections that the kernel keeps until they are accepted; Kafka's 50 costs retransmits of a
/// second when thousands come at once.
const BACKLOG: u32 = 4096;
/// How often silence is looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long accepting rests after it failed for want of descriptors or memory.
const ACCEPT_REST: Duration = Duration::from_millis(20);
/// How long a stop waits for answers under way.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// One listening socket.
struct Listener {
    name: String,
    socket: TcpListener,
}

/// The Kafka listeners of a node, running.
pub struct Wire {
    registry: Arc<Registry>,
    addresses: Vec<SocketAddr>,
    accepting: Vec<JoinHandle<()>>,
    sweeping: JoinHandle<()>,
}

impl Wire {
    /// Binds the listeners and serves them; see [`super::start`].
    pub async fn start(
        endpoints: &[Endpoint],
        seats: Seats,
        dispatcher: Dispatcher,
    ) -> anyhow::Result<Self> {
        let mut listeners = Vec::new();
        for endpoint in endpoints {
            listeners.push(bind(endpoint).await?);
        }
        let addresses: io::Result<_> = listeners
            .iter()
            .map(|listener| listener.socket.local_addr())
            .collect();
        let registry = Registry::new(seats, Arc::clone(&dispatcher.doors.clock));
        let idle_ms = dispatcher.doors.settings.connections_max_idle_ms;
        let sweeping = tokio::spawn(sweep(Arc::clone(&registry), idle_ms));
        let dispatcher = Arc::new(dispatcher);
        let mut accepting = Vec::new();
        for listener in listeners {
            let (registry, dispatcher) = (Arc::clone(&registry), Arc::clone(&dispatcher));
            accepting.push(tokio::spawn(accept(listener, registry, dispatcher)));
        }
        Ok(Self {
            registry,
            addresses: addresses?,
            accepting,
            sweeping,
        })
    }

    /// Where the listeners are bound, in the order they were given in.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.registry.len()
    }

    /// Takes no more connections and requests, lets answers under way go out, and closes. What is
    /// not done after a while is cut off.
    pub async fn stop(self) {
        self.registry.stop();
        for task in self.accepting.into_iter().chain([self.sweeping]) {
            task.abort();
            let _ = task.await;
        }
        let empty = self.registry.empty();
        if tokio::time::timeout(STOP_PATIENCE, empty).await.is_err() {
            self.registry.cut_off();
            self.registry.empty().await;
        }
    }
}

async fn accept(listener: Listener, registry: Arc<Registry>, dispatcher: Arc<Dispatcher>) {
    loop {
        match listener.socket.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = welcome(stream, peer, &listener.name, &registry, &dispatcher) {
                    tracing::debug!(%peer, %error, "a connection ended before it began");
                }
            }
            Err(error) => {
                // Out of descriptors: somebody silent has to go before anybody new can come.
                tracing::warn!(listener = listener.name, %error, "cannot accept");
                registry.evict_one();
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

fn welcome(
    stream: TcpStream,
    peer: SocketAddr,
    listener: &str,
    registry: &Arc<Registry>,
    dispatcher: &Arc<Dispatcher>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let Some(seat) = registry.admit() else {
        return Ok(());
    };
    let session = Session::new(seat, listener, peer, local);
    let metrics = Arc::clone(&dispatcher.doors.metrics);
    metrics.connections_accepted.inc();
    metrics.connections.add(1);
    let connection = Connection::new(stream, session, Arc::clone(dispatcher));
    tokio::spawn(async move {
        let why = connection.await;
        tracing::debug!(%peer, ?why, "connection closed");
        metrics.connection_closed(why);
    });
    Ok(())
}

async fn bind(endpoint: &Endpoint) -> anyhow::Result<Listener> {
    let Endpoint { name, host, port } = endpoint;
    let about = || format!("cannot listen on {name}://{host}:{port}");
    let host = if host.is_empty() { "::" } else { host };
    let addresses = lookup_host((host, *port)).await.with_context(about)?;
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match listen(address) {
            Ok(socket) => {
                return Ok(Listener {
                    name: name.clone(),
                    socket,
                });
            }
            Err(error) => failed = error,
        }
    }
    Err(failed).with_context(about)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn sweep(registry: Arc<Registry>, idle_ms: i64) {
    if idle_ms < 0 {
        return;
    }
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        registry.sweep(idle_ms);
    }
}
