//! The Kafka door: frames in, frames out.
//!
//! [`start`] binds the listeners. From there a request goes down this list, and its answer up again:
//!
//! | file | what it does |
//! |---|---|
//! | [`listener`] | accepts, gives each connection a seat and a task, stops |
//! | [`registry`] | who is connected; who goes when it is full |
//! | [`connection`] | bytes to frames, frames to turns, answers in order to bytes |
//! | [`frame`] | length prefix, request and response headers |
//! | [`shapes`] | whether a body is what it claims, before anything is decoded |
//! | [`dispatch`] | the row of the API, the room that serves it |
//! | [`turn`] | a request under way: what it waits for, and its answer's form |
//! | [`envelope`] [`forward`] | requests inside requests: from brokers, from followers |
//! | [`doors`] | the other rooms, as traits |
//! | [`observers`] | the way to the feed |
//! | [`budget`] | memory that big requests share |
//!
//! This room knows no rule of Kafka's beyond the protocol: what a request means is `api`'s.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod budget;
pub mod connection;
pub mod dispatch;
pub mod doors;
pub mod envelope;
pub mod forward;
pub mod frame;
pub mod listener;
pub mod observers;
pub mod registry;
pub mod shapes;
pub mod turn;

use crate::ids::Endpoint;

pub use doors::Doors;
pub use listener::Wire;

/// Binds the listeners and serves them until [`Wire::stop`]. An error names the listener that could
/// not be bound.
pub async fn start(listeners: &[Endpoint], doors: Doors) -> anyhow::Result<Wire> {
    let max_connections = usize::try_from(doors.settings.max_connections).unwrap_or(usize::MAX);
    let seats = registry::Seats::allowed(max_connections);
    Wire::start(listeners, seats, dispatch::Dispatcher::new(doors)).await
}
