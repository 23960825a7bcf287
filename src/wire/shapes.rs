//! The shape of every request body, and a walk over it before anything is decoded.
//!
//! kafka-protocol's decoder reserves memory for whatever number of elements an array claims, so five
//! bytes can end the process. The walk goes over a body by its `table` first: it allocates
//! nothing, counts every claimed length against the bytes that are really there, and finds out how
//! much memory the decoded request may take. Only a body that passed is decoded.
//!
//! What the walk refuses, Kafka's own reader refuses too: a length below zero or beyond the body,
//! null where the field may not be null, a string above 32,767 bytes, a tag that its version does
//! not have. Bytes after the last field are ignored, as Kafka's reader ignores them: librdkafka 2.16
//! sends three too many when it asks for all topics. Nesting is bounded by the table: a body cannot
//! add to its depth.

mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use kafka_protocol::messages::ApiKey;

use table::SHAPES;

/// Longest string in bytes; the limit of Kafka's non-compact strings, which its reader holds compact
/// ones to as well.
const STRING_BYTES_MAX: usize = i16::MAX as usize;
/// What one decoded struct takes in memory at most, without what hangs on it.
const STRUCT_BYTES: usize = 192;
/// What one decoded string in an array takes (it points into the frame).
const STRING_BYTES: usize = 32;
/// What one tagged field that the decoder does not know takes: in the worst case a map's first node.
const UNKNOWN_TAG_BYTES: usize = 512;

/// One request's body in all its versions.
struct Shape {
    key: ApiKey,
    /// First version with compact lengths and tagged fields.
    flexible_since: i16,
    fields: &'static [Field],
}

/// One field, with the versions that have it.
#[derive(Clone, Copy)]
struct Field {
    name: &'static str,
    kind: Kind,
    since: i16,
    until: i16,
    nullable_since: i16,
    tag: Option<u32>,
}

#[derive(Clone, Copy)]
enum Kind {
    /// So many bytes.
    Fixed(usize),
    /// Length and UTF-8.
    String,
    /// Length and bytes; records too, which are not looked into.
    Bytes,
    /// Its fields one after another; a byte before them says whether it is there if it may be null.
    Struct(&'static [Field]),
    /// Count and elements.
    Array(Item),
}

/// What an array holds.
#[derive(Clone, Copy)]
enum Item {
    Fixed(usize),
    String,
    Struct(&'static [Field]),
}

impl Field {
    fn is_in(&self, version: i16) -> bool {
        self.since <= version && version <= self.until
    }
    fn may_be_null(&self, version: i16) -> bool {
        self.nullable_since <= version
    }
}

/// A body that is not a request of its API and version: where the walk stopped, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The field, as Kafka's schema names it in snake case.
    pub field: &'static str,
    /// Bytes of the body before the place.
    pub offset: usize,
    /// What is wrong there.
    pub what: Wrong,
}

/// What can be wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It ends before the field does, or a length claims more than there is.
    TooShort,
    /// A length below -1.
    NegativeLength,
    /// A variable-length number that does not fit 32 bits.
    BadVarint,
    /// A string longer than Kafka allows.
    LongString,
    /// Null where there must be a value.
    Null,
    /// A tagged field that is longer or shorter than it says.
    TagLength,
    /// A known tag in a version that does not have it.
    Tag,
    /// No shape is known for this API.
    UnknownApi,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Wrong::TooShort => "more is claimed than has arrived",
            Wrong::NegativeLength => "the length is negative",
            Wrong::BadVarint => "the number does not fit 32 bits",
            Wrong::LongString => "the string is longer than 32767 bytes",
            Wrong::Null => "null is not allowed",
            Wrong::TagLength => "the tagged field has another length than it claims",
            Wrong::Tag => "the version does not have this tag",
            Wrong::UnknownApi => "the API has no known shape",
        };
        write!(
            f,
            "{what}: field {} at byte {} of the body",
            self.field, self.offset
        )
    }
}

impl std::error::Error for Malformed {}

/// Walks over a request body. The answer is how many bytes the decoded request may take beyond the
/// frame itself, at most.
pub fn walk(key: ApiKey, version: i16, body: &[u8]) -> Result<usize, Malformed> {
    walk_to_end(key, version, body).map(|(decoded, _)| decoded)
}

/// The same, with the number of bytes that the fields take.
fn walk_to_end(key: ApiKey, version: i16, body: &[u8]) -> Result<(usize, usize), Malformed> {
    let nowhere = Malformed {
        field: "request",
        offset: 0,
        what: Wrong::UnknownApi,
    };
    let shape = find(key).ok_or(nowhere)?;
    let flexible = version >= shape.flexible_since;
    let mut walker = Walker {
        rest: body,
        field: "request",
        version,
        flexible,
        decoded: STRUCT_BYTES,
    };
    let walked = walker.fields(shape.fields);
    let offset = body.len().saturating_sub(walker.rest.len());
    walked
        .map(|()| (walker.decoded, offset))
        .map_err(|what| Malformed {
            field: walker.field,
            offset,
            what,
        })
}

