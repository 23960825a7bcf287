//! The alphabet of Kafka's flexible messages: integers, strings, arrays and structs as bytes.
//!
//! Reading trusts nothing: every length is checked against the bytes that are left before any
//! memory is taken for it. Writing cannot fail: [`Field::check`] has said yes before.

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::schema::Schema;
use crate::ids::{BrokerId, Uuid};

/// Longest string that Kafka's generated classes write or read.
pub const STRING_BYTES_MAX: usize = 0x7fff;

/// Why bytes are not what they should be: a sentence that names the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(String);

impl DecodeError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The same error, seen from outside: the place is put in front.
    pub(super) fn inside(self, place: impl fmt::Display) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecodeError {}

/// Why a value cannot be written: a sentence that names the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError(String);

impl EncodeError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The same error, seen from outside: the place is put in front.
    pub(super) fn inside(self, place: impl fmt::Display) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EncodeError {}

/// A value that can stand in a field of a flexible message.
pub(super) trait Field: Sized {
    /// The fewest bytes that a value takes; bounds what an array may reserve.
    const SIZE_MIN: usize;
    /// The type's name in Kafka's schema files, for example `[]int32`.
    fn type_name() -> String;
    /// Whether Kafka could read this value back.
    fn check(&self, version: i16) -> Result<(), EncodeError>;
    /// How many bytes [`Field::write`] appends.
    fn size(&self, version: i16) -> usize;
    fn write(&self, version: i16, out: &mut BytesMut);
    fn read(input: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError>;
}

/// A struct of fields: a record's body, or an element of an array. Made by `schema::message!`.
pub(super) trait Message: Sized {
    /// The rows of the table that it comes from.
    const SCHEMA: Schema;
    /// Says no to a string that is too long, and to a set field that `version` does not have.
    fn check(&self, version: i16) -> Result<(), EncodeError>;
    fn size(&self, version: i16) -> usize;
    fn write(&self, version: i16, out: &mut BytesMut);
    /// Takes any version: above the highest one the newest known layout is tried, as
    /// Kafka does at the top of a record.
    fn read(input: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError>;
}

impl<M: Message> Field for M {
    const SIZE_MIN: usize = 1;

    fn type_name() -> String {
        M::SCHEMA.name.to_owned()
    }
    fn check(&self, version: i16) -> Result<(), EncodeError> {
        Message::check(self, version).map_err(|error| error.inside(M::SCHEMA.name))
    }
    fn size(&self, version: i16) -> usize {
        Message::size(self, version)
    }
    fn write(&self, version: i16, out: &mut BytesMut) {
        Message::write(self, version, out);
    }
    /// Unlike the record around it, an element of a version that is too high is refused
    /// ("Can't read version", Kafka's generated classes).
    fn read(input: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        if version > M::SCHEMA.version_max {
            return Err(DecodeError::new(format!(
                "can't read version {version} of {}",
                M::SCHEMA.name
            )));
        }
        Message::read(input, version).map_err(|error| error.inside(M::SCHEMA.name))
    }
}

/// Numbers and the like: fixed width, big-endian.
macro_rules! fixed_width {
    ($($ty:ty, $name:literal, $bytes:literal, $put:ident, |$raw:ident| $get:expr, |$value:ident| $give:expr;)*) => {$(
        impl Field for $ty {
            const SIZE_MIN: usize = $bytes;
            fn type_name() -> String {
                $name.to_owned()
            }
            fn check(&self, _: i16) -> Result<(), EncodeError> {
                Ok(())
            }
            fn size(&self, _: i16) -> usize {
                $bytes
            }
            fn write(&self, _: i16, out: &mut BytesMut) {
                let $value = *self;
                out.$put($give);
            }
            fn read(input: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
                let $raw = input.fixed::<$bytes>()?;
                Ok($get)
            }
        }
    )*};
}

fixed_width! {
    bool, "bool", 1, put_u8, |raw| raw != [0], |value| u8::from(value);
    i8, "int8", 1, put_i8, |raw| i8::from_be_bytes(raw), |value| value;
    i16, "int16", 2, put_i16, |raw| i16::from_be_bytes(raw), |value| value;
    u16, "uint16", 2, put_u16, |raw| u16::from_be_bytes(raw), |value| value;
    i32, "int32", 4, put_i32, |raw| i32::from_be_bytes(raw), |value| value;
    i64, "int64", 8, put_i64, |raw| i64::from_be_bytes(raw), |value| value;
    f64, "float64", 8, put_f64, |raw| f64::from_be_bytes(raw), |value| value;
    BrokerId, "int32", 4, put_i32, |raw| BrokerId(i32::from_be_bytes(raw)), |value| value.0;
    Uuid, "uuid", 16, put_u128, |raw| Uuid::from_bytes(raw), |value| value.as_u128();
}

/// Values that begin with "length + 1", so that a zero can stand for null.
pub(super) trait Counted: Field {}

impl Counted for String {}

impl Field for String {
    const SIZE_MIN: usize = 1;

