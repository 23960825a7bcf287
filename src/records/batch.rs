//! Kafka record batch v2: the one form in which records are written, replicated and served.
//!
//! ```text
//! base offset 8 | length 4 | epoch 4 | magic 1 | crc 4 | attributes 2 | last offset delta 4
//! | base time 8 | max time 8 | producer id 8 | epoch 2 | sequence 4 | count 4 | records
//! ```
//!
//! The checksum (CRC-32C) begins behind itself, at the attributes, so base offset and epoch can be
//! stamped later. In the metadata log all records of a batch share one time, keys are null, there
//! are no headers, no producer, no compression, and control records never mix with data: Kafka's
//! raft reader ends the process on anything else.

mod builder;

use bytes::{Bytes, BytesMut};

use super::codec::{DecodeError, EncodeError, Reader};
use super::control::ControlRecord;
use super::table::Record;
use crate::ids::{Epoch, Millis, Offset};

pub use builder::{BatchBuilder, Mark};

/// Largest whole batch that Kafka's raft layer accepts (`KafkaRaftClient.MAX_BATCH_SIZE_BYTES`).
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes before the first record.
pub const HEADER_BYTES: usize = 61;
/// Bytes up to and with the length field, which counts what comes behind it.
pub const LENGTH_PREFIX_BYTES: usize = 12;

const MAGIC: u8 = 2;
const CONTROL: i16 = 0x20;
const COMPRESSION: i16 = 0x07;

const EPOCH_AT: usize = 12;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;

/// A whole record batch, header included. Clone is O(1).
///
/// The peeking methods never fail: on bytes too short to be a batch they answer 0. Bytes from
/// outside go through [`Batch::split`] or [`Batch::verify`] first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch(pub Bytes);

/// What to do with a batch that is cut at the end of a run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutTail {
    /// Leave it out: the end of a Fetch answer, or of a log that was being written.
    Ignore,
    /// It is an error.
    Refuse,
}

/// One record of a batch, still as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its key; data records have none.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: &'a [u8],
}

impl RawRecord<'_> {
    fn decode(&self) -> Result<Record, DecodeError> {
        let record = Record::decode(self.value);
        record
            .map(|(record, _)| record)
            .map_err(|error| error.inside(format_args!("offset {}", self.offset)))
    }
}

impl Batch {
    /// A batch of data records that begins at `base_offset`, in exactly the bytes Kafka would write
    /// for them. Errors: no records, a record that cannot be written (see [`Record::encode`]), or
    /// more than [`BATCH_BYTES_MAX`].
    pub fn build(
        base_offset: Offset,
        epoch: Epoch,
        time: Millis,
        metadata_version: i16,
        records: &[Record],
    ) -> Result<Self, EncodeError> {
        let mut builder = BatchBuilder::new(base_offset, epoch, time);
        for record in records {
            builder.push(record, metadata_version)?;
        }
        builder.finish()
    }

    /// A batch of control records; errors as [`Batch::build`].
    pub fn control(
        base_offset: Offset,
        epoch: Epoch,
        time: Millis,
        records: &[ControlRecord],
    ) -> Result<Self, EncodeError> {
        let mut builder = BatchBuilder::control(base_offset, epoch, time);
        for record in records {
            builder.push_control(record)?;
        }
        builder.finish()
    }

    /// Cuts a run of bytes, a file's or a Fetch answer's, into its batches without copying. Checks
    /// lengths and magic only: [`Batch::verify`] does the rest.
    pub fn split(mut run: Bytes, cut_tail: CutTail) -> Result<Vec<Self>, DecodeError> {
        let mut batches = Vec::new();
        while !run.is_empty() {
            match Self::size_at_start(&run)? {
                Some(size) if size <= run.len() => batches.push(Self(run.split_to(size))),
                _ if cut_tail == CutTail::Ignore => break,
                _ => {
                    return Err(DecodeError::new(format!(
                        "{} bytes of a cut batch",
                        run.len()
                    )));
                }
            }
        }
        Ok(batches)
    }

    /// The whole size of the batch that begins here, as its header says; `None` if even the header
    /// is cut. An error if it is no batch: wrong magic, or a size out of bounds.
    pub fn size_at_start(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let size = i64::from(i32::from_be_bytes(array_at(header, 8))) + LENGTH_PREFIX_BYTES as i64;
        if size < HEADER_BYTES as i64 || size > BATCH_BYTES_MAX as i64 {
            return Err(DecodeError::new(format!("a batch of {size} bytes")));
        }
        let [magic] = array_at(header, 16);
        if magic != MAGIC {
            return Err(DecodeError::new(format!("a batch of magic {magic}")));
        }
        Ok(Some(size as usize))
    }

