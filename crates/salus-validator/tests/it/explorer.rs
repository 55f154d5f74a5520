//! The explorer against a real validator: pages, filters, tail, refusals, the index's own life.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use salus_ledger::call::{
    AdvanceOptOutEpoch, CancelReservation, ChangeConfig, DecideReview, DeltaExponent,
    RecordRelease, RegisterDataset, Release, ReleaseRule, Reserve, Reserved, RevokeMember,
    SubmitForReview,
};
use salus_ledger::policy::{Policy, Role};
use salus_ledger::proof::TrustAnchor;
use salus_ledger::review::{Reviewed, Verdict};
use salus_ledger::{Commitment, DatasetRef, Height, OptOutRoot, ReportDigest, Signer, cbor};
use salus_model::{DatasetId, MicroRho, PrivacyCharge, Secret};
use salus_validator::dev::{Authority, DevNetwork};
use salus_validator::explorer::answers::{About, TransactionLine};
use salus_validator::explorer::client::{ExplorerClient, ExplorerError};
use salus_validator::explorer::index::{Filter, Index};
use salus_validator::explorer::openapi;
use salus_validator::proof::{ProofError, TransactionProof};
use salus_validator::{ExplorerConfig, StartError, Validator};
use serde_json::Value;

use crate::network::{Stage, member, now, passphrase};

fn start(stage: &Stage) -> Validator {
    Validator::start(&stage.folders[0], &passphrase()).unwrap()
}

