//! The Kafka door: frames in, frames out.

pub mod budget;
pub mod doors;
pub mod frame;
pub mod registry;
pub mod shapes;