fn find(key: ApiKey) -> Option<&'static Shape> {
    let place = SHAPES
        .binary_search_by_key(&(key as i16), |shape| shape.key as i16)
        .ok()?;
    SHAPES.get(place)
}

struct Walker<'a> {
    rest: &'a [u8],
    field: &'static str,
    version: i16,
    flexible: bool,
    decoded: usize,
}

impl Walker<'_> {
    fn fields(&mut self, fields: &'static [Field]) -> Result<(), Wrong> {
        for field in fields {
            if field.tag.is_none() && field.is_in(self.version) {
                self.field(field)?;
            }
        }
        if self.flexible {
            self.tagged(fields)
        } else {
            Ok(())
        }
    }

    fn field(&mut self, field: &Field) -> Result<(), Wrong> {
        self.field = field.name;
        let nullable = field.may_be_null(self.version);
        match field.kind {
            Kind::Fixed(width) => self.skip(width),
            Kind::String => {
                let length = self.length(2)?;
                self.string(length, nullable)
            }
            Kind::Bytes => match self.length(4)? {
                Some(length) => self.skip(length),
                None => null(nullable),
            },
            Kind::Struct(fields) if nullable => match self.byte()? {
                1 => self.fields(fields),
                0xff => Ok(()),
                _ => Err(Wrong::NegativeLength),
            },
            Kind::Struct(fields) => self.fields(fields),
            Kind::Array(item) => match self.length(4)? {
                Some(count) => self.items(count, item),
                None => null(nullable),
            },
        }
    }

    fn items(&mut self, count: usize, item: Item) -> Result<(), Wrong> {
        // Every element takes a byte at least, so a false count is known before any is looked at.
        if count > self.rest.len() {
            return Err(Wrong::TooShort);
        }
        match item {
            Item::Fixed(width) => {
                self.remember(count, width);
                self.skip(count.saturating_mul(width))
            }
            Item::String => {
                self.remember(count, STRING_BYTES);
                (0..count).try_for_each(|_| {
                    let length = self.length(2)?;
                    self.string(length, false)
                })
            }
            Item::Struct(fields) => {
                self.remember(count, STRUCT_BYTES);
                (0..count).try_for_each(|_| self.fields(fields))
            }
        }
    }

    fn tagged(&mut self, fields: &'static [Field]) -> Result<(), Wrong> {
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let length = self.varint()? as usize;
            let known = fields.iter().find(|field| field.tag == Some(tag));
            match known {
                Some(field) if field.is_in(self.version) => self.known_tag(field, length)?,
                Some(field) => {
                    self.field = field.name;
                    return Err(Wrong::Tag);
                }
                None => {
                    self.remember(1, UNKNOWN_TAG_BYTES);
                    self.skip(length)?;
                }
            }
        }
        Ok(())
    }

    fn known_tag(&mut self, field: &Field, length: usize) -> Result<(), Wrong> {
        let before = self.rest.len();
        self.field(field)?;
        if before.saturating_sub(self.rest.len()) == length {
            Ok(())
        } else {
            Err(Wrong::TagLength)
        }
    }

    fn string(&mut self, length: Option<usize>, nullable: bool) -> Result<(), Wrong> {
        match length {
            Some(length) if length > STRING_BYTES_MAX => Err(Wrong::LongString),
            Some(length) => self.skip(length),
            None => null(nullable),
        }
    }

    /// A length or count: compact, or a number of `width` bytes. `None` is null.
    fn length(&mut self, width: usize) -> Result<Option<usize>, Wrong> {
        if self.flexible {
            return Ok((self.varint()? as usize).checked_sub(1));
        }
        let length = match width {
            2 => i32::from(i16::from_be_bytes(self.take()?)),
            _ => i32::from_be_bytes(self.take()?),
        };
        match length {
            -1 => Ok(None),
            _ => usize::try_from(length)
                .map(Some)
                .map_err(|_| Wrong::NegativeLength),
        }
    }

    fn varint(&mut self) -> Result<u32, Wrong> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if shift == 28 && byte > 0x0f {
                    Err(Wrong::BadVarint)
                } else {
                    Ok(value)
                };
            }
        }
        Err(Wrong::BadVarint)
    }

    fn byte(&mut self) -> Result<u8, Wrong> {
        let (byte, rest) = self.rest.split_first().ok_or(Wrong::TooShort)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Wrong::TooShort)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn skip(&mut self, length: usize) -> Result<(), Wrong> {
        self.rest = self.rest.get(length..).ok_or(Wrong::TooShort)?;
        Ok(())
    }

    fn remember(&mut self, count: usize, each: usize) {
        self.decoded = self.decoded.saturating_add(count.saturating_mul(each));
    }
}

fn null(allowed: bool) -> Result<(), Wrong> {
    if allowed { Ok(()) } else { Err(Wrong::Null) }
}
