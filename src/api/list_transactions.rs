//! ListTransactions (66): as a broker that coordinates no transaction
//! (`TransactionStateManager.listTransactionStates`, 4.3.1).

use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};

use crate::api::Read;
use crate::rules::View;

/// The states a transaction can be in, as filters name them (`TransactionState`, 4.3.1).
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

impl Read for ListTransactionsRequest {
    /// No transaction; state filters that Kafka does not know are named, as a broker does.
    fn answer(&self, _view: &View<'_>) -> ListTransactionsResponse {
        let unknown = self
            .state_filters
            .iter()
            .filter(|state| !STATES.contains(&state.as_str()));
        ListTransactionsResponse::default().with_unknown_state_filters(unknown.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::api::testing::answer;

    #[test]
    fn unknown_state_filters_are_named() {
        let request = ListTransactionsRequest::default()
            .with_state_filters(vec!["Ongoing".into(), "Sleeping".into()]);
        let response = answer(&request, 2);
        assert_eq!(response.error_code, 0);
        assert_eq!(
            response.unknown_state_filters,
            ["Sleeping"].map(StrBytes::from)
        );
        assert!(response.transaction_states.is_empty());
    }
}
