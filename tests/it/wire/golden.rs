//! Requests that real brokers, tools and clients sent to Apache Kafka 4.3.1, against this door.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use yakt::api::TABLE;
use yakt::wire::frame::Head;
use yakt::wire::shapes;

use super::apis::api;
use super::server::Server;

/// One recorded request.
struct Recorded {
    /// A broker's listener was asked, not a controller's.
    by_broker: bool,
    /// Kafka answered it; else it closed the connection, or said nothing.
    answered: bool,
    key: i16,
    version: i16,
    frame: Bytes,
}

fn recorded() -> Vec<Recorded> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/golden/requests.txt"
    );
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(parse).collect()
}

fn parse(line: &str) -> Recorded {
    let [who, outcome, key, version, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("five words a line: {line}");
    };
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    Recorded {
        by_broker: who == "broker",
        answered: outcome == "answered",
        key: key.parse().unwrap(),
        version: version.parse().unwrap(),
        frame: (0..hex.len()).step_by(2).map(byte).collect(),
    }
}

/// The versions that Kafka answers and the wire crate cannot read.
const BEYOND_THE_CRATE: [(ApiKey, i16); 1] = [(ApiKey::AddRaftVoter, 1)];

#[test]
fn every_recorded_request_passes_header_shape_and_decoder() {
    let mut count = 0;
    for Recorded {
        key,
        version,
        mut frame,
        answered,
        ..
    } in recorded()
    {
        let head = Head::take(&mut frame).unwrap();
        assert_eq!((head.key, head.version), (key, version));
        let key = ApiKey::try_from(key).unwrap();
        if !answered || (key == ApiKey::ApiVersions && version > 4) {
            continue;
        }
        shapes::walk(key, version, &frame)
            .unwrap_or_else(|error| panic!("{key:?} {version}: {error}: {frame:02x?}"));
        if BEYOND_THE_CRATE.contains(&(key, version)) {
            continue;
        }
        let again = (api(key).recode)(frame.clone(), version);
        let again = again.unwrap_or_else(|error| panic!("{key:?} {version}: {error}"));
        assert_eq!(
            again, frame,
            "{key:?} {version} is not written as Kafka's client wrote it"
        );
        count += 1;
    }
    assert!(count > 350, "{count}");
}

/// Kafka's own clients read these answers; the records in them are other tests' business.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_request_of_an_advertised_version_is_answered() {
    let server = Server::leading_with_feed().await;
    let mut client = server.connect().await;
    for Recorded {
        key,
        version,
        frame,
        answered,
        by_broker,
    } in recorded()
    {
        let row = TABLE.iter().find(|row| row.key as i16 == key);
        let Some(row) = row.filter(|row| row.versions.contains(&version)) else {
            continue;
        };
        if !answered && !by_broker {
            continue; // beyond Apache's controller, or one that Kafka has a bug in
        }
        client.raw(&(frame.len() as i32).to_be_bytes()).await;
        client.raw(&frame).await;
        let mut answer = client
            .receive()
            .await
            .unwrap_or_else(|| panic!("{:?} {version} closed the connection", row.key));
        assert_eq!(
            answer.split_to(4),
            frame.slice(4..8),
            "the correlation id comes back"
        );
        if row.key.response_header_version(version) == 1 {
            assert_eq!(answer.split_to(1), [0].as_slice());
        }
        (api(row.key).read_answer)(answer, version)
            .unwrap_or_else(|error| panic!("{:?} {version}: {error}", row.key));
    }
}
