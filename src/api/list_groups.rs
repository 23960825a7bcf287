//! ListGroups (16): as a broker that coordinates no group.

use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse};

use crate::api::Read;
use crate::rules::View;

impl Read for ListGroupsRequest {
    /// No error and no group: clients merge the answers of all nodes.
    fn answer(&self, _view: &View<'_>) -> ListGroupsResponse {
        ListGroupsResponse::default()
    }
}
