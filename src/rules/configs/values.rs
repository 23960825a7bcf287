//! Reads one configuration value by its key's type and check, as Kafka does (`ConfigDef.parseType`
//! and its validators, 4.3.1), and writes it back in Kafka's own spelling.

use crate::rules::config_keys::{Check, Key, Type};
use crate::rules::names::shorten;

/// A value that was understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A number without fraction: int, short, long.
    Number(i64),
    /// A number with one.
    Double(f64),
    /// A string, the name of a class, a password.
    Text(String),
    /// The elements of a list.
    List(Vec<String>),
}

/// Reads `text` as a value of `key`. The error is a sentence that names both.
pub fn parse(key: &Key, text: &str) -> Result<Value, String> {
    let value = by_type(key.kind, trim(text)).ok_or_else(|| match key.kind {
        Type::Boolean => fault(key, text, "Expected value to be either true or false"),
        kind => fault(
            key,
            text,
            &format!("Not a number of type {}", name_of(kind)),
        ),
    })?;
    check(key, text, &value)?;
    Ok(value)
}

/// The value as Kafka would print it after reading it, or as it is where it cannot be read.
pub fn canonical(key: &Key, text: &str) -> String {
    match by_type(key.kind, trim(text)) {
        Some(value) => value.to_string(),
        None => text.to_owned(),
    }
}

fn by_type(kind: Type, text: &str) -> Option<Value> {
    match kind {
        Type::Boolean if text.eq_ignore_ascii_case("true") => Some(Value::Boolean(true)),
        Type::Boolean if text.eq_ignore_ascii_case("false") => Some(Value::Boolean(false)),
        Type::Boolean => None,
        Type::Short => text
            .parse::<i16>()
            .ok()
            .map(|number| Value::Number(number.into())),
        Type::Int => text
            .parse::<i32>()
            .ok()
            .map(|number| Value::Number(number.into())),
        Type::Long => text.parse::<i64>().ok().map(Value::Number),
        Type::Double => text.parse::<f64>().ok().map(Value::Double),
        Type::String | Type::Class | Type::Password => Some(Value::Text(text.to_owned())),
        Type::List => Some(Value::List(elements(text))),
    }
}

fn elements(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',')
        .map(|element| trim(element).to_owned())
        .collect()
}

fn check(key: &Key, text: &str, value: &Value) -> Result<(), String> {
    match (key.check, value) {
        (Check::AtLeast(least), Value::Number(number)) if *number < least => {
            Err(fault(key, text, &format!("Value must be at least {least}")))
        }
        (Check::Between(least, _), Value::Number(number)) if *number < least => {
            Err(fault(key, text, &format!("Value must be at least {least}")))
        }
        (Check::Between(_, most), Value::Number(number)) if *number > most => Err(fault(
            key,
            text,
            &format!("Value must be no more than {most}"),
        )),
        (Check::Between(least, most), Value::Double(number))
            if !(least as f64..=most as f64).contains(number) =>
        {
            Err(fault(
                key,
                text,
                &format!("Value must be between {least} and {most}"),
            ))
        }
        (Check::GzipLevel, Value::Number(number)) if *number != -1 && !(1..=9).contains(number) => {
            Err(fault(
                key,
                text,
                "Value must be between 1 and 9 or equal to -1",
            ))
        }
        (Check::OneOf(allowed), Value::Text(chosen)) if !allowed.contains(&chosen.as_str()) => {
            Err(fault(
                key,
                text,
                &format!("String must be one of: {}", allowed.join(", ")),
            ))
        }
        (Check::EachOf(allowed), Value::List(chosen)) => {
            distinct(key, chosen)?;
            match chosen.iter().find(|one| !allowed.contains(&one.as_str())) {
                Some(stranger) => {
                    let wanted = format!("String must be one of: {}", allowed.join(", "));
                    Err(fault(key, stranger, &wanted))
                }
                None => Ok(()),
            }
        }
        (Check::Distinct, Value::List(chosen)) => distinct(key, chosen),
        (Check::Replicas, Value::List(chosen)) if !is_replicas(chosen) => Err(fault(
            key,
            text,
            &format!(
                "{} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                key.name
            ),
        )),
        (Check::OffsetReset, Value::Text(chosen)) if !is_offset_reset(chosen) => Err(fault(
            key,
            text,
            "The value must be either 'earliest', 'latest' or of the format \
             'by_duration:<PnDTnHnMn.nS>'.",
        )),
        _ => Ok(()),
    }
}

