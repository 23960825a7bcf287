//! Whether a resource may have the configuration it would have after a change
//! (`ControllerConfigurationValidator`, `LogConfig`, `GroupConfig`, `ClientMetricsConfigs`, 4.3.1).

use kafka_protocol::error::ResponseError;

use super::values::{Value, parse};
use super::{Layers, Overrides};
use crate::ids::ConfigKind;
use crate::refusal::Refusal;
use crate::rules::config_keys::{BROKER, CLIENT_METRICS, GROUP, Key, TOPIC, find};
use crate::rules::names::{check_topic_name, shorten};

/// Checks name and values of a resource: `existing` is what was set so far, `resulting` what would
/// be set. Values of brokers are not looked at; the broker that forwards a change has done that.
pub fn resource(
    kind: ConfigKind,
    name: &str,
    existing: &Overrides<'_>,
    resulting: &Overrides<'_>,
    layers: &Layers<'_>,
) -> Result<(), Refusal> {
    match kind {
        ConfigKind::Topic => {
            topic_name(name)?;
            topic(existing, resulting, layers)
        }
        ConfigKind::Broker => broker_name(name),
        ConfigKind::ClientMetrics => client_metrics(name, resulting),
        ConfigKind::Group => group(name, resulting, layers),
    }
}

fn topic_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(invalid_request("Default topic resources are not allowed."));
    }
    check_topic_name(name)
}

/// A broker's configuration is named by its id, the default for all by the empty name.
pub fn broker_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Ok(());
    }
    match name.parse::<i32>() {
        Err(_) => Err(invalid_request(
            "Unable to parse broker name as a base 10 number.",
        )),
        Ok(id) if id < 0 => Err(invalid_request("Invalid negative broker ID.")),
        Ok(_) => Ok(()),
    }
}

/// Checks the values of a topic, alone and against each other.
pub fn topic(
    existing: &Overrides<'_>,
    resulting: &Overrides<'_>,
    layers: &Layers<'_>,
) -> Result<(), Refusal> {
    each_value(TOPIC, resulting, |name| {
        invalid_config(format!("Unknown topic config name: {name}"))
    })?;
    let number = |name: &str| number_of(TOPIC, name, resulting, layers);
    let flag = |name: &str| resulting.get(name).is_some_and(|text| is_true(text));
    let (least, most) = (
        number("min.compaction.lag.ms"),
        number("max.compaction.lag.ms"),
    );
    if least > most {
        return Err(invalid_config(format!(
            "conflict topic config setting min.compaction.lag.ms ({least}) > \
             max.compaction.lag.ms ({most})"
        )));
    }
    if !flag("remote.storage.enable") {
        let was_remote = existing
            .get("remote.storage.enable")
            .is_some_and(|text| is_true(text));
        if was_remote && !flag("remote.log.delete.on.disable") {
            return Err(invalid_config(
                "It is invalid to disable remote storage without deleting remote data. If you want \
                 to keep the remote data and turn to read only, please set \
                 `remote.storage.enable=true,remote.log.copy.disable=true`. If you want to disable \
                 remote storage and delete all remote data, please set \
                 `remote.storage.enable=false,remote.log.delete.on.disable=true`.",
            ));
        }
        return Ok(());
    }
    if !layers
        .broker("remote.log.storage.system.enable")
        .is_some_and(|text| is_true(&text))
    {
        return Err(invalid_config(
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured \
             with remote log storage.",
        ));
    }
    if !matches!(
        text_of("cleanup.policy", resulting, layers).trim(),
        "" | "delete"
    ) {
        return Err(invalid_config(
            "Remote log storage only supports topics with cleanup.policy=delete or cleanup.policy \
             being an empty list.",
        ));
    }
    let copies = !flag("remote.log.copy.disable");
    for (local_name, whole_name) in [
        ("local.retention.bytes", "retention.bytes"),
        ("local.retention.ms", "retention.ms"),
    ] {
        let (local, whole) = (number(local_name), number(whole_name));
        // -2: the same as the whole; -1: without bound.
        if local == -2 {
            continue;
        }
        if whole > -1 && local == -1 {
            return Err(invalid_config(format!(
                "Invalid value -1 for configuration {local_name}: Value must not be -1 as \
                 {whole_name} value is set as {whole}."
            )));
        }
        if whole > -1 && local > whole {
            return Err(invalid_config(format!(
                "Invalid value {local} for configuration {local_name}: Value must not be more than \
                 {whole_name} property value: {whole}"
            )));
        }
        if !copies && local != whole {
            return Err(invalid_config(format!(
                "When `remote.log.copy.disable` is set to true, the `{local_name}` and \
                 `{whole_name}` must be set to the identical value because there will be no more \
                 logs copied to the remote storage."
            )));
        }
    }
    Ok(())
}

