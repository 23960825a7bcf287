//! Building a batch in one pass: records go straight into its bytes.

use bytes::{BufMut, BytesMut};

use super::{
    ATTRIBUTES_AT, BATCH_BYTES_MAX, Batch, CONTROL, CRC_AT, HEADER_BYTES, LENGTH_PREFIX_BYTES,
    MAGIC, RawRecords, put_at,
};
use crate::ids::{Epoch, Millis, Offset};
use crate::records::Record;
use crate::records::codec::{self, DecodeError, EncodeError, Reader};
use crate::records::control::{ControlRecord, KEY_BYTES};

/// How far a batch had grown.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    size: usize,
    count: i32,
}

/// A batch that grows record by record; the header is filled in at the end.
#[derive(Debug)]
pub struct BatchBuilder {
    bytes: BytesMut,
    base_offset: Offset,
    epoch: Epoch,
    time: Millis,
    attributes: i16,
    count: i32,
}

impl BatchBuilder {
    /// An empty data batch.
    pub fn new(base_offset: Offset, epoch: Epoch, time: Millis) -> Self {
        let bytes = BytesMut::zeroed(HEADER_BYTES);
        Self {
            bytes,
            base_offset,
            epoch,
            time,
            attributes: 0,
            count: 0,
        }
    }

    /// An empty control batch.
    pub(super) fn control(base_offset: Offset, epoch: Epoch, time: Millis) -> Self {
        Self {
            attributes: CONTROL,
            ..Self::new(base_offset, epoch, time)
        }
    }

    /// Appends a record in the version of `metadata_version`; on an error (see [`Record::encode`],
    /// or [`BATCH_BYTES_MAX`]) nothing is appended and the batch is as before.
    pub fn push(&mut self, record: &Record, metadata_version: i16) -> Result<(), EncodeError> {
        let version = record.version_at(metadata_version)?;
        record.check(version)?;
        let value_size = record.value_size(version);
        self.begin_record(None, value_size)?;
        record.write_value(version, &mut self.bytes);
        self.end_record();
        Ok(())
    }

    /// How far it has grown.
    pub fn mark(&self) -> Mark {
        Mark {
            size: self.bytes.len(),
            count: self.count,
        }
    }

    /// Takes everything behind the mark away.
    pub fn undo(&mut self, to: Mark) {
        self.bytes.truncate(to.size);
        self.count = to.count;
    }

    /// The data records behind the mark, read from the bytes that were written.
    pub fn read_since(&self, mark: Mark) -> Result<Vec<Record>, DecodeError> {
        let raw = RawRecords {
            input: Reader::new(self.bytes.get(mark.size..).unwrap_or_default()),
            offset: self.base_offset + i64::from(mark.count),
            left: self.count - mark.count,
            control: false,
        };
        raw.map(|raw| raw?.decode()).collect()
    }

    /// Epoch of the leader that writes it.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Log time of all its records.
    pub fn time(&self) -> Millis {
        self.time
    }

    /// How many records are in it.
    pub fn record_count(&self) -> usize {
        self.count as usize
    }

    /// Size in bytes so far, header included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no record in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The batch. An error if there is no record in it: Kafka has no empty batches here.
    pub fn finish(mut self) -> Result<Batch, EncodeError> {
        if self.is_empty() {
            return Err(EncodeError::new("a batch without records"));
        }
        let mut header = BytesMut::with_capacity(HEADER_BYTES);
        header.put_i64(self.base_offset);
        header.put_i32((self.bytes.len() - LENGTH_PREFIX_BYTES) as i32);
        header.put_i32(self.epoch);
        header.put_u8(MAGIC);
        header.put_u32(0);
        header.put_i16(self.attributes);
        header.put_i32(self.count - 1);
        header.put_i64(self.time);
        header.put_i64(self.time);
        header.put_i64(-1);
        header.put_i16(-1);
        header.put_i32(-1);
        header.put_i32(self.count);
        for (to, from) in self.bytes.iter_mut().zip(&header) {
            *to = *from;
        }
        let crc = crc32c::crc32c(self.bytes.get(ATTRIBUTES_AT..).unwrap_or_default());
        put_at(&mut self.bytes, CRC_AT, crc.to_be_bytes());
        Ok(Batch(self.bytes.freeze()))
    }

    /// Appends a control record; errors as [`BatchBuilder::push`].
    pub(super) fn push_control(&mut self, record: &ControlRecord) -> Result<(), EncodeError> {
        let value = record.value()?;
        self.begin_record(Some(record), value.len())?;
        self.bytes.put_slice(&value);
        self.end_record();
        Ok(())
    }

    /// Writes what stands before a value of this size.
    fn begin_record(
        &mut self,
        key: Option<&ControlRecord>,
        value_size: usize,
    ) -> Result<(), EncodeError> {
        let too_large =
            || EncodeError::new(format!("a batch of more than {BATCH_BYTES_MAX} bytes"));
        let value_length = i32::try_from(value_size).map_err(|_| too_large())?;
        let key_size = key.map_or(1, |_| 1 + KEY_BYTES);
        // Attributes, time delta and header count take one byte each: all three are zero.
        let size = 3
            + codec::zigzag_size(self.count)
            + key_size
            + codec::zigzag_size(value_length)
            + value_size;
        let whole = codec::zigzag_size(size as i32) + size;
        if self.bytes.len() + whole > BATCH_BYTES_MAX {
            return Err(too_large());
        }
        self.bytes.reserve(whole);
        codec::put_zigzag(&mut self.bytes, size as i32);
        self.bytes.put_u8(0);
        codec::put_zigzag(&mut self.bytes, 0);
        codec::put_zigzag(&mut self.bytes, self.count);
        match key {
            Some(record) => {
                codec::put_zigzag(&mut self.bytes, KEY_BYTES as i32);
                record.put_key(&mut self.bytes);
            }
            None => codec::put_zigzag(&mut self.bytes, -1),
        }
        codec::put_zigzag(&mut self.bytes, value_length);
        Ok(())
    }

    fn end_record(&mut self) {
        codec::put_zigzag(&mut self.bytes, 0);
        self.count += 1;
    }
}
