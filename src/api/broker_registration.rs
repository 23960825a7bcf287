//! BrokerRegistration (62): a broker comes, or comes back.
//!
//! A process names itself by its incarnation. The same one again only amends its registration and
//! keeps its epoch; another one gets a new epoch, starts fenced, and is first taken out of whatever
//! its predecessor still led or had in sync. Versions: 3 brings the previous epoch, by which a clean
//! stop is recognised; 4 lists features with level 0 (`ClusterControlManager.registerBroker`, 4.3.1).

use std::collections::BTreeSet;

use kafka_protocol::messages::broker_registration_request::{Feature, Listener};
use kafka_protocol::messages::{BrokerRegistrationRequest, BrokerRegistrationResponse};

use crate::api::Write;
use crate::ids::{BrokerId, directory};
use crate::image::Broker;
use crate::records::{BrokerEndpoint, BrokerFeature, RegisterBrokerRecord};
use crate::refusal::{self, Refusal};
use crate::rules::electorate::metadata_version;
use crate::rules::features::{self, gate};
use crate::rules::{Ctx, Decision, LiveChange, Plan, View, brokers};

/// The first version whose `previous_broker_epoch` means something.
const TELLS_PREVIOUS_EPOCH: i16 = 3;
/// Security protocols are numbered from 0 (PLAINTEXT) to this one (SASL_SSL).
pub(crate) const SECURITY_PROTOCOL_MAX: i16 = 3;

impl Write for BrokerRegistrationRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<BrokerRegistrationResponse>, Refusal> {
        if *self.cluster_id != ctx.settings.cluster_id {
            return Err(refusal::inconsistent_cluster_id(
                &ctx.settings.cluster_id,
                &self.cluster_id,
            ));
        }
        check_id(ctx, self.broker_id)?;
        let existing = ctx.view.image.broker(self.broker_id);
        let same_incarnation =
            existing.is_some_and(|broker| broker.incarnation_id == self.incarnation_id);
        if let Some(broker) = existing.filter(|_| !same_incarnation) {
            let timeout_ms = ctx.settings.broker_session_timeout_ms;
            if ctx
                .live
                .has_session(broker.id, broker.epoch, ctx.ticks, timeout_ms)
            {
                return Err(refusal::duplicate_broker_registration());
            }
        }
        if self.is_migrating_zk_broker {
            return Err(refusal::no_zookeeper_brokers());
        }
        let metadata_version = metadata_version(ctx.image);
        if metadata_version >= gate::DIRECTORIES {
            check_directories(self, ctx)?;
        }
        let end_points = end_points(&self.listeners)?;
        check_features(self, ctx)?;

        let record = RegisterBrokerRecord {
            broker_id: self.broker_id,
            is_migrating_zk_broker: false,
            incarnation_id: self.incarnation_id,
            broker_epoch: ctx.image.end_offset(),
            end_points,
            features: self.features.iter().map(BrokerFeature::from).collect(),
            rack: self.rack.as_ref().map(|rack| rack.to_string()),
            fenced: true,
            in_controlled_shutdown: false,
            log_dirs: if metadata_version >= gate::DIRECTORIES {
                self.log_dirs.clone()
            } else {
                Vec::new()
            },
            cordoned_log_dirs: None,
        };
        Ok(match existing.filter(|_| same_incarnation) {
            Some(broker) => amend(record, broker),
            None => start(self, ctx, record, existing),
        })
    }

    fn refuse(&self, refusal: &Refusal) -> BrokerRegistrationResponse {
        BrokerRegistrationResponse::default()
            .with_error_code(refusal.code())
            .with_broker_epoch(-1)
    }

    fn broker(&self) -> Option<BrokerId> {
        Some(self.broker_id)
    }
}

/// The same process once more: only what it says of itself changes.
fn amend(record: RegisterBrokerRecord, broker: &Broker) -> Decision<BrokerRegistrationResponse> {
    let record = RegisterBrokerRecord {
        broker_epoch: broker.epoch,
        fenced: broker.fenced,
        in_controlled_shutdown: broker.in_controlled_shutdown,
        ..record
    };
    Decision::write(vec![record.into()], accepted(broker.epoch)).with_live(LiveChange::Registered {
        broker: broker.id,
        epoch: broker.epoch,
    })
}

fn accepted(epoch: i64) -> BrokerRegistrationResponse {
    BrokerRegistrationResponse::default().with_broker_epoch(epoch)
}

/// Whether a broker may carry this id at all; the same on every door.
pub(crate) fn check_id(view: &View<'_>, id: BrokerId) -> Result<(), Refusal> {
    if view.quorum.is_voter(id) || view.settings.node_id == id {
        return Err(refusal::id_of_a_voter(id));
    }
    if id.0 < 0 {
        return Err(refusal::invalid_registration(
            "A broker id cannot be negative.",
        ));
    }
    Ok(())
}

