//! The release gate over the binary: a hospital submits, two organisations' reviewers decide by
//! `salus gate`, and what goes out is on their approvals.

use std::collections::BTreeSet;

use salus_crypto::OsEntropy;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_ledger::call::{AttestationRef, DatasetUse, Release};
use salus_ledger::proof::Fact;
use salus_ledger::review::{ReviewScore, Reviewed};
use salus_ledger::{CodeHash, Commitment, DatasetRef, ResultHash, ReviewId};
use salus_model::{DatasetId, MemberId, PermitId, PrivacyCharge, Secret};
use salus_node::review::{ReviewError, ReviewReport};
use salus_node::{HolderLedger, Site};
use salus_private::{Ledger as _, LedgerRefused};
use serde_json::{Value as Json, json};

use crate::world::World;

/// A hub and an authority that review, a hospital whose visits may go out by the gate, and a
/// university with a permit for that.
fn gated() -> (World, PermitId) {
    let members =
        ["hub:administrator,officer", "authority:officer", "st-mary:holder", "uni:research"];
    let world = World::founded(1, "", &members);
    world.import();
    let share = ["dataset", "share", "visits", "--epsilon", "10", "--allow-gate"];
    world.json("st-mary", &share);
    let permit = world.apply("patient_id,sex", &["--allow-gate"]);
    world.json("hub", &["permit", "grant", &permit]);
    (world, permit.parse().unwrap())
}

/// A member's own hand on the ledger, by its site.
async fn hand(world: &World, site: &str) -> HolderLedger {
    let word = Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap();
    let site = Site::open(&world.path(site), word, GuessCost::OWASP_MINIMUM).await.unwrap();
    site.ledger().await.unwrap()
}

/// What the hospital would record about a table that wants out.
async fn table(ledger: &HolderLedger, permit: &PermitId, number: u8) -> Release {
    let dataset = DatasetRef {
        holder: MemberId::new("st-mary").unwrap(),
        dataset: DatasetId::new("visits").unwrap(),
    };
    let facts = [Fact::Permit(permit.clone()), Fact::Dataset(dataset.clone())];
    let state = ledger.state(&facts).await.unwrap();
    let record = state.permit(permit).unwrap().unwrap();
    let uses = vec![DatasetUse {
        version: state.dataset(&dataset).unwrap().unwrap().version,
        columns: record.terms.grounds[0].columns.clone(),
        optout_epoch: 0,
        charge: PrivacyCharge::NotBounded,
        dataset,
    }];
    Release {
        actor: record.pseudonym,
        permit: permit.clone(),
        uses,
        code: CodeHash::new([7; 32]),
        input: Commitment::new([8; 32]),
        result: ResultHash::new([number; 32]),
        attestation: AttestationRef::Premises,
        gate: None,
        review: None,
    }
}

/// The automatic checks' report, and the file of it that reviewers are given.
fn report(world: &World, name: &str) -> (ReviewReport, String) {
    let checks = json!({ "cells": 12, "objections": [], "about": name });
    let score = Some(ReviewScore::new(91).unwrap());
    let report = ReviewReport::new(checks, score, &mut OsEntropy).unwrap();
    std::fs::write(world.path(name), report.as_bytes()).unwrap();
    (report, world.text(name))
}

/// Tries to record the release on these approvals, as a holder would that does not ask first.
async fn out(
    ledger: &HolderLedger,
    release: &Release,
    review: ReviewId,
    by: &[&HolderLedger],
) -> Result<Vec<u8>, String> {
    let approvals: BTreeSet<_> = by.iter().map(|reviewer| reviewer.key()).collect();
    let review = Some(Reviewed { review, approvals });
    let signed = ledger.sign(Release { review, ..release.clone() }).await.unwrap();
    ledger.record(&signed).await.map_err(|refused| match refused {
        LedgerRefused::Rule { rule, .. } => rule,
        other => other.to_string(),
    })
}

fn refused(world: &World, site: &str, words: &[&str], rule: &str) {
    let (code, said) = world.failure(site, words);
    assert!(code == 3 && said.contains(rule), "{site} {words:?}: {code} {said}");
}

