//! The table against the wire crate: whatever it encodes is accepted, in every version of every
//! request; whatever was cut off, inflated or added is refused.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, Message, Request, VersionRange};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;

/// How many random bodies each version of each request is tried with.
const BODIES: u64 = 24;

/// The request encoded again, and how many bytes were left over.
type Recoded = (Bytes, usize);

/// The wire crate's own reader and writer for one request.
struct Codec {
    versions: VersionRange,
    /// Decodes, encodes what came out, and says how many bytes were left over.
    recode: fn(&[u8], i16) -> anyhow::Result<Recoded>,
}

fn codec<R: Request>() -> Codec {
    fn recode<R: Request>(body: &[u8], version: i16) -> anyhow::Result<(Bytes, usize)> {
        let mut body = Bytes::copy_from_slice(body);
        let request = <R as Decodable>::decode(&mut body, version)?;
        let mut encoded = BytesMut::new();
        Encodable::encode(&request, &mut encoded, version)?;
        Ok((encoded.freeze(), body.remaining()))
    }
    Codec {
        versions: <R as Message>::VERSIONS,
        recode: recode::<R>,
    }
}

macro_rules! codecs {
    ($($key:ident $request:ident)*) => {
        fn codec_of(key: ApiKey) -> Codec {
            match key {
                $(ApiKey::$key => codec::<$request>(),)*
                other => panic!("{other:?} has a shape and no codec here"),
            }
        }
    };
}

codecs! {
    Produce ProduceRequest  Fetch FetchRequest  ListOffsets ListOffsetsRequest
    Metadata MetadataRequest  OffsetCommit OffsetCommitRequest  OffsetFetch OffsetFetchRequest
    FindCoordinator FindCoordinatorRequest  JoinGroup JoinGroupRequest  Heartbeat HeartbeatRequest
    LeaveGroup LeaveGroupRequest  SyncGroup SyncGroupRequest  DescribeGroups DescribeGroupsRequest
    ListGroups ListGroupsRequest  SaslHandshake SaslHandshakeRequest
    ApiVersions ApiVersionsRequest  CreateTopics CreateTopicsRequest
    DeleteTopics DeleteTopicsRequest  DeleteRecords DeleteRecordsRequest
    InitProducerId InitProducerIdRequest  OffsetForLeaderEpoch OffsetForLeaderEpochRequest
    AddPartitionsToTxn AddPartitionsToTxnRequest  AddOffsetsToTxn AddOffsetsToTxnRequest
    EndTxn EndTxnRequest  TxnOffsetCommit TxnOffsetCommitRequest  DescribeAcls DescribeAclsRequest
    CreateAcls CreateAclsRequest  DeleteAcls DeleteAclsRequest
    DescribeConfigs DescribeConfigsRequest  AlterConfigs AlterConfigsRequest
    AlterReplicaLogDirs AlterReplicaLogDirsRequest  DescribeLogDirs DescribeLogDirsRequest
    SaslAuthenticate SaslAuthenticateRequest  CreatePartitions CreatePartitionsRequest
    CreateDelegationToken CreateDelegationTokenRequest
    RenewDelegationToken RenewDelegationTokenRequest
    ExpireDelegationToken ExpireDelegationTokenRequest
    DescribeDelegationToken DescribeDelegationTokenRequest  DeleteGroups DeleteGroupsRequest
    ElectLeaders ElectLeadersRequest  IncrementalAlterConfigs IncrementalAlterConfigsRequest
    AlterPartitionReassignments AlterPartitionReassignmentsRequest
    ListPartitionReassignments ListPartitionReassignmentsRequest
    OffsetDelete OffsetDeleteRequest  DescribeClientQuotas DescribeClientQuotasRequest
    AlterClientQuotas AlterClientQuotasRequest
    DescribeUserScramCredentials DescribeUserScramCredentialsRequest
    AlterUserScramCredentials AlterUserScramCredentialsRequest  Vote VoteRequest
    BeginQuorumEpoch BeginQuorumEpochRequest  EndQuorumEpoch EndQuorumEpochRequest
    DescribeQuorum DescribeQuorumRequest  AlterPartition AlterPartitionRequest
    UpdateFeatures UpdateFeaturesRequest  Envelope EnvelopeRequest
    FetchSnapshot FetchSnapshotRequest  DescribeCluster DescribeClusterRequest
    DescribeProducers DescribeProducersRequest  BrokerRegistration BrokerRegistrationRequest
    BrokerHeartbeat BrokerHeartbeatRequest  UnregisterBroker UnregisterBrokerRequest
    DescribeTransactions DescribeTransactionsRequest  ListTransactions ListTransactionsRequest
    AllocateProducerIds AllocateProducerIdsRequest
    ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest
    ConsumerGroupDescribe ConsumerGroupDescribeRequest
    ControllerRegistration ControllerRegistrationRequest
    AssignReplicasToDirs AssignReplicasToDirsRequest
    ListConfigResources ListConfigResourcesRequest
    DescribeTopicPartitions DescribeTopicPartitionsRequest
    ShareGroupHeartbeat ShareGroupHeartbeatRequest  ShareGroupDescribe ShareGroupDescribeRequest
    ShareFetch ShareFetchRequest  ShareAcknowledge ShareAcknowledgeRequest
    DescribeShareGroupOffsets DescribeShareGroupOffsetsRequest
    AlterShareGroupOffsets AlterShareGroupOffsetsRequest
    DeleteShareGroupOffsets DeleteShareGroupOffsetsRequest  AddRaftVoter AddRaftVoterRequest
    RemoveRaftVoter RemoveRaftVoterRequest  UpdateRaftVoter UpdateRaftVoterRequest
}