/// The listeners as records carry them. Of two with one name the later one counts.
fn end_points(listeners: &[Listener]) -> Result<Vec<BrokerEndpoint>, Refusal> {
    let mut end_points: Vec<BrokerEndpoint> = Vec::new();
    for listener in listeners {
        check_security_protocol(&listener.name, listener.security_protocol)?;
        let end_point = BrokerEndpoint {
            name: listener.name.to_string(),
            host: listener.host.to_string(),
            port: listener.port,
            security_protocol: listener.security_protocol,
        };
        match end_points
            .iter_mut()
            .find(|other| other.name == end_point.name)
        {
            Some(other) => *other = end_point,
            None => end_points.push(end_point),
        }
    }
    Ok(end_points)
}

/// Kafka's controller gives up its leadership at a protocol that it does not know; the request's
/// fault is no reason for that.
pub(crate) fn check_security_protocol(listener: &str, code: i16) -> Result<(), Refusal> {
    if (0..=SECURITY_PROTOCOL_MAX).contains(&code) {
        return Ok(());
    }
    Err(refusal::invalid_request(format!(
        "Listener {listener} has the unknown security protocol {code}."
    )))
}

impl From<&Feature> for BrokerFeature {
    fn from(feature: &Feature) -> Self {
        Self {
            name: feature.name.to_string(),
            min_supported_version: feature.min_supported_version,
            max_supported_version: feature.max_supported_version,
        }
    }
}

fn check_directories(request: &BrokerRegistrationRequest, ctx: &Ctx<'_>) -> Result<(), Refusal> {
    if request.log_dirs.is_empty() {
        return Err(refusal::invalid_registration(
            "No directories specified in request",
        ));
    }
    if request
        .log_dirs
        .iter()
        .any(|id| directory::is_reserved(*id))
    {
        return Err(refusal::invalid_registration(
            "Reserved directory ID in request",
        ));
    }
    let distinct: BTreeSet<_> = request.log_dirs.iter().collect();
    if distinct.len() != request.log_dirs.len() {
        return Err(refusal::invalid_registration(
            "Duplicate directory ID in request",
        ));
    }
    for other in ctx
        .image
        .brokers()
        .filter(|other| other.id != request.broker_id)
    {
        if let Some(taken) = other.log_dirs.iter().find(|id| distinct.contains(id)) {
            return Err(refusal::directory_taken(other.id, *taken));
        }
    }
    Ok(())
}

fn check_features(request: &BrokerRegistrationRequest, ctx: &Ctx<'_>) -> Result<(), Refusal> {
    let finalized = |name: &str| match name {
        features::KRAFT_VERSION => ctx.image.features().kraft_version(),
        name => ctx.image.features().level(name),
    };
    for feature in &request.features {
        let range = feature.min_supported_version..=feature.max_supported_version;
        let level = finalized(&feature.name);
        if !range.contains(&level) {
            return Err(refusal::feature_out_of_range(&feature.name, level, &range));
        }
    }
    let lists = |name: &str| {
        request
            .features
            .iter()
            .any(|feature| &*feature.name == name)
    };
    if !lists(features::METADATA_VERSION) {
        return Err(refusal::invalid_registration(
            "Request features do not contain 'metadata.version'",
        ));
    }
    for feature in features::FEATURES
        .iter()
        .filter(|feature| !lists(feature.name))
    {
        let level = finalized(feature.name);
        if level != 0 {
            return Err(refusal::feature_out_of_range(feature.name, level, &(0..=0)));
        }
    }
    Ok(())
}

