//! The listening side of HTTP: how many connections, how long, how large.
//!
//! Every bound has a name here. Past [`CONNECTIONS_MAX`] nothing is accepted until a connection
//! ends; one that sends no request for [`HEADER_WAIT_MAX`] is closed, so idle ones do not keep others
//! out for long.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Most connections at a time on one listener.
pub const CONNECTIONS_MAX: usize = 1024;
/// Most headers of a request; more are answered 431.
pub const HEADERS_MAX: usize = 64;
/// Most bytes of a request's head; more are answered 431.
pub(super) const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Most bytes of a request's body; more are answered 413.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest wait for a request's whole head, from the answer before it on.
pub(super) const HEADER_WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest wait for a request's whole body; then 408.
pub(super) const BODY_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long answers under way may take once the node stops.
const STOP_WAIT_MAX: Duration = Duration::from_secs(2);
/// Pause after a failed accept, which mostly means too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Accepts and answers until `stop` turns true; then lets answers under way end.
pub(super) async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let has_room = connections.len() < CONNECTIONS_MAX;
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, router.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "an HTTP connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // What is not done by then is cut off when the set is dropped.
    let _ = tokio::time::timeout(STOP_WAIT_MAX, all_ended).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let answer = router.call(request);
        async move { answer.await as Result<Response, Infallible> }
    });
    // Answers are small and whole: waiting for more bytes to send would only delay them.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "an HTTP connection ended early");
    }
}

/// Ends when the node stops, or whoever could stop it is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
