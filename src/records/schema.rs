//! How the table becomes code: one macro that turns rows into structs, defaults and codec.
//!
//! # How to read the table
//!
//! ```text
//! 3 Partition PartitionRecord 0..=2 {          number, variant of Record, struct, versions
//!     0+         partition_id: i32 = -1,       since version 0; Kafka's default where not zero
//!     1+         directories: Vec<Uuid>,       since version 1
//!     2+ (tag 1) last_known_elr: Option<Vec<BrokerId>>,
//! }                                            a tagged field; Option: Kafka says nullable
//! ```
//!
//! Untagged rows stand in the order of the wire, tagged ones by rising tag. From a row come the
//! struct's field, its default, its place in the codec, and a [`Row`] of plain data, which
//! `tests/it/schemas.rs` compares with Kafka's own schema files. All records are flexible in every
//! version, so there is one encoding only: fields, then the tagged section.
//!
//! **Unknown tags** are skipped. Kafka keeps them in its structs, but neither its image nor its
//! snapshots do, so they live exactly as long as the batch that carries them; and a batch is kept
//! and served here as the bytes it came in.

use super::codec::{Field, Message};

/// One field of one record, as data.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Name of the field, snake-cased.
    pub field: &'static str,
    /// Kafka's name of its type.
    pub type_name: fn() -> String,
    /// The first version that has it; it has not been taken out again in any.
    pub since: i16,
    /// Its tag, if it is a tagged field.
    pub tag: Option<u32>,
    /// Its default as bytes of the wire; a nullable field has the single byte 0 for null.
    pub default: fn() -> Vec<u8>,
    /// Whether null is a value of it.
    pub nullable: bool,
}

/// One struct of the table, as data: a record, or an element of one of its arrays.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Kafka's name, for example `PartitionRecord`.
    pub name: &'static str,
    /// Number of the record; an element has none.
    pub key: Option<i16>,
    /// The highest version, counted from 0.
    pub version_max: i16,
    /// Its fields.
    pub rows: &'static [Row],
}

/// A default value's bytes; versions do not matter, as no default has elements.
pub(super) fn default_bytes<T: Field>(value: &T) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    value.write(0, &mut out);
    out.to_vec()
}

/// Whether null is among a type's values.
pub(super) trait Nullable {
    const NULLABLE: bool;
}
impl<T> Nullable for Option<T> {
    const NULLABLE: bool = true;
}
macro_rules! never_null {
    ($($ty:ty),*) => { $( impl Nullable for $ty { const NULLABLE: bool = false; } )* };
}
never_null!(
    bool,
    i8,
    i16,
    u16,
    i32,
    i64,
    f64,
    String,
    crate::ids::BrokerId,
    crate::ids::Uuid
);
impl<T> Nullable for Vec<T> {
    const NULLABLE: bool = false;
}
impl<M: Message> Nullable for M {
    const NULLABLE: bool = false;
}

