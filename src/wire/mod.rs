//! The Kafka door: frames in, frames out.

pub mod shapes;