    /// Offset of the first record.
    pub fn base_offset(&self) -> Offset {
        i64::from_be_bytes(array_at(&self.0, 0))
    }
    /// Offset behind the last record.
    pub fn next_offset(&self) -> Offset {
        self.base_offset()
            .saturating_add(i64::from(self.last_offset_delta()))
            .saturating_add(1)
    }
    /// Epoch of the leader that wrote it.
    pub fn epoch(&self) -> Epoch {
        i32::from_be_bytes(array_at(&self.0, EPOCH_AT))
    }
    /// Log time of all its records.
    pub fn time(&self) -> Millis {
        i64::from_be_bytes(array_at(&self.0, 27))
    }
    /// How many records it says it has.
    pub fn record_count(&self) -> i32 {
        i32::from_be_bytes(array_at(&self.0, 57))
    }
    /// Whether its records are control records.
    pub fn is_control(&self) -> bool {
        self.attributes() & CONTROL != 0
    }
    /// Size in bytes, header included.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there are no bytes at all; no valid batch is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks everything that Kafka's raft reader checks before it decodes the records: size,
    /// magic, checksum, no compression, counts, and the shape of each record.
    pub fn verify(&self) -> Result<(), DecodeError> {
        match Self::size_at_start(&self.0)? {
            Some(size) if size == self.len() => {}
            _ => {
                return Err(DecodeError::new(format!(
                    "{} bytes are no batch",
                    self.len()
                )));
            }
        }
        let written = u32::from_be_bytes(array_at(&self.0, CRC_AT));
        let counted = crc32c::crc32c(self.0.get(ATTRIBUTES_AT..).unwrap_or_default());
        if written != counted {
            return Err(DecodeError::new(format!(
                "checksum {counted:08x}, but {written:08x} is written"
            )));
        }
        if self.attributes() & COMPRESSION != 0 {
            return Err(DecodeError::new("compressed batches are not supported"));
        }
        let count = self.record_count();
        if count < 1 || self.last_offset_delta() != count - 1 {
            let delta = self.last_offset_delta();
            return Err(DecodeError::new(format!(
                "{count} records, last offset delta {delta}"
            )));
        }
        self.raw_records().try_for_each(|record| record.map(drop))
    }

    /// The records as bytes, one after another, without a copy. After an error comes nothing more.
    pub fn raw_records(&self) -> RawRecords<'_> {
        RawRecords {
            input: Reader::new(self.0.get(HEADER_BYTES..).unwrap_or_default()),
            offset: self.base_offset(),
            left: self.record_count(),
            control: self.is_control(),
        }
    }

    /// The data records; empty for a control batch. The checksum is [`Batch::verify`]'s business.
    pub fn decode(&self) -> Result<Vec<Record>, DecodeError> {
        if self.is_control() {
            return Ok(Vec::new());
        }
        self.raw_records().map(|raw| raw?.decode()).collect()
    }

    /// The control records; empty for a data batch.
    pub fn decode_control(&self) -> Result<Vec<ControlRecord>, DecodeError> {
        if !self.is_control() {
            return Ok(Vec::new());
        }
        let decoded = |raw: Result<RawRecord<'_>, DecodeError>| {
            let raw = raw?;
            let record = ControlRecord::decode(raw.key.unwrap_or_default(), raw.value);
            record.map_err(|error| error.inside(format_args!("offset {}", raw.offset)))
        };
        self.raw_records().map(decoded).collect()
    }

    /// The same records at another place of the log. Copies the bytes; the checksum stays.
    pub fn with_base(&self, base_offset: Offset, epoch: Epoch) -> Self {
        let mut bytes = BytesMut::from(self.0.as_ref());
        put_at(&mut bytes, 0, base_offset.to_be_bytes());
        put_at(&mut bytes, EPOCH_AT, epoch.to_be_bytes());
        Self(bytes.freeze())
    }

    fn attributes(&self) -> i16 {
        i16::from_be_bytes(array_at(&self.0, ATTRIBUTES_AT))
    }
    fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(array_at(&self.0, 23))
    }
}

/// The records of a batch, read one by one.
#[derive(Debug)]
pub struct RawRecords<'a> {
    input: Reader<'a>,
    offset: Offset,
    left: i32,
    control: bool,
}

impl<'a> Iterator for RawRecords<'a> {
    type Item = Result<RawRecord<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            let behind = self.input.end();
            self.input = Reader::new(&[]);
            return behind.err().map(Err);
        }
        self.left -= 1;
        let record = self.read();
        if record.is_err() {
            self.left = 0;
            self.input = Reader::new(&[]);
        }
        Some(record)
    }
}

impl<'a> RawRecords<'a> {
    /// Offsets are counted, not read, and times must be the batch's: so does Kafka's raft reader
    /// (`RecordsIterator`, 4.3.1).
    fn read(&mut self) -> Result<RawRecord<'a>, DecodeError> {
        let offset = self.offset;
        self.offset = offset.saturating_add(1);
        let refuse = |text: &str| DecodeError::new(format!("offset {offset}: {text}"));
        let size = self.input.zigzag()?;
        let size = usize::try_from(size).map_err(|_| refuse("negative record size"))?;
        let mut input = Reader::new(self.input.take(size)?);
        let [_attributes] = input.fixed()?;
        if input.zigzag_long()? != 0 {
            return Err(refuse("a record with a time of its own"));
        }
        let _offset_delta = input.zigzag()?;
        let key = nullable_bytes(&mut input)?;
        let value = nullable_bytes(&mut input)?.filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| refuse("a record without a value"))?;
        if input.zigzag()? != 0 {
            return Err(refuse("a record with headers"));
        }
        input.end()?;
        if key.is_some_and(|key| !key.is_empty()) != self.control
            || (key.is_some() && !self.control)
        {
            return Err(refuse("control records have a key, data records have none"));
        }
        Ok(RawRecord { offset, key, value })
    }
}

fn nullable_bytes<'a>(input: &mut Reader<'a>) -> Result<Option<&'a [u8]>, DecodeError> {
    match input.zigzag()? {
        -1 => Ok(None),
        size => {
            let size = usize::try_from(size).map_err(|_| DecodeError::new("negative length"))?;
            input.take(size).map(Some)
        }
    }
}

/// The bytes at a place, zeros if there are too few.
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .unwrap_or([0; N])
}

/// Overwrites the bytes at a place that exists.
fn put_at<const N: usize>(bytes: &mut BytesMut, at: usize, value: [u8; N]) {
    if let Some(place) = bytes
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut::<N>())
    {
        *place = value;
    }
}

#[cfg(test)]
mod tests;