/// A new process: whatever its predecessor left is cleaned up before it is registered. Its epoch
/// is the offset at which all that begins.
fn start(
    request: &BrokerRegistrationRequest,
    ctx: &Ctx<'_>,
    record: RegisterBrokerRecord,
    existing: Option<&Broker>,
) -> Decision<BrokerRegistrationResponse> {
    let clean = ctx.version >= TELLS_PREVIOUS_EPOCH
        && existing.is_some_and(|broker| broker.epoch == request.previous_broker_epoch);
    let decision = Decision::answer(accepted(record.broker_epoch));
    brokers::carry_out(decision, ctx, Plan::restart(ctx, record, clean))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uuid;
    use crate::rules::scene::{CLUSTER_ID, NODE, Scene, all_features, directory_id};
    use kafka_protocol::protocol::StrBytes;

    /// Broker `id` comes in its incarnation `incarnation`, and does everything right.
    fn request(id: i32, incarnation: u128) -> BrokerRegistrationRequest {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let feature = |feature: &BrokerFeature| {
            Feature::default()
                .with_name(text(&feature.name))
                .with_min_supported_version(feature.min_supported_version)
                .with_max_supported_version(feature.max_supported_version)
        };
        let listener = Listener::default()
            .with_name(text("PLAINTEXT"))
            .with_host(text("h"));
        BrokerRegistrationRequest::default()
            .with_broker_id(BrokerId(id))
            .with_cluster_id(text(CLUSTER_ID))
            .with_incarnation_id(Uuid::from_u128(incarnation))
            .with_listeners(vec![listener.with_port(9092)])
            .with_features(all_features().iter().map(feature).collect())
            .with_log_dirs(vec![directory_id(id)])
            .with_previous_broker_epoch(-1)
    }

    #[track_caller]
    fn check(scene: &mut Scene, request: &BrokerRegistrationRequest, code: i16, written: &[&str]) {
        assert_eq!(scene.tell(request, 4).error_code, code);
        assert_eq!(scene.written(), written);
    }

    /// The recorded answers of rpc 8.2, and what YAKt adds.
    #[test]
    fn a_registration_is_refused_for_kafkas_reasons() {
        #[track_caller]
        fn refused(code: i16, spoil: impl FnOnce(&mut BrokerRegistrationRequest)) {
            let mut request = request(3, 1);
            spoil(&mut request);
            check(&mut Scene::new().brokers(2).begin(), &request, code, &[]);
        }
        let ids = |ids: &[u128]| ids.iter().copied().map(Uuid::from_u128).collect();
        refused(104, |it| it.cluster_id = StrBytes::from_static_str("other"));
        refused(101, |it| it.broker_id = BrokerId(1));
        refused(102, |it| it.is_migrating_zk_broker = true);
        refused(119, |it| it.log_dirs.clear());
        refused(119, |it| it.log_dirs = ids(&[2]));
        refused(119, |it| it.log_dirs = ids(&[700, 701, 700]));
        refused(119, |it| it.log_dirs = ids(&[101]));
        refused(42, |it| it.listeners[0].security_protocol = 7);
        refused(35, |it| it.features[0].max_supported_version = 29);
        refused(119, |it| {
            it.features
                .retain(|it| &*it.name != features::METADATA_VERSION)
        });
        refused(35, |it| {
            it.features.retain(|it| &*it.name != features::ELR_VERSION)
        });
        refused(35, |it| {
            it.features
                .retain(|it| &*it.name != features::KRAFT_VERSION)
        });
        refused(119, |it| it.broker_id = NODE);
        refused(119, |it| it.broker_id = BrokerId(-1));
    }

    #[test]
    fn the_voter_is_named_to_a_broker_that_carries_its_id() {
        let refusal = Scene::new()
            .ask(&request(NODE.0, 1), 4)
            .expect_err("a voter has it");
        assert!(refusal.text.contains("3000"), "{refusal}");
    }

    #[test]
    fn a_first_registration_is_fenced_and_its_epoch_is_its_offset() {
        let mut scene = Scene::new().brokers(2).begin();
        let offset = scene.image.end_offset();
        let answer = scene.tell(&request(3, 1), 4);
        assert_eq!(answer.broker_epoch, offset);
        assert_eq!(
            scene.written(),
            [format!("register 3 epoch={offset} fenced")]
        );
        let broker = scene.image.broker(BrokerId(3)).expect("it is registered");
        assert_eq!((broker.registered_at, broker.log_dirs.len()), (offset, 1));
        // It has no session before its first heartbeat: somebody else may take the id.
        assert_eq!(scene.tell(&request(3, 2), 4).error_code, 0);
    }

    #[test]
    fn the_same_process_keeps_its_epoch() {
        let mut scene = Scene::new().brokers(2).begin();
        let (incarnation, epoch) = {
            let broker = scene.image.broker(BrokerId(2)).expect("it is on the scene");
            (broker.incarnation_id.as_u128(), broker.epoch)
        };
        let amended = request(2, incarnation).with_rack(Some(StrBytes::from_static_str("r")));
        check(
            &mut scene,
            &amended,
            0,
            &[&format!("register 2 epoch={epoch} unfenced")],
        );
        let broker = scene.image.broker(BrokerId(2)).expect("it is registered");
        assert_eq!(broker.rack.as_deref(), Some("r"));
        let timeout_ms = scene.settings.broker_session_timeout_ms;
        assert!(
            scene
                .live
                .has_session(BrokerId(2), epoch, scene.ticks, timeout_ms)
        );
    }

    /// What a new process does to what the old one held: (version, previous epoch) -> records.
    #[test]
    fn a_clean_stop_keeps_a_broker_eligible() {
        #[track_caller]
        fn check(version: i16, knows_epoch: bool, expected: &str) {
            let scene = Scene::new().brokers(2).topic("a", &[&[1, 2]]);
            let mut scene = scene.partition("a", 0, &[1], 1, &[]).begin();
            let epoch = scene
                .image
                .broker(BrokerId(1))
                .expect("it is on the scene")
                .epoch;
            scene.advance_ms(9_001);
            let mut request = request(1, 7);
            request.previous_broker_epoch = if knows_epoch { epoch } else { -1 };
            let first = scene.image.end_offset();
            assert_eq!(scene.tell(&request, version).broker_epoch, first);
            let register = format!("register 1 epoch={first} fenced");
            assert_eq!(scene.written(), [expected.to_owned(), register]);
        }
        check(4, true, "a-0 isr=[] leader=-1 elr=[1] last=[1]");
        check(4, false, "a-0 isr=[] leader=-1 last=[1]");
        check(2, true, "a-0 isr=[] leader=-1 last=[1]");
    }

    #[test]
    fn old_metadata_versions_know_no_directories() {
        let mut scene = Scene::at(16).brokers(1);
        let mut request = request(2, 1);
        request.log_dirs.clear();
        assert_eq!(scene.tell(&request, 1).error_code, 0);
    }
}