fn client_metrics(name: &str, resulting: &Overrides<'_>) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(invalid_request("Subscription name can't be empty"));
    }
    each_value(CLIENT_METRICS, resulting, |name| {
        invalid_request(format!("Unknown client metrics configuration: {name}"))
    })?;
    if let Some(Ok(interval)) = resulting
        .get("interval.ms")
        .map(|text| text.trim().parse::<i32>())
        && !(100..=3_600_000).contains(&interval)
    {
        return Err(invalid_request(format!(
            "Invalid value {interval} for interval.ms, interval must be between 100 and 3600000 \
             (1 hour)"
        )));
    }
    let patterns = resulting.get("match").copied().unwrap_or_default();
    for pattern in patterns
        .split(',')
        .map(str::trim)
        .filter(|_| !patterns.trim().is_empty())
    {
        if !is_client_pattern(pattern) {
            let shown = shorten(pattern);
            return Err(invalid_config(format!(
                "Illegal client matching pattern: {shown}"
            )));
        }
    }
    Ok(())
}

/// What a client-metrics subscription may match on.
const CLIENT_ATTRIBUTES: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

fn is_client_pattern(pattern: &str) -> bool {
    let Some((attribute, expression)) = pattern.split_once('=') else {
        return false;
    };
    CLIENT_ATTRIBUTES.contains(&attribute.trim())
        && !expression.is_empty()
        && !expression.contains('=')
        && is_balanced(expression.trim())
}

/// Whether a regular expression closes what it opens and repeats something; brokers compile it with
/// Java's own engine, so this finds the common slips only.
fn is_balanced(expression: &str) -> bool {
    let (mut depth, mut in_class, mut repeatable) = (0_u32, false, false);
    let mut rest = expression.chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' if rest.next().is_none() => return false,
            '[' => in_class = true,
            ']' => in_class = false,
            _ if in_class => {}
            '(' => depth += 1,
            ')' if depth == 0 => return false,
            ')' => depth -= 1,
            '*' | '+' | '?' if !repeatable && !expression.contains("(?") => return false,
            _ => {}
        }
        repeatable = !matches!(character, '(' | '|');
    }
    depth == 0 && !in_class
}

/// A group key, the broker keys that bound it, and whether the bounds hold for a default, too.
struct Bound {
    key: &'static str,
    least: Option<&'static str>,
    most: &'static str,
    only_where_set: bool,
}

const fn bound(
    key: &'static str,
    least: &'static str,
    most: &'static str,
    only_where_set: bool,
) -> Bound {
    Bound {
        key,
        least: Some(least),
        most,
        only_where_set,
    }
}

