//! DescribeDelegationToken (41): as a broker answers it on a listener without authentication.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{DescribeDelegationTokenRequest, DescribeDelegationTokenResponse};

use crate::api::Read;
use crate::rules::View;

impl Read for DescribeDelegationTokenRequest {
    /// DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: tokens are told of only to those who proved who they
    /// are, and this node's listeners speak PLAINTEXT (`KafkaApis.allowTokenRequests`, 4.3.1).
    fn answer(&self, _view: &View<'_>) -> DescribeDelegationTokenResponse {
        DescribeDelegationTokenResponse::default()
            .with_error_code(ResponseError::DelegationTokenRequestNotAllowed.code())
    }
}
