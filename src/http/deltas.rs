//! What changed: the original's `broker_mgmt` and `client_mgmt`, and `/v1/deltas`.
//!
//! A cursor is an *end offset*: the position behind a record. An answer is true for everything below
//! its end offset (`YAKt-Offset`, `next`), and so is each change for the offset that it carries: give
//! any of them back and only what came later is told. Times work, too, one second earlier than
//! asked, because clocks of leaders differ: repeats are harmless, a loss is not.
//!
//! Where the tombstones of what is gone do not reach back far enough, an answer is *full*: everything
//! that is there, in place of what the caller had.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::input::{Object, required};
use super::json::{
    AclJson, BrokerJson, ConfigJson, ControllerJson, CredentialJson, FeatureJson, PartitionJson,
    ProducerIdsJson, QuotaJson, TokenJson, TopicJson, id, mechanism, resource_type,
};
use super::openapi::Parameter;
use super::records::{self, RecordJson};
use super::reply::{Problem, Reply, end_of};
use super::{Doors, times};
use crate::ids::{ConfigResource, Millis, Offset, Stamp};
use crate::image::{Change, Changed, Gone, Image, Kinds, QuotaEntity};
use crate::records::{DelegationTokenRecord, UserScramCredentialRecord};

/// How much earlier than asked a time is taken.
const TIME_SLACK_MS: Millis = 1000;
/// A caller of the original endpoints that is further behind the newest change gets everything.
const BEHIND_MAX_MS: Millis = 10 * 60 * 1000;
/// Longest wait for a change.
const WAIT_SECONDS_MAX: u64 = 60;
/// Most changes of an answer, as far as those of one record are not torn apart.
const CHANGES_MAX: usize = 100_000;

/// The original's answers: records by key.
type Map = BTreeMap<String, RecordJson>;

/// `POST broker_mgmt`.
pub(super) async fn broker_mgmt(
    State(doors): State<Doors>,
    Object(body): Object,
) -> Result<Reply<Map>, Problem> {
    let cursor = original_cursor(&body)?;
    let kinds = Kinds::BROKER | Kinds::TOPIC | Kinds::PARTITION | Kinds::PRODUCER_IDS;
    original_map(&doors.now().image, cursor, kinds, |_| true)
}

/// `POST client_mgmt`.
pub(super) async fn client_mgmt(
    State(doors): State<Doors>,
    Object(body): Object,
) -> Result<Reply<Map>, Problem> {
    let cursor = original_cursor(&body)?;
    let kinds = Kinds::BROKER | Kinds::TOPIC | Kinds::PARTITION;
    let for_clients = |key: &str| !key.starts_with("RegistrationChangeBrokerRecord:");
    original_map(&doors.now().image, cursor, kinds, for_clients)
}

/// From where on somebody asks.
#[derive(Clone, Copy)]
enum Cursor {
    /// From this end offset on.
    Offset(Offset),
    /// From this time on.
    Time(Millis),
}

fn original_cursor(body: &super::input::Fields) -> Result<Cursor, Problem> {
    if let Some(offset) = body.number("offset")? {
        return Ok(Cursor::Offset(offset));
    }
    Ok(Cursor::Time(required(
        "timestamp",
        body.seconds("timestamp")?,
    )?))
}