/// Writes a random body by the table, and remembers where its lengths and counts stand.
struct Writer {
    rng: SmallRng,
    version: i16,
    flexible: bool,
    body: Vec<u8>,
    /// Place and bytes taken of every length.
    lengths: Vec<(usize, usize)>,
}

impl Writer {
    fn random(shape: &Shape, version: i16, seed: u64) -> Self {
        let flexible = version >= shape.flexible_since;
        let rng = SmallRng::seed_from_u64(seed);
        let mut writer = Self {
            rng,
            version,
            flexible,
            body: Vec::new(),
            lengths: Vec::new(),
        };
        writer.fields(shape.fields);
        writer
    }

    fn fields(&mut self, fields: &'static [Field]) {
        let here: Vec<_> = fields
            .iter()
            .filter(|field| field.is_in(self.version))
            .collect();
        here.iter()
            .filter(|field| field.tag.is_none())
            .for_each(|field| self.field(field));
        if !self.flexible {
            return;
        }
        let mut tagged: Vec<_> = here.iter().filter(|field| field.tag.is_some()).collect();
        tagged.retain(|_| self.rng.random());
        let unknown = self.rng.random_range(0..2);
        self.varint(tagged.len() as u32 + unknown);
        for field in tagged {
            self.varint(field.tag.unwrap());
            let mut inner = Self {
                rng: SmallRng::seed_from_u64(self.rng.random()),
                body: Vec::new(),
                lengths: Vec::new(),
                ..*self
            };
            inner.field(field);
            self.varint(inner.body.len() as u32);
            self.body.extend(inner.body);
        }
        for _ in 0..unknown {
            self.varint(77);
            self.bytes(5, 4, false);
        }
    }

    fn field(&mut self, field: &Field) {
        let null = field.may_be_null(self.version) && self.rng.random_ratio(1, 4);
        match field.kind {
            Kind::Fixed(width) => self.fixed(width),
            Kind::String if null => self.length(None, 2),
            Kind::String => self.string(),
            Kind::Bytes if null => self.length(None, 4),
            Kind::Bytes => self.bytes(9, 4, true),
            Kind::Struct(fields) => {
                if field.may_be_null(self.version) {
                    self.body.push(if null { 0xff } else { 1 });
                }
                if !null {
                    self.fields(fields);
                }
            }
            Kind::Array(_) if null => self.length(None, 4),
            Kind::Array(item) => {
                let count = self.rng.random_range(0..4);
                self.length(Some(count), 4);
                for _ in 0..count {
                    match item {
                        Item::Fixed(width) => self.fixed(width),
                        Item::String => self.string(),
                        Item::Struct(fields) => self.fields(fields),
                    }
                }
            }
        }
    }

    fn fixed(&mut self, width: usize) {
        // Small numbers, so that a bool is 0 or 1 and comes back as it went.
        let start = self.body.len();
        self.body.resize(start + width, 0);
        *self.body.last_mut().unwrap() = self.rng.random_range(0..2);
    }

    fn string(&mut self) {
        let length = self.rng.random_range(0..12);
        self.length(Some(length), 2);
        self.body.extend(std::iter::repeat_n(b's', length));
    }

