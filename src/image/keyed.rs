//! The small rooms: quotas, access control entries, SCRAM credentials, delegation tokens. Each is a
//! map of values with the stamp of their last change; the values are Kafka's own records.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use imbl::OrdMap;

use crate::ids::{Offset, Stamp};
use crate::records::{ClientQuotaRecord, EntityData};

/// A value with the stamp of its last change. Use it as the value.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamped<T> {
    /// The value.
    pub value: T,
    /// When it changed last.
    pub stamp: Stamp,
}

impl<T> Deref for Stamped<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// A map from key to stamped value. Clone is O(1).
#[derive(Clone)]
pub(super) struct Keyed<K, V> {
    map: OrdMap<K, Arc<Stamped<V>>>,
    /// Offset of the newest change.
    pub(super) newest: Offset,
}

impl<K, V> Default for Keyed<K, V> {
    fn default() -> Self {
        Self {
            map: OrdMap::new(),
            newest: 0,
        }
    }
}

impl<K: Ord + Clone, V> Keyed<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&Stamped<V>> {
        self.map.get(key).map(|value| &**value)
    }
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &Stamped<V>)> {
        self.map.iter().map(|(key, value)| (key, &**value))
    }
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }
    pub(super) fn put(&mut self, key: K, value: V, stamp: Stamp) {
        self.newest = self.newest.max(stamp.offset);
        self.map.insert(key, Arc::new(Stamped { value, stamp }));
    }
    pub(super) fn remove(&mut self, key: &K) -> Option<Arc<Stamped<V>>> {
        self.map.remove(key)
    }
}

/// Whom a quota is about: parts like (`user`, `alice`), sorted by type; `None` is the default of
/// that type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntity(pub Vec<(String, Option<String>)>);

impl QuotaEntity {
    /// The entity that a record or request names, in whichever order.
    pub fn new(parts: &[EntityData]) -> Self {
        let part = |it: &EntityData| (it.entity_type.clone(), it.entity_name.clone());
        let mut parts: Vec<_> = parts.iter().map(part).collect();
        parts.sort();
        Self(parts)
    }
    /// As records name it.
    pub fn to_data(&self) -> Vec<EntityData> {
        let part = |(entity_type, entity_name): &(String, Option<String>)| EntityData {
            entity_type: entity_type.clone(),
            entity_name: entity_name.clone(),
        };
        self.0.iter().map(part).collect()
    }
}

/// The quotas of one entity by key, for example `producer_byte_rate`.
pub type Quotas = BTreeMap<String, f64>;

/// ClientQuotaRecord: sets a key, or removes it. Returns the entity if that was its last key.
pub(super) fn apply_quota(
    quotas: &mut Keyed<QuotaEntity, Quotas>,
    record: &ClientQuotaRecord,
    stamp: Stamp,
) -> Option<QuotaEntity> {
    let entity = QuotaEntity::new(&record.entity);
    let before = quotas.get(&entity);
    // A stamp may be older only while a snapshot is loaded key by key.
    let stamp = before.map_or(stamp, |before| before.stamp.max(stamp));
    let mut after = before
        .map(|before| before.value.clone())
        .unwrap_or_default();
    if record.remove {
        after.remove(&record.key)?;
    } else {
        after.insert(record.key.clone(), record.value);
    }
    if after.is_empty() {
        quotas.remove(&entity);
        return Some(entity);
    }
    quotas.put(entity, after, stamp);
    None
}