fn original_map(
    image: &Image,
    cursor: Cursor,
    kinds: Kinds,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Reply<Map>, Problem> {
    let since = Since::of(image, cursor)?;
    let mut full = since.full;
    let mut changes = image.changes(since.after, kinds);
    if let (Cursor::Time(time), Some(newest)) = (cursor, changes.last()) {
        full |= newest.stamp.time - time > BEHIND_MAX_MS;
    }
    if full && since.after >= 0 {
        changes = image.changes(-1, kinds);
    }
    let mut map = Map::new();
    for change in changes.iter().filter(|change| !(full && is_gone(change))) {
        for (key, record) in records::of_change(image, change) {
            if is_wanted(&key) {
                // In the order of offsets: the newest record of a thing is what remains.
                map.insert(key, record);
            }
        }
    }
    Ok(Reply {
        body: map,
        at: end_of(image),
        full: Some(full),
    })
}

/// From which record on the image is asked, and whether that can be answered by differences.
struct Since {
    /// The last offset that the caller has seen; -1: none.
    after: Offset,
    full: bool,
}

impl Since {
    fn of(image: &Image, cursor: Cursor) -> Result<Self, Problem> {
        let after = match cursor {
            Cursor::Offset(offset) if offset > image.end_offset() => {
                let end = image.end_offset();
                return Err(Problem::bad(format!(
                    "Offset {offset} is beyond the end, {end}."
                )));
            }
            Cursor::Offset(offset) => offset.max(0) - 1,
            Cursor::Time(time) => image.offset_before(time.saturating_sub(TIME_SLACK_MS)),
        };
        Ok(Self {
            after,
            full: after < 0 || after < image.complete_since(),
        })
    }
}

fn is_gone(change: &Change<'_>) -> bool {
    matches!(change.what, Changed::Gone(_))
}

/// The parameters of `/v1/deltas`.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "after",
        about: "An end offset: the next of an answer, its YAKt-Offset, or the offset of a change.",
        kind: "integer",
    },
    Parameter {
        name: "since",
        about: "A time in place of an offset: milliseconds since 1970, or RFC 3339.",
        kind: "string",
    },
    Parameter {
        name: "wait",
        about: "How many seconds, up to 60, to wait for a change if there is none.",
        kind: "integer",
    },
    Parameter {
        name: "kinds",
        about: "Only these, separated by commas: feature, broker, controller, topic, partition, \
            config, quota, producer_ids, acl, credential, token.",
        kind: "string",
    },
    Parameter {
        name: "limit",
        about: "About how many changes at most; go on from next.",
        kind: "integer",
    },
];

/// The query as it comes.
#[derive(Deserialize)]
pub(super) struct Asked {
    after: Option<String>,
    since: Option<String>,
    wait: Option<String>,
    kinds: Option<String>,
    limit: Option<String>,
}

/// Changes in the order of offsets.
#[derive(Serialize, ToSchema)]
pub(super) struct Deltas {
    /// Ask with this next.
    next: i64,
    /// Log time of the last record below it.
    time: i64,
    /// Replace what you have: what is not named is gone.
    full: bool,
    /// What changed, each thing as it is now.
    changes: Vec<DeltaJson>,
}

/// A change.
#[derive(Serialize, ToSchema)]
struct DeltaJson {
    /// The end offset from which it is true.
    offset: i64,
    /// Its log time, milliseconds since 1970.
    time: i64,
    /// What kind of thing.
    kind: &'static str,
    /// Which one.
    key: String,
    /// `set` or `delete`.
    op: &'static str,
    /// What it is now, or was last; null where no more is known than its key.
    value: Value,
}