async fn every(explorer: &ExplorerClient, filter: &str, limit: usize) -> Vec<TransactionLine> {
    let (mut lines, mut query) = (Vec::new(), format!("{filter}&limit={limit}"));
    loop {
        let page = explorer.transactions(query.trim_start_matches('&')).await.unwrap();
        assert!(page.items.len() <= limit);
        lines.extend(page.items);
        let Some(next) = page.next else { return lines };
        query = format!("{filter}&limit={limit}&before={next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_every_transaction_once_by_kind_member_dataset_and_permit() {
    let stage = Stage::new(1).explored();
    let _validator = start(&stage);
    let client = stage.client("st-anna");
    let mut issued = Vec::new();
    for _ in 0..7 {
        issued.push(client.submit(&stage.issue()).await.unwrap().entry.transaction.to_string());
    }
    let (release, permit) = stage.release(&client).await;
    let explorer = stage.explorer("uni");
    let all = every(&explorer, "", 3).await;
    let indices: Vec<u64> = all.iter().map(|line| line.history_index).collect();
    assert_eq!(indices, (0..11).rev().collect::<Vec<_>>(), "newest first, none twice");
    let funds: BTreeSet<_> =
        every(&explorer, "method=market.issue", 2).await.into_iter().map(|l| l.id).collect();
    assert_eq!(funds, issued.into_iter().collect());
    let kinds = |lines: Vec<TransactionLine>| -> Vec<String> {
        lines.into_iter().map(|line| line.method).collect()
    };
    let of_permit = ["accounts.release", "permits.grant", "permits.apply"];
    assert_eq!(kinds(every(&explorer, &format!("permit={permit}"), 2).await), of_permit);
    // The grant names no dataset; the application that it grants does.
    let of_dataset = [of_permit.as_slice(), &["datasets.register"]].concat();
    let filter = "dataset=st-anna/signals";
    assert_eq!(kinds(every(&explorer, filter, 200).await), of_dataset);
    let both = kinds(every(&explorer, &format!("{filter}&contract=permits&member=uni"), 1).await);
    assert_eq!(both, ["permits.grant", "permits.apply"], "every condition holds at once");
    assert!(every(&explorer, "outcome=refused", 5).await.is_empty());
    let detail = explorer.transaction(&release.to_string()).await.unwrap();
    let content = detail.content.unwrap();
    assert_eq!(content["release"]["permit"], Value::from(permit.as_str()));
    assert_eq!(content["release"]["uses"][0]["charge"]["bounded"].as_u64(), Some(40));
    assert_eq!(detail.created, Some(release.receipt().unwrap().to_string()));
    assert_eq!(detail.signers.len(), 1);
    assert_eq!(detail.signers[0].member.as_deref(), Some("st-anna"));
    let about_permit = About::Permit { id: permit.to_string() };
    assert!(detail.line.about.contains(&about_permit), "{:?}", detail.line.about);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_is_found_by_permit_and_dataset_and_its_receipt_names_who_approved() {
    let members: &[(&str, &[Role])] = &[
        ("hub", &[Role::Administrator, Role::Officer]),
        ("authority", &[Role::Officer]),
        ("st-anna", &[Role::Holder]),
        ("uni", &[Role::Research]),
    ];
    let governance = Policy::role(Role::Administrator);
    let network = DevNetwork::new(1, members, governance, now()).unwrap();
    let stage = Stage::with(network).explored();
    let _validator = start(&stage);
    let client = stage.client("st-anna");
    let anna = stage.signer("st-anna");
    let release = stage.releasable(&client).await;
    let ask = SubmitForReview {
        release: release.clone(),
        report: ReportDigest::new([9; 32]),
        score: None,
        supersedes: [].into(),
    };
    let asked = stage.apply(&client, ask, &[&anna]).await;
    let (review, mut approvals) = (asked.review(), BTreeSet::new());
    for name in ["hub", "authority"] {
        let signer = stage.signer(name);
        approvals.insert(signer.public_key());
        let reviewer = signer.public_key();
        let decide = DecideReview { review, reviewer, verdict: Verdict::Approve };
        stage.apply(&client, decide, &[&signer]).await;
    }
    let reviewed = Some(Reviewed { review, approvals: approvals.clone() });
    let out = RecordRelease { release: Release { review: reviewed, ..release.clone() } };
    let receipt = stage.apply(&client, out, &[&anna]).await.receipt().unwrap();

    let explorer = stage.explorer("uni");
    let kinds = ["accounts.release", "accounts.decide-review", "accounts.decide-review"];
    let kinds = [kinds.as_slice(), &["accounts.submit-review"]].concat();
    for filter in [format!("permit={}", release.permit), "dataset=st-anna/signals".to_owned()] {
        let found = every(&explorer, &format!("{filter}&contract=accounts"), 2).await;
        let found: Vec<_> = found.into_iter().map(|line| line.method).collect();
        assert_eq!(found, kinds, "{filter}");
    }
    // A decision names no permit itself: it is found by what it decides on, and by who decided.
    let filter = "method=accounts.decide-review&member=authority";
    let by = every(&explorer, filter, 5).await;
    assert_eq!(by.len(), 1);
    let about_permit = About::Permit { id: release.permit.to_string() };
    assert!(by[0].about.contains(&about_permit), "{:?}", by[0].about);
    let detail = explorer.transaction(&asked.to_string()).await.unwrap();
    assert_eq!(detail.created, Some(review.to_string()));
    let typed = review.to_string();
    let hit = &explorer.search(&typed[..12]).await.unwrap().items[0];
    assert_eq!(
        (hit.kind.as_str(), hit.hint.as_deref()),
        ("transaction", Some("accounts.submit-review"))
    );
    let shown = explorer.receipt(receipt.as_str()).await.unwrap();
    assert_eq!((shown.gate, shown.review), (None, Some(review.to_string())));
    let named: BTreeSet<_> = shown.approvals.iter().map(|line| line.key.clone()).collect();
    assert_eq!(named, approvals.iter().map(ToString::to_string).collect());
    let members: Vec<_> = shown.approvals.iter().filter_map(|line| line.member.clone()).collect();
    assert_eq!(members.len(), 2, "{members:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_counted_with_its_rule_and_a_wrong_question_is_told() {
    let stage = Stage::new(1).explored();
    let validator = start(&stage);
    let register = |round: usize| RegisterDataset {
        dataset: DatasetRef {
            holder: member("st-anna"),
            dataset: DatasetId::new(format!("twice-{round}")).unwrap(),
        },
        budget: MicroRho::new(1),
        delta: DeltaExponent::new(6).unwrap(),
        releases: ReleaseRule::DpOnly,
        commitment: Commitment::new([2; 32]),
    };
    // Handed in together, each is right on the present state; one of them comes second. On a busy
    // machine the first may have a block to itself, and the others are not taken: then again.
    let anna = stage.signer("st-anna");
    let (mut outcomes, mut recorded, mut applied) = (Vec::new(), 0, 0);
    for round in 0..20 {
        let waiting = (0..8).map(|_| {
            let bytes = stage.signed(register(round), &[&anna]).as_bytes().to_vec();
            validator.handle().submit(bytes)
        });
        outcomes = futures::future::join_all(waiting).await;
        recorded = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
        applied += 1;
        if recorded > 1 {
            break;
        }
    }
    let explorer = stage.explorer("hub");
    let refused = every(&explorer, "outcome=refused", 50).await;
    let all = every(&explorer, "", 50).await;
    assert_eq!(refused.len() as u64 + 1, recorded, "{outcomes:?} {all:?}");
    assert!(!refused.is_empty(), "the eight came in different blocks: {outcomes:?}");
    let rule = refused[0].outcome.rule.clone().unwrap();
    let numbers = explorer.statistics().await.unwrap();
    assert_eq!(numbers.rules[0].name, rule);
    assert_eq!(numbers.rules[0].refused, recorded - 1);
    assert_eq!((numbers.kinds[0].applied, numbers.kinds[0].refused), (applied, recorded - 1));
    assert_eq!(numbers.days.len(), 1);
    assert_eq!(numbers.days[0].applied + numbers.days[0].refused, applied + recorded - 1);
    for wrong in ["method=no.such", "limit=0", "limit=201", "dataset=signals", "colour=blue"] {
        let told = explorer.transactions(wrong).await.unwrap_err();
        assert!(matches!(told, ExplorerError::Refused { .. }), "{wrong}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_tells_each_block_in_order() {
    let stage = Stage::new(1).explored();
    let _validator = start(&stage);
    let (client, explorer) = (stage.client("hub"), stage.explorer("uni"));
    client.submit(&stage.issue()).await.unwrap();
    let tail = explorer.tail(0).await.unwrap();
    let more = async {
        for _ in 0..3 {
            client.submit(&stage.issue()).await.unwrap();
        }
    };
    let seen = tail.take(4).map(|line| (line.height, line.methods)).collect::<Vec<_>>();
    let seen = tokio::time::timeout(Duration::from_secs(20), seen);
    let ((), seen) = futures::join!(more, seen);
    let issue = vec!["market.issue".to_owned()];
    let expected: Vec<_> = (1..=4).map(|height| (height, issue.clone())).collect();
    assert_eq!(seen.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_of_a_member_ends_with_its_membership() {
    let stage = Stage::new(1).explored();
    let _validator = start(&stage);
    let client = stage.client("hub");
    client.submit(&stage.issue()).await.unwrap();
    let mut tail = Box::pin(stage.explorer("uni").tail(0).await.unwrap());
    assert_eq!(tail.next().await.unwrap().height, 1);
    stage.apply(&client, RevokeMember { member: member("uni") }, &[&stage.signer("hub")]).await;
    let after = tokio::time::timeout(Duration::from_secs(20), tail.next()).await.unwrap();
    assert!(after.is_none(), "a revoked member was told of {after:?}");
    assert!(stage.explorer("uni").overview().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_permits_and_opt_outs_are_shown_as_the_state_has_them() {
    let stage = Stage::new(1).explored();
    let validator = start(&stage);
    let client = stage.client("st-anna");
    let (release, permit) = stage.release(&client).await;
    let call =
        AdvanceOptOutEpoch { holder: member("st-anna"), epoch: 1, root: OptOutRoot::new([9; 32]) };
    stage.apply(&client, call, &[&stage.signer("st-anna")]).await;
    let browser = Browser::of(&stage, &validator);
    let dataset = browser.json("/v1/explorer/datasets/st-anna/signals").await;
    let account = &dataset["account"];
    assert_eq!(account["spent"]["micro_rho"].as_u64(), Some(40));
    assert_eq!(account["left"]["micro_rho"].as_u64(), Some(960));
    let epsilon = account["spent"]["epsilon"].as_f64().unwrap();
    let delta = salus_dp::Delta::new(1e-6).unwrap();
    assert!((epsilon - salus_dp::epsilon_from_rho(MicroRho::new(40), delta).get()).abs() < 1e-12);
    let shown = browser.json(&format!("/v1/explorer/permits/{permit}")).await;
    assert_eq!(
        (shown["state"].as_str(), shown["expired"].as_bool()),
        (Some("granted"), Some(false))
    );
    assert_eq!(shown["grounds"][0]["left"]["micro_rho"].as_u64(), Some(460));
    let listed = browser.json("/v1/explorer/permits?dataset=st-anna/signals").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let none = browser.json("/v1/explorer/permits?member=val-01").await;
    assert!(none["items"].as_array().unwrap().is_empty());
    let receipts = browser.json(&format!("/v1/explorer/receipts?permit={permit}")).await;
    assert_eq!(receipts["items"][0]["transaction"].as_str(), Some(release.to_string().as_str()));
    let receipt = receipts["items"][0]["id"].as_str().unwrap();
    let shown = browser.json(&format!("/v1/explorer/receipts/{receipt}")).await;
    assert_eq!(shown["uses"][0]["columns"][0].as_str(), Some("code"));
    let file = browser.bytes(&format!("/v1/explorer/receipts/{receipt}/file")).await;
    let anchor = TrustAnchor::from_genesis(&stage.network.genesis).unwrap();
    let verified = salus_ledger::proof::verify_receipt(&file, &anchor).unwrap();
    assert_eq!(verified.permit, permit);
    let lists = browser.json("/v1/explorer/opt-outs").await;
    assert_eq!(lists["items"][0]["epoch"].as_u64(), Some(1));
    let holder = browser.json("/v1/explorer/members/st-anna").await;
    assert_eq!(holder["keys"].as_array().unwrap().len(), 1);
    assert_eq!(holder["opt_outs"]["epoch"].as_u64(), Some(1));
    for (typed, kind) in [
        ("3", "block"),
        (&release.to_string()[..12], "transaction"),
        (permit.as_str(), "permit"),
        (receipt, "receipt"),
        ("st-", "member"),
        ("st-anna/sig", "dataset"),
    ] {
        let found = stage.explorer("uni").search(typed).await.unwrap().items;
        assert!(found.iter().any(|found| found.kind == kind), "{typed}: {found:?}");
    }
    assert!(stage.explorer("uni").search("nothing like it").await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_reservation_is_found_under_its_permit_and_dataset() {
    let stage = Stage::new(1).explored();
    let validator = start(&stage);
    let client = stage.client("st-anna");
    let (_, permit) = stage.release(&client).await;
    let dataset =
        DatasetRef { holder: member("st-anna"), dataset: DatasetId::new("signals").unwrap() };
    let charge = PrivacyCharge::Bounded(MicroRho::new(100));
    let reserve = Reserve {
        permit: permit.clone(),
        amounts: vec![Reserved { dataset, charge }],
        expires: now().saturating_add_micros(3_600_000_000),
    };
    let ada = Signer::new(&salus_crypto::SigningKey::from_secret(&Secret::new([5; 32])));
    let anna = stage.signer("st-anna");
    let reserved = stage.apply(&client, reserve, &[&anna, &ada]).await;
    let browser = Browser::of(&stage, &validator);
    let account = browser.json("/v1/explorer/datasets/st-anna/signals").await["account"].clone();
    assert_eq!(account["reserved"]["micro_rho"].as_u64(), Some(100));
    assert_eq!(account["left"]["micro_rho"].as_u64(), Some(860));
    let ground =
        browser.json(&format!("/v1/explorer/permits/{permit}")).await["grounds"][0].clone();
    assert_eq!(ground["reserved"]["micro_rho"].as_u64(), Some(100));
    assert_eq!(ground["left"]["micro_rho"].as_u64(), Some(360));
    // The cancellation names the job alone.
    let cancel = CancelReservation { job: reserved.job().unwrap() };
    stage.apply(&client, cancel, &[&anna]).await;
    for filter in [format!("permit={permit}"), "dataset=st-anna/signals".to_owned()] {
        let found = every(&stage.explorer("hub"), &filter, 10).await;
        assert_eq!(found[0].method, "accounts.cancel", "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_survives_restarts_and_is_made_anew_when_it_is_lost_or_of_another_ledger() {
    let stage = Stage::new(1).explored();
    let validator = start(&stage);
    let client = stage.client("st-anna");
    let (_, permit) = stage.release(&client).await;
    let filter = format!("permit={permit}");
    let before = every(&stage.explorer("hub"), &filter, 10).await;
    assert_eq!(before.len(), 3);
    validator.stop();
    let validator = start(&stage);
    assert_eq!(every(&stage.explorer("hub"), &filter, 10).await, before);
    validator.stop();
    std::fs::remove_file(stage.folders[0].index()).unwrap();
    let validator = start(&stage);
    assert_eq!(every(&stage.explorer("hub"), &filter, 10).await, before);
    validator.stop();
    let other = Stage::new(1).explored();
    start(&other).stop();
    std::fs::copy(other.folders[0].index(), stage.folders[0].index()).unwrap();
    let _validator = start(&stage);
    assert_eq!(every(&stage.explorer("hub"), &filter, 10).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_transactions_in_a_long_history_are_found_by_a_few_seeks() {
    let stage = Stage::new(1).explored();
    let validator = start(&stage);
    let (_, permit) = stage.release(&stage.client("st-anna")).await;
    for _ in 0..6 {
        let issued = (0..500).map(|_| validator.handle().submit(stage.issue().as_bytes().to_vec()));
        let recorded = futures::future::join_all(issued).await;
        assert!(recorded.iter().all(Result::is_ok));
    }
    let overview = stage.explorer("hub").overview().await.unwrap();
    assert_eq!((overview.transactions, overview.indexed), (3_004, overview.height));
    validator.stop();
    let index = Index::open(&stage.folders[0].index(), &stage.ledger).unwrap();
    let again = Index::open(&stage.folders[0].index(), &stage.ledger);
    assert!(again.is_err(), "an index in use is neither shared nor removed");
    let permit = Some(permit);
    for member in [None, Some(member("hub"))] {
        // The hub signed 3,001 of them.
        let filter = Filter { permit: permit.clone(), member, ..Filter::default() };
        let page = index.page(&filter, 3_004, 50).unwrap();
        let wanted = if filter.member.is_some() { vec![2] } else { vec![3, 2, 1] };
        assert_eq!((page.places, page.next), (wanted, None));
        println!("{} seeks in a history of 3,004", page.seeks);
        assert!(page.seeks < 24, "{} seeks", page.seeks);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pruned_is_not_shown_and_stays_provable() {
    let stage = Stage::new(1).explored();
    let validator = start(&stage);
    let client = stage.client("st-anna");
    let (release, permit) = stage.release(&client).await;
    client.submit(&stage.issue()).await.unwrap();
    let explorer = stage.explorer("hub");
    let filter = format!("permit={permit}");
    let before = every(&explorer, &filter, 10).await;
    validator.handle().prune_below(Height::new(5)).await.unwrap();
    assert_eq!(every(&explorer, &filter, 10).await, before, "the index keeps what it is about");
    let detail = explorer.transaction(&release.to_string()).await.unwrap();
    assert_eq!((detail.content, detail.last, detail.signers), (None, None, Vec::new()));
    let browser = Browser::of(&stage, &validator);
    let path = format!("/v1/explorer/transactions/{release}");
    assert_eq!(browser.status(&format!("{path}/envelope")).await, 404);
    let proof =
        TransactionProof::from_bytes(&browser.bytes(&format!("{path}/proof")).await).unwrap();
    proof.verify(&release, client.anchor()).unwrap();
    // An index that is made after the pruning knows kinds and outcomes of it, and says so.
    validator.stop();
    std::fs::remove_file(stage.folders[0].index()).unwrap();
    let _validator = start(&stage);
    let explorer = stage.explorer("hub");
    assert!(every(&explorer, &filter, 10).await.is_empty());
    assert_eq!(every(&explorer, "method=permits.grant", 10).await.len(), 1);
    assert_eq!(explorer.overview().await.unwrap().content_from, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_the_configuration_is_told() {
    let stage = Stage::new(1).explored();
    let validator = start(&stage);
    let client = stage.client("hub");
    change_limits(&stage, &client).await;
    let shown = Browser::of(&stage, &validator).json("/v1/explorer/configuration").await;
    let history = shown["history"].as_array().unwrap();
    let versions: Vec<_> = history.iter().map(|line| line["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [1, 0]);
    assert_eq!(history[0]["block_transactions"].as_u64(), Some(400));
    assert_eq!((history[0]["height"].as_u64(), history[1]["height"].as_u64()), (Some(1), Some(0)));
}

async fn change_limits(stage: &Stage, client: &salus_validator::client::LedgerClient) {
    let config = &stage.network.genesis.config;
    let mut form = config.form().clone();
    form.version = 1;
    form.limits.block_transactions = 400;
    let next = salus_ledger::config::PlatformConfig::new(form).unwrap();
    let change = ChangeConfig { base: config.hash().unwrap(), config: next };
    stage.apply(client, change, &[&stage.signer("hub")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_reads_nothing_and_a_validator_without_an_explorer_says_so() {
    let stage = Stage::new(1);
    let _validator = start(&stage);
    let told = stage.explorer("hub").overview().await.unwrap_err();
    assert!(told.to_string().contains("[explorer] in validator.toml"), "{told}");
    let stranger = Authority::new("Other authority").unwrap();
    let (_, identity) = stranger.enrol("hub", &[Role::Administrator], now()).unwrap();
    let foreign = ExplorerClient::new(&stage.urls()[0], &stage.network.genesis, &identity).unwrap();
    let refused = foreign.overview().await;
    assert!(matches!(refused, Err(ExplorerError::Unreachable { .. })), "{refused:?}");
}

/// A program that speaks to the console as a browser does.
pub(crate) struct Browser {
    http: reqwest::Client,
    origin: String,
    token: String,
}

impl Browser {
    fn of(stage: &Stage, validator: &Validator) -> Self {
        let token = stage.folders[0].console_token(&mut salus_crypto::OsEntropy).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let origin = format!("http://{}", validator.console().unwrap());
        Self { http, origin, token: token.expose().clone() }
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.origin)).bearer_auth(&self.token)
    }

    async fn bytes(&self, path: &str) -> Vec<u8> {
        let answer = self.get(path).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.bytes().await.unwrap().to_vec()
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.bytes(path).await).unwrap()
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).send().await.unwrap().status().as_u16()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_answers_its_own_page_with_its_token_and_nobody_else() {
    let stage = Stage::new(1).explored();
    let validator = start(&stage);
    let browser = Browser::of(&stage, &validator);
    let path = "/v1/explorer/overview";
    let url = format!("{}{path}", browser.origin);
    assert_eq!(browser.status(path).await, 200);
    let status =
        async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(browser.http.get(&url)).await, 401, "no token");
    for wrong in ["", "0", &"0".repeat(64), &format!("{}0", browser.token)] {
        assert_eq!(status(browser.http.get(&url).bearer_auth(wrong)).await, 401, "token {wrong:?}");
    }
    let basic = browser.http.get(&url).header("authorization", &browser.token);
    assert_eq!(status(basic).await, 401, "no bearer");
    let port = validator.console().unwrap().port();
    for rebound in ["evil.example".to_owned(), format!("evil.example:{port}"), "127.0.0.1:1".into()]
    {
        let request = browser.get(path).header("host", &rebound);
        assert_eq!(status(request).await, 421, "{rebound}");
        let page = browser.http.get(format!("{}/", browser.origin)).header("host", &rebound);
        assert_eq!(status(page).await, 421, "the page for {rebound}");
    }
    assert_eq!(status(browser.get(path).header("host", format!("localhost:{port}"))).await, 200);
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(status(browser.get(path).header("origin", origin)).await, 403, "{origin}");
    }
    assert_eq!(status(browser.get(path).header("sec-fetch-site", "cross-site")).await, 403);
    assert_eq!(status(browser.get(path).header("origin", &browser.origin)).await, 200);
    let write = browser.http.post(&url).bearer_auth(&browser.token);
    assert_eq!(status(write).await, 405, "it changes nothing");
    let submit = format!("{}/v1/transactions", browser.origin);
    assert_eq!(status(browser.http.get(submit).bearer_auth(&browser.token)).await, 404);
    let page = browser.http.get(format!("{}/blocks", browser.origin)).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_that_other_machines_would_reach_does_not_start() {
    let stage = Stage::new(1);
    let mut config = stage.folders[0].config().unwrap();
    config.explorer = Some(ExplorerConfig { console: Some("0.0.0.0:0".parse().unwrap()) });
    stage.folders[0].set_config(&config).unwrap();
    let refused = Validator::start(&stage.folders[0], &passphrase());
    assert!(matches!(refused, Err(StartError::NotLoopback { .. })), "{refused:?}");
}

#[test]
fn the_consoles_token_is_kept_secret_and_random() {
    let (one, other) = (Stage::new(1), Stage::new(1));
    let token = |stage: &Stage| {
        stage.folders[0].console_token(&mut salus_crypto::OsEntropy).unwrap().expose().clone()
    };
    assert_eq!(token(&one), token(&one), "it stays");
    assert_ne!(token(&one), token(&other));
    let file = one.folders[0].path().join("console.token");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "only its owner reads it");
}

/// `web/` of this source tree.
pub(crate) fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web")
}

pub(crate) fn writes(what: &str) -> bool {
    std::env::var(what).is_ok_and(|value| value == "write")
}

#[test]
fn the_committed_openapi_document_is_the_programs() {
    let file = web().join("openapi/explorer.json");
    let document = format!("{:#}\n", openapi::document());
    if writes("SALUS_OPENAPI") {
        std::fs::write(&file, &document).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == document, "web/openapi/explorer.json is stale: run cargo xtask openapi");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_openapi_document_answers() {
    let stage = Stage::new(1).explored();
    let validator = start(&stage);
    let (release, permit) = stage.release(&stage.client("st-anna")).await;
    let browser = Browser::of(&stage, &validator);
    let receipt = release.receipt().unwrap();
    for path in openapi::paths() {
        let filled = path
            .replace("{block}", "1")
            .replace("{transaction}", &release.to_string())
            .replace("{receipt}", receipt.as_str())
            .replace("{member}", "uni")
            .replace("{holder}/{dataset}", "st-anna/signals")
            .replace("{permit}", permit.as_str());
        let query = if path == "/search" { "?q=1" } else { "" };
        let status = browser.status(&format!("/v1/explorer{filled}{query}")).await;
        assert_eq!(status, 200, "{path}");
    }
    assert_eq!(browser.status("/v1/explorer/no-such-thing").await, 404);
}

/// The proofs that the browser's verifier is tested with, made by a real validator.
#[tokio::test(flavor = "multi_thread")]
async fn the_vectors_of_the_browsers_verifier_verify_here() {
    let folder = web().join("test/vectors");
    if std::env::var_os("SALUS_BLESS").is_some() {
        write_vectors(&folder).await;
    }
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let genesis = cbor::decode(&read("genesis.cbor"), 1 << 20).unwrap();
    let anchor = TrustAnchor::from_genesis(&genesis).unwrap();
    let proof = TransactionProof::from_bytes(&read("transaction.cbor")).unwrap();
    let id = proof.entry.transaction;
    proof.verify(&id, &anchor).unwrap();
    assert!(!proof.block.handovers.is_empty() && proof.path.len() > 1, "a proof worth checking");
    let told: Value = serde_json::from_slice(&read("expected.json")).unwrap();
    assert_eq!(told["transaction"].as_str(), Some(id.to_string().as_str()));
    assert!(proof.entry.is_of(&read("envelope.cbor")));
    let mut forged = proof;
    forged.history_index += 1;
    assert_eq!(forged.verify(&id, &anchor), Err(ProofError::NotIncluded));
}

async fn write_vectors(folder: &Path) {
    let stage = Stage::new(4).explored();
    let validators: Vec<Validator> = stage
        .folders
        .iter()
        .map(|folder| Validator::start(folder, &passphrase()).unwrap())
        .collect();
    let client = stage.client("st-anna");
    change_limits(&stage, &stage.client("hub")).await;
    for _ in 0..3 {
        client.submit(&stage.issue()).await.unwrap();
    }
    let (release, _) = stage.release(&client).await;
    let browser = Browser::of(&stage, &validators[0]);
    let path = format!("/v1/explorer/transactions/{release}");
    std::fs::create_dir_all(folder).unwrap();
    let keep = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    keep("genesis.cbor", &browser.bytes("/v1/explorer/genesis").await);
    keep("transaction.cbor", &browser.bytes(&format!("{path}/proof")).await);
    keep("envelope.cbor", &browser.bytes(&format!("{path}/envelope")).await);
    let detail = browser.json(&path).await;
    keep("block.cbor", &browser.bytes("/v1/explorer/blocks/2/proof").await);
    let block = browser.json("/v1/explorer/blocks/2").await;
    let expected = serde_json::json!({
        "ledger": stage.ledger.to_string(),
        "transaction": release.to_string(),
        "content": detail["content"],
        "block": block["block"],
    });
    keep("expected.json", format!("{expected:#}\n").as_bytes());
}
