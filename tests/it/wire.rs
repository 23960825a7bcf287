//! The Kafka listener from outside: raw frames against real sockets, with fakes behind the doors.

mod apis;
mod bad_input;
mod crowd;
mod golden;
mod inner;
mod order;
mod server;
mod versions;
