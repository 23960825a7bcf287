//! What happened: Kafka's 26 metadata records, and the record batches they travel in.

pub mod batch;
pub mod table;

pub use table::*;
