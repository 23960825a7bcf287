//! The Kafka door: frames in, frames out.
