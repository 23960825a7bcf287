//! `meta.properties`: whose directory this is. One in every log directory, in Kafka's own form
//! (`MetaProperties`, `PropertiesUtils.writePropertiesFile`, 4.3.1).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use anyhow::{Context, bail};

use super::disk;
use crate::ids::{BrokerId, Millis, Uuid, base64, parse_base64};
use crate::settings::parse_properties;

/// Name of the file.
pub const FILE: &str = "meta.properties";

/// Whose directory it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The cluster, by an arbitrary text.
    pub cluster_id: String,
    /// The node.
    pub node_id: BrokerId,
    /// This very directory. Zero where the file of an older version does not name one.
    pub directory_id: Uuid,
}

impl Meta {
    /// Reads the directory's file; `None` if it has none, which means: not formatted.
    pub fn read(directory: &Path) -> anyhow::Result<Option<Self>> {
        let path = directory.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let meta = parse_properties(&text).and_then(|found| Self::from_properties(&found));
        meta.map(Some)
            .with_context(|| format!("cannot read {}", path.display()))
    }

    fn from_properties(found: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let text = |key: &str| found.get(key).with_context(|| format!("it has no {key}"));
        match found.get("version").map_or("0", String::as_str) {
            "1" => {}
            version => bail!("version={version}: it must be 1"),
        }
        let node_id = text("node.id")?;
        let node_id = node_id
            .parse()
            .with_context(|| format!("node.id={node_id} is no number"))?;
        let directory_id = match found.get("directory.id") {
            None => Uuid::nil(),
            Some(id) => {
                parse_base64(id).with_context(|| format!("directory.id={id} is no uuid"))?
            }
        };
        Ok(Self {
            cluster_id: text("cluster.id")?.clone(),
            node_id: BrokerId(node_id),
            directory_id,
        })
    }

    /// Writes the directory's file, whole or not at all.
    pub fn write(&self, directory: &Path, now: Millis) -> anyhow::Result<()> {
        disk::write_durably(&directory.join(FILE), self.text(now).as_bytes())
    }

    /// The file's text, with the keys in the order in which Java's hash table gives them out.
    fn text(&self, now: Millis) -> String {
        format!(
            "#\n#{}\nnode.id={}\ndirectory.id={}\nversion=1\ncluster.id={}\n",
            java_date(now),
            self.node_id.0,
            base64(self.directory_id),
            escape(&self.cluster_id)
        )
    }
}

/// How `kafka-storage info` shows a file.
impl std::fmt::Display for Meta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{{cluster.id={}, directory.id={}, node.id={}, version=1}}",
            self.cluster_id,
            base64(self.directory_id),
            self.node_id.0
        )
    }
}

/// Whether this text can be a cluster id: not empty, and no characters beyond the basic plane, which
/// the format can only hold as two halves.
pub(super) fn is_cluster_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| u32::from(letter) <= 0xffff)
}

/// Escapes a value as `java.util.Properties.store` does.
fn escape(value: &str) -> String {
    let mut escaped = String::new();
    for (place, unit) in value.encode_utf16().enumerate() {
        match char::from_u32(u32::from(unit)) {
            Some(' ') if place == 0 => escaped.push_str("\\ "),
            Some('\t') => escaped.push_str("\\t"),
            Some('\n') => escaped.push_str("\\n"),
            Some('\r') => escaped.push_str("\\r"),
            Some('\x0c') => escaped.push_str("\\f"),
            Some(letter @ ('\\' | '=' | ':' | '#' | '!')) => escaped.extend(['\\', letter]),
            Some(letter @ ' '..='~') => escaped.push(letter),
            _ => write!(escaped, "\\u{unit:04X}").expect("a String takes everything"),
        }
    }
    escaped
}

/// A moment as Java's `Date.toString` writes it, in UTC: `Mon Nov 23 01:21:15 UTC 2026`.
fn java_date(now: Millis) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = now.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
        WEEKDAYS[days.rem_euclid(7) as usize],
        MONTHS[month as usize - 1],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Year, month and day of a day counted from 1970. Years are counted from March, so that the leap
/// day comes last and each month's first day is a linear function of its number.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097; // 400 years
    const DAYS_TO_1970: i64 = 719_468; // from March 1 of year 0
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kafkas() {
        let meta = Meta {
            cluster_id: "CNi-Mi4bQci9gi1TsXKryQ".to_owned(),
            node_id: BrokerId(3000),
            directory_id: parse_base64("2Qw-k9fZRgOOLIEHUcMsnQ").expect("a uuid"),
        };
        let recorded = include_str!("../../tests/data/formatted/controller/meta.properties");
        assert_eq!(meta.text(1_795_396_874_000), recorded);
        let read = parse_properties(recorded.as_bytes()).expect("valid");
        assert_eq!(Meta::from_properties(&read).expect("valid"), meta);
    }

    #[test]
    fn any_cluster_id_survives() {
        for id in [" my:cluster = #1!", "späť→", "tab\tnewline\nback\\slash"] {
            let meta = Meta {
                cluster_id: id.to_owned(),
                node_id: BrokerId(1),
                directory_id: Uuid::nil(),
            };
            let read = parse_properties(meta.text(0).as_bytes()).expect("valid");
            assert_eq!(read["cluster.id"], id);
        }
    }

    #[test]
    fn dates() {
        assert_eq!(java_date(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(java_date(951_827_696_789), "Tue Feb 29 12:34:56 UTC 2000");
        assert_eq!(java_date(4_107_542_399_000), "Sun Feb 28 23:59:59 UTC 2100");
        assert_eq!(java_date(-1), "Wed Dec 31 23:59:59 UTC 1969");
    }

    #[test]
    fn a_broken_file_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let check = |text: &str, expected: &str| {
            std::fs::write(directory.path().join(FILE), text).expect("written");
            let error = format!("{:#}", Meta::read(directory.path()).expect_err(text));
            assert!(
                error.starts_with("cannot read ") && error.ends_with(expected),
                "{error}"
            );
        };
        check("version=1\nnode.id=1", "it has no cluster.id");
        check("version=1\ncluster.id=a", "it has no node.id");
        check("version=2", "version=2: it must be 1");
        check("broker.id=2", "version=0: it must be 1");
        check(
            "version=1\nnode.id=1\ncluster.id=a\ndirectory.id=b",
            "directory.id=b is no uuid",
        );
        check(
            "version=1\nnode.id=x\ncluster.id=a",
            "node.id=x is no number: invalid digit found in string",
        );
    }
}
