#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use clap::Parser;
use salus_ledger::policy::Role;
use salus_model::{Clock as _, MemberId};
use salus_node::SystemClock;
use salus_validator::dev::DevNetwork;

use super::*;

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    args: ConfigureArgs,
}

fn config(validators: usize) -> PlatformConfig {
    let members: &[(&str, &[Role])] = &[("hub", &[Role::Administrator])];
    let governance = Policy::role(Role::Administrator);
    let network = DevNetwork::new(validators, members, governance, SystemClock.now()).unwrap();
    network.genesis.config
}

fn changed(config: &PlatformConfig, words: &[&str]) -> Result<ChangeConfig, String> {
    let parsed = Words::try_parse_from([&["configure"], words].concat());
    parsed.map_err(|e| e.to_string())?.args.call(config).map_err(|e| e.to_string())
}

#[test]
fn what_is_not_named_stays_and_the_version_is_the_next() {
    let before = config(4);
    let words = ["--agree", "3", "--require", "permits.grant=2:officer", "--clock-skew-ms", "750"];
    let change = changed(&before, &words).unwrap();
    assert_eq!(change.base, before.hash().unwrap());
    let (old, new) = (before.form(), change.config.form());
    assert_eq!(new.version, old.version + 1);
    assert_eq!((&new.validators, &new.roots), (&old.validators, &old.roots));
    assert_eq!(new.governance.to_string(), "3 × administrator");
    assert_eq!(new.policies[&Method::GrantPermit].to_string(), "2 × officer");
    assert_eq!(new.limits.clock_skew_micros, 750_000);
    assert_eq!(new.limits.block_bytes, old.limits.block_bytes);
    let back = changed(&change.config, &["--no-require", "permits.grant"]).unwrap();
    assert!(back.config.form().policies.is_empty());
}

#[test]
fn the_rule_of_review_is_changed_part_by_part() {
    let before = config(4);
    assert!(before.form().review.is_none());
    let change = changed(&before, &["--reviewers", "3", "--reviewers-of", "members"]).unwrap();
    let rule = change.config.form().review.unwrap();
    assert_eq!((rule.reviewers(), rule.independence()), (3, Independence::Members));
    let next = changed(&change.config, &["--least-score", "70"]).unwrap();
    let rule = next.config.form().review.unwrap();
    assert_eq!((rule.reviewers(), rule.least_score().unwrap().get()), (3, 70));
    for words in [["--reviewers", "0"], ["--reviewers-of", "people"], ["--least-score", "101"]] {
        assert!(changed(&before, &words).is_err(), "{words:?}");
    }
}

#[test]
fn one_validator_takes_the_place_of_another() {
    let before = config(4);
    let old = before.form().validators.first().unwrap().clone();
    let new = config(1).form().validators.first().unwrap().clone();
    let (out, seat) = (old.key.to_string(), format!("{}:{}", new.member, new.key));
    let words = ["--remove-validator", &out, "--add-validator", &seat];
    let change = changed(&before, &words).unwrap();
    let keys: BTreeSet<_> = change.config.validator_keys();
    assert!(keys.len() == 4 && keys.contains(&new.key) && !keys.contains(&old.key));
    assert_eq!(
        change.config.form().validators.last().unwrap().member,
        MemberId::new("val-04").unwrap()
    );
}

#[test]
fn a_change_that_cannot_be_is_named_before_anybody_signs_it() {
    let (four, one) = (config(4), config(1));
    let stranger = one.form().validators.first().unwrap().key.to_string();
    let known = four.form().validators.first().unwrap().clone();
    let twice = format!("{}:{}", known.member, known.key);
    let third = config(1).form().validators.first().unwrap().key;
    let more = format!("val-09:{third}");
    for (config, words, named) in [
        (&four, &[][..], "nothing would change"),
        (&four, &["--remove-validator", &stranger][..], "no validator has the key"),
        (&four, &["--add-validator", &twice][..], "validates already"),
        (&four, &["--add-validator", "val-09"][..], "MEMBER:KEY"),
        (&four, &["--no-require", "permits.grant"][..], "nothing is required"),
        (&four, &["--require", "permits.grant=0:officer"][..], "0"),
        (&four, &["--require", "permit=1:officer"][..], "no method"),
        (&four, &["--block-bytes", "10"][..], "block_bytes"),
        (&one, &["--add-validator", &more][..], "found a new ledger"),
    ] {
        let said = changed(config, words).unwrap_err();
        assert!(said.contains(named), "{words:?}: {said}");
    }
}
