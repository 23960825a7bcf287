//! SaslHandshake and SaslAuthenticate on a listener without SASL: there is nothing to authenticate
//! (`ControllerApis.handleSaslHandshakeRequest`, 4.3.1).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::api::Read;
use crate::rules::View;

const CODE: ResponseError = ResponseError::IllegalSaslState;

impl Read for SaslHandshakeRequest {
    fn answer(&self, _: &View<'_>) -> SaslHandshakeResponse {
        SaslHandshakeResponse::default().with_error_code(CODE.code())
    }
}

impl Read for SaslAuthenticateRequest {
    fn answer(&self, _: &View<'_>) -> SaslAuthenticateResponse {
        let text = "SaslAuthenticate request received after successful authentication";
        SaslAuthenticateResponse::default()
            .with_error_code(CODE.code())
            .with_error_message(Some(StrBytes::from_static_str(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::answer;

    #[test]
    fn nothing_is_authenticated_here() {
        assert_eq!(answer(&SaslHandshakeRequest::default(), 1).error_code, 34);
        for version in 0..=2 {
            let response = answer(&SaslAuthenticateRequest::default(), version);
            assert_eq!(response.error_code, 34);
            assert!(
                response
                    .error_message
                    .is_some_and(|text| text.contains("successful"))
            );
        }
    }
}
