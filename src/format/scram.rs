//! `--add-scram 'SCRAM-SHA-256=[name=alice,password=secret]'`: users that exist before the first
//! broker asks for them (`ScramParser`, `ScramFormatter`, 4.3.1).

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};

use crate::clock::Dice;
use crate::records::UserScramCredentialRecord;

const ITERATIONS_MIN: i32 = 4096;
const ITERATIONS_MAX: i32 = 16_384;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    Sha256 = 1,
    Sha512 = 2,
}

/// Reads one option and derives the keys that are stored. A salt that is not given is drawn.
pub fn parse(option: &str, dice: &Dice) -> anyhow::Result<UserScramCredentialRecord> {
    parse_parts(option, dice).with_context(|| format!("--add-scram {}", shown(option)))
}

fn parse_parts(option: &str, dice: &Dice) -> anyhow::Result<UserScramCredentialRecord> {
    let (mechanism, config) = option
        .split_once('=')
        .context("there is no equals sign in it")?;
    let mechanism = match mechanism {
        "SCRAM-SHA-256" => Mechanism::Sha256,
        "SCRAM-SHA-512" => Mechanism::Sha512,
        other => bail!("{other} is no mechanism; there are SCRAM-SHA-256 and SCRAM-SHA-512"),
    };
    let mut fields = fields(config)?;
    let name = fields.remove("name").context("it must have a name")?;
    ensure!(!name.is_empty(), "its name must not be empty");
    let iterations = match fields.remove("iterations") {
        None => ITERATIONS_MIN,
        Some(text) => text
            .parse()
            .ok()
            .filter(|count| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(count))
            .with_context(|| format!("iterations must be {ITERATIONS_MIN} to {ITERATIONS_MAX}"))?,
    };
    let given_salt = fields
        .remove("salt")
        .map(|text| bytes("salt", &text))
        .transpose()?;
    let salted_password = match (fields.remove("password"), fields.remove("saltedpassword")) {
        (Some(_), Some(_)) => bail!("it must have either password or saltedpassword, not both"),
        (None, None) => bail!("it must have password or saltedpassword"),
        (None, Some(_)) if given_salt.is_none() => bail!("saltedpassword needs its salt"),
        (None, Some(salted)) => Salted::Given(bytes("saltedpassword", &salted)?),
        (Some(password), None) => Salted::From(password),
    };
    if let Some(unknown) = fields.keys().next() {
        bail!("{unknown} is no field of it");
    }
    let salt = given_salt.unwrap_or_else(|| random_salt(dice));
    let salted_password = match salted_password {
        Salted::Given(salted) => salted,
        Salted::From(password) => mechanism.salt(password.as_bytes(), &salt, iterations),
    };
    let client_key = mechanism.hmac(&salted_password, b"Client Key");
    Ok(UserScramCredentialRecord {
        name,
        mechanism: mechanism as i8,
        salt,
        stored_key: mechanism.hash(&client_key),
        server_key: mechanism.hmac(&salted_password, b"Server Key"),
        iterations,
    })
}

enum Salted {
    Given(Vec<u8>),
    From(String),
}

impl Mechanism {
    fn salt(self, password: &[u8], salt: &[u8], iterations: i32) -> Vec<u8> {
        let rounds = iterations as u32;
        match self {
            Self::Sha256 => {
                pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, rounds).to_vec()
            }
            Self::Sha512 => {
                pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, rounds).to_vec()
            }
        }
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        const ANY: &str = "HMAC takes keys of any length";
        match self {
            Self::Sha256 => {
                let mac = Hmac::<Sha256>::new_from_slice(key)
                    .expect(ANY)
                    .chain_update(text);
                mac.finalize().into_bytes().to_vec()
            }
            Self::Sha512 => {
                let mac = Hmac::<Sha512>::new_from_slice(key)
                    .expect(ANY)
                    .chain_update(text);
                mac.finalize().into_bytes().to_vec()
            }
        }
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

