//! What is true: the state that the records add up to.

pub mod side;

/// The whole metadata state. Clone is O(1).
#[derive(Clone, Debug, Default)]
pub struct Image {}