fn distinct(key: &Key, chosen: &[String]) -> Result<(), String> {
    let mut sorted: Vec<&String> = chosen.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(format!(
            "Configuration '{}' values must not be duplicated.",
            key.name
        ));
    }
    if chosen.iter().any(String::is_empty) {
        return Err(format!(
            "Configuration '{}' values must not be empty.",
            key.name
        ));
    }
    Ok(())
}

/// `*`, or elements that are empty or `digits:digits`.
fn is_replicas(chosen: &[String]) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_replica = |element: &String| {
        element.is_empty()
            || element
                .split_once(':')
                .is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
    };
    chosen.iter().all(is_replica) || chosen.concat() == "*"
}

fn is_offset_reset(text: &str) -> bool {
    matches!(text, "latest" | "earliest")
        || text
            .strip_prefix("by_duration:")
            .is_some_and(is_positive_duration)
}

/// Whether the text is an ISO 8601 duration that Java reads and that is not negative.
fn is_positive_duration(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let Some(rest) = text.strip_prefix('P') else {
        return false;
    };
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) => (days, Some(time)),
        None => (rest, None),
    };
    let mut fields = 0;
    let days_left = take_field(days, 'D', false, &mut fields);
    let time_left = match time {
        None => Some(""),
        Some(time) => {
            let before = fields;
            let left = take_field(time, 'H', false, &mut fields)
                .and_then(|left| take_field(left, 'M', false, &mut fields))
                .and_then(|left| take_field(left, 'S', true, &mut fields));
            if fields == before { None } else { left }
        }
    };
    fields > 0 && days_left == Some("") && time_left == Some("")
}

/// What is left of `text` after a field like `12D`, if it begins with one; `None` if it begins with
/// something else that claims to be one.
fn take_field<'a>(text: &'a str, unit: char, fraction: bool, fields: &mut u32) -> Option<&'a str> {
    let Some((number, left)) = text.split_once(unit) else {
        return Some(text);
    };
    let (whole, part) = match number.split_once(['.', ',']) {
        Some((whole, part)) if fraction => (whole, part),
        Some(_) => return None,
        None => (number, ""),
    };
    let digits = whole.strip_prefix('+').unwrap_or(whole);
    let fits = digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<i64>().is_ok();
    let part_fits = part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    *fields += 1;
    (fits && part_fits).then_some(left)
}

/// Java's `trim`: everything up to the space counts as blank.
fn trim(text: &str) -> &str {
    text.trim_matches(|character| character <= ' ')
}

fn fault(key: &Key, value: &str, why: &str) -> String {
    let shown = if key.is_sensitive() {
        "[hidden]".to_owned()
    } else {
        shorten(value)
    };
    format!(
        "Invalid value {shown} for configuration {}: {why}",
        key.name
    )
}

fn name_of(kind: Type) -> &'static str {
    match kind {
        Type::Boolean => "BOOLEAN",
        Type::String => "STRING",
        Type::Int => "INT",
        Type::Short => "SHORT",
        Type::Long => "LONG",
        Type::Double => "DOUBLE",
        Type::List => "LIST",
        Type::Class => "CLASS",
        Type::Password => "PASSWORD",
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Double(value) => f.write_str(&java_double(*value)),
            Self::Text(value) => f.write_str(value),
            Self::List(elements) => f.write_str(&elements.join(",")),
        }
    }
}

