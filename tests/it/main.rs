//! The one integration test binary: it links once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod cli;
mod broker_decisions;
mod decisions;
mod fetches;
mod golden;
mod http;
mod quorum;
mod replay;
mod schemas;
mod sim;
mod stock;
mod storage;
mod story;
mod tidy;
mod transitions;
mod wire;
