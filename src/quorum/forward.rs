//! The way to the leader for what reached a follower: one connection, pipelined, in order.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use futures::future::{Either, select};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::connection::Connection;
use super::fault::Fault;
use super::publisher::Publisher;
use super::types::Member;
use crate::ids::{BrokerId, Voter};

/// Most requests that wait to be sent; more are refused.
const QUEUE_MAX: usize = 1_024;
/// Most that wait for their answers.
const IN_FLIGHT_MAX: usize = 256;
/// A connection to the leader is made within this time.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);

type Answer = oneshot::Sender<Result<Bytes>>;

struct Request {
    key: i16,
    body: Bytes,
    answer: Answer,
}

/// The sending side.
pub(super) struct Forwarder(mpsc::Sender<Request>);

impl Forwarder {
    pub(super) fn start(
        publisher: Publisher,
        patience: Duration,
        fault: &Fault,
    ) -> (Self, JoinHandle<()>) {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let task = Task {
            publisher,
            patience,
            requests,
            link: None,
        };
        (Self(queue), fault.guard("the forwarder", task.run()))
    }

    /// Queues a request at once, so that the order of calls is the order of arrival. An error
    /// means that nobody knows whether it arrived.
    pub(super) fn send(
        &self,
        key: i16,
        body: Bytes,
    ) -> impl Future<Output = Result<Bytes>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let queued = self.0.try_send(Request { key, body, answer });
        async move {
            queued.map_err(|_| anyhow!("too much is being forwarded"))?;
            answered.await.context("the node is stopping")?
        }
    }
}

struct Task {
    publisher: Publisher,
    patience: Duration,
    requests: mpsc::Receiver<Request>,
    link: Option<Link>,
}

/// The connection to one leader, and what it owes.
struct Link {
    leader: BrokerId,
    connection: Connection,
    in_flight: VecDeque<(i32, Answer)>,
}

enum Step {
    Send(Option<Request>),
    Answered(Result<Bytes>),
}

impl Task {
    async fn run(mut self) {
        loop {
            match self.step().await {
                Step::Send(Some(request)) => self.send(request).await,
                Step::Send(None) => return,
                Step::Answered(Ok(body)) => {
                    let oldest = self
                        .link
                        .as_mut()
                        .and_then(|link| link.in_flight.pop_front());
                    if let Some((_, answer)) = oldest {
                        answer.send(Ok(body)).ok();
                    }
                }
                Step::Answered(Err(error)) => self.drop_link(&error),
            }
        }
    }

    async fn step(&mut self) -> Step {
        let Some(link) = self.link.as_mut().filter(|link| !link.in_flight.is_empty()) else {
            return Step::Send(self.requests.recv().await);
        };
        let correlation = link
            .in_flight
            .front()
            .map_or(0, |(correlation, _)| *correlation);
        let full = link.in_flight.len() >= IN_FLIGHT_MAX;
        let receive = std::pin::pin!(link.connection.receive(correlation));
        if full {
            return Step::Answered(receive.await);
        }
        match select(std::pin::pin!(self.requests.recv()), receive).await {
            Either::Left((request, _)) => Step::Send(request),
            Either::Right((answer, _)) => Step::Answered(answer),
        }
    }

    async fn send(&mut self, request: Request) {
        match self.try_send(request.key, &request.body).await {
            Ok(correlation) => {
                if let Some(link) = &mut self.link {
                    link.in_flight.push_back((correlation, request.answer));
                }
            }
            Err(error) => {
                self.drop_link(&error);
                request.answer.send(Err(error)).ok();
            }
        }
    }

    async fn try_send(&mut self, key: i16, body: &Bytes) -> Result<i32> {
        let leader = self.leader()?;
        if self
            .link
            .as_ref()
            .is_some_and(|link| link.leader != leader.id)
        {
            self.drop_link(&anyhow!("the leader changed"));
        }
        let link = match &mut self.link {
            Some(link) => link,
            None => {
                let member = Member::from(&leader);
                let mut connection = Connection::open(&member, CONNECT_WITHIN).await?;
                connection.patience = self.patience;
                let in_flight = VecDeque::new();
                self.link.insert(Link {
                    leader: leader.id,
                    connection,
                    in_flight,
                })
            }
        };
        link.connection
            .send(key, |out| out.extend_from_slice(body))
            .await
    }

    fn leader(&self) -> Result<Voter> {
        let published = self.publisher.current();
        let quorum = &published.quorum;
        let leader = quorum.leader_voter().context("no leader is known")?;
        anyhow::ensure!(leader.id.0 != quorum.node_id, "this node leads");
        Ok(leader.clone())
    }

    fn drop_link(&mut self, error: &anyhow::Error) {
        let Some(link) = self.link.take() else { return };
        for (_, answer) in link.in_flight {
            answer.send(Err(anyhow!("{error:#}"))).ok();
        }
    }
}
