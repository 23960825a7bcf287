//! What is advertised is what is answered.

use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};
use kafka_protocol::protocol::Decodable;
use yakt::api::TABLE;
use yakt::metrics::Closed;

use super::apis::api;
use super::server::Server;

/// Grows with every row of the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_advertised_pair_of_api_and_version_is_answered() {
    let server = Server::leading_with_feed().await;
    let mut client = server.connect().await;
    for row in TABLE {
        let api = api(row.key);
        for version in row.versions.clone() {
            let sample = (api.sample)(version).unwrap();
            let answer = client.ask(row.key, version, &sample).await;
            let answer = answer.unwrap_or_else(|| panic!("{:?} {version}: closed", row.key));
            (api.read_answer)(answer, version)
                .unwrap_or_else(|error| panic!("{:?} {version}: {error}", row.key));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_advertised_closes_the_connection() {
    let server = Server::leading().await;
    let mut count = 0;
    for row in TABLE.iter().filter(|row| row.key != ApiKey::ApiVersions) {
        let below = row.versions.start().checked_sub(1);
        for version in below
            .into_iter()
            .chain([row.versions.end() + 1, i16::MAX, i16::MIN])
        {
            let mut client = server.connect().await;
            client.send(row.key as i16, version, 1, &[0; 64]).await;
            assert_eq!(client.receive().await, None, "{:?} {version}", row.key);
            count += 1;
        }
    }
    server.closed(Closed::UnsupportedVersion, count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_versions_is_answered_in_every_version() {
    let server = Server::leading().await;
    let mut client = server.connect().await;
    let sample = |version| (api(ApiKey::ApiVersions).sample)(version).unwrap();
    for version in 0..=4 {
        let mut body = client
            .ask(ApiKey::ApiVersions, version, &sample(version))
            .await
            .unwrap();
        let answer = ApiVersionsResponse::decode(&mut body, version).unwrap();
        assert_eq!(answer.error_code, 0);
        assert_eq!(answer.api_keys.len(), TABLE.len());
        let named = answer.api_keys.iter().all(|api| api.api_key < 20_000);
        assert!(named, "peers' keys are nobody else's business");
    }
    // Unknown versions are answered in version 0, whatever their body is; then the client tries again.
    for (version, body) in [
        (5, &[][..]),
        (99, &[1, 2, 3]),
        (i16::MAX, &[0xff; 40]),
        (-1, &[]),
    ] {
        let mut body = client
            .ask(ApiKey::ApiVersions, version, body)
            .await
            .unwrap();
        let answer = ApiVersionsResponse::decode(&mut body, 0).unwrap();
        assert!(body.is_empty());
        let range = &answer.api_keys[0];
        assert_eq!((answer.error_code, answer.api_keys.len()), (35, 1));
        assert_eq!(
            (range.api_key, range.min_version, range.max_version),
            (18, 0, 4)
        );
        assert!(client.works().await);
    }
}
