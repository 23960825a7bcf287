//! The first boot of a quorum.
//!
//! Nodes that each began a log of their own would hold different content under one log id for ever.
//! So only one of them begins it: the voter with the lowest id, and only once it has heard from a
//! majority of the configured voters (itself included) that they have stored nothing, belong to the
//! same cluster and are configured with the same voters, and from none that it has stored anything.
//! The others wait to be contacted.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use openraft::Raft;

use super::codec::{self, Input};
use super::connection::Connection;
use super::frames::{self, Hello, Status};
use super::gate::{Gate, Heard};
use super::machine::Machine;
use super::types::{Config, Member, raft_id};
use crate::ids::{Endpoint, Uuid, Voter};
use crate::settings::Settings;

/// How often the voters are asked until the quorum is formed.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// A voter answers within this time, or counts as absent.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// The voters that this node was configured to begin with: those of the directory's format, else
/// those of `controller.quorum.voters`, whose directory ids are not known yet. Empty: it joins a
/// quorum that is there.
pub(super) fn initial_members(settings: &Settings, formatted: &[Voter]) -> BTreeMap<u64, Member> {
    let mut members: BTreeMap<u64, Member> = formatted
        .iter()
        .map(|voter| (raft_id(voter.id), Member::from(voter)))
        .collect();
    if members.is_empty() {
        let name = settings
            .controller_listener_names
            .first()
            .cloned()
            .unwrap_or_default();
        let configured = settings.controller_quorum_voters.iter();
        members.extend(configured.map(|(id, host, port)| {
            let endpoint = Endpoint {
                name: name.clone(),
                host: host.clone(),
                port: *port,
            };
            (
                raft_id(*id),
                Member {
                    directory_id: Uuid::nil(),
                    endpoints: vec![endpoint],
                },
            )
        }));
    }
    if let Some(own) = members.get_mut(&raft_id(settings.node_id))
        && own.directory_id.is_nil()
    {
        own.directory_id = settings.directory_id;
    }
    members
}

/// The ids and addresses of the voters, for comparing configurations.
pub(super) fn voters_text(members: &BTreeMap<u64, Member>) -> String {
    let text = |(id, member): (&u64, &Member)| {
        let endpoint = member.endpoints.first();
        let host = endpoint.map_or("", |endpoint| endpoint.host.as_str());
        format!(
            "{id}@{host}:{}",
            endpoint.map_or(0, |endpoint| endpoint.port)
        )
    };
    members.iter().map(text).collect::<Vec<_>>().join(",")
}

