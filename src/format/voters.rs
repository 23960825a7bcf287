//! `--initial-controllers id@host:port:directory-id,…`: the voters that a new quorum begins with
//! (`DynamicVoters.parse`, 4.3.1).

use anyhow::{Context, ensure};

use crate::ids::{BrokerId, Endpoint, Voter, directory, parse_base64};
use crate::settings::listeners::host_port;

/// Reads the option. `listener` is the name of the first controller listener, which all voters share.
pub fn parse(text: &str, listener: &str) -> anyhow::Result<Vec<Voter>> {
    let mut voters: Vec<Voter> = Vec::new();
    for entry in text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let voter = parse_one(entry, listener).with_context(|| {
            format!("--initial-controllers: it must be id@host:port:directory-id,..., but {entry} is not")
        })?;
        let (id, directory_id) = (voter.id, voter.directory_id);
        ensure!(
            voters
                .iter()
                .all(|other| other.id != id && other.directory_id != directory_id),
            "--initial-controllers: each voter must have an id and a directory id of its own, but those of \
             {entry} stand twice"
        );
        voters.push(voter);
    }
    ensure!(
        !voters.is_empty(),
        "--initial-controllers: it must name at least one voter"
    );
    voters.sort_by_key(|voter| voter.id);
    Ok(voters)
}

fn parse_one(entry: &str, listener: &str) -> Option<Voter> {
    let (id, rest) = entry.split_once('@')?;
    let (address, directory_id) = rest.rsplit_once(':')?;
    let id = id.parse().ok().filter(|id| *id >= 0)?;
    let (host, port) = host_port(address).filter(|(host, port)| !host.is_empty() && *port != 0)?;
    let directory_id = parse_base64(directory_id).filter(|id| !directory::is_reserved(*id))?;
    let endpoint = Endpoint {
        name: listener.to_owned(),
        host,
        port,
    };
    Some(Voter {
        id: BrokerId(id),
        directory_id,
        endpoints: vec![endpoint],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "JEXY6aqzQY-32P5TStzaFg";
    const B: &str = "MvDxzVmcRsaTz33bUuRU6A";

    #[test]
    fn voters_come_in_the_order_of_their_ids() {
        let voters =
            parse(&format!("1@[::1]:8083:{B},0@example.com:8082:{A}"), "CTRL").expect("valid");
        assert_eq!(
            voters.iter().map(|voter| voter.id.0).collect::<Vec<_>>(),
            [0, 1]
        );
        assert_eq!(voters[1].directory_id, parse_base64(B).expect("a uuid"));
        let endpoint = Endpoint {
            name: "CTRL".to_owned(),
            host: "::1".to_owned(),
            port: 8083,
        };
        assert_eq!(voters[1].endpoints, [endpoint]);
    }

    #[test]
    fn what_is_no_voter_is_refused() {
        for wrong in [
            String::new(),
            format!("0@example.com:{A}"),
            format!("example.com:8082:{A}"),
            "0@example.com:8082:xyz".to_owned(),
            "0@example.com:8082:AAAAAAAAAAAAAAAAAAAAAQ".to_owned(),
            format!("-1@example.com:8082:{A}"),
            format!("0@a:1:{A},0@b:2:{B}"),
            format!("0@a:1:{A},1@b:2:{A}"),
        ] {
            parse(&wrong, "CTRL").expect_err(&wrong);
        }
    }
}
