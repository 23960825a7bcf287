//! The original YAKt endpoints. Programs written for them go on working: names, envelopes and
//! statuses are the original's, what is behind them is the replicated metadata.
//!
//! A record comes as `{"name": …, "fields": {…}}`; the README's names of two records are taken
//! beside the routes' own. Ids are Kafka's base64 text; the usual form with hyphens is read, too.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Doors;
use super::input::{Fields, Object, required};
use super::json::{self, PROTOCOLS};
use super::records::{self, RecordJson};
use super::reply::{Problem, Reply};
use super::serve::Peer;
use crate::api::original::{
    Change, ChangeBroker, CreatePartition, CreateTopic, Done, MoveReplicas, RegisterBroker, Status,
};
use crate::feed::Published;
use crate::ids::{Uuid, parse_base64};
use crate::image::{BrokerStatus, Image};
use crate::refusal;
use crate::rules::{Caller, View, nodes};

pub(super) const REGISTER_BROKER: &str = r#"{"type": "metadata", "name": "RegisterBrokerRecord", "fields":
    {"brokerId": 0, "brokerHost": "127.0.0.1", "brokerPort": "9092", "securityProtocol": "PLAINTEXT",
    "rackId": "", "brokerStatus": "ALIVE"}}"#;
pub(super) const CREATE_TOPIC: &str =
    r#"{"type": "metadata", "name": "TopicRecord", "fields": {"name": "Likes"}}"#;
pub(super) const CREATE_PARTITION: &str = r#"{"type": "metadata", "name": "PartitionRecord", "fields":
    {"partitionId": 0, "topicUUID": "j4i0V3LuRY2p8FRCoUra5Q", "replicas": [0, 1], "ISR": [0, 1],
    "leader": 0}}"#;
pub(super) const ADD_REPLICA: &str = r#"{"type": "metadata", "name": "PartitionRecord", "fields":
    {"partitionId": 0, "topicUUID": "j4i0V3LuRY2p8FRCoUra5Q", "addingReplicas": 2}}"#;
pub(super) const REMOVE_REPLICA: &str = r#"{"type": "metadata", "name": "PartitionRecord", "fields":
    {"partitionId": 0, "topicUUID": "j4i0V3LuRY2p8FRCoUra5Q", "removingReplicas": [1]}}"#;
pub(super) const RECORD_PRODUCER: &str = r#"{"type": "metadata", "name": "ProducerIdsRecord", "fields":
    {"brokerId": "L8yzvSMmSgCYTYFrEhJw8w"}}"#;
pub(super) const CHANGE_BROKER: &str = r#"{"type": "metadata", "name": "RegistrationChangeBrokerRecord",
    "fields": {"brokerId": "L8yzvSMmSgCYTYFrEhJw8w", "brokerHost": "127.0.0.1", "brokerPort": "9093",
    "securityProtocol": "PLAINTEXT", "brokerStatus": "FENCED"}}"#;

/// This node.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeInfo {
    /// Node id.
    nid: i32,
    /// Host of its advertised Kafka listener.
    ip: String,
    /// Port of its advertised Kafka listener.
    port: u16,
    /// leader, follower, candidate or learner.
    role: &'static str,
    /// Node id of the leader.
    leader: Option<i32>,
    /// The newest term it knows.
    term: i32,
}

/// `GET get_node_info`.
pub(super) async fn node_info(State(doors): State<Doors>) -> Reply<NodeInfo> {
    let now = doors.now();
    let quorum = &now.quorum;
    let caller = Caller {
        listener: String::new(),
        ..Caller::internal()
    };
    let view = View {
        image: &now.image,
        quorum,
        caller: &caller,
        settings: &doors.settings,
        version: 0,
    };
    let bound = doors.settings.controller_endpoint();
    let (ip, port) = nodes::own_address(&view).unwrap_or_else(|| (bound.host.clone(), bound.port));
    let info = NodeInfo {
        nid: quorum.node_id,
        ip,
        port,
        role: role(&now),
        leader: quorum.leader.map(|leader| leader.0),
        term: quorum.epoch,
    };
    Reply::at_end(&now.image, info)
}

/// What this node is in its quorum.
pub(super) fn role(now: &Published) -> &'static str {
    let quorum = &now.quorum;
    let votes = quorum
        .voters
        .iter()
        .any(|voter| voter.id.0 == quorum.node_id);
    match quorum.leader {
        Some(leader) if leader.0 == quorum.node_id => "leader",
        _ if !votes => "learner",
        Some(_) => "follower",
        None => "candidate",
    }
}