/// Forms the quorum if that is this node's part, and ends when it is formed, by whomever.
pub(super) async fn form(
    raft: Raft<Config, Machine>,
    gate: Gate,
    mut members: BTreeMap<u64, Member>,
) -> Result<()> {
    let me = gate.me().node;
    let text = voters_text(&members);
    let mut told = String::new();
    loop {
        if raft.is_initialized().await.context("raft has stopped")? {
            return Ok(());
        }
        if members.keys().next() == Some(&me) {
            let heard = ask_all(&gate, &members, &text).await;
            match judge(members.len(), &heard) {
                Ok(()) => {
                    for (id, heard) in &heard {
                        if let Some(member) = members.get_mut(id) {
                            member.directory_id = heard.0.identity.directory;
                        }
                    }
                    // Whoever was initialized meanwhile refuses a second time.
                    raft.initialize(members.clone())
                        .await
                        .context("cannot form the quorum")?;
                    return Ok(());
                }
                Err(why) if why != told => {
                    tracing::info!("the quorum is not formed yet: {why}");
                    told = why;
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

type Answers = BTreeMap<u64, (Heard, Option<Hello>)>;

/// Whether the quorum may be formed with these answers; `Err` says why not.
fn judge(voters: usize, answers: &Answers) -> Result<(), String> {
    let mut ready = 1;
    for (id, (heard, hello)) in answers {
        match (heard.status, hello) {
            (
                Status::Fine,
                Some(Hello {
                    empty: true,
                    same_voters: true,
                }),
            ) => ready += 1,
            (Status::Fine, Some(Hello { empty: false, .. })) => {
                let hope = if voters > 2 {
                    "this node joins it when that quorum's leader calls"
                } else {
                    "one of two voters that lost its directory cannot be let back in: restore it \
                     from a backup"
                };
                return Err(format!("node {id} belongs to a quorum already; {hope}"));
            }
            (Status::Fine, _) => {
                return Err(format!("node {id} is configured with other voters"));
            }
            (Status::OtherCluster, _) => {
                return Err(format!("node {id} was formatted with another cluster id"));
            }
            (status, _) => return Err(format!("node {id} answers {status:?}")),
        }
    }
    if ready > voters / 2 {
        Ok(())
    } else {
        Err(format!("{ready} of {voters} voters are there"))
    }
}

async fn ask_all(gate: &Gate, members: &BTreeMap<u64, Member>, text: &str) -> Answers {
    let others = members.iter().filter(|(id, _)| **id != gate.me().node);
    let asked = others.map(|(id, member)| async move {
        let answer =
            tokio::time::timeout(ANSWER_WITHIN, connect_and_ask(gate, *id, member, text)).await;
        Some((*id, answer.ok()?.ok()?))
    });
    futures::future::join_all(asked)
        .await
        .into_iter()
        .flatten()
        .collect()
}

async fn connect_and_ask(
    gate: &Gate,
    id: u64,
    member: &Member,
    text: &str,
) -> Result<(Heard, Option<Hello>)> {
    let mut connection = Connection::open(member, ANSWER_WITHIN).await?;
    ask(gate, &mut connection, id, member, text).await
}

/// Says Hello to one node.
pub(super) async fn ask(
    gate: &Gate,
    connection: &mut Connection,
    id: u64,
    member: &Member,
    text: &str,
) -> Result<(Heard, Option<Hello>)> {
    let answer = connection.ask(frames::HELLO, |out| {
        frames::put_address(out, &gate.address(id, member.directory_id));
        codec::put_string(out, text);
    });
    let mut input = Input(answer.await?);
    let (status, identity) = frames::take_answer(&mut input)?;
    let heard = Heard { identity, status };
    if status != Status::Fine {
        return Ok((heard, None));
    }
    ensure!(
        identity.node == id,
        "node {} answers at the address of node {id}",
        identity.node
    );
    Ok((heard, Some(frames::take_hello(&mut input)?)))
}

/// This node as a member: by its advertised listeners, or else by the address that
/// `controller.quorum.voters` gives it, or else by its listeners. `None` where none of these is an
/// address that others could use.
pub(super) fn own_member(settings: &Settings) -> Option<Member> {
    let directory_id = settings.directory_id;
    let configured = settings.controller_quorum_voters.iter();
    let mut configured = configured.filter(|(id, ..)| *id == settings.node_id);
    if settings.advertised_listeners.is_empty()
        && let Some((_, host, port)) = configured.next()
    {
        let name = settings.controller_listener_names.first()?.clone();
        let endpoints = vec![Endpoint {
            name,
            host: host.clone(),
            port: *port,
        }];
        return Some(Member {
            directory_id,
            endpoints,
        });
    }
    let all = settings
        .advertised_listeners
        .iter()
        .chain(&settings.listeners);
    let names = settings.controller_listener_names.iter();
    let found = names.filter_map(|name| all.clone().find(|listener| listener.name == *name));
    let endpoints: Vec<_> = found
        .filter(|endpoint| is_an_address(endpoint))
        .cloned()
        .collect();
    (!endpoints.is_empty()).then_some(Member {
        directory_id,
        endpoints,
    })
}

fn is_an_address(endpoint: &Endpoint) -> bool {
    let unspecified = endpoint
        .host
        .parse()
        .is_ok_and(|host: std::net::IpAddr| host.is_unspecified());
    !endpoint.host.is_empty() && !unspecified && endpoint.port != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::frames::Identity;

    #[track_caller]
    fn check(voters: usize, answers: &[(Status, Option<(bool, bool)>)], expected: &str) {
        let answers = answers.iter().enumerate().map(|(at, (status, hello))| {
            let node = at as u64 + 2;
            let identity = Identity {
                node,
                directory: Uuid::from_u128(9),
            };
            let hello = hello.map(|(empty, same_voters)| Hello { empty, same_voters });
            (
                node,
                (
                    Heard {
                        identity,
                        status: *status,
                    },
                    hello,
                ),
            )
        });
        let judged = judge(voters, &answers.collect()).err().unwrap_or_default();
        assert!(judged.contains(expected), "{judged}");
        assert_eq!(judged.is_empty(), expected.is_empty(), "{judged}");
    }

    #[test]
    fn a_majority_of_empty_equals_forms_the_quorum() {
        use Status::{Fine, OtherCluster};
        let ready = (Fine, Some((true, true)));
        check(1, &[], "");
        check(3, &[], "1 of 3");
        check(3, &[ready], "");
        check(5, &[ready], "2 of 5");
        check(5, &[ready, ready], "");
        check(
            3,
            &[ready, (Fine, Some((false, true)))],
            "node 3 belongs to a quorum",
        );
        check(
            3,
            &[ready, (Fine, Some((true, false)))],
            "node 3 is configured with other voters",
        );
        check(3, &[(OtherCluster, None), ready], "another cluster id");
    }
}