/// The value of an optional macro part, or else the type's zero.
macro_rules! or_zero {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// The tag of a row, if it has one.
macro_rules! tag_of {
    () => {
        None::<u32>
    };
    ($tag:literal) => {
        Some($tag)
    };
}

/// One struct with its defaults and its codec.
macro_rules! message {
    (
        $(#[$about:meta])*
        $visibility:vis $name:ident 0..=$version_max:literal {
            $( $(#[$note:meta])* $since:literal + $((tag $tag:literal))? $field:ident : $ty:ty $(= $default:expr)? ),* $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        $visibility struct $name {
            $(
                #[doc = concat!("`", stringify!($field), "` in Kafka's schema, since version ", $since, ".")]
                $(#[$note])*
                pub $field: $ty,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: or_zero!($($default)?), )* }
            }
        }

        #[allow(
            unused_variables, unused_mut, clippy::float_cmp,
            reason = "not every struct has fields, tags or numbers"
        )]
        impl Message for $name {
            const SCHEMA: Schema = Schema {
                name: stringify!($name),
                key: None,
                version_max: $version_max,
                rows: &[ $( Row {
                    field: stringify!($field),
                    type_name: <$ty as Field>::type_name,
                    since: $since,
                    tag: tag_of!($($tag)?),
                    default: || schema::default_bytes(&Self::default().$field),
                    nullable: <$ty as Nullable>::NULLABLE,
                }, )* ],
            };

            fn check(&self, version: i16) -> Result<(), EncodeError> {
                let default = Self::default();
                $(
                    if version >= $since {
                        let checked = Field::check(&self.$field, version);
                        checked.map_err(|error| error.inside(stringify!($field)))?;
                    } else if self.$field != default.$field {
                        let text = concat!(stringify!($field), " is set, but needs version ", $since);
                        return Err(EncodeError::new(text));
                    }
                )*
                Ok(())
            }

            fn size(&self, version: i16) -> usize {
                let default = Self::default();
                let mut size = 0;
                let mut tags = 0;
                $(
                    match tag_of!($($tag)?) {
                        _ if version < $since => {}
                        None => size += Field::size(&self.$field, version),
                        Some(_) if self.$field == default.$field => {}
                        Some(tag) => {
                            tags += 1;
                            size += codec::tagged_size(tag, &self.$field, version);
                        }
                    }
                )*
                size + codec::unsigned_size(tags)
            }

            fn write(&self, version: i16, out: &mut bytes::BytesMut) {
                let default = Self::default();
                let mut tags = 0;
                $(
                    match tag_of!($($tag)?) {
                        _ if version < $since => {}
                        None => Field::write(&self.$field, version, out),
                        Some(_) => tags += u32::from(self.$field != default.$field),
                    }
                )*
                codec::put_unsigned(out, tags);
                $($(
                    if version >= $since && self.$field != default.$field {
                        codec::put_tagged(out, $tag, &self.$field, version);
                    }
                )?)*
            }

            fn read(input: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
                let mut message = Self::default();
                $(
                    if tag_of!($($tag)?).is_none() && version >= $since {
                        let value = Field::read(input, version);
                        message.$field = value.map_err(|error| error.inside(stringify!($field)))?;
                    }
                )*
                for _ in 0..input.unsigned()? {
                    let tag = input.unsigned()?;
                    let size = input.unsigned()?;
                    let payload = input.take(size as usize)?;
                    match tag {
                        $($(
                            $tag if version < $since => {
                                let text = format!("tag {tag} is not valid for version {version}");
                                return Err(DecodeError::new(text));
                            }
                            $tag => {
                                let mut payload = Reader::new(payload);
                                let value = Field::read(&mut payload, version);
                                let value = value.and_then(|value| payload.end().map(|()| value));
                                message.$field = value.map_err(|error| error.inside(stringify!($field)))?;
                            }
                        )?)*
                        _unknown => {}
                    }
                }
                Ok(message)
            }
        }
    };
}

/// The enum over all records, and what is asked of any of them.
macro_rules! records {
    ($(
        $(#[$about:meta])*
        $key:literal $variant:ident $record:ident 0..=$version_max:literal { $($rows:tt)* }
    )*) => {
        $( message! { $(#[$about])* pub $record 0..=$version_max { $($rows)* } } )*

        /// One metadata record.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Record {
            $( $(#[$about])* $variant($record), )*
        }

        $(
            impl From<$record> for Record {
                fn from(record: $record) -> Self {
                    Self::$variant(record)
                }
            }
        )*

        impl Record {
            /// Kafka's name of the record, for example `PartitionRecord`.
            pub fn name(&self) -> &'static str {
                match self { $( Self::$variant(_) => stringify!($record), )* }
            }
            /// Kafka's number of the record type.
            pub fn key(&self) -> i16 {
                match self { $( Self::$variant(_) => $key, )* }
            }
            /// The highest version that the table knows of this record.
            pub fn version_max(&self) -> i16 {
                match self { $( Self::$variant(_) => $version_max, )* }
            }
            pub(super) fn check_body(&self, version: i16) -> Result<(), EncodeError> {
                match self { $( Self::$variant(record) => Message::check(record, version), )* }
            }
            pub(super) fn body_size(&self, version: i16) -> usize {
                match self { $( Self::$variant(record) => Message::size(record, version), )* }
            }
            pub(super) fn write_body(&self, version: i16, out: &mut bytes::BytesMut) {
                match self { $( Self::$variant(record) => Message::write(record, version, out), )* }
            }
            pub(super) fn read_body(
                key: u32, input: &mut Reader<'_>, version: i16,
            ) -> Result<Self, DecodeError> {
                match key {
                    $( $key => {
                        let record = <$record as Message>::read(input, version);
                        let place = concat!(stringify!($record), " v");
                        record.map(Self::$variant).map_err(|error| error.inside(format_args!("{place}{version}")))
                    } )*
                    _ => Err(DecodeError::new(format!("no metadata record has the number {key}"))),
                }
            }
        }

        const RECORD_SCHEMAS: &[Schema] = &[ $(
            Schema { key: Some($key), ..<$record as Message>::SCHEMA },
        )* ];
    };
}

pub(super) use {message, or_zero, records, tag_of};
