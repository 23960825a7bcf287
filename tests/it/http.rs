//! The HTTP door from outside: real sockets, the real controller, and a quorum that is a vector.

mod client;
mod deltas;
mod follower;
mod limits;
mod metrics;
mod node;
mod original;
mod schema;
mod v1;
