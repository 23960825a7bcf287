//! What a topic may be called, and which names are too alike to stand side by side.
//!
//! Metric names turn `.` into `_`, so `a.b` and `a_b` would share their metrics: Kafka lets only one
//! of them exist (`Topic`, `ReplicationControlManager.validateNewTopicNames`, 4.3.1).

use kafka_protocol::error::ResponseError;

use crate::refusal::Refusal;

/// Longest name of a topic, in characters.
pub const TOPIC_NAME_CHARS_MAX: usize = 249;

/// Whether a topic may have this name; INVALID_TOPIC_EXCEPTION if not.
pub fn check_topic_name(name: &str) -> Result<(), Refusal> {
    let fault = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.len() > TOPIC_NAME_CHARS_MAX {
        let shown = shorten(name);
        format!(
            "the length of '{shown}' is longer than the max allowed length {TOPIC_NAME_CHARS_MAX}"
        )
    } else if !name.bytes().all(is_legal) {
        let shown = shorten(name);
        format!(
            "'{shown}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        )
    } else {
        return Ok(());
    };
    Err(Refusal::new(
        ResponseError::InvalidTopicException,
        format!("Topic name is invalid: {fault}"),
    ))
}

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Longest text repeated in an error message, in characters. Old protocol versions carry messages of
/// 32,767 bytes at most.
const SHOWN_CHARS_MAX: usize = 1_000;

/// A text as it may stand in an error message.
pub(crate) fn shorten(name: &str) -> String {
    match name.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// Whether Kafka keeps a topic of this name for itself (`Topic.isInternal`, 4.3.1).
pub fn is_internal(name: &str) -> bool {
    [
        "__consumer_offsets",
        "__transaction_state",
        "__share_group_state",
    ]
    .contains(&name)
}

/// Whether the name holds one of the two characters that metrics cannot tell apart.
pub fn has_collision_chars(name: &str) -> bool {
    name.bytes().any(is_ambiguous)
}

/// Whether both names are the same to metrics.
pub fn collide(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one
            .bytes()
            .zip(other.bytes())
            .all(|(a, b)| same_to_metrics(a, b))
}

fn is_ambiguous(byte: u8) -> bool {
    matches!(byte, b'.' | b'_')
}

fn same_to_metrics(a: u8, b: u8) -> bool {
    a == b || is_ambiguous(a) && is_ambiguous(b)
}

/// The first existing topic that collides with `name` (the topic of that very name included).
/// `from` gives the first existing name that is not smaller than its argument, in byte order.
///
/// The names that collide with `a.b_c` are spread over the ordered names, `a.b.c` far from `a_b_c`,
/// and there may be a million others in between. So this walks in leaps: ask for the smallest
/// spelling, look where the answer stops to agree, and ask again for the next spelling beyond it.
/// Each leap passes all names that share a beginning, so a real cluster needs two or three.
pub fn find_collision<'a>(name: &str, from: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    let mut spelling: Vec<u8> = name.bytes().map(smallest).collect();
    loop {
        let found = from(std::str::from_utf8(&spelling).ok()?)?;
        if collide(found, name) {
            return Some(found);
        }
        if !leap(&mut spelling, found.as_bytes()) {
            return None;
        }
    }
}

fn smallest(byte: u8) -> u8 {
    if byte == b'_' { b'.' } else { byte }
}

/// Changes `spelling` into the next spelling of the same name after `found`, which is larger than
/// `spelling` and no spelling itself. False if there is none.
fn leap(spelling: &mut [u8], found: &[u8]) -> bool {
    let agreed = spelling
        .iter()
        .zip(found)
        .take_while(|(mine, its)| same_to_metrics(**mine, **its))
        .count();
    spelling[..agreed].copy_from_slice(&found[..agreed]);
    // Where both part: a larger character there is enough. Otherwise some `.` before it must rise.
    let rises_here = match (spelling.get(agreed), found.get(agreed)) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(b'.' | b'_'), Some(its)) => *its < b'_',
        (Some(mine), Some(its)) => mine > its,
    };
    let rest = if rises_here {
        if spelling[agreed] == b'.' && found.get(agreed).is_some_and(|its| *its > b'.') {
            spelling[agreed] = b'_';
            agreed + 1
        } else {
            agreed
        }
    } else {
        let Some(dot) = spelling[..agreed].iter().rposition(|byte| *byte == b'.') else {
            return false;
        };
        spelling[dot] = b'_';
        dot + 1
    };
    spelling[rest..]
        .iter_mut()
        .for_each(|byte| *byte = smallest(*byte));
    true
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;
    use std::ops::Bound;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn legal_names() {
        let longest = "x".repeat(TOPIC_NAME_CHARS_MAX);
        for name in [
            "a",
            "A.b_c-9",
            "...",
            "_",
            "-",
            "__consumer_offsets",
            &longest,
        ] {
            assert_eq!(check_topic_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn illegal_names() {
        let too_long = "x".repeat(TOPIC_NAME_CHARS_MAX + 1);
        let huge = "é".repeat(16_000);
        for (name, fault) in [
            ("", "the empty string"),
            (".", "'.' is not allowed"),
            ("..", "'..' is not allowed"),
            (&too_long, "longer than the max allowed length 249"),
            (&huge, "longer than the max allowed length 249"),
            ("a b", "other than ASCII alphanumerics"),
            ("topic/1", "other than ASCII alphanumerics"),
            ("thé", "other than ASCII alphanumerics"),
            ("a\0", "other than ASCII alphanumerics"),
        ] {
            let refusal = check_topic_name(name).unwrap_err();
            assert_eq!(refusal.code, ResponseError::InvalidTopicException);
            assert!(refusal.text.contains(fault), "{}", refusal.text);
            assert!(
                refusal.text.len() < 5_000,
                "fits every version of the protocol"
            );
        }
    }

    /// The collision that is found among these names, and how many leaps it took.
    fn search<'a>(names: &'a BTreeSet<String>, name: &str) -> (Option<&'a str>, usize) {
        let leaps = Cell::new(0);
        let found = find_collision(name, |start| {
            leaps.set(leaps.get() + 1);
            let range = (Bound::Included(start), Bound::Unbounded);
            names.range::<str, _>(range).next().map(String::as_str)
        });
        (found, leaps.get())
    }

    #[test]
    fn collisions() {
        let names: BTreeSet<String> = ["a.b", "a_c.d", "plain", "x-y", "a.b.c.d.e"]
            .map(str::to_owned)
            .into();
        for (name, with) in [
            ("a_b", Some("a.b")),
            ("a.b", Some("a.b")),
            ("a.c_d", Some("a_c.d")),
            ("a_b_c_d_e", Some("a.b.c.d.e")),
            ("a_b_c_d", None),
            ("a_b_c_d_f", None),
            ("a-b", None),
            ("x_y", None),
            ("z.z", None),
        ] {
            assert_eq!(search(&names, name).0, with, "{name}");
        }
    }

    #[test]
    fn many_alike_names_take_few_leaps() {
        let names: BTreeSet<String> = (0..100_000)
            .map(|n| format!("tenant_{:03}.events_{n:06}", n % 1000))
            .collect();
        let (found, leaps) = search(&names, "tenant.500_events_200000");
        assert_eq!(found, None);
        assert!(leaps <= 6, "{leaps} leaps");
        let (found, leaps) = search(&names, "tenant.500_events.099500");
        assert_eq!(found, Some("tenant_500.events_099500"));
        assert!(leaps <= 6, "{leaps} leaps");
    }

    proptest! {
        #[test]
        fn leaps_find_what_a_scan_finds(
            names in proptest::collection::btree_set("[-0a._]{1,6}", 0..60),
            name in "[-0a._]{1,6}",
        ) {
            let scanned = names.iter().find(|other| collide(other, &name)).map(String::as_str);
            prop_assert_eq!(search(&names, &name).0, scanned);
        }
    }
}
