//! Envelope: a broker passes on a request of its client, with the principal it authenticated.
//!
//! The inner request is dispatched like any other, but as its own caller. Its errors travel inside
//! the answer; only NOT_CONTROLLER is said on the envelope, where the broker hears it and looks for
//! the leader. Mirrors `EnvelopeUtils` and `ControllerApis.handleEnvelopeRequest`, 4.3.1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, DefaultPrincipalData, EnvelopeRequest, EnvelopeResponse};
use kafka_protocol::protocol::{Decodable, Encodable};

use crate::metrics::Closed;
use crate::rules::Caller;

use super::doors::Call;
use super::frame::{Head, ReplyTo};
use super::turn::Outcome;

/// The inner request cannot be read: unknown API, version or body.
pub const UNSUPPORTED: ResponseError = ResponseError::UnsupportedVersion;

/// What brokers pass on for clients (`ApiKeys.forwardable`, 4.3.1).
const FORWARDABLE: [ApiKey; 21] = [
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::CreateAcls,
    ApiKey::DeleteAcls,
    ApiKey::AlterConfigs,
    ApiKey::CreatePartitions,
    ApiKey::CreateDelegationToken,
    ApiKey::RenewDelegationToken,
    ApiKey::ExpireDelegationToken,
    ApiKey::ElectLeaders,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments,
    ApiKey::AlterClientQuotas,
    ApiKey::AlterUserScramCredentials,
    ApiKey::DescribeQuorum,
    ApiKey::UpdateFeatures,
    ApiKey::UnregisterBroker,
    ApiKey::AllocateProducerIds,
    ApiKey::AddRaftVoter,
    ApiKey::RemoveRaftVoter,
];

/// An envelope's content.
pub struct Inner {
    /// The inner request's API.
    pub api: ApiKey,
    /// Its version.
    pub version: i16,
    /// Its body, not checked yet.
    pub body: Bytes,
    /// How it is answered.
    pub reply_to: ReplyTo,
    caller: Arc<Caller>,
}

impl Inner {
    /// The inner request, to be dispatched.
    pub fn into_call(self) -> Call {
        let Self {
            api,
            version,
            body,
            caller,
            ..
        } = self;
        Call {
            api,
            version,
            body,
            caller,
        }
    }
}

/// Opens an envelope whose shape has been walked. Checks in Kafka's order: principal, address,
/// header, API.
pub fn open(call: &Call) -> Result<Inner, ResponseError> {
    let mut body = call.body.clone();
    let envelope = EnvelopeRequest::decode(&mut body, call.version).map_err(|_| UNSUPPORTED)?;
    let principal = principal(envelope.request_principal)?;
    let host = address(&envelope.client_host_address)?;
    let mut body = envelope.request_data;
    let head = Head::take(&mut body).map_err(|_| UNSUPPORTED)?;
    let api = ApiKey::try_from(head.key).map_err(|()| UNSUPPORTED)?;
    if !FORWARDABLE.contains(&api) {
        return Err(ResponseError::InvalidRequest);
    }
    let caller = Caller {
        principal,
        host: host.to_string(),
        client_id: head.client_id.as_ref().map(|id| id.as_str().to_owned()),
        forwarded: true,
        ..call.caller.as_ref().clone()
    };
    let reply_to = ReplyTo::request(&head, api);
    Ok(Inner {
        api,
        version: head.version,
        body,
        reply_to,
        caller: Arc::new(caller),
    })
}

/// Reads what `DefaultKafkaPrincipalBuilder.serialize` wrote: a version and the struct.
fn principal(bytes: Option<Bytes>) -> Result<String, ResponseError> {
    let unreadable = ResponseError::PrincipalDeserializationFailure;
    let mut bytes = bytes.ok_or(unreadable)?;
    let version = bytes.try_get_i16().map_err(|_| unreadable)?;
    let data = DefaultPrincipalData::decode(&mut bytes, version).map_err(|_| unreadable)?;
    Ok(format!("{}:{}", data._type.as_str(), data.name.as_str()))
}

fn address(bytes: &[u8]) -> Result<IpAddr, ResponseError> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(four).into());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).map_err(|_| ResponseError::InvalidRequest)?;
    Ok(Ipv6Addr::from(sixteen).into())
}

/// The answer to an envelope that cannot be opened or must go elsewhere.
pub fn refused(code: ResponseError) -> EnvelopeResponse {
    EnvelopeResponse::default().with_error_code(code.code())
}

/// Appends the envelope's answer around the inner one.
pub fn put(
    inner: ReplyTo,
    outcome: &Outcome,
    version: i16,
    out: &mut BytesMut,
) -> anyhow::Result<()> {
    let refusal = match outcome {
        Outcome::Refused(refusal, _) if refusal.code == ResponseError::NotController => {
            Some(ResponseError::NotController)
        }
        Outcome::NotLeader(_) => Some(ResponseError::NotController),
        Outcome::Close(Closed::Malformed) => Some(UNSUPPORTED),
        Outcome::Close(Closed::Failed) => Some(ResponseError::UnknownServerError),
        _ => None,
    };
    if let Some(code) = refusal {
        return refused(code).encode(out, 0);
    }
    let mut response = BytesMut::new();
    inner.put(&mut response);
    outcome.put(version, &mut response)?;
    EnvelopeResponse::default()
        .with_response_data(Some(response.freeze()))
        .encode(out, 0)
}