/// A double as Java prints it: `0.5`, `1.0`, `1.7976931348623157E308`.
fn java_double(value: f64) -> String {
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) || !value.is_finite() {
        return format!("{value:?}");
    }
    let scientific = format!("{value:E}");
    match scientific.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::config_keys::{BROKER, CLIENT_METRICS, GROUP, TOPIC, find};

    fn key(name: &str) -> &'static Key {
        let mut found = [TOPIC, GROUP, CLIENT_METRICS, BROKER]
            .iter()
            .map(|table| find(table, name));
        found.find_map(|row| row).expect(name)
    }

    #[test]
    fn values_are_read_and_printed_as_kafka_does() {
        for (name, text, printed) in [
            ("retention.ms", " 100\n", "100"),
            ("retention.ms", "+5", "5"),
            ("retention.ms", "-1", "-1"),
            (
                "retention.bytes",
                "-9223372036854775808",
                "-9223372036854775808",
            ),
            ("preallocate", "TRUE", "true"),
            ("min.cleanable.dirty.ratio", "1", "1.0"),
            ("min.cleanable.dirty.ratio", "0.0001", "1.0E-4"),
            (
                "log.cleaner.io.max.bytes.per.second",
                "1.7976931348623157E308",
                "1.7976931348623157E308",
            ),
            ("cleanup.policy", "compact , delete", "compact,delete"),
            ("cleanup.policy", "", ""),
            ("compression.gzip.level", "-1", "-1"),
            ("compression.zstd.level", "-131072", "-131072"),
            ("leader.replication.throttled.replicas", "*", "*"),
            (
                "leader.replication.throttled.replicas",
                "0:1, 1:2,",
                "0:1,1:2,",
            ),
            (
                "share.auto.offset.reset",
                "by_duration:PT1H30M2.5S",
                "by_duration:PT1H30M2.5S",
            ),
            (
                "share.auto.offset.reset",
                "by_duration:p2dt3m",
                "by_duration:p2dt3m",
            ),
            ("metrics", "", ""),
        ] {
            let value = parse(key(name), text).unwrap_or_else(|fault| panic!("{fault}"));
            assert_eq!(value.to_string(), printed, "{name}={text}");
            assert_eq!(canonical(key(name), text), printed);
        }
    }

    #[test]
    fn faults() {
        for (name, text, fault) in [
            (
                "retention.ms",
                "abc",
                "Invalid value abc for configuration retention.ms: Not a number of type LONG",
            ),
            ("retention.ms", "-2", "Value must be at least -1"),
            (
                "retention.ms",
                "9223372036854775808",
                "Not a number of type LONG",
            ),
            ("segment.bytes", "2147483648", "Not a number of type INT"),
            ("segment.bytes", "1048575", "Value must be at least 1048576"),
            ("min.insync.replicas", "0", "Value must be at least 1"),
            (
                "preallocate",
                "yes",
                "Expected value to be either true or false",
            ),
            ("min.cleanable.dirty.ratio", "1.1", "between 0 and 1"),
            ("min.cleanable.dirty.ratio", "NaN", "between 0 and 1"),
            (
                "compression.lz4.level",
                "18",
                "Value must be no more than 17",
            ),
            (
                "compression.gzip.level",
                "0",
                "between 1 and 9 or equal to -1",
            ),
            (
                "compression.type",
                "lzma",
                "String must be one of: uncompressed, zstd",
            ),
            (
                "message.timestamp.type",
                "createtime",
                "String must be one of: CreateTime",
            ),
            (
                "cleanup.policy",
                "delete,delete",
                "values must not be duplicated",
            ),
            ("cleanup.policy", "delete,", "values must not be empty"),
            (
                "cleanup.policy",
                "remove",
                "Invalid value remove for configuration cleanup.policy",
            ),
            (
                "leader.replication.throttled.replicas",
                "0-1",
                "must be the literal '*'",
            ),
            (
                "leader.replication.throttled.replicas",
                "*,0:1",
                "must be the literal '*'",
            ),
            (
                "share.auto.offset.reset",
                "none",
                "must be either 'earliest', 'latest'",
            ),
            (
                "share.auto.offset.reset",
                "by_duration:PT",
                "must be either",
            ),
            (
                "share.auto.offset.reset",
                "by_duration:P1H",
                "must be either",
            ),
            (
                "share.auto.offset.reset",
                "by_duration:PT-1S",
                "must be either",
            ),
            ("share.auto.offset.reset", "by_duration:P", "must be either"),
        ] {
            let found = parse(key(name), text).unwrap_err();
            assert!(found.contains(fault), "{name}={text}: {found}");
        }
        let long = parse(key("retention.ms"), &"9".repeat(40_000)).unwrap_err();
        assert!(long.len() < 5_000, "fits every version of the protocol");
    }

    #[test]
    fn every_default_is_legal_and_printed_as_it_stands() {
        for row in [TOPIC, GROUP, CLIENT_METRICS, BROKER].into_iter().flatten() {
            let Some(default) = row.default else { continue };
            let value = parse(row, default).unwrap_or_else(|fault| panic!("{fault}"));
            assert_eq!(value.to_string(), default, "{}", row.name);
        }
    }
}
