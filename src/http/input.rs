//! How requests come in: bodies within their bounds, and the lenient reading of the original
//! endpoints, whose programs send digits as strings and leave a field empty where they mean none.

use axum::body::Body;
use axum::extract::FromRequest;
use axum::http::{Request, StatusCode};
use serde_json::{Map, Value};

use super::reply::Problem;
use super::serve::{BODY_BYTES_MAX, BODY_WAIT_MAX};

/// A request's body as a JSON object, whatever content type it claims.
pub(super) struct Object(pub(super) Fields);

impl<S: Sync> FromRequest<S> for Object {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, _state: &S) -> Result<Self, Problem> {
        let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX);
        let body = match tokio::time::timeout(BODY_WAIT_MAX, body).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) if is_too_long(&error) => {
                return Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("The body may have at most {BODY_BYTES_MAX} bytes."),
                ));
            }
            Ok(Err(error)) => return Err(Problem::bad(format!("The body broke off: {error}"))),
            Err(_) => {
                return Err(Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "The body came too slowly.",
                ));
            }
        };
        match serde_json::from_slice(&body) {
            Ok(Value::Object(fields)) => Ok(Self(Fields(fields))),
            Ok(_) => Err(Problem::bad("The body must be a JSON object.")),
            Err(error) => Err(Problem::bad(format!("The body is not JSON: {error}"))),
        }
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|it| it.to_string().contains("length limit"))
}

/// The fields of an object, read leniently.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of an enveloped record, if it carries one of these names. What else stands in the
    /// envelope, the caller's timestamp for one, is ignored.
    pub(super) fn of_record(&self, names: &[&str]) -> Result<Self, Problem> {
        let name = self
            .0
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !names.contains(&name) {
            return Err(Problem::bad(format!(
                "The record's name must be {}.",
                names.join(" or ")
            )));
        }
        match self.0.get("fields") {
            Some(Value::Object(fields)) => Ok(Self(fields.clone())),
            _ => Err(Problem::bad(
                "The record must have an object called fields.",
            )),
        }
    }

    /// The value of a field, unless it is absent, null or empty text.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .get(name)
            .filter(|value| !value.is_null() && value.as_str() != Some(""))
    }

    /// A text; numbers are taken for their digits.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(Problem::bad(format!("{name} must be a text."))),
        }
    }

    /// A whole number, or its digits in a text.
    pub(super) fn number<N: TryFrom<i64>>(&self, name: &str) -> Result<Option<N>, Problem> {
        self.get(name).map(|value| whole(name, value)).transpose()
    }

    /// Numbers in a list, or a single one.
    pub(super) fn numbers<N: TryFrom<i64>>(&self, name: &str) -> Result<Vec<N>, Problem> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(|value| whole(name, value)).collect(),
            Some(value) => Ok(vec![whole(name, value)?]),
        }
    }

    /// Seconds since 1970, fractions allowed, as milliseconds.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let seconds = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match seconds.filter(|seconds| seconds.is_finite()) {
            Some(seconds) => Ok(Some((seconds * 1000.0) as i64)),
            None => Err(Problem::bad(format!("{name} must be a number of seconds."))),
        }
    }
}

/// What a field must have.
pub(super) fn required<T>(name: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::bad(format!("{name} is missing.")))
}

fn whole<N: TryFrom<i64>>(name: &str, value: &Value) -> Result<N, Problem> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let fits = number.and_then(|number| N::try_from(number).ok());
    fits.ok_or_else(|| Problem::bad(format!("{name} must be a whole number in its range.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
            panic!("{text}")
        };
        Fields(fields)
    }

    #[test]
    fn digits_may_come_as_text_and_empty_text_is_absent() {
        let read = fields(
            r#"{"a": 5, "b": "8005", "c": "", "d": null, "e": 1.5, "f": "x", "g": [1, "2"]}"#,
        );
        assert_eq!(read.number("a").unwrap(), Some(5));
        assert_eq!(read.number("b").unwrap(), Some(8005u16));
        assert_eq!(read.number::<i32>("c").unwrap(), None);
        assert_eq!(read.number::<i32>("d").unwrap(), None);
        assert_eq!(read.text("b").unwrap().as_deref(), Some("8005"));
        assert_eq!(read.text("a").unwrap().as_deref(), Some("5"));
        assert_eq!(read.numbers::<i32>("g").unwrap(), vec![1, 2]);
        assert_eq!(read.numbers::<i32>("a").unwrap(), vec![5]);
        assert_eq!(read.numbers::<i32>("c").unwrap(), Vec::<i32>::new());
        assert_eq!(read.seconds("e").unwrap(), Some(1500));
        for (bad, text) in [("e", "e must be"), ("f", "f must be"), ("g", "g must be")] {
            assert!(
                read.number::<i32>(bad)
                    .unwrap_err()
                    .to_string()
                    .contains(text)
            );
        }
        assert!(read.number::<i8>("b").is_err(), "out of its range");
    }

    #[test]
    fn an_envelope_must_carry_the_right_record() {
        let record =
            fields(r#"{"type": "metadata", "name": "TopicRecord", "fields": {"name": "Likes"}}"#);
        let read = record.of_record(&["TopicRecord"]).unwrap();
        assert_eq!(read.text("name").unwrap().as_deref(), Some("Likes"));
        assert!(record.of_record(&["PartitionRecord"]).is_err());
        assert!(
            fields(r#"{"name": "TopicRecord"}"#)
                .of_record(&["TopicRecord"])
                .is_err()
        );
    }
}
