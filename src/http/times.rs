//! Times as people write them: milliseconds since 1970, or RFC 3339.

use crate::ids::Millis;

/// Reads either form. `None`: it is neither.
pub(super) fn parse(text: &str) -> Option<Millis> {
    text.parse().ok().or_else(|| rfc3339(text))
}

/// `2026-11-24T08:10:00[.123](Z|+01:00)`; fractions beyond milliseconds are dropped.
fn rfc3339(text: &str) -> Option<Millis> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (
        digits(date.next()?, 4)?,
        digits(date.next()?, 2)?,
        digits(date.next()?, 2)?,
    );
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':');
    let (hour, minute, second) = (
        digits(clock.next()?, 2)?,
        digits(clock.next()?, 2)?,
        digits(clock.next()?, 2)?,
    );
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day);
    // A leap second is the first moment of the next minute.
    if !in_range || hour > 23 || minute > 59 || second > 60 || fraction.is_empty() {
        return None;
    }
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some((seconds - zone_seconds(zone)?) * 1000 + millis(fraction)?)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let all_digits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { text.parse().ok() } else { None }
}

/// The first three places behind the point.
fn millis(fraction: &str) -> Option<i64> {
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let places = fraction.bytes().chain(*b"000").take(3);
    Some(places.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

fn zone_seconds(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("Z") {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let seconds = (digits(hours, 2)? * 60 + digits(minutes, 2)?) * 60;
    Some(if sign == "-" { -seconds } else { seconds })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March so
/// that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let cases = [
            ("0", Some(0)),
            ("1700000000123", Some(1_700_000_000_123)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00Z", Some(951_825_600_000)),
            ("2023-11-14T22:13:20.1239Z", Some(1_700_000_000_123)),
            ("2023-11-14T23:13:20.1+01:00", Some(1_700_000_000_100)),
            ("2023-11-14t17:13:20-05:00", Some(1_700_000_000_000)),
            ("2023-11-14", None),
            ("2023-11-14T22:13:20", None),
            ("2023-13-14T22:13:20Z", None),
            ("2023-11-14T25:13:20Z", None),
            ("2023-11-14T22:13:20.Z", None),
            ("23-11-14T22:13:20Z", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, expect) in cases {
            assert_eq!(parse(text), expect, "{text}");
        }
    }
}
