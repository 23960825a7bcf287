//! DescribeClientQuotas (48): the quotas of all entities that a filter matches
//! (`ClientQuotasImage.describe`, 4.3.1).

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;

use crate::api::Read;
use crate::image::{QuotaEntity, Quotas};
use crate::refusal::Refusal;
use crate::rules::View;

impl Read for DescribeClientQuotasRequest {
    fn answer(&self, view: &View<'_>) -> DescribeClientQuotasResponse {
        let filter = match filter(&self.components) {
            Ok(filter) => filter,
            Err(refusal) => {
                return DescribeClientQuotasResponse::default()
                    .with_error_code(refusal.code())
                    .with_error_message(Some(StrBytes::from_string(refusal.text.into_owned())))
                    .with_entries(None);
            }
        };
        let entries = view
            .image
            .quotas()
            .filter(|(entity, _)| matches(entity, &filter, self.strict));
        DescribeClientQuotasResponse::default()
            .with_error_message(Some("".into()))
            .with_entries(Some(
                entries
                    .map(|(entity, quotas)| entry(entity, quotas))
                    .collect(),
            ))
    }
}

/// What a part of an entity must be.
enum Wanted<'a> {
    /// This name; `None` is the default of its type.
    Exactly(Option<&'a str>),
    /// Any name, the default included.
    Any,
}

/// The filter by entity type. Each type may be named once, and ip stands alone.
fn filter(components: &[ComponentData]) -> Result<BTreeMap<&str, Wanted<'_>>, Refusal> {
    let invalid = |text: String| Err(Refusal::new(ResponseError::InvalidRequest, text));
    let mut filter = BTreeMap::new();
    for component in components {
        let kind = component.entity_type.as_str();
        if kind.is_empty() {
            return invalid("Invalid empty entity type.".to_owned());
        }
        if filter.contains_key(kind) {
            return invalid(format!(
                "Entity type {kind} cannot appear more than once in the filter."
            ));
        }
        if !["ip", "user", "client-id"].contains(&kind) {
            return Err(Refusal::new(
                ResponseError::UnsupportedVersion,
                format!("Unsupported entity type {kind}"),
            ));
        }
        let wanted = match (component.match_type, component._match.as_deref()) {
            (0, Some(name)) => Wanted::Exactly(Some(name)),
            (0, None) => {
                return invalid(
                    "Request specified MATCH_TYPE_EXACT, but set match string to null.".to_owned(),
                );
            }
            (1, None) => Wanted::Exactly(None),
            (2, None) => Wanted::Any,
            (kind @ (1 | 2), Some(_)) => {
                let name = if kind == 1 {
                    "MATCH_TYPE_DEFAULT"
                } else {
                    "MATCH_TYPE_SPECIFIED"
                };
                return invalid(format!(
                    "Request specified {name}, but also specified a match string."
                ));
            }
            (other, _) => return invalid(format!("Unknown match type {other}")),
        };
        filter.insert(kind, wanted);
    }
    if filter.contains_key("ip") && filter.len() > 1 {
        return invalid(
            "Invalid entity filter component combination. IP filter component should not be used \
             with user or clientId filter component."
                .to_owned(),
        );
    }
    Ok(filter)
}

/// Whether the entity has a fitting part for each of the filter's, and if strict, no others.
fn matches(entity: &QuotaEntity, filter: &BTreeMap<&str, Wanted<'_>>, strict: bool) -> bool {
    let QuotaEntity(parts) = entity;
    let fits = |(kind, wanted): (&&str, &Wanted<'_>)| {
        let part = parts.iter().find(|(other, _)| other == kind);
        part.is_some_and(|(_, name)| match wanted {
            Wanted::Exactly(wanted) => name.as_deref() == *wanted,
            Wanted::Any => true,
        })
    };
    (!strict || parts.len() == filter.len()) && filter.iter().all(fits)
}

