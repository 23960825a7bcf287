//! Small numbers for broker ids and their log directories, so that a row holds two bytes for a
//! broker and one for a directory. Numbers are local to this process and mean nothing elsewhere.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::ids::{BrokerId, Uuid, directory};

/// A broker's number; [`NONE`](BrokerNumber::NONE) is no broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokerNumber(pub(super) u16);

impl BrokerNumber {
    pub(super) const NONE: Self = Self(u16::MAX);
}

/// Broker ids and their directories by number. What was numbered once keeps its number.
#[derive(Clone, Default)]
pub(super) struct Interner {
    brokers: Vec<Numbered>,
    numbers: HashMap<i32, u16, FxBuildHasher>,
}

#[derive(Clone)]
struct Numbered {
    id: BrokerId,
    directories: Vec<Uuid>,
}

/// The directory ids with a meaning of their own have the same number on every broker.
const RESERVED: [Uuid; 3] = [directory::MIGRATING, directory::UNASSIGNED, directory::LOST];

impl Interner {
    /// The broker's number, if it has one.
    pub(super) fn find(&self, id: BrokerId) -> Option<BrokerNumber> {
        self.numbers.get(&id.0).map(|number| BrokerNumber(*number))
    }

    /// The number of this directory on this broker, if it has one.
    pub(super) fn find_directory(&self, broker: BrokerNumber, id: Uuid) -> Option<u8> {
        if let Some(number) = RESERVED.iter().position(|reserved| *reserved == id) {
            return Some(number as u8);
        }
        let known = &self.brokers[usize::from(broker.0)].directories;
        known
            .iter()
            .position(|other| *other == id)
            .map(|at| (at + RESERVED.len()) as u8)
    }

    /// Numbers the broker; `None` when all numbers are taken.
    pub(super) fn add(&mut self, id: BrokerId) -> Option<BrokerNumber> {
        let number = u16::try_from(self.brokers.len())
            .ok()
            .filter(|n| *n != u16::MAX)?;
        self.brokers.push(Numbered {
            id,
            directories: Vec::new(),
        });
        self.numbers.insert(id.0, number);
        Some(BrokerNumber(number))
    }

    /// Numbers a directory of the broker; `None` when all numbers are taken.
    pub(super) fn add_directory(&mut self, broker: BrokerNumber, id: Uuid) -> Option<u8> {
        let known = &mut self.brokers[usize::from(broker.0)].directories;
        let number = u8::try_from(known.len() + RESERVED.len()).ok()?;
        known.push(id);
        Some(number)
    }

    /// The broker with this number, which must have been given out.
    pub(super) fn broker(&self, number: BrokerNumber) -> BrokerId {
        self.brokers[usize::from(number.0)].id
    }

    /// The directory with this number on this broker; both must have been given out.
    pub(super) fn directory(&self, broker: BrokerNumber, number: u8) -> Uuid {
        let number = usize::from(number);
        RESERVED.get(number).copied().unwrap_or_else(|| {
            self.brokers[usize::from(broker.0)].directories[number - RESERVED.len()]
        })
    }
}