/// A broker that was registered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registered {
    /// Incarnation id.
    #[serde(rename = "internalUUID")]
    internal_uuid: String,
    /// Broker id.
    broker_id: i32,
}

/// `POST register_broker`.
pub(super) async fn register_broker(
    State(doors): State<Doors>,
    peer: Option<Extension<Peer>>,
    Object(body): Object,
) -> Result<Reply<Registered>, Problem> {
    let fields = body.of_record(&["RegisterBrokerRecord"])?;
    let request = RegisterBroker {
        broker_id: required("brokerId", fields.number("brokerId")?)?,
        host: fields.text("brokerHost")?,
        port: fields.number("brokerPort")?,
        security_protocol: security_protocol(&fields)?.unwrap_or(0),
        rack: fields.text("rackId")?,
        fenced: match status(&fields)? {
            None | Some(Status::Alive) => false,
            Some(Status::Fenced) => true,
            Some(Status::Closed) => return Err(Problem::bad("A new broker cannot be CLOSED.")),
        },
    };
    let (done, now) = write(&doors, peer, Change::RegisterBroker(request)).await?;
    let Done::Broker {
        incarnation_id,
        broker_id,
    } = done
    else {
        return Err(unexpected());
    };
    let answer = Registered {
        internal_uuid: json::id(incarnation_id),
        broker_id,
    };
    Ok(Reply::at_end(&now.image, answer))
}

/// The brokers that are ALIVE.
#[derive(Serialize, ToSchema)]
pub(super) struct ActiveBrokers {
    /// Their incarnation ids, in the order of broker ids.
    active_brokers_ids: Vec<String>,
}

/// `GET get_active_brokers`.
pub(super) async fn active_brokers(State(doors): State<Doors>) -> Reply<ActiveBrokers> {
    let now = doors.now();
    let live = now.image.brokers().filter(|broker| !broker.fenced);
    let ids = live.map(|broker| json::id(broker.incarnation_id)).collect();
    Reply::at_end(
        &now.image,
        ActiveBrokers {
            active_brokers_ids: ids,
        },
    )
}

/// `POST get_broker_by_id`.
pub(super) async fn broker_by_id(
    State(doors): State<Doors>,
    Object(body): Object,
) -> Result<Reply<RecordJson>, Problem> {
    let id = required_id(&body, "internalUUID")?;
    let now = doors.now();
    let record = broker_record(&now.image, id)?;
    Ok(Reply::at_end(&now.image, record))
}

fn broker_record(image: &Image, id: Uuid) -> Result<RecordJson, Problem> {
    let found = image
        .incarnation(id)
        .and_then(|life| Some((life, image.broker_of(life)?)));
    let (life, broker) = found.ok_or_else(|| Problem::from(refusal::no_incarnation(id)))?;
    Ok(records::broker(image, broker, life))
}

/// A topic that was created.
#[derive(Serialize, ToSchema)]
pub(super) struct TopicCreated {
    /// Its name.
    topic_name: String,
    /// Its id.
    #[serde(rename = "topicUUID")]
    topic_uuid: String,
}

/// `POST create_topic`.
pub(super) async fn create_topic(
    State(doors): State<Doors>,
    peer: Option<Extension<Peer>>,
    Object(body): Object,
) -> Result<Reply<TopicCreated>, Problem> {
    let fields = body.of_record(&["TopicRecord"])?;
    let name = required("name", fields.text("name")?)?;
    let request = CreateTopic { name: name.clone() };
    let (done, now) = write(&doors, peer, Change::CreateTopic(request)).await?;
    let Done::Topic { topic_id } = done else {
        return Err(unexpected());
    };
    let answer = TopicCreated {
        topic_name: name,
        topic_uuid: json::id(topic_id),
    };
    Ok(Reply::at_end(&now.image, answer))
}

/// `POST get_topic_by_name`.
pub(super) async fn topic_by_name(
    State(doors): State<Doors>,
    Object(body): Object,
) -> Result<Reply<RecordJson>, Problem> {
    let name = required("topic_name", body.text("topic_name")?)?;
    let now = doors.now();
    let topic = now.image.topic_by_name(&name);
    let topic = topic.ok_or_else(|| Problem::not_found(format!("There is no topic {name}.")))?;
    Ok(Reply::at_end(&now.image, records::topic(topic)))
}

