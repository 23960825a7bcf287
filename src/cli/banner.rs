//! What the start prints.

use std::net::SocketAddr;

use crate::node::Up;

/// Where the node listens, whose it is, and what a first broker needs.
pub(super) fn banner(up: &Up<'_>) -> String {
    let list = |addresses: &[SocketAddr]| {
        let shown: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        if shown.is_empty() {
            "off".to_owned()
        } else {
            shown.join(", ")
        }
    };
    let (node, cluster) = (up.settings.node_id.0, &up.settings.cluster_id);
    format!(
        "YAKt node {node} of cluster {cluster} is up.\n\
         \x20 Kafka  {}\n\
         \x20 HTTP   {}\n\
         \x20 Data   {}\n\
         A first broker needs controller.quorum.bootstrap.servers={} and once\n\
         \x20 kafka-storage.sh format -t {cluster} -c broker.properties --no-initial-controllers",
        list(up.kafka),
        list(up.http),
        up.settings.metadata_log_dir.display(),
        bootstrap_server(up),
    )
}

/// A port that the system chose stands only in the addresses.
fn bootstrap_server(up: &Up<'_>) -> String {
    match (up.settings.controller_endpoint().port, up.kafka.first()) {
        (0, Some(address)) => address.to_string(),
        _ => up.settings.bootstrap_server(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn it_tells_what_a_first_broker_needs() {
        let settings = Settings {
            cluster_id: "abc".to_owned(),
            ..Settings::default()
        };
        let kafka = ["127.0.0.1:9093".parse().expect("an address")];
        let http = ["127.0.0.1:5012".parse().expect("an address")];
        expect_test::expect![[r#"
            YAKt node 3000 of cluster abc is up.
              Kafka  127.0.0.1:9093
              HTTP   127.0.0.1:5012
              Data   yakt-data
            A first broker needs controller.quorum.bootstrap.servers=127.0.0.1:9093 and once
              kafka-storage.sh format -t abc -c broker.properties --no-initial-controllers"#]]
        .assert_eq(&banner(&Up {
            settings: &settings,
            kafka: &kafka,
            http: &http,
        }));
    }
}
