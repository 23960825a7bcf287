//! Which nodes a client is told of, and at which address.
//!
//! A client that was bootstrapped at YAKt comes in by a controller listener, and brokers register
//! endpoints under listener names of their own: a stock broker has `PLAINTEXT://host:9092` and
//! nothing called `CONTROLLER`. A broker answers with its endpoints of the *same* listener name
//! (`KRaftMetadataCache.getAliveEndpoint`, 4.3.1); YAKt takes that one where there is one, and else
//! the first endpoint that speaks the same security protocol as the listener the client came in by,
//! because that is the one it can talk to. A broker with neither (registered over HTTP for placement
//! only, or behind TLS) is not listed, and a partition that it leads has no leader for this client.
//!
//! The active controller is listed as a node too, so that a client finds the way to it before any
//! broker is up: by its advertised listener, or else by the interface the client came in on. A
//! wildcard address is nobody's name, so it is never given away.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::ids::{BrokerId, Endpoint};
use crate::image::Broker;
use crate::rules::View;

/// `SecurityProtocol.PLAINTEXT`: what every listener of this node speaks (`settings` refuses others).
const PLAINTEXT: i16 = 0;

/// A node as a client is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: BrokerId,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// A broker that may not lead at the moment.
    pub fenced: bool,
}

/// This broker as the caller reaches it; `None` if it has no endpoint for the caller's listener.
pub fn broker_node(view: &View<'_>, broker: &Broker) -> Option<Node> {
    let reachable = |host: &str, port: u16| !host.is_empty() && port != 0;
    let mut end_points = broker
        .end_points
        .iter()
        .filter(|it| reachable(&it.host, it.port));
    let end_point = end_points
        .clone()
        .find(|it| it.name == view.caller.listener)
        .or_else(|| end_points.find(|it| it.security_protocol == PLAINTEXT))?;
    Some(Node {
        id: broker.id,
        host: end_point.host.clone(),
        port: end_point.port,
        rack: broker.rack.clone(),
        fenced: broker.fenced,
    })
}

/// The brokers that the caller can reach, fenced ones too. Made once an answer: looking each replica
/// of a million partitions up must cost no more than that.
pub struct Reach(BTreeMap<BrokerId, Node>);

impl Reach {
    /// Everybody this caller can reach.
    pub fn of(view: &View<'_>) -> Self {
        let reachable = view
            .image
            .brokers()
            .filter_map(|broker| broker_node(view, broker));
        Self(reachable.map(|node| (node.id, node)).collect())
    }
    /// The broker of this id, fenced or not.
    pub fn get(&self, id: BrokerId) -> Option<&Node> {
        self.0.get(&id)
    }
    /// Within reach and not fenced.
    pub fn is_live(&self, id: BrokerId) -> bool {
        self.get(id).is_some_and(|node| !node.fenced)
    }
    /// All of them by id, fenced ones too.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.0.values()
    }
}

/// The active controller, if one is known and has an address.
pub fn controller_node(view: &View<'_>) -> Option<Node> {
    let leader = view.quorum.leader?;
    let (host, port) = if leader == view.quorum.node_id {
        own_address(view).or_else(|| voter_address(view, leader))?
    } else {
        voter_address(view, leader)?
    };
    Some(Node {
        id: leader,
        host,
        port,
        rack: None,
        fenced: false,
    })
}

/// How this node is reached: by what it advertises, or by where the caller reached it.
pub fn own_address(view: &View<'_>) -> Option<(String, u16)> {
    let advertised = best(&view.settings.advertised_listeners, &view.caller.listener);
    let local = || {
        let local = view
            .caller
            .local_addr
            .filter(|it| !it.ip().is_unspecified())?;
        Some((local.ip().to_canonical().to_string(), local.port()))
    };
    let bound = || best(&view.settings.listeners, &view.caller.listener);
    advertised.or_else(local).or_else(bound)
}

/// How the voter of this id is reached, as the voter set has it.
pub fn voter_address(view: &View<'_>, id: BrokerId) -> Option<(String, u16)> {
    let voter = view.quorum.voters.iter().find(|voter| voter.id == id)?;
    best(&voter.endpoints, &view.caller.listener)
}

/// The endpoint of this listener name, or else the first; none with a wildcard for a host.
fn best(endpoints: &[Endpoint], listener: &str) -> Option<(String, u16)> {
    let mut named = endpoints
        .iter()
        .filter(|it| !is_wildcard(&it.host) && it.port != 0);
    let endpoint = named
        .clone()
        .find(|it| it.name == listener)
        .or_else(|| named.next())?;
    Some((endpoint.host.clone(), endpoint.port))
}

fn is_wildcard(host: &str) -> bool {
    host.is_empty()
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_unspecified())
}