/// A partition that was created or changed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartitionChanged {
    /// Its index.
    partition_id: i32,
}

/// `POST create_partition`.
pub(super) async fn create_partition(
    State(doors): State<Doors>,
    peer: Option<Extension<Peer>>,
    Object(body): Object,
) -> Result<Reply<PartitionChanged>, Problem> {
    let fields = body.of_record(&["PartitionRecord"])?;
    let request = CreatePartition {
        topic_id: topic_id(&fields)?.ok_or_else(|| Problem::bad("topicUUID is missing."))?,
        index: required("partitionId", fields.number("partitionId")?)?,
        replicas: fields.numbers("replicas")?,
        isr: fields.numbers("ISR")?,
        leader: fields.number("leader")?,
    };
    partition_changed(&doors, peer, Change::CreatePartition(request)).await
}

/// `POST add_replica`.
pub(super) async fn add_replica(
    State(doors): State<Doors>,
    peer: Option<Extension<Peer>>,
    Object(body): Object,
) -> Result<Reply<PartitionChanged>, Problem> {
    let fields = body.of_record(&["PartitionRecord"])?;
    let adding = fields.numbers("addingReplicas")?;
    move_replicas(&doors, peer, &fields, adding, Vec::new()).await
}

/// `POST remove_replica`.
pub(super) async fn remove_replica(
    State(doors): State<Doors>,
    peer: Option<Extension<Peer>>,
    Object(body): Object,
) -> Result<Reply<PartitionChanged>, Problem> {
    let fields = body.of_record(&["PartitionRecord"])?;
    let removing = fields.numbers("removingReplicas")?;
    move_replicas(&doors, peer, &fields, Vec::new(), removing).await
}

async fn move_replicas(
    doors: &Doors,
    peer: Option<Extension<Peer>>,
    fields: &Fields,
    adding: Vec<i32>,
    removing: Vec<i32>,
) -> Result<Reply<PartitionChanged>, Problem> {
    let request = MoveReplicas {
        topic_id: topic_id(fields)?,
        index: required("partitionId", fields.number("partitionId")?)?,
        adding,
        removing,
    };
    partition_changed(doors, peer, Change::MoveReplicas(request)).await
}

async fn partition_changed(
    doors: &Doors,
    peer: Option<Extension<Peer>>,
    change: Change,
) -> Result<Reply<PartitionChanged>, Problem> {
    let (done, now) = write(doors, peer, change).await?;
    let Done::Partition { index } = done else {
        return Err(unexpected());
    };
    Ok(Reply::at_end(
        &now.image,
        PartitionChanged {
            partition_id: index,
        },
    ))
}

/// A block of producer ids that was given.
#[derive(Serialize, ToSchema)]
pub(super) struct ProducerRecorded {
    /// Its first id.
    #[serde(rename = "producerId")]
    producer_id: i64,
    /// The broker's incarnation id, in the original's spelling.
    #[serde(rename = "brokerUUId")]
    broker_uuid: String,
}

/// `POST record_producer`.
pub(super) async fn record_producer(
    State(doors): State<Doors>,
    peer: Option<Extension<Peer>>,
    Object(body): Object,
) -> Result<Reply<ProducerRecorded>, Problem> {
    let fields = body.of_record(&["ProducerIdsRecord", "ProducerIDsRecord"])?;
    let incarnation_id = required_id(&fields, "brokerId")?;
    let now = doors.now();
    let life = now.image.incarnation(incarnation_id);
    if life.is_some_and(|life| now.image.status(life) == BrokerStatus::Closed) {
        let text = "The broker is CLOSED: producers cannot be registered with it.";
        return Err(Problem::new(StatusCode::FORBIDDEN, text));
    }
    let (done, now) = write(&doors, peer, Change::AllocateProducerIds { incarnation_id }).await?;
    let Done::ProducerIds { first } = done else {
        return Err(unexpected());
    };
    let answer = ProducerRecorded {
        producer_id: first,
        broker_uuid: json::id(incarnation_id),
    };
    Ok(Reply::at_end(&now.image, answer))
}

