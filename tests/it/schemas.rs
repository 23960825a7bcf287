//! The table of records is Kafka's: each row is compared with the schema files that Kafka's own
//! classes are generated from.
//!
//! The files are in the `kafka-metadata` jar (`common/metadata/*.json`) and not in this repository.
//! `scripts/test` unpacks them and names the folder in `YAKT_KAFKA_SCHEMAS`; without it nothing is
//! compared, and the test says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use yakt::records::{Row, Schema, schemas};

const FOLDER: &str = "YAKT_KAFKA_SCHEMAS";

/// What Kafka's files and our table say of one struct, in one form, so that a difference is read
/// off a failed comparison.
#[derive(Debug, PartialEq)]
struct Struct {
    key: Option<i64>,
    versions: String,
    /// In the order of the wire.
    fields: Vec<Field>,
    /// By tag.
    tagged: BTreeMap<i64, Field>,
}

#[derive(Debug, PartialEq)]
struct Field {
    name: String,
    type_name: String,
    versions: String,
    nullable: Option<String>,
    default: Vec<u8>,
}

#[test]
fn the_table_is_kafkas() {
    let Ok(folder) = std::env::var(FOLDER) else {
        eprintln!("not run: {FOLDER} does not name a folder with Kafka's common/metadata/*.json");
        return;
    };
    let mut kafkas = BTreeMap::new();
    let mut records = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        if file
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            read_file(&file, &mut kafkas);
            records += 1;
        }
    }
    assert_eq!(records, 26, "{folder} is not Kafka 4.3's");
    let ours: BTreeMap<_, _> = schemas()
        .map(|schema| (schema.name.to_owned(), ours(&schema)))
        .collect();
    for (name, kafka) in &kafkas {
        assert_eq!(ours.get(name), Some(kafka), "{name}");
    }
    assert_eq!(ours.len(), kafkas.len(), "more structs than Kafka has");
}

fn ours(schema: &Schema) -> Struct {
    let field = |row: &Row| Field {
        name: pascal_case(row.field),
        type_name: (row.type_name)(),
        versions: format!("{}+", row.since),
        nullable: row.nullable.then(|| format!("{}+", row.since)),
        default: (row.default)(),
    };
    let tags: Vec<_> = schema.rows.iter().filter_map(|row| row.tag).collect();
    assert!(
        tags.is_sorted(),
        "{}: tagged fields are written in the order of the table",
        schema.name
    );
    let tagged = |row: &Row| row.tag.map(|tag| (i64::from(tag), field(row)));
    Struct {
        key: schema.key.map(i64::from),
        versions: versions(i64::from(schema.version_max)),
        fields: schema
            .rows
            .iter()
            .filter(|row| row.tag.is_none())
            .map(field)
            .collect(),
        tagged: schema.rows.iter().filter_map(tagged).collect(),
    }
}

fn read_file(file: &Path, structs: &mut BTreeMap<String, Struct>) {
    let text = fs::read_to_string(file).unwrap();
    let comment = |line: &&str| line.trim_start().starts_with("//");
    let json: String = text.lines().filter(|line| !comment(line)).collect();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["flexibleVersions"], "0+", "{}", file.display());
    let version_max = json["validVersions"]
        .as_str()
        .unwrap()
        .rsplit('-')
        .next()
        .unwrap();
    read_struct(
        &json,
        json["apiKey"].as_i64(),
        version_max.parse().unwrap(),
        structs,
    );
}

/// Reads a record or an element; elements have the versions of the record around them.
fn read_struct(
    json: &Value,
    key: Option<i64>,
    version_max: i64,
    structs: &mut BTreeMap<String, Struct>,
) {
    let mut fields = Vec::new();
    let mut tagged = BTreeMap::new();
    for field in json["fields"].as_array().unwrap() {
        if field["fields"].is_array() {
            read_struct(field, None, version_max, structs);
        }
        match field["tag"].as_i64() {
            Some(tag) => {
                assert_eq!(field["taggedVersions"], field["versions"], "{field}");
                tagged.insert(tag, read_field(field));
            }
            None => fields.push(read_field(field)),
        }
    }
    let name = match key {
        Some(_) => json["name"].as_str().unwrap(),
        None => json["type"].as_str().unwrap().trim_start_matches("[]"),
    };
    let read = Struct {
        key,
        versions: versions(version_max),
        fields,
        tagged,
    };
    structs.insert(name.to_owned(), read);
}

fn read_field(json: &Value) -> Field {
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let type_name = text("type").unwrap();
    let default = default_bytes(&type_name, json["default"].as_str());
    Field {
        name: text("name").unwrap(),
        type_name,
        versions: text("versions").unwrap(),
        nullable: text("nullableVersions"),
        default,
    }
}

/// A default as Kafka's generator understands it: absent means the type's zero, which for strings
/// and arrays is the empty one even where null would be allowed.
fn default_bytes(type_name: &str, default: Option<&str>) -> Vec<u8> {
    let number = |default: Option<&str>| default.map_or(0, |text| text.parse::<i64>().unwrap());
    let width = match type_name {
        _ if default == Some("null") => return vec![0],
        "bool" => return vec![u8::from(default == Some("true"))],
        "float64" | "uuid" => 0,
        "int8" => 1,
        "int16" | "uint16" => 2,
        "int32" => 4,
        "int64" => 8,
        _ => return vec![1],
    };
    match (type_name, default) {
        ("float64", None) => vec![0; 8],
        ("uuid", None) => vec![0; 16],
        _ => number(default).to_be_bytes()[8 - width..].to_vec(),
    }
}

fn versions(version_max: i64) -> String {
    format!("0 to {version_max}")
}

fn pascal_case(snake_case: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    snake_case.split('_').map(capital).collect()
}
