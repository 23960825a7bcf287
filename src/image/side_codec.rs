//! Numbers, texts and records in the file beside a snapshot: LEB128 varints, zig-zag where signed;
//! lists and texts with their length before them. Reading is safe against any bytes.

use bytes::{Buf, Bytes, BytesMut};

use crate::ids::{BrokerId, Stamp, Uuid};
use crate::records::Record;

use super::error::ApplyError;

/// Appends to what was written.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn unsigned(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
    pub(super) fn signed(&mut self, value: i64) {
        self.unsigned((value << 1 ^ value >> 63) as u64);
    }
    pub(super) fn flag(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }
    pub(super) fn uuid(&mut self, id: Uuid) {
        self.0.extend(id.as_bytes());
    }
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.unsigned(bytes.len() as u64);
        self.0.extend(bytes);
    }
    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
    pub(super) fn list<T>(&mut self, items: impl Iterator<Item = T>, write: impl Fn(&mut Self, T)) {
        let items: Vec<T> = items.collect();
        self.unsigned(items.len() as u64);
        items.into_iter().for_each(|item| write(self, item));
    }
    pub(super) fn stamp(&mut self, stamp: Stamp) {
        self.signed(stamp.offset);
        self.signed(stamp.time);
    }
    pub(super) fn record(&mut self, record: impl Into<Record>) {
        let record = record.into();
        let mut value = BytesMut::new();
        let written = record.encode_version(record.version_max(), &mut value);
        written.expect("the newest version says all that a record brought");
        self.bytes(&value);
    }
}

/// What is left to be read.
pub(super) struct Input(Bytes);

impl Input {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub(super) fn byte(&mut self) -> Result<u8, ApplyError> {
        self.0.try_get_u8().map_err(|_| broken("it is cut short"))
    }
    pub(super) fn unsigned(&mut self) -> Result<u64, ApplyError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(broken("a number is too long"))
    }
    pub(super) fn signed(&mut self) -> Result<i64, ApplyError> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, ApplyError> {
        T::try_from(self.signed()?).map_err(|_| broken("a number is too large"))
    }
    pub(super) fn count(&mut self) -> Result<u64, ApplyError> {
        let count = self.unsigned()?;
        // Each element takes at least a byte.
        if count > self.0.len() as u64 {
            Err(broken("it is cut short"))
        } else {
            Ok(count)
        }
    }
    pub(super) fn flag(&mut self) -> Result<bool, ApplyError> {
        Ok(self.byte()? != 0)
    }
    pub(super) fn bytes(&mut self) -> Result<Bytes, ApplyError> {
        let count = self.count()? as usize;
        Ok(self.0.split_to(count))
    }
    pub(super) fn text(&mut self) -> Result<String, ApplyError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| broken("a text is not UTF-8"))
    }
    pub(super) fn uuid(&mut self) -> Result<Uuid, ApplyError> {
        self.0
            .try_get_u128()
            .map(Uuid::from_u128)
            .map_err(|_| broken("it is cut short"))
    }
    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, ApplyError>,
    ) -> Result<Option<T>, ApplyError> {
        if self.flag()? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }
    pub(super) fn stamp(&mut self) -> Result<Stamp, ApplyError> {
        Ok(Stamp {
            offset: self.signed()?,
            time: self.signed()?,
        })
    }
    pub(super) fn broker_id(&mut self) -> Result<BrokerId, ApplyError> {
        self.number().map(BrokerId)
    }
    pub(super) fn record(&mut self) -> Result<Record, ApplyError> {
        Ok(Record::decode(&self.bytes()?)?.0)
    }
}

pub(super) fn broken(why: &str) -> ApplyError {
    ApplyError::Unreadable(format!("the file beside the snapshot: {why}"))
}
