//! Dynamic configurations: the keys that were set, per resource. Defaults and what keys mean are
//! the rules' business (`ConfigurationsImage`, 4.3.1).

use std::sync::Arc;

use imbl::OrdMap;

use crate::ids::{ConfigKind, ConfigResource, Offset, Stamp};
use crate::records::ConfigRecord;

/// All configurations.
#[derive(Clone, Default)]
pub(super) struct Configs {
    resources: OrdMap<ConfigResource, Config>,
    /// Offset of the newest change of any of them.
    pub(super) newest: Offset,
}

/// The keys set on one resource, in order. There is at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    entries: Arc<Vec<(Box<str>, Box<str>)>>,
    stamp: Stamp,
}

impl Config {
    /// The value of this key, if it is set.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.place(key).ok()?;
        Some(&self.entries[at].1)
    }
    /// Keys and values, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (&**key, &**value))
    }
    /// How many keys are set.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// Never true of a configuration that is there.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// When a key was set or deleted last.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }
    fn place(&self, key: &str) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|(other, _)| (**other).cmp(key))
    }
}

impl Configs {
    pub(super) fn get(&self, resource: &ConfigResource) -> Option<&Config> {
        self.resources.get(resource)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ConfigResource, &Config)> {
        self.resources.iter()
    }

    /// ConfigRecord: sets a key, or deletes it. Returns the resource if that was its last key.
    /// Loggers and unknown kinds of resources are skipped.
    pub(super) fn apply(&mut self, record: &ConfigRecord, stamp: Stamp) -> Option<ConfigResource> {
        let kind = ConfigKind::from_code(record.resource_type)?;
        let resource = ConfigResource {
            kind,
            name: record.resource_name.clone(),
        };
        self.newest = self.newest.max(stamp.offset);
        match &record.value {
            Some(value) => {
                let empty = || Config {
                    entries: Arc::default(),
                    stamp,
                };
                let config = self.resources.entry(resource).or_insert_with(empty);
                config.stamp = config.stamp.max(stamp);
                let value = value.as_str().into();
                let place = config.place(&record.name);
                let entries = Arc::make_mut(&mut config.entries);
                match place {
                    Ok(at) => entries[at].1 = value,
                    Err(at) => entries.insert(at, (record.name.as_str().into(), value)),
                }
                None
            }
            None => {
                let config = self.resources.get_mut(&resource)?;
                let at = config.place(&record.name).ok()?;
                config.stamp = stamp;
                Arc::make_mut(&mut config.entries).remove(at);
                config.is_empty().then(|| {
                    self.resources.remove(&resource);
                    resource
                })
            }
        }
    }

    /// The configuration of a topic goes with it.
    pub(super) fn remove_topic(&mut self, name: &str) -> Option<ConfigResource> {
        let resource = ConfigResource::topic(name);
        self.resources.remove(&resource).map(|_| resource)
    }
}
