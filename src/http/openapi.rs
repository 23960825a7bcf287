//! The table's row type, and the OpenAPI document that comes from the same rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::{Doors, MethodRouter};

/// One route: where it is, who answers, and what the documentation says of it.
pub(super) struct Route {
    pub(super) paths: Vec<&'static str>,
    pub(super) handler: MethodRouter<Doors>,
    method: &'static str,
    about: &'static str,
    parameters: &'static [Parameter],
    example: Option<&'static str>,
    answer: Answer,
}

/// A parameter of a query.
pub(super) struct Parameter {
    /// Its name.
    pub(super) name: &'static str,
    /// What it says.
    pub(super) about: &'static str,
    /// `string`, `integer` or `boolean`.
    pub(super) kind: &'static str,
}

/// What an answer holds.
enum Answer {
    Json {
        schema: Value,
        parts: Vec<(String, RefOr<Schema>)>,
        map: bool,
    },
    Bytes(&'static str),
}

/// Every route takes it.
const CONSISTENT: Parameter = Parameter {
    name: "consistent",
    about: "true: answered only when this node holds everything the leader had decided.",
    kind: "boolean",
};

impl Route {
    fn new(method: &'static str, path: &'static str, handler: MethodRouter<Doors>) -> Self {
        Self {
            paths: vec![path],
            handler,
            method,
            about: "",
            parameters: &[],
            example: None,
            answer: Answer::Bytes("text/plain"),
        }
    }
    pub(super) fn get(path: &'static str, handler: MethodRouter<Doors>) -> Self {
        Self::new("get", path, handler)
    }
    pub(super) fn post(path: &'static str, handler: MethodRouter<Doors>) -> Self {
        Self::new("post", path, handler)
    }
    pub(super) fn delete(path: &'static str, handler: MethodRouter<Doors>) -> Self {
        Self::new("delete", path, handler)
    }
    /// Another spelling.
    pub(super) fn or(mut self, path: &'static str) -> Self {
        self.paths.push(path);
        self
    }
    /// What it does, in a sentence.
    pub(super) fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }
    /// The parameters of its query.
    pub(super) fn takes(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }
    /// An example of its body.
    pub(super) fn accepts(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }
    /// It answers this as JSON.
    pub(super) fn answers<T: ToSchema>(self) -> Self {
        self.answers_json::<T>(false)
    }
    /// It answers a JSON object whose values are this.
    pub(super) fn answers_map_of<T: ToSchema>(self) -> Self {
        self.answers_json::<T>(true)
    }
    /// It answers this type of content.
    pub(super) fn answers_bytes(mut self, content_type: &'static str) -> Self {
        self.answer = Answer::Bytes(content_type);
        self
    }

    fn answers_json<T: ToSchema>(mut self, map: bool) -> Self {
        let mut parts = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut parts);
        let schema = json!({"$ref": format!("#/components/schemas/{}", T::name())});
        self.answer = Answer::Json { schema, parts, map };
        self
    }

    fn operation(&self, path: &str) -> Value {
        let in_path = path
            .split('/')
            .filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
        let in_path = in_path.map(|name| {
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
        });
        let in_query = self.parameters.iter().chain([&CONSISTENT]).map(|it| {
            let schema = json!({"type": it.kind});
            json!({"name": it.name, "in": "query", "description": it.about, "schema": schema})
        });
        let content = match &self.answer {
            Answer::Json {
                schema, map: false, ..
            } => json!({"application/json": {"schema": schema}}),
            Answer::Json {
                schema, map: true, ..
            } => {
                let schema = json!({"type": "object", "additionalProperties": schema});
                json!({"application/json": {"schema": schema}})
            }
            Answer::Bytes(content_type) => json!({*content_type: {"schema": {"type": "string"}}}),
        };
        let mut operation = json!({
            "summary": self.about,
            "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
            "responses": {
                "200": {"description": "What was asked for.", "content": content},
                "default": {"$ref": "#/components/responses/Error"},
            },
        });
        if let Some(example) = self.example {
            let example: Value = serde_json::from_str(example).expect("examples are JSON");
            operation["requestBody"] = json!({
                "required": true,
                "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
            });
        }
        operation
    }
}

/// The document over these routes.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    let mut schemas: BTreeMap<String, Value> = BTreeMap::new();
    for route in routes {
        for path in &route.paths {
            let place = paths.entry(*path).or_insert_with(|| json!({}));
            place[route.method] = route.operation(path);
        }
        if let Answer::Json { parts, .. } = &route.answer {
            for (name, schema) in parts {
                schemas.insert(name.clone(), json!(schema));
            }
        }
    }
    schemas.insert("Error".to_owned(), error_schema());
    let error = json!({"schema": {"$ref": "#/components/schemas/Error"}});
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "YAKt",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The Kafka control plane. Every answer carries YAKt-Offset, the end offset \
                it is true for, and YAKt-Time, the log time of the last change before it.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Error": {
                "description": "It did not happen, and why. 503: nothing was written; 504 with an \
                    outcome of unknown: it may have been.",
                "content": {"application/json": error},
            }},
        },
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {"type": "string", "description": "A sentence."},
            "outcome": {"type": "string", "enum": ["unknown"]},
        },
    })
}

/// `GET /openapi.json`.
pub(super) async fn page(Extension(document): Extension<Arc<Value>>) -> Response {
    axum::Json(&*document).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name that a `$ref` in the document points to.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    found.push(target.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_is_told_of_and_every_reference_leads_somewhere() {
        let routes = super::super::routes();
        let document = document(&routes);
        let told: Vec<_> = document["paths"]
            .as_object()
            .expect("paths")
            .keys()
            .collect();
        let paths: Vec<_> = routes.iter().flat_map(|route| &route.paths).collect();
        assert!(
            paths
                .iter()
                .all(|path| told.iter().any(|it| it.as_str() == **path))
        );
        assert!(routes.iter().all(|route| !route.about.is_empty()));
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for target in found {
            let place = target.strip_prefix('#').expect("a place in this document");
            assert!(document.pointer(place).is_some(), "{target}");
        }
    }
}
