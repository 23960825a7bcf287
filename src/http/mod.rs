//! The HTTP door: JSON in, JSON out, over the same replicated metadata as the Kafka listener.
//!
//! Two families of routes: the original YAKt endpoints at the root ([`original`]) and `/v1` for
//! today's programs ([`v1`]). Deltas of both are in [`deltas`]. Handlers hold no rule and no default
//! of Kafka's: reads render the published image ([`json`], [`records`]), writes are decided by
//! [`crate::api::original`] on the leader. Errors are `{"error": "a sentence"}`.
//!
//! Every route is one line of the table below; from the same line come the router and its entry in
//! `/openapi.json`.

mod deltas;
mod doors;
mod health;
mod input;
mod json;
mod metrics_page;
mod openapi;
mod original;
mod records;
mod reply;
mod serve;
mod times;
mod v1;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use doors::{Doors, Leader, Snapshots, answer_follower};
pub use serve::{BODY_BYTES_MAX, CONNECTIONS_MAX, HEADERS_MAX};

use openapi::Route;
use reply::Problem;

/// All routes, in the order of the documentation.
fn routes() -> Vec<Route> {
    vec![
        Route::get("/get_node_info", get(original::node_info))
            .about("This node: its address, role, leader and term.")
            .answers::<original::NodeInfo>(),
        Route::post("/register_broker", post(original::register_broker))
            .or("/register")
            .about("Registers a broker that has no session.")
            .accepts(original::REGISTER_BROKER)
            .answers::<original::Registered>(),
        Route::get("/get_active_brokers", get(original::active_brokers))
            .or("/get_all_active_brokers")
            .about("The brokers that are ALIVE.")
            .answers::<original::ActiveBrokers>(),
        Route::post("/get_broker_by_id", post(original::broker_by_id))
            .about("The record of a broker, a closed one too.")
            .accepts(r#"{"internalUUID": "L8yzvSMmSgCYTYFrEhJw8w"}"#)
            .answers::<records::RecordJson>(),
        Route::post("/create_topic", post(original::create_topic))
            .about("Creates a topic without partitions.")
            .accepts(original::CREATE_TOPIC)
            .answers::<original::TopicCreated>(),
        Route::post("/get_topic_by_name", post(original::topic_by_name))
            .about("The record of a topic.")
            .accepts(r#"{"topic_name": "Likes"}"#)
            .answers::<records::RecordJson>(),
        Route::post("/create_partition", post(original::create_partition))
            .about("Adds one partition to a topic.")
            .accepts(original::CREATE_PARTITION)
            .answers::<original::PartitionChanged>(),
        Route::post("/add_replica", post(original::add_replica))
            .about("Begins a reassignment that adds replicas.")
            .accepts(original::ADD_REPLICA)
            .answers::<original::PartitionChanged>(),
        Route::post("/remove_replica", post(original::remove_replica))
            .about("Begins a reassignment that removes replicas.")
            .accepts(original::REMOVE_REPLICA)
            .answers::<original::PartitionChanged>(),
        Route::post("/record_producer", post(original::record_producer))
            .or("/register_producer")
            .about("Allocates a block of 1,000 producer ids to a broker and gives its first.")
            .accepts(original::RECORD_PRODUCER)
            .answers::<original::ProducerRecorded>(),
        Route::post(
            "/register_broker_change",
            post(original::register_broker_change),
        )
        .about("Changes the address or the status of a broker registered over HTTP.")
        .accepts(original::CHANGE_BROKER)
        .answers::<records::RecordJson>(),
        Route::delete("/unregister_broker", delete(original::unregister_broker))
            .about("Unregisters a broker; it is CLOSED and keeps its record.")
            .accepts(r#"{"brokerId": "L8yzvSMmSgCYTYFrEhJw8w"}"#)
            .answers::<original::Message>(),
        Route::post("/broker_mgmt", post(deltas::broker_mgmt))
            .about("The records that changed since a time or an offset, by key, for brokers.")
            .accepts(r#"{"timestamp": 1700000000.5}"#)
            .answers_map_of::<records::RecordJson>(),
        Route::post("/client_mgmt", post(deltas::client_mgmt))
            .about("The same for clients: topics, partitions and brokers only.")
            .accepts(r#"{"offset": 42}"#)
            .answers_map_of::<records::RecordJson>(),
        Route::get("/v1/deltas", get(deltas::since))
            .about("What changed after an offset or since a time, in the order of offsets.")
            .takes(deltas::PARAMETERS)
            .answers::<deltas::Deltas>(),
        Route::get("/v1/quorum", get(v1::quorum))
            .about("The quorum as this node sees it; positions are known to the leader.")
            .answers::<v1::QuorumJson>(),
        Route::get("/v1/cluster", get(v1::cluster))
            .about("The cluster in numbers.")
            .answers::<v1::ClusterJson>(),
        Route::get("/v1/brokers", get(v1::brokers))
            .about("The registered brokers, by id.")
            .answers::<v1::BrokersJson>(),
        Route::get("/v1/topics", get(v1::topics))
            .about("The topics, by name.")
            .takes(v1::TOPICS_PARAMETERS)
            .answers::<v1::TopicsJson>(),
        Route::get("/v1/topics/{name}", get(v1::topic))
            .about("A topic with its configuration and its partitions.")
            .answers::<json::TopicDetailsJson>(),
        Route::post("/v1/snapshots", post(v1::make_snapshot))
            .about("Makes a snapshot of the state as it is now.")
            .answers::<v1::SnapshotJson>(),
        Route::get("/v1/snapshots", get(v1::snapshots))
            .about("The snapshots that are kept, the oldest first.")
            .answers::<v1::SnapshotsJson>(),
        Route::get("/v1/snapshots/{id}", get(v1::snapshot))
            .about("A snapshot as Kafka's checkpoint file.")
            .answers_bytes("application/octet-stream"),
        Route::get("/healthz", get(health::healthz))
            .about("Whether the process lives.")
            .answers::<health::Health>(),
        Route::get("/readyz", get(health::readyz))
            .about("Whether this node belongs to a live quorum and is caught up; else 503.")
            .answers::<health::Health>(),
        Route::get("/metrics", get(metrics_page::page))
            .about("What is counted, for Prometheus.")
            .answers_bytes("text/plain"),
        Route::get("/openapi.json", get(openapi::page))
            .about("This document.")
            .answers_bytes("application/json"),
    ]
}

/// The router over these doors.
pub fn router(doors: Doors) -> Router {
    let routes = routes();
    let document = Arc::new(openapi::document(&routes));
    let mut router = Router::new();
    for route in routes {
        for path in &route.paths {
            router = router.route(path, route.handler.clone());
        }
    }
    router
        .fallback(async |request: Request| {
            Problem::not_found(format!("There is no {}.", request.uri().path()))
        })
        .method_not_allowed_fallback(async |request: Request| {
            let text = format!(
                "{} does not take {}.",
                request.uri().path(),
                request.method()
            );
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .layer(middleware::from_fn_with_state(doors.clone(), every_request))
        .layer(Extension(document))
        .layer(Extension(Arc::new(metrics_page::Rates::default())))
        .with_state(doors)
}

/// What is done for every request alike: pages of other sites may not write, `consistent=true` waits
/// for the leader, and every answer says for which state it is true.
async fn every_request(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let response = match may_go_on(&doors, check(&request)).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let (mut parts, body) = response.into_parts();
    reply::stamp(&mut parts.headers, reply::end_of(&doors.now().image));
    Response::from_parts(parts, body)
}

/// Refuses pages of other sites; else tells whether the answer must be consistent.
fn check(request: &Request) -> Result<bool, Problem> {
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD)
        && let Some(origin) = header(header::ORIGIN)
    {
        // A browser says so when a page asks; bodies are read whatever type they claim to have.
        let own = header(header::HOST).unwrap_or_default();
        if origin.split_once("://").is_none_or(|(_, host)| host != own) {
            let text = "A page of another site may not do this.";
            return Err(Problem::new(StatusCode::FORBIDDEN, text));
        }
    }
    let query = request.uri().query().unwrap_or_default();
    Ok(query.split('&').any(|pair| pair == "consistent=true"))
}

async fn may_go_on(doors: &Doors, checked: Result<bool, Problem>) -> Result<(), Problem> {
    if checked? {
        doors.catch_up().await?;
    }
    Ok(())
}

/// The HTTP listeners of a node.
pub struct Http {
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Http {
    /// The addresses that the listeners really have.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops accepting, lets answers under way end, and returns.
    pub async fn stop(self) {
        // An error means that every listener has ended by itself.
        let _ = self.stop.send(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// Starts listening on `yakt.http.listeners`.
pub async fn start(doors: Doors) -> anyhow::Result<Http> {
    let (stop, stopping) = watch::channel(false);
    let (mut addresses, mut tasks) = (Vec::new(), Vec::new());
    let wanted = doors.settings.yakt_http_listeners.clone();
    let router = router(doors);
    for address in wanted {
        let place = if address.starts_with(':') {
            format!("[::]{address}")
        } else {
            address
        };
        let listener = TcpListener::bind(&place)
            .await
            .with_context(|| format!("yakt.http.listeners: cannot listen on {place}"))?;
        addresses.push(listener.local_addr().context("a listener has no address")?);
        tasks.push(tokio::spawn(serve::serve(
            listener,
            router.clone(),
            stopping.clone(),
        )));
    }
    Ok(Http {
        addresses,
        stop,
        tasks,
    })
}