/// `GET /v1/deltas`.
pub(super) async fn since(
    State(doors): State<Doors>,
    Query(asked): Query<Asked>,
) -> Result<Reply<Deltas>, Problem> {
    let cursor = match (&asked.after, &asked.since) {
        (Some(_), Some(_)) => return Err(Problem::bad("Give after or since, not both.")),
        (Some(after), None) => Cursor::Offset(number("after", after)?),
        (None, Some(since)) => Cursor::Time(times::parse(since).ok_or_else(|| {
            Problem::bad(
                "since must be milliseconds since 1970 or a time like 2026-11-24T08:10:00Z.",
            )
        })?),
        (None, None) => Cursor::Offset(0),
    };
    let kinds = asked.kinds.as_deref().map_or(Ok(Kinds::ALL), kinds)?;
    let limit = asked
        .limit
        .as_deref()
        .map_or(Ok(CHANGES_MAX), |text| number("limit", text))?;
    if !(1..=CHANGES_MAX).contains(&limit) {
        return Err(Problem::bad(format!(
            "limit must be from 1 to {CHANGES_MAX}."
        )));
    }
    let wait: u64 = asked
        .wait
        .as_deref()
        .map_or(Ok(0), |text| number("wait", text))?;
    if wait > WAIT_SECONDS_MAX {
        return Err(Problem::bad(format!(
            "wait must be from 0 to {WAIT_SECONDS_MAX} seconds."
        )));
    }

    let mut published = doors.published.clone();
    let mut answer = deltas(&published.borrow_and_update().image, cursor, kinds, limit)?;
    let news = async {
        while answer.body.changes.is_empty() && !answer.body.full {
            // The node stops: what is known now is the answer.
            let Ok(()) = published.changed().await else {
                break;
            };
            answer = deltas(&published.borrow_and_update().image, cursor, kinds, limit)?;
        }
        Ok(answer)
    };
    match tokio::time::timeout(Duration::from_secs(wait), news).await {
        Ok(answer) => answer,
        Err(_) => deltas(&doors.now().image, cursor, kinds, limit),
    }
}

fn number<N: std::str::FromStr>(name: &str, text: &str) -> Result<N, Problem> {
    text.parse()
        .map_err(|_| Problem::bad(format!("{name} must be a whole number.")))
}

fn kinds(list: &str) -> Result<Kinds, Problem> {
    let mut all = None;
    for name in list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        let known = KINDS.iter().find(|(known, _)| *known == name);
        let (_, kind) = known.ok_or_else(|| {
            let names: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
            Problem::bad(format!("There is no kind {name}: {}.", names.join(", ")))
        })?;
        all = Some(all.map_or(*kind, |all| all | *kind));
    }
    Ok(all.unwrap_or(Kinds::ALL))
}

const KINDS: &[(&str, Kinds)] = &[
    ("feature", Kinds::FEATURE),
    ("broker", Kinds::BROKER),
    ("controller", Kinds::CONTROLLER),
    ("topic", Kinds::TOPIC),
    ("partition", Kinds::PARTITION),
    ("config", Kinds::CONFIG),
    ("quota", Kinds::QUOTA),
    ("producer_ids", Kinds::PRODUCER_IDS),
    ("acl", Kinds::ACL),
    ("credential", Kinds::CREDENTIAL),
    ("token", Kinds::TOKEN),
];

fn deltas(
    image: &Image,
    cursor: Cursor,
    kinds: Kinds,
    limit: usize,
) -> Result<Reply<Deltas>, Problem> {
    let Since { after, full } = Since::of(image, cursor)?;
    let after = if full { -1 } else { after };
    let mut changes = image.changes(after, kinds);
    // The end of a broker's life is told by its tombstone; a life that was replaced is no news here.
    changes.retain(|it| !(matches!(it.what, Changed::Closed(..)) || full && is_gone(it)));
    let fits = whole_records(
        &changes,
        limit,
        if full { image.complete_since() } else { after },
    );
    let end = match changes.get(..fits).and_then(<[_]>::last) {
        Some(last) if fits < changes.len() => Stamp {
            offset: last.stamp.offset + 1,
            time: last.stamp.time,
        },
        _ => end_of(image),
    };
    changes.truncate(fits);
    let changes = changes.iter().map(|change| delta(image, change)).collect();
    let body = Deltas {
        next: end.offset,
        time: end.time,
        full,
        changes,
    };
    Ok(Reply {
        body,
        at: end,
        full: Some(full),
    })
}