    fn type_name() -> String {
        "string".to_owned()
    }
    fn check(&self, _: i16) -> Result<(), EncodeError> {
        if self.len() <= STRING_BYTES_MAX {
            return Ok(());
        }
        let length = self.len();
        Err(EncodeError::new(format!(
            "a string of {length} bytes is over {STRING_BYTES_MAX}"
        )))
    }
    fn size(&self, _: i16) -> usize {
        counted_size(self.len()) + self.len()
    }
    fn write(&self, _: i16, out: &mut BytesMut) {
        put_counted(out, self.len());
        out.put_slice(self.as_bytes());
    }
    fn read(input: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
        let length = input.counted()?;
        if length > STRING_BYTES_MAX {
            return Err(DecodeError::new(format!("a string of {length} bytes")));
        }
        let text = std::str::from_utf8(input.take(length)?);
        text.map(str::to_owned)
            .map_err(|error| DecodeError::new(format!("a string: {error}")))
    }
}

impl Counted for Vec<u8> {}

impl Field for Vec<u8> {
    const SIZE_MIN: usize = 1;

    fn type_name() -> String {
        "bytes".to_owned()
    }
    fn check(&self, _: i16) -> Result<(), EncodeError> {
        Ok(())
    }
    fn size(&self, _: i16) -> usize {
        counted_size(self.len()) + self.len()
    }
    fn write(&self, _: i16, out: &mut BytesMut) {
        put_counted(out, self.len());
        out.put_slice(self);
    }
    fn read(input: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
        let length = input.counted()?;
        Ok(input.take(length)?.to_vec())
    }
}

impl<T: Field> Counted for Vec<T> {}

impl<T: Field> Field for Vec<T> {
    const SIZE_MIN: usize = 1;

    fn type_name() -> String {
        format!("[]{}", T::type_name())
    }
    fn check(&self, version: i16) -> Result<(), EncodeError> {
        self.iter().try_for_each(|element| element.check(version))
    }
    fn size(&self, version: i16) -> usize {
        let elements = self
            .iter()
            .map(|element| element.size(version))
            .sum::<usize>();
        counted_size(self.len()) + elements
    }
    fn write(&self, version: i16, out: &mut BytesMut) {
        put_counted(out, self.len());
        for element in self {
            element.write(version, out);
        }
    }
    fn read(input: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        let count = input.counted()?;
        if count > input.left() / T::SIZE_MIN {
            let left = input.left();
            return Err(DecodeError::new(format!(
                "{count} elements, but {left} bytes are left"
            )));
        }
        let mut elements = Self::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(input, version)?);
        }
        Ok(elements)
    }
}

impl<T: Counted> Field for Option<T> {
    const SIZE_MIN: usize = 1;

    fn type_name() -> String {
        T::type_name()
    }
    fn check(&self, version: i16) -> Result<(), EncodeError> {
        self.as_ref().map_or(Ok(()), |value| value.check(version))
    }
    fn size(&self, version: i16) -> usize {
        self.as_ref().map_or(1, |value| value.size(version))
    }
    fn write(&self, version: i16, out: &mut BytesMut) {
        match self {
            Some(value) => value.write(version, out),
            None => out.put_u8(0),
        }
    }
    fn read(input: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        if input.skip_null() {
            Ok(None)
        } else {
            T::read(input, version).map(Some)
        }
    }
}

/// Appends one tagged field: number, size, value.
pub(super) fn put_tagged<T: Field>(out: &mut BytesMut, tag: u32, value: &T, version: i16) {
    put_unsigned(out, tag);
    put_unsigned(out, value.size(version) as u32);
    value.write(version, out);
}

/// How many bytes [`put_tagged`] appends.
pub(super) fn tagged_size<T: Field>(tag: u32, value: &T, version: i16) -> usize {
    let size = value.size(version);
    unsigned_size(tag) + unsigned_size(size as u32) + size
}