/// `POST register_broker_change`.
pub(super) async fn register_broker_change(
    State(doors): State<Doors>,
    peer: Option<Extension<Peer>>,
    Object(body): Object,
) -> Result<Reply<RecordJson>, Problem> {
    let names = [
        "RegistrationChangeBrokerRecord",
        "BrokerRegistrationChangeBrokerRecord",
    ];
    let fields = body.of_record(&names)?;
    let request = ChangeBroker {
        incarnation_id: required_id(&fields, "brokerId")?,
        host: fields.text("brokerHost")?,
        port: fields.number("brokerPort")?,
        security_protocol: security_protocol(&fields)?,
        status: status(&fields)?,
    };
    let (done, now) = write(&doors, peer, Change::ChangeBroker(request)).await?;
    let Done::Broker { incarnation_id, .. } = done else {
        return Err(unexpected());
    };
    Ok(Reply::at_end(
        &now.image,
        broker_record(&now.image, incarnation_id)?,
    ))
}

/// A sentence for people.
#[derive(Serialize, ToSchema)]
pub(super) struct Message {
    /// The sentence.
    message: String,
}

/// `DELETE unregister_broker`.
pub(super) async fn unregister_broker(
    State(doors): State<Doors>,
    peer: Option<Extension<Peer>>,
    Object(body): Object,
) -> Result<Reply<Message>, Problem> {
    let incarnation_id = required_id(&body, "brokerId")?;
    let (_, now) = write(&doors, peer, Change::UnregisterBroker { incarnation_id }).await?;
    let id = json::id(incarnation_id);
    let message = format!("Broker with ID {id} has been marked as CLOSED.");
    Ok(Reply::at_end(&now.image, Message { message }))
}

/// Writes, unless `yakt.http.writes` is off.
pub(super) async fn write(
    doors: &Doors,
    peer: Option<Extension<Peer>>,
    change: Change,
) -> Result<(Done, std::sync::Arc<Published>), Problem> {
    check_writes(doors)?;
    let host = peer.map_or_else(String::new, |Extension(Peer(address))| {
        address.ip().to_string()
    });
    Ok(doors.write(change, &host).await?)
}

/// 403 where `yakt.http.writes` is off.
pub(super) fn check_writes(doors: &Doors) -> Result<(), Problem> {
    if doors.settings.yakt_http_writes {
        return Ok(());
    }
    let text = "This node takes no writes over HTTP: yakt.http.writes is false.";
    Err(Problem::new(StatusCode::FORBIDDEN, text))
}

/// The controller answered another question, which only a fault can bring about.
fn unexpected() -> Problem {
    Problem::from(refusal::internal())
}

fn security_protocol(fields: &Fields) -> Result<Option<i16>, Problem> {
    let Some(name) = fields.text("securityProtocol")? else {
        return Ok(None);
    };
    let number = PROTOCOLS
        .iter()
        .position(|known| known.eq_ignore_ascii_case(&name));
    match number {
        Some(number) => Ok(Some(number as i16)),
        None => Err(Problem::bad(format!(
            "securityProtocol must be {}.",
            PROTOCOLS.join(", ")
        ))),
    }
}

/// INIT is what a broker is before its first heartbeat: fenced. UNFENCED is ALIVE.
fn status(fields: &Fields) -> Result<Option<Status>, Problem> {
    let Some(name) = fields.text("brokerStatus")? else {
        return Ok(None);
    };
    match name.to_ascii_uppercase().as_str() {
        "INIT" | "FENCED" => Ok(Some(Status::Fenced)),
        "UNFENCED" | "ALIVE" => Ok(Some(Status::Alive)),
        "CLOSED" => Ok(Some(Status::Closed)),
        _ => Err(Problem::bad(
            "brokerStatus must be INIT, FENCED, UNFENCED, ALIVE or CLOSED.",
        )),
    }
}

/// An id that must be there. One that cannot be an id names nothing, which is 404 like any other.
fn required_id(fields: &Fields, name: &str) -> Result<Uuid, Problem> {
    let text = required(name, fields.text(name)?)?;
    parse_id(&text).ok_or_else(|| Problem::not_found(format!("No broker has the id {text}.")))
}

fn topic_id(fields: &Fields) -> Result<Option<Uuid>, Problem> {
    let Some(text) = fields.text("topicUUID")? else {
        return Ok(None);
    };
    let id = parse_id(&text);
    id.map(Some)
        .ok_or_else(|| Problem::not_found(format!("No topic has the id {text}.")))
}

fn parse_id(text: &str) -> Option<Uuid> {
    parse_base64(text).or_else(|| Uuid::parse_str(text).ok())
}
