#![allow(clippy::unwrap_used)]

use axum::http::Method;
use proptest::prelude::*;
use salus_crypto::OsEntropy;
use salus_model::{Entropy, EntropyFailed, KeyName, Timestamp};

use super::action::{Action, ROUTES};
use super::answer::Refused;
use super::{Grant, KeyGlob, Operation, Policy, Tokens};

fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn policy(grants: &[(&str, &[Operation])]) -> Policy {
    let grant = |(keys, operations): &(&str, &[Operation])| Grant {
        keys: KeyGlob::new(*keys).unwrap(),
        operations: operations.iter().copied().collect(),
    };
    Policy { name: "test".to_owned(), grants: grants.iter().map(grant).collect() }
}

#[test]
fn the_listed_routes_are_those_that_are_served() {
    for route in ROUTES {
        let path = route.path.replace("{name}", "observations.clinical");
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "LIST", "OPTIONS"] {
            let parsed = Action::of(&method.parse().unwrap(), &path, Some("list=true"));
            let served: Vec<_> = ROUTES
                .iter()
                .filter(|r| r.path == route.path && r.methods.split(' ').any(|m| m == method))
                .collect();
            match (served.as_slice(), parsed) {
                ([], refused) => assert_eq!(refused, Err(Refused::NoMethod), "{method} {path}"),
                ([one], Ok(Action::On(operation, Ok(_)))) => {
                    assert_eq!(one.operation, Some(operation), "{method} {path}");
                }
                ([one], Ok(Action::List)) => assert_eq!(one.operation, Some(Operation::Read)),
                ([one], Ok(_)) => assert_eq!(one.operation, None, "{method} {path}"),
                (_, Err(refused)) => panic!("{method} {path}: {refused:?}"),
                (_, Ok(_)) => panic!("{method} {path} is listed twice"),
            }
        }
    }
    for path in ["/", "/v1", "/v1/transit", "/v1/sys/seal", "/v1/transit/export/encryption-key/a"] {
        assert_eq!(Action::of(&Method::GET, path, None), Err(Refused::NoRoute), "{path}");
    }
    assert_eq!(
        Action::of(&Method::GET, "/v1/transit/keys", None),
        Err(Refused::NoMethod),
        "reading the list has to be asked for"
    );
}

#[test]
fn a_policy_denies_what_it_does_not_grant() {
    use Operation::{Decrypt, Encrypt, Read};
    let policy = policy(&[("observations.*", &[Encrypt, Read]), ("*.clinical", &[Decrypt])]);
    assert!(policy.grants(Encrypt, &name("observations.quasi")));
    assert!(!policy.grants(Decrypt, &name("observations.quasi")));
    assert!(policy.grants(Decrypt, &name("observations.clinical")));
    assert!(!policy.grants(Encrypt, &name("patients.clinical")));
    assert!(!policy.grants(Encrypt, &name("observations")));
    assert!(!policy.grants(Operation::Shred, &name("observations.quasi")));
    // A grant on everything, and only that, covers names that no key can have.
    let odd = Action::On(Encrypt, Err("no name".to_owned()));
    assert!(!odd.is_granted(&policy));
    assert!(odd.is_granted(&super::tests::policy(&[("*", &[Encrypt])])));
    let none = super::tests::policy(&[]);
    assert!(!none.grants(Read, &name("a")) && !Action::List.is_granted(&none));
    assert!(Action::LookupSelf.is_granted(&none));
}

#[test]
fn policies_are_read_strictly() {
    let good = r#"{"name":"etl","grants":[{"keys":"obs.*","operations":["datakey-wrapped"]}]}"#;
    let policy: Policy = serde_json::from_str(good).unwrap();
    assert!(policy.grants(Operation::DatakeyWrapped, &name("obs.a")));
    for bad in [
        r#"{"name":"etl","grants":[{"keys":"","operations":[]}]}"#,
        r#"{"name":"etl","grants":[{"keys":"Obs.?","operations":[]}]}"#,
        r#"{"name":"etl","grants":[{"keys":"*","operations":["everything"]}]}"#,
        r#"{"name":"etl","grants":[{"keys":"*","operations":[],"deny":true}]}"#,
    ] {
        assert!(serde_json::from_str::<Policy>(bad).is_err(), "{bad}");
    }
}

/// The definition, word for word: a star is replaced by every possible text.
fn matches_by_definition(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|n| matches_by_definition(rest, &name[n..])),
        Some((c, rest)) => name.first() == Some(c) && matches_by_definition(rest, &name[1..]),
    }
}

proptest! {
    #[test]
    fn globs_match_by_their_definition(pattern in "[ab.*]{1,8}", text in "[ab][ab.]{0,9}") {
        let glob = KeyGlob::new(pattern.clone()).unwrap();
        let expected = matches_by_definition(pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(glob.matches(&name(&text)), expected);
    }
}

#[test]
fn a_pattern_of_many_stars_is_not_slow() {
    let glob = KeyGlob::new(format!("{}b", "*a".repeat(60))).unwrap();
    let began = std::time::Instant::now();
    assert!(!glob.matches(&name(&"a".repeat(127))));
    assert!(began.elapsed().as_millis() < 100, "{:?}", began.elapsed());
}

#[test]
fn a_token_is_valid_from_its_making_to_its_end_or_revocation() {
    let (noon, one) = (at("2026-03-01T12:00:00Z"), at("2026-03-01T13:00:00Z"));
    let tokens = Tokens::default();
    let issue = |who: &str| tokens.issue(&mut OsEntropy, who, policy(&[]), noon, one).unwrap();
    let (a, b) = (issue("a"), issue("b"));
    let who = |token: &str, now| tokens.authenticate(token, now).map(|r| r.display_name.clone());
    let text = a.token.expose().as_str();
    assert_eq!(who(text, noon).as_deref(), Some("a"));
    assert_eq!(who(b.token.expose(), noon).as_deref(), Some("b"));
    assert_eq!(who(text, at("2026-03-01T12:59:59.999999Z")).as_deref(), Some("a"));
    assert_eq!(who(text, one), None, "expired");
    assert_eq!(who(text, at("2026-03-01T11:59:59Z")), None, "not made yet");
    for other in ["", "salus.", &text[..text.len() - 1], &format!("{text} "), &text.to_uppercase()]
    {
        assert_eq!(who(other, noon), None, "{other:?}");
    }
    assert!(tokens.revoke(a.record.accessor, noon));
    assert_eq!(who(text, noon), None, "revoked");
    assert!(tokens.revoke(a.record.accessor, one), "revoking twice is no error");
    assert_eq!(tokens.records()[0].revoked, Some(noon), "and keeps the first moment");
    // What is kept opens nothing.
    let kept = serde_json::to_string(&tokens.records()).unwrap();
    assert!(!kept.contains(text.trim_start_matches("salus.")));
    let again = Tokens::new(serde_json::from_str(&kept).unwrap());
    assert!(again.authenticate(text, noon).is_none());
    assert!(again.authenticate(b.token.expose(), noon).is_some());
    assert!(again.authenticate(&b.record.digest.to_string(), noon).is_none());
    assert!(!format!("{b:?}").contains(b.token.expose().as_str()));
}

struct Dead;

impl Entropy for Dead {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), EntropyFailed> {
        Err(EntropyFailed)
    }
}

#[test]
fn no_token_is_made_without_randomness() {
    let noon = at("2026-03-01T12:00:00Z");
    let tokens = Tokens::default();
    assert!(tokens.issue(&mut Dead, "a", policy(&[]), noon, noon).is_err());
    assert!(tokens.records().is_empty());
}