fn one(list: &Json) -> &Json {
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    &list[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_approval_is_too_few_a_second_lets_it_out_and_a_refusal_stops_it() {
    let (world, permit) = gated();
    let (ledger, hub) = (hand(&world, "st-mary").await, hand(&world, "hub").await);
    let authority = hand(&world, "authority").await;
    let release = table(&ledger, &permit, 1).await;
    let (checks, file) = report(&world, "table.review");
    let review = ledger.submit_for_review(&release, &checks, [].into()).await.unwrap();
    let again = ledger.submit_for_review(&release, &checks, [].into()).await.unwrap();
    assert_eq!(again, review, "after a crash it is the same review");
    let id = review.to_string();

    let waits = world.json("hub", &["gate", "list"]);
    let waits = one(&waits);
    assert_eq!((&waits["review"], &waits["state"]), (&json!(id), &json!("waiting")));
    assert_eq!((&waits["approvals"], &waits["needed"]), (&json!(0), &json!(2)));
    assert_eq!((&waits["score"], &waits["yours"]), (&json!(91), &json!(true)));
    for (site, yours) in [("authority", true), ("st-mary", false), ("uni", false)] {
        assert_eq!(one(&world.json(site, &["gate", "list"]))["yours"], yours, "{site}");
    }
    let shown = world.json("hub", &["gate", "show", &id, "--report", &file]);
    assert_eq!(shown["checks"]["about"], "table.review", "{shown}");
    let (_, foreign) = report(&world, "another.review");
    for words in [["gate", "show"], ["gate", "approve"]] {
        let words = [&words[..], &[&id, "--report", &foreign]].concat();
        refused(&world, "hub", &words, "not the report that was submitted");
    }

    let approve = ["gate", "approve", &id, "--report", &file];
    let first = world.json("hub", &approve);
    assert_eq!((&first["state"], &first["approvals"]), (&json!("waiting"), &json!(1)));
    refused(&world, "hub", &approve, "reviews.twice");
    refused(&world, "uni", &approve, "reviews.no-reviewer");
    refused(&world, "st-mary", &approve, "reviews.no-reviewer");
    let waits = ledger.cleared(&review).await;
    assert!(matches!(waits, Err(ReviewError::Waiting { found: 1, needed: 2, .. })), "{waits:?}");
    assert_eq!(out(&ledger, &release, review, &[&hub]).await.unwrap_err(), "reviews.too-few");
    let both = [&hub, &authority];
    assert_eq!(out(&ledger, &release, review, &both).await.unwrap_err(), "reviews.no-approval");

    let second = world.json("authority", &approve);
    assert_eq!((&second["state"], &second["approvals"]), (&json!("approved"), &json!(2)));
    let cleared = ledger.cleared(&review).await.unwrap();
    assert_eq!(cleared.approvals, both.iter().map(|r| r.key()).collect());
    let other = table(&ledger, &permit, 9).await;
    assert_eq!(out(&ledger, &other, review, &both).await.unwrap_err(), "reviews.other-release");
    let receipt = out(&ledger, &release, review, &both).await.unwrap();
    std::fs::write(world.path("receipt.cbor"), receipt).unwrap();
    let words = ["ledger", "verify", "receipt", &world.text("receipt.cbor"), "--genesis"];
    let genesis = world.text("ledger/genesis.cbor");
    let proved = world.json("none", &[&words[..], &[&genesis]].concat());
    assert_eq!(proved["gate"]["review"], id.as_str(), "{proved}");
    assert_eq!(proved["gate"]["approvals"].as_array().unwrap().len(), 2, "{proved}");
    assert_eq!(out(&ledger, &release, review, &both).await.unwrap_err(), "reviews.closed");
    assert_eq!(world.json("hub", &["gate", "list"]), json!([]));
    let all = world.json("hub", &["gate", "list", "--all"]);
    let done = one(&all);
    assert_eq!((&done["state"], &done["led_to"]), (&json!("released"), &proved["receipt"]));
    assert_eq!(done["decisions"].as_array().unwrap().len(), 2);

    a_refusal_stops_it(&world, (&ledger, &hub, &authority), &other).await;
}

async fn a_refusal_stops_it(
    world: &World,
    (ledger, hub, authority): (&HolderLedger, &HolderLedger, &HolderLedger),
    release: &Release,
) {
    let (checks, file) = report(world, "plot.review");
    let review = ledger.submit_for_review(release, &checks, [].into()).await.unwrap();
    let id = review.to_string();
    world.json("hub", &["gate", "approve", &id, "--report", &file]);
    let said = world.json("authority", &["gate", "refuse", &id]);
    assert_eq!(said["state"], "refused", "{said}");
    let stopped = ledger.cleared(&review).await;
    assert!(matches!(stopped, Err(ReviewError::Refused { .. })), "{stopped:?}");
    let stopped = out(ledger, release, review, &[hub]).await;
    assert_eq!(stopped.unwrap_err(), "reviews.refused");
    let shown = world.json("uni", &["gate", "show", &id]);
    assert_eq!(shown["decisions"][1]["verdict"], "refuse", "{shown}");
    assert_eq!(shown["refused_by"], json!([authority.key().to_string()]));

    // Salted anew it is refused all the same, unless the refusal is named for all to see.
    let anew = Release { result: ResultHash::new([3; 32]), ..release.clone() };
    let silent = ledger.submit_for_review(&anew, &checks, [].into()).await.unwrap_err();
    assert!(silent.to_string().contains("reviews.refused-before"), "{silent}");
    let next = ledger.submit_for_review(&anew, &checks, [review].into()).await.unwrap();
    let old = world.json("hub", &["gate", "show", &id]);
    assert_eq!((&old["state"], &old["led_to"]), (&json!("superseded"), &json!(next.to_string())));

    // The holder asks for a third, and nobody asks for less than the configuration.
    let rule = world.json("st-mary", &["gate", "rule", "visits", "--reviewers", "3"]);
    assert_eq!(rule["reviewers"], 3);
    let shown = world.json("hub", &["gate", "show", &next.to_string()]);
    assert_eq!((&shown["needed"], &shown["approvals"]), (&json!(3), &json!(0)), "{shown}");
    assert_eq!(shown["supersedes"], json!([id]));
    world.json("st-mary", &["gate", "rule", "visits", "--reviewers", "1"]);
    let shown = world.json("hub", &["gate", "show", &next.to_string()]);
    assert_eq!(shown["needed"], 2, "{shown}");
    refused(world, "uni", &["gate", "rule", "visits", "--reviewers", "1"], "rule ");
}