const GROUP_BOUNDS: &[Bound] = &[
    bound(
        "consumer.heartbeat.interval.ms",
        "group.consumer.min.heartbeat.interval.ms",
        "group.consumer.max.heartbeat.interval.ms",
        false,
    ),
    bound(
        "consumer.session.timeout.ms",
        "group.consumer.min.session.timeout.ms",
        "group.consumer.max.session.timeout.ms",
        false,
    ),
    bound(
        "consumer.assignment.interval.ms",
        "group.consumer.min.assignment.interval.ms",
        "group.consumer.max.assignment.interval.ms",
        true,
    ),
    bound(
        "share.heartbeat.interval.ms",
        "group.share.min.heartbeat.interval.ms",
        "group.share.max.heartbeat.interval.ms",
        false,
    ),
    bound(
        "share.session.timeout.ms",
        "group.share.min.session.timeout.ms",
        "group.share.max.session.timeout.ms",
        false,
    ),
    bound(
        "share.record.lock.duration.ms",
        "group.share.min.record.lock.duration.ms",
        "group.share.max.record.lock.duration.ms",
        false,
    ),
    bound(
        "share.delivery.count.limit",
        "group.share.min.delivery.count.limit",
        "group.share.max.delivery.count.limit",
        false,
    ),
    bound(
        "share.partition.max.record.locks",
        "group.share.min.partition.max.record.locks",
        "group.share.max.partition.max.record.locks",
        false,
    ),
    bound(
        "share.assignment.interval.ms",
        "group.share.min.assignment.interval.ms",
        "group.share.max.assignment.interval.ms",
        true,
    ),
    bound(
        "streams.heartbeat.interval.ms",
        "group.streams.min.heartbeat.interval.ms",
        "group.streams.max.heartbeat.interval.ms",
        false,
    ),
    bound(
        "streams.session.timeout.ms",
        "group.streams.min.session.timeout.ms",
        "group.streams.max.session.timeout.ms",
        false,
    ),
    Bound {
        key: "streams.num.standby.replicas",
        least: None,
        most: "group.streams.max.standby.replicas",
        only_where_set: false,
    },
    bound(
        "streams.assignment.interval.ms",
        "group.streams.min.assignment.interval.ms",
        "group.streams.max.assignment.interval.ms",
        true,
    ),
];

fn group(name: &str, resulting: &Overrides<'_>, layers: &Layers<'_>) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(invalid_request("Default group resources are not allowed."));
    }
    each_value(GROUP, resulting, |name| {
        invalid_config(format!("Unknown group config name: {name}"))
    })?;
    let number = |name: &str| number_of(GROUP, name, resulting, layers);
    for Bound {
        key,
        least,
        most,
        only_where_set,
    } in GROUP_BOUNDS
    {
        if *only_where_set && !resulting.contains_key(key) && layers_are_silent(key, layers) {
            continue;
        }
        let value = number(key);
        if let Some(least) = least
            && value < broker_number(least, layers)
        {
            return Err(invalid_config(format!(
                "{key} must be greater than or equal to {least}"
            )));
        }
        if value > broker_number(most, layers) {
            return Err(invalid_config(format!(
                "{key} must be less than or equal to {most}"
            )));
        }
    }
    for (session, heartbeat) in [
        (
            "consumer.session.timeout.ms",
            "consumer.heartbeat.interval.ms",
        ),
        ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
        (
            "streams.session.timeout.ms",
            "streams.heartbeat.interval.ms",
        ),
    ] {
        if number(session) <= number(heartbeat) {
            return Err(invalid_config(format!(
                "{session} must be greater than {heartbeat}"
            )));
        }
    }
    Ok(())
}

/// Whether no layer under the group says anything about this key.
fn layers_are_silent(name: &str, layers: &Layers<'_>) -> bool {
    find(GROUP, name).is_none_or(|key| layers.resolve(key).source == super::Source::Default)
}

/// Reads every value that is set; `unknown` makes the refusal of a key that is not in the table.
fn each_value(
    table: &'static [Key],
    resulting: &Overrides<'_>,
    unknown: impl Fn(String) -> Refusal,
) -> Result<(), Refusal> {
    let known = |(name, text)| find(table, name).map(|key| (key, text)).ok_or(name);
    if let Some(stranger) = resulting
        .iter()
        .find_map(|(name, text)| known((*name, *text)).err())
    {
        return Err(unknown(shorten(stranger)));
    }
    for (key, text) in resulting
        .iter()
        .filter_map(|(name, text)| known((*name, *text)).ok())
    {
        parse(key, text).map_err(invalid_config)?;
    }
    Ok(())
}

/// The number that a key has after the change; its default where a layer below holds no number.
fn number_of(
    table: &'static [Key],
    name: &str,
    resulting: &Overrides<'_>,
    layers: &Layers<'_>,
) -> i64 {
    let Some(key) = find(table, name) else {
        return 0;
    };
    let set = resulting
        .get(name)
        .map(|text| (*text).into())
        .or_else(|| layers.resolve(key).value);
    as_number(key, set.as_deref())
        .or_else(|| as_number(key, key.default))
        .unwrap_or_default()
}