/// Bytes on the way in. Every method checks what is left before it takes.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }
    pub(super) fn left(&self) -> usize {
        self.bytes.len()
    }
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            return Err(self.too_short(count));
        };
        self.bytes = rest;
        Ok(taken)
    }
    pub(super) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.too_short(N));
        };
        self.bytes = rest;
        Ok(*taken)
    }
    /// A length or count that is stored one higher; null is refused.
    pub(super) fn counted(&mut self) -> Result<usize, DecodeError> {
        let stored = self.unsigned()?;
        let count = stored
            .checked_sub(1)
            .ok_or_else(|| DecodeError::new("must not be null"))?;
        Ok(count as usize)
    }
    /// Takes a zero length, which stands for null, if that comes next.
    fn skip_null(&mut self) -> bool {
        let null = self.bytes.first() == Some(&0);
        if null {
            self.bytes = self.bytes.get(1..).unwrap_or_default();
        }
        null
    }
    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(DecodeError::new(format!("{left} bytes too many"))),
        }
    }
    /// Seven bits per byte, low group first.
    pub(super) fn unsigned(&mut self) -> Result<u32, DecodeError> {
        let value = self.groups(5)?;
        u32::try_from(value).map_err(|_| DecodeError::new("a varint over 32 bits"))
    }
    /// The same, zig-zag: how lengths and deltas stand around a record in a batch.
    pub(super) fn zigzag(&mut self) -> Result<i32, DecodeError> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }
    /// The same in 64 bits.
    pub(super) fn zigzag_long(&mut self) -> Result<i64, DecodeError> {
        let value = self.groups(10)?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
    fn groups(&mut self, groups_max: u32) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for group in 0..groups_max {
            let [byte] = self.fixed::<1>()?;
            value |= u64::from(byte & 0x7f) << (7 * group);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::new(format!(
            "a varint of more than {groups_max} bytes"
        )))
    }
    fn too_short(&self, wanted: usize) -> DecodeError {
        DecodeError::new(format!(
            "{wanted} bytes wanted, but {} are left",
            self.bytes.len()
        ))
    }
}

/// Appends an unsigned varint.
pub(super) fn put_unsigned(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// How many bytes [`put_unsigned`] appends.
pub(super) fn unsigned_size(value: u32) -> usize {
    let bits = 32 - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends a zig-zag varint.
pub(super) fn put_zigzag(out: &mut BytesMut, value: i32) {
    put_unsigned(out, zigzag(value));
}

/// How many bytes [`put_zigzag`] appends.
pub(super) fn zigzag_size(value: i32) -> usize {
    unsigned_size(zigzag(value))
}

fn zigzag(value: i32) -> u32 {
    (value << 1 ^ value >> 31) as u32
}

fn put_counted(out: &mut BytesMut, count: usize) {
    put_unsigned(out, count as u32 + 1);
}

fn counted_size(count: usize) -> usize {
    unsigned_size(count as u32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_the_size_that_was_promised_and_come_back() {
        for value in [
            0,
            1,
            0x7f,
            0x80,
            0x3fff,
            0x4000,
            0x1f_ffff,
            0x20_0000,
            u32::MAX,
        ] {
            let mut out = BytesMut::new();
            put_unsigned(&mut out, value);
            assert_eq!(out.len(), unsigned_size(value), "{value}");
            assert_eq!(Reader::new(&out).unsigned(), Ok(value));
        }
        for value in [0, -1, 1, 63, -64, 64, i32::MAX, i32::MIN] {
            let mut out = BytesMut::new();
            put_zigzag(&mut out, value);
            assert_eq!(out.len(), zigzag_size(value), "{value}");
            assert_eq!(Reader::new(&out).zigzag(), Ok(value));
        }
    }

    #[test]
    fn a_length_that_lies_is_refused_before_memory_is_taken() {
        let four_billion = [0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3];
        assert!(Vec::<Uuid>::read(&mut Reader::new(&four_billion), 0).is_err());
        assert!(Vec::<u8>::read(&mut Reader::new(&four_billion), 0).is_err());
        assert!(String::read(&mut Reader::new(&four_billion), 0).is_err());
        let six_bytes_for_one_varint = [0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert!(Reader::new(&six_bytes_for_one_varint).unsigned().is_err());
    }
}
