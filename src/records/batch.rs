//! Kafka record batch v2: the one form in which records are written, replicated and served.

use bytes::Bytes;

/// A whole record batch, header included. Clone is O(1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch(pub Bytes);
