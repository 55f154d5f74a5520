#![allow(clippy::unwrap_used)]

use salus_ledger::call::ReleaseRule;
use salus_node::study::{AccountFound, AccountLeft};
use serde_json::{Value, json};

use super::account;

fn shown(found: AccountFound) -> (Value, Value) {
    let (account, none) = account(found);
    (serde_json::to_value(account).unwrap(), serde_json::to_value(none).unwrap())
}

#[test]
fn a_ledger_that_does_not_answer_is_told_from_one_that_has_no_account() {
    assert_eq!(shown(AccountFound::NoLedger), (Value::Null, json!({ "kind": "no-ledger" })));
    assert_eq!(shown(AccountFound::NotShared), (Value::Null, json!({ "kind": "not-shared" })));
    let why = "the ledger cannot be reached: timed out".to_owned();
    let unknown = shown(AccountFound::Unknown { why: why.clone() });
    assert_eq!(unknown, (Value::Null, json!({ "kind": "unknown", "why": why })));
    let left = AccountLeft {
        delta: 1e-6,
        epsilon: 10.0,
        epsilon_left: 4.5,
        releases: ReleaseRule::GateAllowed,
        not_bounded: 2,
    };
    let (account, none) = shown(AccountFound::Held(left));
    assert_eq!((&account["epsilon_left"], none), (&json!(4.5), Value::Null));
    assert_eq!(account["releases"], "gate-allowed");
}