    fn bytes(&mut self, most: usize, width: usize, prefixed_like_a_field: bool) {
        let length = self.rng.random_range(0..most);
        match prefixed_like_a_field {
            true => self.length(Some(length), width),
            false => self.varint(length as u32),
        }
        self.body.extend(std::iter::repeat_n(7, length));
    }

    fn length(&mut self, length: Option<usize>, width: usize) {
        let start = self.body.len();
        match (self.flexible, width) {
            (true, _) => self.varint(length.map_or(0, |length| length as u32 + 1)),
            (false, 2) => self
                .body
                .extend(length.map_or(-1, |n| n as i16).to_be_bytes()),
            (false, _) => self
                .body
                .extend(length.map_or(-1, |n| n as i32).to_be_bytes()),
        }
        self.lengths.push((start, self.body.len() - start));
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.body.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.body.push(value as u8);
    }
}

/// Calls `check` with every request, version and some random bodies.
fn for_all(check: impl Fn(&Shape, i16, Writer, &Codec)) {
    for shape in SHAPES {
        let codec = codec_of(shape.key);
        for version in codec.versions.min..=codec.versions.max {
            for seed in 0..BODIES {
                check(shape, version, Writer::random(shape, version, seed), &codec);
            }
        }
    }
}

#[test]
fn the_table_is_in_order_and_agrees_about_flexible_versions() {
    assert!(SHAPES.is_sorted_by_key(|shape| shape.key as i16));
    for shape in SHAPES {
        let versions = shape.key.valid_versions();
        for version in versions.min..=versions.max {
            let flexible = shape.key.request_header_version(version) == 2;
            assert_eq!(
                version >= shape.flexible_since,
                flexible,
                "{:?} {version}",
                shape.key
            );
        }
    }
}

#[test]
fn every_row_of_the_api_table_has_a_shape() {
    for row in crate::api::TABLE {
        assert!(
            find(row.key).is_some(),
            "{:?} is answered and has no shape",
            row.key
        );
    }
}

#[test]
fn what_the_crate_encodes_is_accepted_to_the_last_byte() {
    for_all(|shape, version, random, codec| {
        let about = || format!("{:?} {version}: {:02x?}", shape.key, random.body);
        walk(shape.key, version, &random.body).unwrap_or_else(|e| panic!("{e}: {}", about()));
        let (encoded, left) = (codec.recode)(&random.body, version)
            .unwrap_or_else(|e| panic!("the crate cannot read it: {e}: {}", about()));
        assert_eq!(left, 0, "the crate stopped early: {}", about());
        walk(shape.key, version, &encoded).unwrap_or_else(|e| panic!("{e}: {}", about()));
        let (again, _) = (codec.recode)(&encoded, version).unwrap();
        assert_eq!(again, encoded, "{}", about());
    });
}

#[test]
fn what_is_cut_off_is_refused_and_what_is_added_is_ignored() {
    for_all(|shape, version, random, codec| {
        let (encoded, _) = (codec.recode)(&random.body, version).unwrap();
        for end in 0..encoded.len() {
            let cut = &encoded[..end];
            assert!(
                walk(shape.key, version, cut).is_err(),
                "{:?} {version} {cut:x?}",
                shape.key
            );
        }
        let longer = [&encoded[..], &[0]].concat();
        assert_eq!(
            walk(shape.key, version, &longer),
            walk(shape.key, version, &encoded)
        );
    });
}

#[test]
fn lengths_that_claim_too_much_are_refused() {
    const COMPACT: [&[u8]; 4] = [
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x80, 0x80, 0x80, 0x80, 0x10],
        &[0xff, 0xff, 0x03],
    ];
    const FOUR: [&[u8]; 3] = [&[0x7f, 0xff, 0xff, 0xff], &[0x80, 0, 0, 0], &[0, 1, 0, 0]];
    const TWO: [&[u8]; 2] = [&[0x7f, 0xff], &[0x80, 0]];
    for_all(|shape, version, random, _| {
        for (start, width) in &random.lengths {
            let claims: &[&[u8]] = match (random.flexible, width) {
                (true, _) => &COMPACT,
                (false, 2) => &TWO,
                (false, _) => &FOUR,
            };
            for claim in claims {
                let (head, tail) = (&random.body[..*start], &random.body[start + width..]);
                let body = [head, claim, tail].concat();
                let refused = walk(shape.key, version, &body);
                assert!(refused.is_err(), "{:?} {version} {body:x?}", shape.key);
            }
        }
    });
}