/// How many changes to tell: about `limit`, but all of one record or none, and so many that one can
/// go on behind them with differences alone.
fn whole_records(changes: &[Change<'_>], limit: usize, complete_since: Offset) -> usize {
    let Some(last) = changes.get(..limit).and_then(<[_]>::last) else {
        return changes.len();
    };
    let end = last.stamp.offset.max(complete_since);
    changes.partition_point(|change| change.stamp.offset <= end)
}

fn delta(image: &Image, change: &Change<'_>) -> DeltaJson {
    let (kind, key, value) = match &change.what {
        Changed::Gone(gone) => return gone_delta(change.stamp, gone),
        Changed::Feature(name, level) => (
            "feature",
            (*name).to_owned(),
            json(&FeatureJson {
                name: (*name).to_owned(),
                level: *level,
            }),
        ),
        Changed::Broker(it, life) => (
            "broker",
            it.id.0.to_string(),
            json(&BrokerJson::new(image, it, *life)),
        ),
        Changed::Closed(life, it) => (
            "broker",
            it.id.0.to_string(),
            json(&BrokerJson::new(image, it, Some(life))),
        ),
        Changed::Controller(it) => (
            "controller",
            it.id.0.to_string(),
            json(&ControllerJson::from(*it)),
        ),
        Changed::Topic(it) => ("topic", it.name().to_owned(), json(&TopicJson::from(*it))),
        Changed::Partition(it) => {
            let key = format!("{}-{}", it.topic_name(), it.index());
            ("partition", key, json(&PartitionJson::from(*it)))
        }
        Changed::Config(resource, config) => (
            "config",
            config_key(resource),
            json(&ConfigJson::new(resource, config)),
        ),
        Changed::Quota(entity, quotas) => (
            "quota",
            quota_key(entity),
            json(&QuotaJson::new(entity, quotas)),
        ),
        Changed::ProducerBlock(it) => (
            "producer_ids",
            it.broker_id.0.to_string(),
            json(&ProducerIdsJson::from(*it)),
        ),
        Changed::Acl(it) => ("acl", id(it.id), json(&AclJson::from(*it))),
        Changed::Credential(it) => (
            "credential",
            credential_key(it),
            json(&CredentialJson::from(*it)),
        ),
        Changed::Token(it) => ("token", token_key(it), json(&TokenJson::from(*it))),
    };
    DeltaJson {
        offset: change.stamp.offset + 1,
        time: change.stamp.time,
        kind,
        key,
        op: "set",
        value,
    }
}

fn gone_delta(stamp: Stamp, gone: &Gone) -> DeltaJson {
    let (kind, key, value) = match gone {
        Gone::Feature(name) => ("feature", name.clone(), Value::Null),
        Gone::Broker { id, .. } => ("broker", id.0.to_string(), Value::Null),
        Gone::Topic { name, .. } => ("topic", name.clone(), Value::Null),
        Gone::Partition { topic, partition } => {
            let key = format!("{topic}-{}", partition.index);
            (
                "partition",
                key,
                json(&PartitionJson::new(topic, partition)),
            )
        }
        Gone::Config(resource) => ("config", config_key(resource), Value::Null),
        Gone::Quota(entity) => ("quota", quota_key(entity), Value::Null),
        Gone::Acl(it) => ("acl", id(it.id), json(&AclJson::from(it))),
        Gone::Credential(it) => (
            "credential",
            credential_key(it),
            json(&CredentialJson::from(it)),
        ),
        Gone::Token(it) => ("token", token_key(it), json(&TokenJson::from(it))),
    };
    DeltaJson {
        offset: stamp.offset + 1,
        time: stamp.time,
        kind,
        key,
        op: "delete",
        value,
    }
}

/// JSON of one of our own structs.
fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("keys are text and no value can fail")
}

fn config_key(resource: &ConfigResource) -> String {
    format!("{}:{}", resource_type(resource.kind), resource.name)
}

fn quota_key(QuotaEntity(parts): &QuotaEntity) -> String {
    let part = |(kind, name): &(String, Option<String>)| {
        format!("{kind}={}", name.as_deref().unwrap_or("<default>"))
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

fn credential_key(it: &UserScramCredentialRecord) -> String {
    format!("{}:{}", mechanism(it.mechanism), it.name)
}

fn token_key(it: &DelegationTokenRecord) -> String {
    it.token_id.clone()
}