/// Reads `[name=alice,salt="N3E=",password=secret]`; a value may stand in quotes.
fn fields(config: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let inner = config
        .trim()
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let mut rest = inner
        .context("what follows the equals sign must stand in [ and ]")?
        .trim();
    let mut fields = BTreeMap::new();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .context("its fields must be key=value")?;
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').context("a quote is not closed")?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        let key = key.trim().to_owned();
        ensure!(!fields.contains_key(&key), "{key} stands twice");
        fields.insert(key, value.trim().to_owned());
        let after = after.trim_start();
        ensure!(
            after.is_empty() || after.starts_with(','),
            "its fields must be separated by commas"
        );
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
    Ok(fields)
}

fn bytes(key: &str, text: &str) -> anyhow::Result<Vec<u8>> {
    STANDARD
        .decode(text)
        .with_context(|| format!("{key} must be base64"))
}

/// A salt must be new, not secret.
fn random_salt(dice: &Dice) -> Vec<u8> {
    [dice.uuid(), dice.uuid()]
        .iter()
        .flat_map(|id| *id.as_bytes())
        .collect()
}

/// The option without what follows its name, which may be a password.
fn shown(option: &str) -> &str {
    option.split("password").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(option: &str) -> anyhow::Result<UserScramCredentialRecord> {
        parse(option, &Dice::seeded(1))
    }

    #[test]
    fn keys_are_those_of_rfc_7677() {
        let user =
            record(r#"SCRAM-SHA-256=[name=user,password=pencil,salt="W22ZaJ0SNY7soEsUEjb6gQ=="]"#);
        let user = user.expect("valid");
        // The server signature of the example in RFC 7677 is made with this server key.
        assert_eq!(
            STANDARD.encode(&user.stored_key),
            "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        );
        assert_eq!(
            STANDARD.encode(&user.server_key),
            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert_eq!((user.mechanism, user.iterations), (1, 4096));
    }

    #[test]
    fn a_salted_password_is_taken_as_it_is() {
        let salted = Mechanism::Sha512.salt(b"secret", b"7q", 8192);
        let given = record(&format!(
            r#"SCRAM-SHA-512=[name=alice,iterations=8192,salt="N3E=",saltedpassword="{}"]"#,
            STANDARD.encode(&salted)
        ));
        let derived =
            record("SCRAM-SHA-512=[name=alice,iterations=8192,salt=N3E=,password=secret]");
        assert_eq!(given.expect("valid"), derived.expect("valid"));
    }

    #[test]
    fn a_salt_is_drawn_where_none_is_given() {
        let user = record("SCRAM-SHA-512=[password=secret, name=alice]").expect("valid");
        assert_eq!(
            (user.name.as_str(), user.salt.len(), user.stored_key.len()),
            ("alice", 32, 64)
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        let check = |option: &str, expected: &str| {
            let error = format!("{:#}", record(option).expect_err(option));
            assert_eq!(error, format!("--add-scram {expected}"));
        };
        check("alice", "alice: there is no equals sign in it");
        check(
            "MD5=[name=a]",
            "MD5=[name=a]: MD5 is no mechanism; there are SCRAM-SHA-256 and SCRAM-SHA-512",
        );
        check(
            "SCRAM-SHA-256=[name=a]",
            "SCRAM-SHA-256=[name=a]: it must have password or saltedpassword",
        );
        check(
            "SCRAM-SHA-256=[password=p]",
            "SCRAM-SHA-256=[: it must have a name",
        );
        check(
            "SCRAM-SHA-256=name=a",
            "SCRAM-SHA-256=name=a: what follows the equals sign must stand in [ and ]",
        );
        check(
            "SCRAM-SHA-256=[name=a,iterations=1,password=p]",
            "SCRAM-SHA-256=[name=a,iterations=1,: iterations must be 4096 to 16384",
        );
        check(
            "SCRAM-SHA-256=[name=a,saltedpassword=YQ==]",
            "SCRAM-SHA-256=[name=a,salted: saltedpassword needs its salt",
        );
        check(
            "SCRAM-SHA-256=[name=a,password=\"p]",
            "SCRAM-SHA-256=[name=a,: a quote is not closed",
        );
        check(
            "SCRAM-SHA-256=[name=a,rounds=1,password=p]",
            "SCRAM-SHA-256=[name=a,rounds=1,: rounds is no field of it",
        );
    }
}
