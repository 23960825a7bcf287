//! Addresses as Kafka writes them: `NAME://host:port`, `host:port`, `id@host:port`, with IPv6 hosts
//! in brackets. Hosts are kept without brackets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::ids::{BrokerId, Endpoint};

/// Security protocol by listener name, both upper case.
pub type ProtocolMap = BTreeMap<String, String>;

/// The only protocol that this version speaks.
pub const PLAINTEXT: &str = "PLAINTEXT";
const PROTOCOLS: [&str; 4] = [PLAINTEXT, "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// Reads `listeners`. An empty host means all interfaces; names and ports must differ, as in Kafka.
pub fn parse_listeners(text: &str) -> Result<Vec<Endpoint>, String> {
    let endpoints: Vec<Endpoint> = list(text).map(endpoint).collect::<Result<_, _>>()?;
    if endpoints.is_empty() {
        return Err("it must name at least one listener as NAME://host:port".to_owned());
    }
    for (place, endpoint) in endpoints.iter().enumerate() {
        let earlier = &endpoints[..place];
        if earlier.iter().any(|other| other.name == endpoint.name) {
            return Err(format!(
                "each listener must have another name, but {} stands twice",
                endpoint.name
            ));
        }
        if earlier
            .iter()
            .any(|other| other.port == endpoint.port && endpoint.port != 0)
        {
            return Err(format!(
                "each listener must have another port, but {} stands twice",
                endpoint.port
            ));
        }
    }
    Ok(endpoints)
}

/// Reads `advertised.listeners`: what [`parse_listeners`] takes, but others must be able to connect
/// to it, so there is no wildcard host and no port 0.
pub fn parse_advertised(text: &str) -> Result<Vec<Endpoint>, String> {
    let endpoints: Vec<Endpoint> = list(text).map(endpoint).collect::<Result<_, _>>()?;
    for endpoint in &endpoints {
        let wildcard = endpoint
            .host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_unspecified());
        if wildcard || endpoint.host.is_empty() || endpoint.port == 0 {
            return Err("it must name a host and a port that others can connect to".to_owned());
        }
    }
    Ok(endpoints)
}

/// Reads `controller.quorum.voters`: `id@host:port,...`, each id once.
pub fn parse_voters(text: &str) -> Result<Vec<(BrokerId, String, u16)>, String> {
    let mut voters: Vec<(BrokerId, String, u16)> = Vec::new();
    for entry in list(text) {
        let wrong = || format!("it must be id@host:port,..., but {entry} is not");
        let (id, address) = entry.split_once('@').ok_or_else(wrong)?;
        let id = id
            .trim()
            .parse()
            .ok()
            .filter(|id| *id >= 0)
            .map(BrokerId)
            .ok_or_else(wrong)?;
        let (host, port) = host_port(address).ok_or_else(wrong)?;
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        if voters.iter().any(|(other, ..)| *other == id) {
            return Err(format!(
                "each voter must have another id, but {} stands twice",
                id.0
            ));
        }
        voters.push((id, host, port));
    }
    Ok(voters)
}

/// Reads `controller.quorum.bootstrap.servers`: `host:port,...`.
pub fn parse_servers(text: &str) -> Result<Vec<(String, u16)>, String> {
    let server = |entry| {
        let found = host_port(entry).filter(|(host, port)| !host.is_empty() && *port != 0);
        found.ok_or_else(|| format!("it must be host:port,..., but {entry} is not"))
    };
    list(text).map(server).collect()
}

/// Reads `controller.listener.names`.
pub fn parse_names(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = list(text).map(str::to_uppercase).collect();
    if names.is_empty() {
        Err("it must name at least one listener".to_owned())
    } else {
        Ok(names)
    }
}

/// Reads `listener.security.protocol.map`: `NAME:PROTOCOL,...`.
pub fn parse_protocols(text: &str) -> Result<ProtocolMap, String> {
    let mut map = ProtocolMap::new();
    for entry in list(text) {
        let (name, protocol) = entry
            .rsplit_once(':')
            .ok_or_else(|| format!("it must be NAME:PROTOCOL,..., but {entry} is not"))?;
        let protocol = protocol.trim().to_uppercase();
        if !PROTOCOLS.contains(&protocol.as_str()) {
            return Err(format!(
                "{protocol} is no protocol; there are {}",
                PROTOCOLS.join(", ")
            ));
        }
        map.insert(name.trim().to_uppercase(), protocol);
    }
    Ok(map)
}

/// The protocol of a controller listener. Without a configured map Kafka gives controller listeners
/// PLAINTEXT, unless a listener is named like a secure protocol
/// (`KafkaConfig.effectiveListenerSecurityProtocolMap`, 4.3.1). `None`: not defined.
pub fn protocol_of<'a>(
    name: &'a str,
    map: Option<&'a ProtocolMap>,
    names: &[String],
) -> Option<&'a str> {
    match map {
        Some(map) => map.get(name).map(String::as_str),
        None if PROTOCOLS.contains(&name) => Some(name),
        None if names
            .iter()
            .any(|name| PROTOCOLS[1..].contains(&name.as_str())) =>
        {
            None
        }
        None => Some(PLAINTEXT),
    }
}

