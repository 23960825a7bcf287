//! The leader's soft state: who was heard from when. Never replicated, rebuilt by every leader.

/// Stub: owned by the broker rules.
#[derive(Clone, Debug, Default)]
pub struct Live {}

/// A change of soft state that a decision asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveChange {}
