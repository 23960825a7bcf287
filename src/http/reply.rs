//! How answers leave: JSON, a status, and the headers that say for which state they are true.

use std::fmt;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::ids::Stamp;
use crate::image::Image;
use crate::refusal::Refusal;

/// The end offset an answer is true for; give it back to go on from there.
pub(super) const OFFSET: HeaderName = HeaderName::from_static("yakt-offset");
/// The log time of the last change in an answer, in milliseconds since 1970.
pub(super) const TIME: HeaderName = HeaderName::from_static("yakt-time");
/// `true`: the answer is everything there is, not a difference.
pub(super) const FULL: HeaderName = HeaderName::from_static("yakt-full");

/// An answer: 200, JSON, and the state it is true for.
pub(super) struct Reply<T> {
    /// What becomes JSON.
    pub(super) body: T,
    /// End offset and log time of that state.
    pub(super) at: Stamp,
    /// Whether it is everything, for the answers that may be either.
    pub(super) full: Option<bool>,
}

impl<T> Reply<T> {
    /// An answer that is true for the end of this image.
    pub(super) fn at_end(image: &Image, body: T) -> Self {
        Self {
            body,
            at: end_of(image),
            full: None,
        }
    }
}

/// The end of an image, as answers name the state they are true for.
pub(super) fn end_of(image: &Image) -> Stamp {
    Stamp {
        offset: image.end_offset(),
        time: image.last_time(),
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        stamp(response.headers_mut(), self.at);
        if let Some(full) = self.full {
            response.headers_mut().insert(
                FULL,
                HeaderValue::from_static(if full { "true" } else { "false" }),
            );
        }
        response
    }
}

/// Says for which state an answer is true, unless it says so already.
pub(super) fn stamp(headers: &mut HeaderMap, at: Stamp) {
    headers.entry(OFFSET).or_insert_with(|| at.offset.into());
    headers.entry(TIME).or_insert_with(|| at.time.into());
}

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    text: String,
}

impl Problem {
    /// This status and this sentence.
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }
    /// 400.
    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }
    /// 404.
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.http_status());
        Self::new(
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            refusal.text,
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.text)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let unknown = self.status == StatusCode::GATEWAY_TIMEOUT;
        let body = if unknown {
            json!({ "error": self.text, "outcome": "unknown" })
        } else {
            json!({ "error": self.text })
        };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            // An election takes less than that.
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