/// If the walk let a false count through, the crate would reserve gigabytes here and abort.
#[test]
fn whatever_is_accepted_can_be_decoded_safely() {
    let mut accepted = 0;
    for_all(|shape, version, mut random, codec| {
        for _ in 0..8 {
            let mut body = random.body.clone();
            for _ in 0..random.rng.random_range(1..4) {
                let Some(place) = (0..body.len())
                    .collect::<Vec<_>>()
                    .choose(&mut random.rng)
                    .copied()
                else {
                    continue;
                };
                body[place] = *[0, 1, 2, 3, 0x7f, 0x80, 0xff]
                    .choose(&mut random.rng)
                    .unwrap();
            }
            if let Ok((decoded, end)) = walk_to_end(shape.key, version, &body) {
                // Every byte can at most be an unknown tag's; three make one.
                assert!(
                    decoded <= STRUCT_BYTES + body.len() * STRUCT_BYTES,
                    "{body:x?}"
                );
                // The decoder never goes where the walk has not been.
                if let Ok((_, left)) = (codec.recode)(&body, version) {
                    assert_eq!(body.len() - left, end, "{:?} {version}", shape.key);
                }
            }
        }
    });
    let garbage = (0..200_000).map(SmallRng::seed_from_u64);
    for mut rng in garbage {
        let shape = SHAPES.choose(&mut rng).unwrap();
        let codec = codec_of(shape.key);
        let version = rng.random_range(codec.versions.min..=codec.versions.max);
        let body: Vec<u8> = (0..rng.random_range(0..24))
            .map(|_| rng.random::<u8>() >> 3)
            .collect();
        if walk(shape.key, version, &body).is_ok() {
            accepted += 1;
            let _ = (codec.recode)(&body, version);
        }
    }
    assert!(
        accepted > 100,
        "garbage hardly ever passes ({accepted}): this test shows nothing"
    );
}

#[test]
fn refusals_name_the_field_and_the_place() {
    let check = |key, version, body: &[u8], field, offset, what| {
        assert_eq!(
            walk(key, version, body),
            Err(Malformed {
                field,
                offset,
                what
            })
        );
    };
    let five = [0x7f, 0xff, 0xff, 0xff, 0];
    check(ApiKey::Metadata, 1, &five, "topics", 4, Wrong::TooShort);
    check(ApiKey::Metadata, 0, &[0xff; 4], "topics", 4, Wrong::Null);
    check(
        ApiKey::CreateTopics,
        2,
        &[0xff, 0xff, 0xff, 0xfe],
        "topics",
        4,
        Wrong::NegativeLength,
    );
    check(
        ApiKey::ApiVersions,
        3,
        &[0xff; 6],
        "client_software_name",
        5,
        Wrong::BadVarint,
    );
    // offline_log_dirs is tag 0 from version 1 on.
    let tag = [&[0; 22][..], &[1, 0, 1, 1]].concat();
    check(
        ApiKey::BrokerHeartbeat,
        0,
        &tag,
        "offline_log_dirs",
        25,
        Wrong::Tag,
    );
    assert!(walk(ApiKey::BrokerHeartbeat, 1, &tag).is_ok());
    let long_tag = [&[0; 22][..], &[1, 0, 2, 1, 0]].concat();
    check(
        ApiKey::BrokerHeartbeat,
        1,
        &long_tag,
        "offline_log_dirs",
        26,
        Wrong::TagLength,
    );
    check(
        ApiKey::WriteTxnMarkers,
        1,
        &[],
        "request",
        0,
        Wrong::UnknownApi,
    );
}

#[test]
fn a_heartbeat_beyond_the_crate_is_one_it_can_read() {
    // Version 2 with cordoned_log_dirs = [] (tag 1), which version 1 keeps as an unknown tag.
    let body = [&[0; 22][..], &[1, 1, 1, 1]].concat();
    assert!(walk(ApiKey::BrokerHeartbeat, 2, &body).is_ok());
    let mut bytes = Bytes::from(body);
    let read = BrokerHeartbeatRequest::decode(&mut bytes, 1).unwrap();
    assert!(bytes.is_empty());
    assert_eq!(
        read.unknown_tagged_fields.get(&1),
        Some(&Bytes::from_static(&[1]))
    );
}
