//! One validator in this process, with the same API as many.

use std::time::Duration;

use salus_ledger::block::{FinalBlock, Outcome};
use salus_ledger::call::{IssueFunds, RevokeMember};
use salus_ledger::policy::{Policy, Role};
use salus_ledger::{Commitment, Height, Money, query};
use salus_model::Classified as _;
use salus_model::{Class, Timestamp};
use salus_validator::client::{ClientError, LedgerClient};
use salus_validator::dev::{Authority, DevNetwork, http_client};
use salus_validator::proof::{ProofError, TransactionProof};
use salus_validator::store::{Store, restore_snapshot};
use salus_validator::{StartError, Validator};

use crate::network::{Stage, member, now, passphrase};

const DAY: i64 = 86_400_000_000;

fn start(stage: &Stage) -> Validator {
    Validator::start(&stage.folders[0], &passphrase()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomers_ledger_records_proves_and_goes_on_after_a_restart() {
    let stage = Stage::new(1);
    let validator = start(&stage);
    let client = stage.client("hub");
    let tx = stage.issue();
    let recorded = client.submit(&tx).await.unwrap();
    assert_eq!(recorded.entry.outcome, Outcome::Applied);
    // Handing it in again gives the same answer, and books nothing twice.
    assert_eq!(client.submit(&tx).await.unwrap(), recorded);
    let wallet = client.state(&query::wallet_key(&member("uni"))).await.unwrap();
    let units: u64 = ciborium_u64(&wallet.value.unwrap());
    assert_eq!(units, 1);
    let absent = client.state(&query::wallet_key(&member("nobody"))).await.unwrap();
    assert_eq!(absent.value, None);
    validator.stop();
    let validator = start(&stage);
    assert_eq!(client.recorded(&tx.id()).await.unwrap(), recorded);
    assert_eq!(validator.handle().status().height, Height::new(1));
    let again = Validator::start(&stage.folders[0], &passphrase());
    assert!(matches!(again, Err(StartError::Store(_))), "two processes with one folder");
}

/// A small CBOR integer.
fn ciborium_u64(bytes: &[u8]) -> u64 {
    salus_ledger::cbor::decode(bytes, 16).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_has_a_receipt_that_another_ledger_does_not_accept() {
    let (stage, other) = (Stage::new(1), Stage::new(1));
    let _validator = start(&stage);
    let client = stage.client("st-anna");
    let (id, permit) = stage.release(&client).await;
    let (receipt, file) = client.receipt(&id).await.unwrap();
    assert_eq!((receipt.permit, receipt.transaction), (permit, id));
    let anchor = other.client("hub").anchor().clone();
    let refused = salus_ledger::proof::verify_receipt(&file, &anchor);
    assert!(matches!(refused, Err(salus_ledger::proof::ReceiptError::NotFinal(_))), "{refused:?}");
    let plain = client.submit(&stage.issue()).await.unwrap().entry.transaction;
    let none = client.receipt(&plain).await;
    assert!(none.is_err(), "a transaction that releases nothing has no receipt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_believes_no_validator_of_another_ledger_and_no_altered_proof() {
    let (stage, other) = (Stage::new(1), Stage::new(1));
    let _validator = start(&stage);
    let client = stage.client("hub");
    let tx = stage.issue();
    let recorded = client.submit(&tx).await.unwrap();
    let bytes = salus_ledger::cbor::encode(&recorded.proof).unwrap();
    let (proof, anchor) = (TransactionProof::from_bytes(&bytes).unwrap(), client.anchor());
    proof.verify(&tx.id(), anchor).unwrap();
    let mut forged = proof.clone();
    forged.entry.outcome = Outcome::Refused("market.supply".to_owned().try_into().unwrap());
    assert_eq!(forged.verify(&tx.id(), anchor), Err(ProofError::NotIncluded));
    let mut forged = proof.clone();
    forged.block.finality.certificate.votes.clear();
    assert!(matches!(forged.verify(&tx.id(), anchor), Err(ProofError::NotFinal(_))));
    let mut forged = proof.clone();
    forged.block.finality.header.history_size += 1;
    assert!(matches!(forged.verify(&tx.id(), anchor), Err(ProofError::NotFinal(_))));
    let elsewhere = proof.verify(&tx.id(), other.client("hub").anchor());
    assert!(matches!(elsewhere, Err(ProofError::NotFinal(_))), "{elsewhere:?}");
    let wrong = proof.verify(&other.issue().id(), anchor);
    assert!(matches!(wrong, Err(ProofError::OtherTransaction { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_transaction_is_told_at_the_door() {
    let stage = Stage::new(1);
    let _validator = start(&stage);
    let client = stage.client("uni");
    let reference = Commitment::new([1; 32]);
    let call = IssueFunds { to: member("uni"), amount: Money::new(1), reference };
    let tx = stage.signed(call, &[&stage.signer("uni")]);
    let refused = client.submit(&tx).await.unwrap_err();
    assert_eq!(refused.class(), Class::Refused);
    assert!(matches!(refused, ClientError::Refused { .. }), "{refused:?}");
    assert!(client.recorded(&tx.id()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_members_connect_and_a_revoked_one_is_turned_away_at_once() {
    let stage = Stage::new(1);
    let _validator = start(&stage);
    let stranger = Authority::new("Other authority").unwrap();
    let (_, identity) = stranger.enrol("hub", &[Role::Administrator], now()).unwrap();
    let foreign = LedgerClient::new(&stage.urls(), &stage.network.genesis, &identity).unwrap();
    let refused = foreign.tip(Height::GENESIS).await;
    assert!(matches!(refused, Err(ClientError::Unreachable { .. })), "{refused:?}");
    // Certified by the right authority, yet bound to no key on the ledger.
    let (_, unbound) = stage.network.authority.enrol("stray", &[Role::Research], now()).unwrap();
    let unbound = LedgerClient::new(&stage.urls(), &stage.network.genesis, &unbound).unwrap();
    let refused = unbound.tip(Height::GENESIS).await;
    assert!(matches!(refused, Err(ClientError::Unreachable { .. })), "{refused:?}");
    // A server that no authority of the ledger certified.
    let foreign_stage = Stage::new(1);
    let _other = start(&foreign_stage);
    let astray = LedgerClient::new(
        &foreign_stage.urls(),
        &stage.network.genesis,
        &stage.network.members["hub"],
    )
    .unwrap();
    let refused = astray.tip(Height::GENESIS).await;
    assert!(matches!(refused, Err(ClientError::Unreachable { .. })), "{refused:?}");
    let (hub, uni) = (stage.client("hub"), stage.client("uni"));
    uni.submit(&stage.issue()).await.unwrap();
    let revoke = RevokeMember { member: member("uni") };
    stage.apply(&hub, revoke, &[&stage.signer("hub")]).await;
    // On the connection that is still open.
    let refused = uni.tip(Height::GENESIS).await;
    assert!(
        matches!(refused, Err(ClientError::Refused { class: Class::Refused, .. })),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_answered_never_finds_an_earlier_height() {
    let stage = Stage::new(1);
    let validator = start(&stage);
    for _ in 0..50 {
        let recorded = validator.handle().submit(stage.issue().as_bytes().to_vec()).await.unwrap();
        assert!(validator.handle().status().height >= recorded.height, "{recorded:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_follows_or_waits_for_ends_with_its_membership() {
    let stage = Stage::new(1);
    let _validator = start(&stage);
    let client = stage.client("hub");
    client.submit(&stage.issue()).await.unwrap();
    let follow = |name: &str| {
        let roots = &stage.network.genesis.config.form().roots;
        let http = http_client(&stage.network.members[name], roots).unwrap();
        http.get(format!("{}/v1/follow?after=0", stage.urls()[0])).send()
    };
    let (mut uni, mut anna) = (follow("uni").await.unwrap(), follow("st-anna").await.unwrap());
    for stream in [&mut uni, &mut anna] {
        let first = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
        assert!(first.contains("market.issue"), "{first}");
    }
    let waiting = stage.client("uni");
    let waiting = tokio::spawn(async move { waiting.tip(Height::new(1)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let revoke = RevokeMember { member: member("uni") };
    stage.apply(&client, revoke, &[&stage.signer("hub")]).await;
    let patience = Duration::from_secs(20);
    let after = tokio::time::timeout(patience, uni.chunk()).await.unwrap();
    assert!(matches!(after, Ok(None) | Err(_)), "a revoked member was told of {after:?}");
    let refused = tokio::time::timeout(patience, waiting).await.unwrap().unwrap();
    assert!(
        matches!(refused, Err(ClientError::Refused { class: Class::Refused, .. })),
        "{refused:?}"
    );
    // The others go on, and see the block with the revocation.
    let after = tokio::time::timeout(patience, anna.chunk()).await.unwrap().unwrap().unwrap();
    assert!(String::from_utf8(after.to_vec()).unwrap().contains("members.revoke"));
}

fn network_until(validator: Timestamp, researcher: Timestamp) -> DevNetwork {
    let governance = Policy::role(Role::Administrator);
    let hub: &[Role] = &[Role::Administrator, Role::Treasurer];
    let long_ago = now().saturating_add_micros(-60 * DAY);
    let mut network =
        DevNetwork::new(1, &[("hub", hub), ("uni", &[Role::Research])], governance, long_ago)
            .unwrap();
    // The same network, with certificates that end sooner.
    let ends = [("val-01", Role::Validator, validator), ("uni", Role::Research, researcher)];
    for (name, role, until) in ends {
        let (admission, identity) =
            network.authority.enrol_until(name, &[role], long_ago, until).unwrap();
        let place = network.genesis.members.iter().position(|m| m.member == member(name)).unwrap();
        if name == "val-01" {
            let mut form = network.genesis.config.form().clone();
            form.validators = [salus_ledger::config::Validator {
                member: member(name),
                key: identity.signer().public_key(),
            }]
            .into();
            network.genesis.config = salus_ledger::config::PlatformConfig::new(form).unwrap();
            network.validators = vec![(name.to_owned(), identity)];
        } else {
            network.members.insert(name.to_owned(), identity);
        }
        network.genesis.members[place] = admission;
    }
    network
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_stops_a_member_and_never_a_validator() {
    let yesterday = now().saturating_add_micros(-DAY);
    let stage = Stage::with(network_until(yesterday, yesterday));
    let validator = start(&stage);
    let client = stage.client("hub");
    client.submit(&stage.issue()).await.unwrap();
    let refused = stage.client("uni").tip(Height::GENESIS).await;
    assert!(matches!(refused, Err(ClientError::Unreachable { .. })), "{refused:?}");
    let status = client.status(&format!("https://{}", validator.api())).await.unwrap();
    let told = status.warnings.iter().any(|text| text.contains("validator val-01 expired"));
    assert!(told, "{:?}", status.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_within_thirty_days_is_warned_of() {
    let soon = now().saturating_add_micros(20 * DAY);
    let later = now().saturating_add_micros(40 * DAY);
    let stage = Stage::with(network_until(later, soon)).explored();
    let validator = start(&stage);
    let client = stage.client("hub");
    let status = client.status(&format!("https://{}", validator.api())).await.unwrap();
    assert_eq!(status.warnings.len(), 1, "{:?}", status.warnings);
    assert!(status.warnings[0].contains("certificate of uni expires"), "{:?}", status.warnings);
    // What the console's first page shows under "To see to".
    let overview = stage.explorer("hub").overview().await.unwrap();
    assert_eq!(overview.warnings, status.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_follows_block_by_block_and_a_snapshot_restores() {
    let stage = Stage::new(1);
    let validator = start(&stage);
    let client = stage.client("st-anna");
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(client.submit(&stage.issue()).await.unwrap().entry.transaction);
    }
    let mut from = client.beginning();
    let mut seen = Vec::<FinalBlock>::new();
    while seen.len() < 5 {
        let (block, next) = client.next_block(&from).await.unwrap();
        assert_eq!(next.height(), from.height().next());
        (from, seen) = (next, [seen, vec![block]].concat());
    }
    let listed = client.blocks(Height::GENESIS).await.unwrap();
    let told: Vec<_> =
        listed.iter().flat_map(|line| line.transactions.iter().map(|tx| tx.transaction)).collect();
    assert_eq!(told, ids);
    let mut file = Vec::new();
    let view = validator.handle().reader().view().unwrap();
    salus_validator::store::write_snapshot(&view, &mut file).unwrap();
    drop(view);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let store: Store = restore_snapshot(&path, &mut file.as_slice(), &stage.ledger).unwrap();
    assert_eq!(store.view().tip().height, Height::new(5));
    assert_eq!(validator.handle().prune_below(Height::new(4)).await.unwrap().blocks, 3);
    client.recorded(&ids[0]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_drops_what_its_operator_does_not_keep_and_proves_it_still() {
    let stage = Stage::new(1);
    let validator = start(&stage);
    let client = stage.client("st-anna");
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(client.submit(&stage.issue()).await.unwrap().entry.transaction);
    }
    let has = |validator: &Validator, height| {
        let view = validator.handle().reader().view().unwrap();
        view.block(Height::new(height)).unwrap().is_some()
    };
    assert!((1..=5).all(|height| has(&validator, height)), "all is kept unless said otherwise");
    validator.stop();
    let mut config = stage.folders[0].config().unwrap();
    config.keep_blocks = std::num::NonZeroU64::new(2);
    stage.folders[0].set_config(&config).unwrap();
    let validator = start(&stage);
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while has(&validator, 3) {
        assert!(std::time::Instant::now() < until, "nothing is dropped");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        [1, 2, 3, 4, 5].map(|height| has(&validator, height)),
        [false, false, false, true, true]
    );
    for id in &ids {
        client.recorded(id).await.unwrap();
    }
}
