//! Checks a JSON value against the part of JSON Schema that the OpenAPI document uses.

use serde_json::Value;

/// Panics unless the document says that this route may answer so.
#[track_caller]
pub(super) fn check_answer(document: &Value, method: &str, path: &str, status: u16, body: &str) {
    let path = path.split('?').next().unwrap_or_default();
    let operation = &operation(document, path)[method.to_ascii_lowercase()];
    let place = if status == 200 {
        &operation["responses"]["200"]["content"]
    } else {
        assert!(operation.is_null() || operation["responses"]["default"].is_object());
        &document["components"]["responses"]["Error"]["content"]
    };
    let Some(schema) = place
        .get("application/json")
        .and_then(|it| it.get("schema"))
    else {
        assert!(place.is_object(), "{method} {path} is not in the document");
        return;
    };
    let value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    if let Err(why) = check(document, schema, &value) {
        panic!("{method} {path} {status}: {why} in {body}");
    }
}

/// The document's entry for a path, whose parameters stand between braces.
fn operation<'a>(document: &'a Value, path: &str) -> &'a Value {
    let fits = |pattern: &str| {
        let (parts, asked) = (pattern.split('/'), path.split('/'));
        parts.clone().count() == asked.clone().count()
            && parts
                .zip(asked)
                .all(|(part, asked)| part.starts_with('{') || part == asked)
    };
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .find(|(pattern, _)| fits(pattern))
        .map_or(&Value::Null, |(_, entry)| entry)
}

fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(target) = schema["$ref"].as_str() {
        let target = document
            .pointer(&target[1..])
            .expect("references lead somewhere");
        return check(document, target, value);
    }
    for (word, all) in [("oneOf", false), ("anyOf", false), ("allOf", true)] {
        let Some(choices) = schema[word].as_array() else {
            continue;
        };
        let fitting = choices
            .iter()
            .filter(|it| check(document, it, value).is_ok())
            .count();
        if (all && fitting < choices.len()) || fitting == 0 {
            return Err(format!("{value} fits {fitting} of {word} {schema}"));
        }
    }
    check_type(&schema["type"], value)?;
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        return Err(format!("{value} is none of {allowed:?}"));
    }
    if let Some(items) = value.as_array() {
        items
            .iter()
            .try_for_each(|item| check(document, &schema["items"], item))?;
    }
    if let Some(fields) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(name.as_str().expect("a name")) {
                return Err(format!("{name} is missing"));
            }
        }
        for (name, field) in fields {
            let known = schema["properties"]
                .get(name)
                .or_else(|| schema.get("additionalProperties"));
            match known {
                Some(known) => {
                    check(document, known, field).map_err(|why| format!("{name}: {why}"))?
                }
                None if schema["properties"].is_object() => {
                    return Err(format!("{name} is not in the document"));
                }
                None => {}
            }
        }
    }
    Ok(())
}

fn check_type(wanted: &Value, value: &Value) -> Result<(), String> {
    let one = |wanted: &str| match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => false,
    };
    let fits = match wanted {
        Value::String(wanted) => one(wanted),
        Value::Array(choices) => choices.iter().filter_map(Value::as_str).any(one),
        _ => true,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("{value} is not {wanted}"))
    }
}

#[test]
fn the_check_finds_what_is_wrong() {
    let document = serde_json::json!({"components": {"schemas": {"A": {
        "type": "object",
        "required": ["n"],
        "properties": {"n": {"type": "integer"}, "s": {"type": ["string", "null"], "enum": ["x", null]}},
    }}}});
    let schema = serde_json::json!({"type": "array", "items": {"$ref": "#/components/schemas/A"}});
    let good = [
        r#"[]"#,
        r#"[{"n": 1}]"#,
        r#"[{"n": 1, "s": "x"}, {"n": 2, "s": null}]"#,
    ];
    let bad = [
        r#"{}"#,
        r#"[{}]"#,
        r#"[{"n": 1.5}]"#,
        r#"[{"n": 1, "s": "y"}]"#,
        r#"[{"n": 1, "t": 1}]"#,
    ];
    for (text, expect) in good
        .map(|it| (it, true))
        .into_iter()
        .chain(bad.map(|it| (it, false)))
    {
        let value = serde_json::from_str(text).expect("JSON");
        assert_eq!(check(&document, &schema, &value).is_ok(), expect, "{text}");
    }
}
