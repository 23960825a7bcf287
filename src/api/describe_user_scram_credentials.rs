//! DescribeUserScramCredentials (50): which users have which mechanism with how many iterations;
//! never a salt or a key (`ScramImage.describe`, 4.3.1).

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::api::Read;
use crate::rules::View;

impl Read for DescribeUserScramCredentialsRequest {
    /// Null or no users: everybody. A user named twice is an error, one without credentials too.
    fn answer(&self, view: &View<'_>) -> DescribeUserScramCredentialsResponse {
        let mut credentials: BTreeMap<&str, Vec<CredentialInfo>> = BTreeMap::new();
        for credential in view.image.scram_credentials() {
            credentials.entry(&credential.name).or_default().push(
                CredentialInfo::default()
                    .with_mechanism(credential.mechanism)
                    .with_iterations(credential.iterations),
            );
        }
        let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
        for user in self.users.iter().flatten() {
            *asked.entry(&user.name).or_default() += 1;
        }
        if asked.is_empty() {
            asked = credentials.keys().map(|user| (*user, 1)).collect();
        }
        let results = asked.into_iter().map(|(user, times)| {
            let result = DescribeUserScramCredentialsResult::default()
                .with_user(StrBytes::from_string(user.to_owned()))
                .with_error_message(Some("".into()));
            match credentials.remove(user) {
                _ if times > 1 => refused(
                    result,
                    ResponseError::DuplicateResource,
                    format!(
                        "Cannot describe SCRAM credentials for the same user twice in a single \
                         request: {user}"
                    ),
                ),
                Some(infos) => result.with_credential_infos(infos),
                None => refused(
                    result,
                    ResponseError::ResourceNotFound,
                    format!("Attempt to describe a user credential that does not exist: {user}"),
                ),
            }
        });
        DescribeUserScramCredentialsResponse::default()
            .with_error_message(Some("".into()))
            .with_results(results.collect())
    }
}

fn refused(
    result: DescribeUserScramCredentialsResult,
    error: ResponseError,
    text: String,
) -> DescribeUserScramCredentialsResult {
    result
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(text)))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;

    use super::*;
    use crate::api::testing::World;
    use crate::records::UserScramCredentialRecord;

    /// `user!error:mechanism/iterations` of everybody told of.
    #[track_caller]
    fn check(users: Option<&[&str]>, expect: &str) {
        let credential = |name: &str, mechanism, iterations| {
            let record = UserScramCredentialRecord {
                name: name.to_owned(),
                mechanism,
                iterations,
                ..UserScramCredentialRecord::default()
            };
            record.into()
        };
        let world = World::of(vec![
            credential("frank", 2, 8192),
            credential("alice", 1, 4096),
            credential("alice", 2, 5000),
        ]);
        let named =
            |name: &&str| UserName::default().with_name(StrBytes::from_string((*name).to_owned()));
        let users = users.map(|users| users.iter().map(named).collect());
        let request = DescribeUserScramCredentialsRequest::default().with_users(users);
        let told = world.answer(&request, 0).results.into_iter().map(|it| {
            let infos = it
                .credential_infos
                .iter()
                .map(|it| format!("{}/{}", it.mechanism, it.iterations));
            format!(
                "{}!{}:{}",
                it.user,
                it.error_code,
                infos.collect::<Vec<_>>().join(",")
            )
        });
        assert_eq!(told.collect::<Vec<_>>().join(" "), expect);
    }

    #[test]
    fn users_and_their_mechanisms() {
        let all = "alice!0:1/4096,2/5000 frank!0:2/8192";
        check(None, all);
        check(Some(&[]), all);
        check(Some(&["frank"]), "frank!0:2/8192");
        check(
            Some(&["nobody", "alice", "frank", "frank"]),
            "alice!0:1/4096,2/5000 frank!92: nobody!91:",
        );
    }
}
