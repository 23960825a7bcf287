//! DescribeCluster (60): the brokers (endpoint type 1) or the controllers (type 2).
//!
//! Apache's controllers answer type 2 alone and its brokers type 1 alone; YAKt answers both, since
//! clients of either kind are bootstrapped at it (`AuthHelper.computeDescribeClusterResponse`,
//! 4.3.1). While no broker is live, YAKt itself stands in for them, so that an admin client has a
//! node to talk to. Version 0 knows no endpoint type and means brokers; fenced brokers are told of
//! from version 2 on, to those who ask.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use crate::api::{Read, authorized};
use crate::ids::NO_BROKER;
use crate::rules::View;
use crate::rules::nodes::{self, Node, Reach};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

impl Read for DescribeClusterRequest {
    fn answer(&self, view: &View<'_>) -> DescribeClusterResponse {
        let (nodes, controller) = match self.endpoint_type {
            BROKERS => brokers(view, self.include_fenced_brokers),
            CONTROLLERS => controllers(view),
            other => return unsupported(other, view.version),
        };
        let operations = if self.include_cluster_authorized_operations {
            authorized::ON_CLUSTER
        } else {
            authorized::NOT_ASKED
        };
        let known = nodes.iter().any(|node| node.id == controller);
        DescribeClusterResponse::default()
            .with_endpoint_type(self.endpoint_type)
            .with_cluster_id(StrBytes::from_string(view.settings.cluster_id.clone()))
            .with_controller_id(if known { controller } else { NO_BROKER })
            .with_brokers(
                nodes
                    .into_iter()
                    .map(|node| row(node, view.version))
                    .collect(),
            )
            .with_cluster_authorized_operations(operations)
    }
}

/// The brokers, and as their controller the first live one: brokers pass on what is for controllers.
fn brokers(view: &View<'_>, fenced_too: bool) -> (Vec<Node>, BrokerId) {
    let reach = Reach::of(view);
    let mut shown: Vec<_> = reach
        .nodes()
        .filter(|it| fenced_too || !it.fenced)
        .cloned()
        .collect();
    if let Some(live) = shown.iter().find(|node| !node.fenced) {
        let controller = live.id;
        return (shown, controller);
    }
    match nodes::controller_node(view) {
        Some(this) => {
            let controller = this.id;
            shown.push(this);
            (shown, controller)
        }
        None => (shown, NO_BROKER),
    }
}

/// Everybody who votes or registered as a controller, and the leader.
fn controllers(view: &View<'_>) -> (Vec<Node>, BrokerId) {
    let mut shown = BTreeMap::new();
    for controller in view.image.controllers() {
        let end_points = &controller.end_points;
        if let Some(it) = end_points.iter().find(|it| it.name == view.caller.listener) {
            shown.insert(controller.id, (it.host.clone(), it.port));
        }
    }
    for voter in view.quorum.voters.iter() {
        if let Some(address) = nodes::voter_address(view, voter.id) {
            shown.entry(voter.id).or_insert(address);
        }
    }
    if let Some(leader) = nodes::controller_node(view) {
        shown.entry(leader.id).or_insert((leader.host, leader.port));
    }
    let node = |(id, (host, port))| Node {
        id,
        host,
        port,
        rack: None,
        fenced: false,
    };
    let leader = view.quorum.leader.unwrap_or(NO_BROKER);
    (shown.into_iter().map(node).collect(), leader)
}

fn row(node: Node, version: i16) -> DescribeClusterBroker {
    DescribeClusterBroker::default()
        .with_broker_id(node.id)
        .with_host(StrBytes::from_string(node.host))
        .with_port(i32::from(node.port))
        .with_rack(node.rack.map(StrBytes::from_string))
        .with_is_fenced(node.fenced && version >= 2)
}

fn unsupported(endpoint_type: i8, version: i16) -> DescribeClusterResponse {
    let error = if version == 0 {
        ResponseError::InvalidRequest
    } else {
        ResponseError::UnsupportedEndpointType
    };
    let text = format!("Unsupported endpoint type {endpoint_type}");
    DescribeClusterResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{World, broker, fence};

    /// The nodes as `id@host:port` with `!` if fenced, the controller, the error.
    #[track_caller]
    fn check(world: &World, version: i16, endpoint_type: i8, fenced: bool, expect: &str) {
        let request = DescribeClusterRequest::default()
            .with_endpoint_type(endpoint_type)
            .with_include_fenced_brokers(fenced);
        let response = world.answer(&request, version);
        let node = |it: &DescribeClusterBroker| {
            let mark = if it.is_fenced { "!" } else { "" };
            format!("{}@{}:{}{mark}", it.broker_id.0, it.host, it.port)
        };
        let mut told: Vec<_> = response.brokers.iter().map(node).collect();
        told.push(format!("controller {}", response.controller_id.0));
        if response.error_code != 0 {
            told.push(format!("error {}", response.error_code));
        }
        assert_eq!(told.join(" "), expect, "version {version}");
    }

    #[test]
    fn brokers_are_told_of_and_fenced_ones_to_those_who_ask() {
        let world = World::of(vec![broker(1), broker(2), fence(1)]);
        for version in 0..=2 {
            check(&world, version, BROKERS, false, "2@host2:9092 controller 2");
        }
        check(
            &world,
            2,
            BROKERS,
            true,
            "1@host1:9092! 2@host2:9092 controller 2",
        );
    }

    #[test]
    fn yakt_stands_in_while_no_broker_is_live() {
        let none = World::of(vec![]);
        check(
            &none,
            1,
            BROKERS,
            false,
            "3000@127.0.0.1:9093 controller 3000",
        );
        let fenced = World::of(vec![broker(1), fence(1)]);
        check(
            &fenced,
            2,
            BROKERS,
            false,
            "3000@127.0.0.1:9093 controller 3000",
        );
        check(
            &fenced,
            2,
            BROKERS,
            true,
            "1@host1:9092! 3000@127.0.0.1:9093 controller 3000",
        );
    }

    #[test]
    fn controllers_are_the_voters() {
        let mut world = World::of(vec![broker(1)]);
        check(
            &world,
            1,
            CONTROLLERS,
            false,
            "3000@127.0.0.1:9093 controller 3000",
        );
        world.quorum.leader = None;
        check(
            &world,
            1,
            CONTROLLERS,
            false,
            "3000@127.0.0.1:9093 controller -1",
        );
        check(&world, 1, 3, false, "controller -1 error 115");
    }
}