/// Reads `yakt.http.listeners`: `http://host:port,...` into `host:port`; an empty host means all
/// interfaces.
pub fn parse_http(text: &str) -> Result<Vec<String>, String> {
    let address = |entry: &str| {
        let rest = entry
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'));
        let (host, port) = rest
            .and_then(host_port)
            .ok_or_else(|| format!("it must be http://host:port,..., but {entry} is not"))?;
        let host = if host.is_empty() {
            "0.0.0.0".to_owned()
        } else {
            host
        };
        Ok(join(&host, port))
    };
    list(text).map(address).collect()
}

/// Whether this `host:port` can only be reached from this machine.
pub fn is_loopback(address: &str) -> bool {
    host_port(address).is_some_and(|(host, _)| {
        host == "localhost"
            || host
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback())
    })
}

/// Writes an address, with brackets around an IPv6 host.
pub fn join(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

fn endpoint(entry: &str) -> Result<Endpoint, String> {
    let wrong = || format!("it must be NAME://host:port,..., but {entry} is not");
    let (name, address) = entry.split_once("://").ok_or_else(wrong)?;
    let (host, port) = host_port(address).ok_or_else(wrong)?;
    if name.is_empty() {
        return Err(wrong());
    }
    Ok(Endpoint {
        name: name.to_uppercase(),
        host,
        port,
    })
}

/// Splits `host:port` or `[v6]:port`; the host may be empty and loses its brackets.
pub fn host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|host| host.contains(':'))?,
        None if host.contains(':') => return None,
        None => host,
    };
    let known = |letter: char| letter.is_ascii_alphanumeric() || "-%._:".contains(letter);
    let port = port.parse().ok()?;
    host.chars().all(known).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let found = host_port(text);
            assert_eq!(
                found.as_ref().map(|(host, port)| (host.as_str(), *port)),
                expected,
                "{text}"
            );
        };
        check("localhost:9093", Some(("localhost", 9093)));
        check(":9093", Some(("", 9093)));
        check("[::1]:9093", Some(("::1", 9093)));
        check("[fe80::1%eth0]:1", Some(("fe80::1%eth0", 1)));
        check("::1:9093", None);
        check("[localhost]:9093", None);
        check("localhost", None);
        check("localhost:65536", None);
        check("local host:1", None);
        assert_eq!(join("::1", 9093), "[::1]:9093");
    }

    #[test]
    fn listeners_differ_in_name_and_port() {
        let both = parse_listeners("controller://[::1]:9093, SECOND://:0").expect("valid");
        assert_eq!(
            both[0],
            Endpoint {
                name: "CONTROLLER".into(),
                host: "::1".into(),
                port: 9093
            }
        );
        assert_eq!(both[1].host, "");
        for wrong in [
            "",
            "CONTROLLER",
            "://h:1",
            "A://h:1,A://h:2",
            "A://h:1,B://h:1",
            "A://h",
        ] {
            parse_listeners(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn advertised_listeners_can_be_reached() {
        parse_advertised("CONTROLLER://example.org:9093").expect("valid");
        for wrong in ["A://0.0.0.0:1", "A://[::]:1", "A://:1", "A://h:0"] {
            parse_advertised(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn voters() {
        let voters = parse_voters("1@a:9093, 2@[::1]:9094").expect("valid");
        assert_eq!(voters[1], (BrokerId(2), "::1".to_owned(), 9094));
        for wrong in ["a:9093", "1@a", "-1@a:1", "1@a:1,1@b:2", "1@:9093", "1@a:0"] {
            parse_voters(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn protocols_follow_kafkas_default_rule() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let map = parse_protocols("controller:plaintext,EXTERNAL:SSL").expect("valid");
        assert_eq!(
            protocol_of("CONTROLLER", Some(&map), &names(&["CONTROLLER"])),
            Some("PLAINTEXT")
        );
        assert_eq!(protocol_of("OTHER", Some(&map), &names(&["OTHER"])), None);
        assert_eq!(
            protocol_of("CONTROLLER", None, &names(&["CONTROLLER"])),
            Some("PLAINTEXT")
        );
        assert_eq!(protocol_of("SSL", None, &names(&["SSL"])), Some("SSL"));
        assert_eq!(
            protocol_of("CONTROLLER", None, &names(&["CONTROLLER", "SSL"])),
            None
        );
        parse_protocols("CONTROLLER:TLS").expect_err("TLS is no protocol of Kafka's");
    }

    #[test]
    fn http() {
        assert_eq!(
            parse_http("http://127.0.0.1:5012"),
            Ok(vec!["127.0.0.1:5012".to_owned()])
        );
        assert_eq!(parse_http(""), Ok(Vec::new()));
        assert_eq!(parse_http("http://:80/"), Ok(vec!["0.0.0.0:80".to_owned()]));
        parse_http("https://a:1").expect_err("not yet");
        parse_http("a:1").expect_err("without scheme");
        assert!(is_loopback("127.0.0.1:1") && is_loopback("[::1]:1") && is_loopback("localhost:1"));
        assert!(!is_loopback("0.0.0.0:1") && !is_loopback("example.org:1"));
    }
}
