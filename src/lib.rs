//! YAKt: the Kafka control plane as one small binary.
//!
//! *A request becomes records, records become the image, the image answers everything.*
//!
//! All writes go in by one door ([`controller::handle::Handle::write`]), all reads come out of one value
//! ([`feed::Published`]: image and log tail, immutable, cloned in O(1)). Everything between the two
//! doors is plain synchronous Rust that a test can run without a runtime.
//!
//! The modules stand in reading order, which is also the order of dependency: a room may import
//! only rooms above it (`tests/it/tidy.rs` holds the table).
//!
//! | rooms | what they are |
//! |---|---|
//! | [`ids`] [`clock`] [`refusal`] [`settings`] [`metrics`] | the vocabulary everybody uses |
//! | [`records`] | what happened: Kafka's metadata records and record batches |
//! | [`image`] | what is true: the state that the records add up to |
//! | [`rules`] [`api`] | what may happen next: pure decisions, one file per Kafka API |
//! | [`feed`] | what the outside may see: the committed image, the log tail, snapshots |
//! | [`controller`] | the leader's loop: one decision after another, answers when committed |
//! | [`quorum`] | openraft and fjall: replication, the log on disk, snapshots |
//! | [`wire`] [`http`] | the two doors: Kafka frames and JSON |
//! | [`mod@format`] | what stands in a data directory before the first start |
//! | [`node`] [`cli`] | assembly: what is started in which order, and stopped; the command line |

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "the developers' book is built with --document-private-items"
)]

pub mod ids;
pub mod clock;
pub mod refusal;
pub mod settings;
pub mod metrics;

pub mod records;
pub mod image;

pub mod rules;
pub mod api;

pub mod format;

pub mod feed;
pub mod controller;
pub mod quorum;

pub mod wire;
pub mod http;

pub mod node;
pub mod cli;