fn entry(QuotaEntity(parts): &QuotaEntity, quotas: &Quotas) -> EntryData {
    let entity = parts.iter().map(|(kind, name)| {
        EntityData::default()
            .with_entity_type(StrBytes::from_string(kind.clone()))
            .with_entity_name(name.clone().map(StrBytes::from_string))
    });
    let values = quotas.iter().map(|(key, value)| {
        ValueData::default()
            .with_key(StrBytes::from_string(key.clone()))
            .with_value(*value)
    });
    EntryData::default()
        .with_entity(entity.collect())
        .with_values(values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::World;
    use crate::records::{self, ClientQuotaRecord};

    fn quota(entity: &[(&str, Option<&str>)], key: &str, value: f64) -> records::Record {
        let part = |(kind, name): &(&str, Option<&str>)| records::EntityData {
            entity_type: (*kind).to_owned(),
            entity_name: name.map(str::to_owned),
        };
        let entity = entity.iter().map(part).collect();
        ClientQuotaRecord {
            entity,
            key: key.to_owned(),
            value,
            remove: false,
        }
        .into()
    }

    /// What matches, as `type=name` parts and the number of their quotas; else the error's code.
    #[track_caller]
    fn check(strict: bool, filter: &[(&str, i8, Option<&str>)], expect: &str) {
        let world = World::of(vec![
            quota(&[("user", Some("u1"))], "producer_byte_rate", 5.5),
            quota(&[("user", Some("u1"))], "consumer_byte_rate", 7.0),
            quota(&[("user", None)], "request_percentage", 200.0),
            quota(
                &[("user", Some("u1")), ("client-id", None)],
                "consumer_byte_rate",
                1.0,
            ),
            quota(
                &[("ip", Some("127.0.0.9"))],
                "connection_creation_rate",
                10.0,
            ),
        ]);
        let component = |(kind, match_type, name): &(&str, i8, Option<&str>)| {
            ComponentData::default()
                .with_entity_type(StrBytes::from_string((*kind).to_owned()))
                .with_match_type(*match_type)
                .with_match(name.map(|name| StrBytes::from_string(name.to_owned())))
        };
        let request = DescribeClientQuotasRequest::default()
            .with_components(filter.iter().map(component).collect())
            .with_strict(strict);
        let response = world.answer(&request, 1);
        let told = |entry: &EntryData| {
            let name = |it: &EntityData| {
                it.entity_name
                    .as_ref()
                    .map_or_else(|| "*".to_owned(), |it| it.to_string())
            };
            let parts = entry
                .entity
                .iter()
                .map(|it| format!("{}={}", it.entity_type, name(it)));
            format!(
                "{}:{}",
                parts.collect::<Vec<_>>().join(","),
                entry.values.len()
            )
        };
        let told: Vec<_> = match &response.entries {
            Some(entries) => entries.iter().map(told).collect(),
            None => vec![response.error_code.to_string()],
        };
        assert_eq!(told.join(" "), expect);
    }

    #[test]
    fn entities_are_found_by_their_parts() {
        check(
            false,
            &[],
            "client-id=*,user=u1:1 ip=127.0.0.9:1 user=*:1 user=u1:2",
        );
        check(true, &[], "");
        check(true, &[("user", 0, Some("u1"))], "user=u1:2");
        check(
            false,
            &[("user", 0, Some("u1"))],
            "client-id=*,user=u1:1 user=u1:2",
        );
        check(true, &[("user", 1, None)], "user=*:1");
        check(
            false,
            &[("user", 2, None)],
            "client-id=*,user=u1:1 user=*:1 user=u1:2",
        );
        check(
            true,
            &[("client-id", 1, None), ("user", 2, None)],
            "client-id=*,user=u1:1",
        );
        check(false, &[("user", 0, Some("nobody"))], "");
    }

    #[test]
    fn filters_that_mean_nothing_are_refused() {
        check(false, &[("", 0, Some("x"))], "42");
        check(false, &[("group", 0, Some("x"))], "35");
        check(false, &[("user", 0, Some("x")), ("user", 2, None)], "42");
        check(false, &[("user", 0, None)], "42");
        check(false, &[("user", 1, Some("x"))], "42");
        check(false, &[("user", 2, Some("x"))], "42");
        check(false, &[("user", 3, None)], "42");
        check(false, &[("ip", 2, None), ("user", 2, None)], "42");
    }
}