fn broker_number(name: &str, layers: &Layers<'_>) -> i64 {
    let Some(key) = find(BROKER, name) else {
        return 0;
    };
    let set = layers.broker(name);
    as_number(key, set.as_deref())
        .or_else(|| as_number(key, key.default))
        .unwrap_or_default()
}

fn as_number(key: &Key, text: Option<&str>) -> Option<i64> {
    match parse(key, text?) {
        Ok(Value::Number(number)) => Some(number),
        _ => None,
    }
}

fn text_of(name: &str, resulting: &Overrides<'_>, layers: &Layers<'_>) -> String {
    let set = find(TOPIC, name).and_then(|key| layers.topic(key, resulting).value);
    set.map(|text| text.into_owned()).unwrap_or_default()
}

fn is_true(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("true")
}

fn invalid_config(text: impl Into<String>) -> Refusal {
    Refusal::new(ResponseError::InvalidConfig, text.into())
}

fn invalid_request(text: impl Into<String>) -> Refusal {
    Refusal::new(ResponseError::InvalidRequest, text.into())
}

#[cfg(test)]
mod tests {
    use ResponseError::*;

    use super::*;

    type Expected<'a> = Option<(ResponseError, &'a str)>;

    /// Settings as `key=value` with blanks between, prefixed `was:` for what was set so far,
    /// `node:`, `all:` and `file:` for the layers below.
    #[track_caller]
    fn check(kind: ConfigKind, name: &str, settings: &str, expected: Expected<'_>) {
        let (mut existing, mut resulting) = (Overrides::new(), Overrides::new());
        let mut layers = Layers::default();
        for setting in settings.split_whitespace() {
            let (key, value) = setting.split_once('=').unwrap();
            match key.split_once(':') {
                Some(("was", key)) => existing.insert(key, value),
                Some(("node", key)) => layers.node.insert(key, value),
                Some(("all", key)) => layers.cluster.insert(key, value),
                Some(("file", key)) => layers.given.insert(key, value),
                _ => resulting.insert(key, value),
            };
        }
        let outcome = resource(kind, name, &existing, &resulting, &layers);
        match (outcome, expected) {
            (Ok(()), None) => {}
            (Err(refusal), Some((code, text))) => {
                assert_eq!(refusal.code, code, "{settings}: {refusal}");
                assert!(refusal.text.contains(text), "{settings}: {refusal}");
            }
            (outcome, expected) => panic!("{settings}: {outcome:?}, not {expected:?}"),
        }
    }

    #[test]
    fn topics() {
        let check = |settings: &str, expected: Expected<'_>| {
            check(ConfigKind::Topic, "t", settings, expected)
        };
        let tiered = "file:remote.log.storage.system.enable=true remote.storage.enable=true";
        let with = |more: &str| format!("{tiered} {more}");
        for settings in [
            "",
            "retention.ms=1 cleanup.policy=compact,delete min.insync.replicas=2",
            "min.compaction.lag.ms=5 max.compaction.lag.ms=5",
            "internal.segment.bytes=100",
            tiered,
            &with("local.retention.ms=1 retention.ms=1 remote.log.copy.disable=true"),
            &with("cleanup.policy="),
            "was:remote.storage.enable=true remote.log.delete.on.disable=true",
            "all:log.cleaner.max.compaction.lag.ms=never min.compaction.lag.ms=5",
        ] {
            check(settings, None);
        }
        for (settings, text) in [
            ("no.such=1", "Unknown topic config name: no.such"),
            ("retention.ms=x", "Not a number of type LONG"),
            (
                "min.compaction.lag.ms=6 max.compaction.lag.ms=5",
                "(6) > max.compaction.lag.ms (5)",
            ),
            (
                "min.compaction.lag.ms=6 file:log.cleaner.max.compaction.lag.ms=5",
                "(6) >",
            ),
            (
                "max.compaction.lag.ms=5 all:log.cleaner.min.compaction.lag.ms=6",
                "(6) >",
            ),
            (
                "remote.storage.enable=true",
                "Tiered Storage functionality is disabled",
            ),
            (
                "was:remote.storage.enable=true",
                "without deleting remote data",
            ),
            (
                &with("cleanup.policy=compact"),
                "only supports topics with cleanup.policy=delete",
            ),
            (
                &with("local.retention.ms=-1"),
                "must not be -1 as retention.ms value is set as 604800000",
            ),
            (
                &with("local.retention.bytes=9 retention.bytes=8"),
                "not be more than retention.bytes",
            ),
            (
                &with("local.retention.ms=7 remote.log.copy.disable=true"),
                "the identical value",
            ),
        ] {
            check(settings, Some((InvalidConfig, text)));
        }
    }

    #[test]
    fn names_of_resources() {
        check(
            ConfigKind::Topic,
            "",
            "",
            Some((InvalidRequest, "Default topic resources")),
        );
        check(
            ConfigKind::Topic,
            "a b",
            "",
            Some((InvalidTopicException, "Topic name is invalid")),
        );
        check(ConfigKind::Broker, "", "what.ever=x", None);
        check(ConfigKind::Broker, "7", "what.ever=x", None);
        check(
            ConfigKind::Broker,
            "seven",
            "",
            Some((InvalidRequest, "base 10")),
        );
        check(
            ConfigKind::Broker,
            "-7",
            "",
            Some((InvalidRequest, "negative")),
        );
        check(
            ConfigKind::Group,
            "",
            "",
            Some((InvalidRequest, "Default group")),
        );
        check(
            ConfigKind::ClientMetrics,
            "",
            "",
            Some((InvalidRequest, "can't be empty")),
        );
    }

    #[test]
    fn client_metrics_subscriptions() {
        let check = |settings: &str, expected: Expected<'_>| {
            check(ConfigKind::ClientMetrics, "s", settings, expected)
        };
        check(
            "metrics=org.apache.kafka. interval.ms=100 match=client_id=app.*",
            None,
        );
        check(
            "metrics= match=client_software_name=(Java|librdkafka),client_id=[a-z]+",
            None,
        );
        check(
            "no.such=1",
            Some((
                InvalidRequest,
                "Unknown client metrics configuration: no.such",
            )),
        );
        check(
            "interval.ms=99",
            Some((InvalidRequest, "between 100 and 3600000")),
        );
        check(
            "interval.ms=3600001",
            Some((InvalidRequest, "between 100 and 3600000")),
        );
        check(
            "interval.ms=x",
            Some((InvalidConfig, "Not a number of type INT")),
        );
        for pattern in [
            "client_id",
            "nobody=x",
            "client_id=",
            "client_id=(x",
            "client_id=*",
            "a=b=c",
        ] {
            let settings = format!("match={pattern}");
            check(
                &settings,
                Some((InvalidConfig, "Illegal client matching pattern")),
            );
        }
    }

    #[test]
    fn groups() {
        let check = |settings: &str, expected: Expected<'_>| {
            check(ConfigKind::Group, "g", settings, expected)
        };
        check("", None);
        check(
            "consumer.session.timeout.ms=50000 share.isolation.level=read_committed",
            None,
        );
        check(
            "consumer.session.timeout.ms=70000 file:group.consumer.max.session.timeout.ms=70000",
            None,
        );
        for (settings, text) in [
            ("no.such=1", "Unknown group config name: no.such"),
            ("consumer.session.timeout.ms=x", "Not a number of type INT"),
            (
                "consumer.session.timeout.ms=44999",
                "group.consumer.min.session.timeout.ms",
            ),
            (
                "consumer.session.timeout.ms=60001",
                "group.consumer.max.session.timeout.ms",
            ),
            (
                "share.delivery.count.limit=11",
                "group.share.max.delivery.count.limit",
            ),
            (
                "streams.num.standby.replicas=3",
                "group.streams.max.standby.replicas",
            ),
            (
                "share.assignment.interval.ms=15001",
                "group.share.max.assignment.interval.ms",
            ),
            (
                "file:group.consumer.min.session.timeout.ms=1 consumer.session.timeout.ms=5000",
                "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms",
            ),
        ] {
            check(settings, Some((InvalidConfig, text)));
        }
    }
}
