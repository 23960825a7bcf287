//! Whether this node lives, and whether it is of use.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Doors;
use super::reply::{Problem, Reply};
use crate::ids::BrokerId;

/// How a node is.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok` or `ready`.
    status: &'static str,
}

/// `GET /healthz`: the process lives and answers.
pub(super) async fn healthz(State(doors): State<Doors>) -> Reply<Health> {
    Reply::at_end(&doors.now().image, Health { status: "ok" })
}

/// `GET /readyz`: a leader is known, and this node holds everything that the leader had committed
/// just now, which only a round through the leader can tell.
pub(super) async fn readyz(State(doors): State<Doors>) -> Result<Reply<Health>, Problem> {
    let unready = |text: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, text);
    if let Some(ahead) = doors.feed.observers().ahead(doors.clock.ticks()).first() {
        let text = format!("A replica is ahead of what is committed here: {ahead:?}; see the log.");
        return Err(unready(text));
    }
    let now = doors.now();
    let quorum = &now.quorum;
    let Some(BrokerId(leader)) = quorum.leader else {
        return Err(unready("No leader is known.".to_owned()));
    };
    let fetch_timeout_ms = doors.settings.controller_quorum_fetch_timeout_ms;
    if leader == quorum.node_id && !now.is_in_charge(doors.clock.ticks(), fetch_timeout_ms) {
        return Err(unready(
            "This node leads, but its quorum does not answer it.".to_owned(),
        ));
    }
    doors
        .catch_up()
        .await
        .map_err(|refusal| unready(refusal.to_string()))?;
    Ok(Reply::at_end(
        &doors.now().image,
        Health { status: "ready" },
    ))
}
