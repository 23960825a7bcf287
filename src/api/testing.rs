//! What the tests of APIs share: a world to read from, how a scene is asked, and a check that the
//! answer can be encoded.

use std::sync::Arc;

use kafka_protocol::protocol::{Decodable, Encodable, Message};

use crate::api::{Read, Write};
use crate::ids::{BrokerId, Endpoint, QuorumView, Uuid, Voter};
use crate::image::Image;
use crate::records::{
    BrokerEndpoint, BrokerRegistrationChangeRecord, PartitionRecord, Record, RegisterBrokerRecord,
    TopicRecord,
};
use crate::refusal::Refusal;
use crate::rules::scene::Scene;
use crate::rules::{Caller, Decision, View};
use crate::settings::Settings;

/// Everything that a read looks at: an empty image in a quorum of one, asked on `CONTROLLER`.
pub(crate) struct World {
    pub(crate) image: Image,
    pub(crate) quorum: QuorumView,
    pub(crate) caller: Caller,
    pub(crate) settings: Settings,
}

impl Default for World {
    fn default() -> Self {
        Self {
            image: Image::default(),
            quorum: QuorumView::default(),
            caller: Caller::internal(),
            settings: Settings::default(),
        }
    }
}

impl World {
    /// A world in which node 3000 leads, and these records were written.
    pub(crate) fn of(records: Vec<Record>) -> Self {
        let mut world = Self::default();
        world.lead(3000, "127.0.0.1");
        world.write(records);
        world
    }

    /// Lets a node of this id lead; the world's own has 3000.
    pub(crate) fn lead(&mut self, id: i32, host: &str) {
        let endpoint = Endpoint {
            name: "CONTROLLER".into(),
            host: host.into(),
            port: 9093,
        };
        let voter = |id, endpoint| Voter {
            id: BrokerId(id),
            directory_id: Uuid::from_u128(id as u128),
            endpoints: vec![endpoint],
        };
        self.quorum = QuorumView {
            node_id: BrokerId(3000).0,
            epoch: 4,
            leader: Some(BrokerId(id)),
            active: id == 3000,
            voters: Arc::new(vec![voter(id, endpoint)]),
            ..QuorumView::default()
        };
    }

    pub(crate) fn write(&mut self, records: Vec<Record>) {
        let base = self.image.end_offset();
        self.image
            .apply_records(base, 1, 1000 + base, &records, &[])
            .expect("the records fit");
    }

    /// The answer as a client of this version decodes it.
    pub(crate) fn answer<R: Read>(&self, request: &R, version: i16) -> R::Response {
        let Self {
            image,
            quorum,
            caller,
            settings,
        } = self;
        let response = request.answer(&View {
            image,
            quorum,
            caller,
            settings,
            version,
        });
        let mut bytes = bytes::BytesMut::new();
        response
            .encode(&mut bytes, version)
            .expect("the answer can be said in this version");
        R::Response::decode(&mut bytes.freeze(), version).expect("and read by a client")
    }
}

/// The answer in an empty world.
pub(crate) fn answer<R: Read>(request: &R, version: i16) -> R::Response {
    World::default().answer(request, version)
}

/// An unfenced broker with one PLAINTEXT endpoint `host<id>:9092` and one directory.
pub(crate) fn broker(id: i32) -> Record {
    RegisterBrokerRecord {
        fenced: false,
        ..registration(id, &[("PLAINTEXT", 0)])
    }
    .into()
}

/// A fenced broker with endpoints of these names and security protocols at ports from 9092 on.
pub(crate) fn registration(id: i32, end_points: &[(&str, i16)]) -> RegisterBrokerRecord {
    let end_point = |(port, (name, security_protocol)): (u16, &(&str, i16))| BrokerEndpoint {
        name: (*name).to_owned(),
        host: format!("host{id}"),
        port,
        security_protocol: *security_protocol,
    };
    RegisterBrokerRecord {
        broker_id: BrokerId(id),
        incarnation_id: Uuid::from_u128(1000 + id as u128),
        broker_epoch: i64::from(id),
        end_points: (9092..).zip(end_points).map(end_point).collect(),
        rack: Some(format!("r{id}")),
        fenced: true,
        log_dirs: vec![directory(id)],
        ..RegisterBrokerRecord::default()
    }
}

/// The one directory of [`broker`]s.
pub(crate) fn directory(id: i32) -> Uuid {
    Uuid::from_u128(2000 + id as u128)
}

pub(crate) fn fence(id: i32) -> Record {
    BrokerRegistrationChangeRecord {
        broker_id: BrokerId(id),
        broker_epoch: i64::from(id),
        fenced: 1,
        ..BrokerRegistrationChangeRecord::default()
    }
    .into()
}

/// A topic whose id is `id`.
pub(crate) fn topic(name: &str, id: u128) -> Record {
    TopicRecord {
        name: name.to_owned(),
        topic_id: Uuid::from_u128(id),
    }
    .into()
}

/// A partition on these brokers, all in the ISR, the first one leading.
pub(crate) fn partition(topic: u128, index: i32, replicas: &[i32]) -> Record {
    let replicas: Vec<_> = replicas.iter().copied().map(BrokerId).collect();
    PartitionRecord {
        partition_id: index,
        topic_id: Uuid::from_u128(topic),
        isr: replicas.clone(),
        leader: replicas[0],
        leader_epoch: 7,
        directories: replicas.iter().map(|id| directory(id.0)).collect(),
        replicas,
        ..PartitionRecord::default()
    }
    .into()
}

impl Scene {
    /// What is decided about this request, without doing it.
    pub(crate) fn ask<R: Write>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<Decision<R::Response>, Refusal> {
        request.decide(&self.ctx(version))
    }

    /// Sends a request and gives the answer as a client of this version decodes it.
    pub(crate) fn tell<R: Write>(&mut self, request: &R, version: i16) -> R::Response {
        let response = match self.ask(request, version) {
            Ok(decision) => self.apply(decision),
            Err(refusal) => request.refuse(&refusal),
        };
        let known = version.min(R::Response::VERSIONS.max);
        let mut bytes = bytes::BytesMut::new();
        response
            .encode(&mut bytes, known)
            .expect("the answer can be said in this version");
        R::Response::decode(&mut bytes.freeze(), known).expect("and read by a client")
    }
}
