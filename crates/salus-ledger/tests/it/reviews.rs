//! The release gate: what goes out without a bound goes out on the approvals of people who may
//! give them, of exactly itself, once.

use salus_ledger::call::{
    ActivateContract, AdvanceOptOutEpoch, ChangeConfig, CommitReservation, DecideReview,
    RecordRelease, Release, ReleaseRule, Reserve, Reserved, RevocationReason, RevokeKey,
    RevokeMember, RevokePermit, SetMemberRoles, SetReviewRule, SubmitForReview,
};
use salus_ledger::config::{ConfigForm, PlatformConfig};
use salus_ledger::contract::records::{ReviewRecord, ReviewState};
use salus_ledger::contract::{Contract, ContractVersion};
use salus_ledger::genesis::{Genesis, GenesisError};
use salus_ledger::invariant::invariants;
use salus_ledger::policy::Role;
use salus_ledger::review::{
    Independence, ReviewRule, ReviewRuleForm, ReviewScore, Reviewed, Verdict,
};
use salus_ledger::{
    DatasetRef, GateDecision, OptOutRoot, ReportDigest, ResultHash, ReviewId, query,
};
use salus_model::{DatasetVersion, PermitId, PrivacyCharge};

use crate::ca::{Authority, signer};
use crate::world::{
    ANNA, CHARITE, HUB, UNI, VALIDATORS, World, bounded, columns, dataset, genesis, hash, height,
    member, newest, release, used,
};

use Verdict::{Approve, Refuse};

/// The hub's second officer, and reviewers of the hospital and of another one.
const OFFICER: &str = "officer";
const REVIEWER: &str = "reviewer";
const SECOND: &str = "second reviewer";
const STRANGER: &str = "stranger";

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) data: DatasetRef,
    pub(crate) permit: PermitId,
}

pub(crate) fn points(score: u8) -> Option<ReviewScore> {
    Some(ReviewScore::new(score).unwrap())
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::on(World::with(newest))
    }

    fn on(world: World) -> Self {
        Self::beside(world, &[])
    }

    /// With a permit that covers other datasets too.
    fn beside(mut world: World, others: &[&DatasetRef]) -> Self {
        let data = dataset(ANNA, "observations");
        let all: Vec<(&DatasetRef, u64)> =
            std::iter::once(&data).chain(others.iter().copied()).map(|d| (d, 500)).collect();
        for (dataset, _) in &all {
            world.register(dataset, 1_000, ReleaseRule::GateAllowed);
        }
        let terms = world.terms(&all);
        let permit = world.permit("ada", terms);
        world.bind(HUB, OFFICER, &[Role::Officer]);
        world.bind(ANNA, REVIEWER, &[Role::Reviewer]);
        world.bind(ANNA, SECOND, &[Role::Reviewer]);
        world.bind(CHARITE, STRANGER, &[Role::Reviewer]);
        Self { world, data, permit }
    }

    pub(crate) fn release(&self, result: &str) -> Release {
        let uses = vec![used(&self.data, PrivacyCharge::NotBounded)];
        let result = ResultHash::new(hash(result));
        Release { result, ..release("ada", &self.permit, uses) }
    }

    pub(crate) fn asked(release: &Release) -> SubmitForReview {
        SubmitForReview {
            release: release.clone(),
            report: ReportDigest::new(hash("report")),
            score: points(83),
            supersedes: [].into(),
        }
    }

    pub(crate) fn submit(&mut self, release: &Release) -> ReviewId {
        self.world.applied(Self::asked(release), &[ANNA]).review()
    }

    pub(crate) fn says(review: ReviewId, who: &str, verdict: Verdict) -> DecideReview {
        DecideReview { review, reviewer: signer(who).public_key(), verdict }
    }

    #[track_caller]
    fn decides(&mut self, review: ReviewId, who: &str, verdict: Verdict) {
        self.world.applied(Self::says(review, who, verdict), &[who]);
    }

    #[track_caller]
    fn may_not(&mut self, review: ReviewId, who: &str, rule: &str) {
        self.world.refused(Self::says(review, who, Approve), &[who], rule);
    }

    pub(crate) fn out(release: &Release, review: ReviewId, approvals: &[&str]) -> RecordRelease {
        let approvals = approvals.iter().map(|name| signer(name).public_key()).collect();
        let review = Some(Reviewed { review, approvals });
        RecordRelease { release: Release { review, ..release.clone() } }
    }

    /// A release that two reviewers approved.
    fn approved(&mut self, result: &str) -> (Release, ReviewId) {
        let release = self.release(result);
        let review = self.submit(&release);
        self.decides(review, OFFICER, Approve);
        self.decides(review, REVIEWER, Approve);
        (release, review)
    }

    fn record(&self, review: &ReviewId) -> ReviewRecord {
        query::review(&self.world.store, review).unwrap().unwrap()
    }
}

const BOTH: [&str; 2] = [OFFICER, REVIEWER];

fn rule(reviewers: u8, independence: Independence, least: Option<u8>) -> ReviewRule {
    let least_score = least.and_then(points);
    ReviewRule::new(ReviewRuleForm { reviewers, independence, least_score }).unwrap()
}

#[test]
fn one_approval_is_too_few_and_a_second_lets_it_out_once() {
    let mut stage = Stage::new();
    let release = stage.release("table");
    let plain = RecordRelease { release: release.clone() };
    stage.world.refused(plain, &[ANNA, HUB], "reviews.not-reviewed");
    let mut signed = release.clone();
    signed.gate = Some(GateDecision::new(hash("gate")));
    stage.world.refused(RecordRelease { release: signed }, &[ANNA, HUB], "reviews.old-gate");

    let review = stage.submit(&release);
    let out = |approvals: &[&str]| Stage::out(&release, review, approvals);
    stage.world.refused(out(&[]), &[ANNA], "reviews.too-few");
    stage.decides(review, OFFICER, Approve);
    stage.world.refused(out(&[OFFICER]), &[ANNA], "reviews.too-few");
    // Somebody who has said nothing yet, and somebody whom the ledger has never seen.
    stage.world.refused(out(&BOTH), &[ANNA], "reviews.no-approval");
    stage.world.refused(out(&[OFFICER, "nobody"]), &[ANNA], "reviews.no-approval");
    stage.decides(review, REVIEWER, Approve);
    // The reviewers' signatures alone release nothing: that is the holder's.
    let theirs = "endorsement.wrong-member-or-role";
    stage.world.refused(out(&BOTH), &[REVIEWER, OFFICER], theirs);
    let receipt = stage.world.applied(out(&BOTH), &[ANNA]).receipt().unwrap();
    let record = stage.record(&review);
    assert_eq!(record.state, ReviewState::Released(receipt));
    assert_eq!((record.score, record.decisions.len()), (points(83), 2));
    assert_eq!(record.decisions[0].member, member(HUB));
    assert_eq!(record.decisions[0].reviewer, signer(OFFICER).public_key());
    let account = query::account(&stage.world.store, &stage.data).unwrap().unwrap();
    assert_eq!(account.not_bounded, 1);
    assert!(query::reviews_waiting(&stage.world.store, &stage.permit).unwrap().unwrap().is_empty());
    // An approval clears one release, and nothing is decided afterwards.
    stage.world.refused(out(&BOTH), &[ANNA], "reviews.closed");
    stage.may_not(review, HUB, "reviews.closed");
    invariants(&stage.world.store, stage.world.tip()).unwrap();
}

#[test]
fn nobody_reviews_twice() {
    let mut stage = Stage::new();
    let release = stage.release("table");
    let review = stage.submit(&release);
    stage.decides(review, REVIEWER, Approve);
    stage.may_not(review, REVIEWER, "reviews.twice");
    stage.world.refused(Stage::out(&release, review, &[REVIEWER]), &[ANNA], "reviews.too-few");
    // Two keys of one organisation are two reviewers unless a rule wants organisations.
    stage.decides(review, SECOND, Approve);
    let both = [REVIEWER, SECOND];
    let call = SetReviewRule {
        dataset: stage.data.clone(),
        rule: Some(rule(1, Independence::Members, None)),
    };
    stage.world.applied(call, &[ANNA]);
    stage.world.refused(Stage::out(&release, review, &both), &[ANNA], "reviews.too-few");
    stage.decides(review, OFFICER, Approve);
    let all = [REVIEWER, SECOND, OFFICER];
    stage.world.applied(Stage::out(&release, review, &all), &[ANNA]);
}

#[test]
fn a_decision_counts_by_the_key_that_signed_it_and_by_no_other() {
    let mut stage = Stage::new();
    let release = stage.release("table");
    let review = stage.submit(&release);
    // An officer cannot speak for a reviewer, nor anybody without the role for themselves.
    let other = Stage::says(review, REVIEWER, Approve);
    stage.world.refused(other, &[OFFICER], "reviews.no-reviewer");
    for who in [ANNA, UNI, "val-1"] {
        stage.may_not(review, who, "reviews.no-reviewer");
    }
    // A reviewer of a hospital that holds none of the datasets.
    stage.may_not(review, STRANGER, "reviews.no-reviewer");
    let none = salus_ledger::TxId::new(hash("no transaction")).review();
    stage.may_not(none, OFFICER, "reviews.unknown");
    // Of several signatures the named one counts, once.
    let named = Stage::says(review, REVIEWER, Approve);
    stage.world.applied(named, &[OFFICER, REVIEWER]);
    assert_eq!(stage.record(&review).decisions.len(), 1);
}

#[test]
fn who_asks_who_vouches_for_them_and_who_submits_reviews_nothing() {
    let mut stage = Stage::new();
    let release = stage.release("table");
    // The person's own key is no member's.
    let review = stage.submit(&release);
    stage.may_not(review, "ada", "reviews.no-reviewer");
    // The organisation that vouched for the person, with whatever role.
    stage.world.bind(UNI, "uni officer", &[Role::Officer]);
    stage.may_not(review, "uni officer", "reviews.own");
    // The key that submitted it, also where it is a reviewer's besides.
    stage.world.bind(ANNA, ANNA, &[Role::Holder, Role::Administrator, Role::Reviewer]);
    stage.may_not(review, ANNA, "reviews.own");
    // A second key of the holder may review what the first submitted, and then not release it.
    stage.world.bind(ANNA, "deputy", &[Role::Holder, Role::Reviewer]);
    stage.decides(review, "deputy", Approve);
    stage.decides(review, OFFICER, Approve);
    let out = Stage::out(&release, review, &["deputy", OFFICER]);
    stage.world.refused(out.clone(), &["deputy"], "reviews.own");
    stage.world.refused(out.clone(), &["deputy", ANNA], "reviews.own");
    stage.world.applied(out, &[ANNA]);
}

#[test]
fn an_approval_is_of_one_release_and_of_no_other() {
    let mut stage = Stage::new();
    let (release, review) = stage.approved("table");
    let other = |change: &dyn Fn(&mut Release)| {
        let mut changed = release.clone();
        change(&mut changed);
        Stage::out(&changed, review, &BOTH)
    };
    let refused = "reviews.other-release";
    stage.world.refused(other(&|r| r.result = ResultHash::new([1; 32])), &[ANNA], refused);
    stage.world.refused(
        other(&|r| r.input = salus_ledger::Commitment::new([1; 32])),
        &[ANNA],
        refused,
    );
    stage.world.refused(
        other(&|r| r.code = salus_ledger::CodeHash::new([1; 32])),
        &[ANNA],
        refused,
    );
    let fewer = columns(&["sex"]);
    stage.world.refused(other(&|r| r.uses[0].columns = fewer.clone()), &[ANNA], refused);
    stage.world.refused(other(&|r| r.uses[0].charge = bounded(1)), &[ANNA], refused);

    // Another permit, and another dataset of the same holder.
    let second = dataset(ANNA, "second");
    stage.world.register(&second, 1_000, ReleaseRule::GateAllowed);
    let terms = stage.world.terms(&[(&stage.data, 10), (&second, 10)]);
    let wide = stage.world.permit("ben", terms);
    let ben = signer("ben").public_key();
    let replayed = other(&|r| (r.permit, r.actor) = (wide.clone(), ben));
    stage.world.refused(replayed, &[ANNA], refused);
    let elsewhere = other(&|r| {
        (r.permit, r.actor) = (wide.clone(), ben);
        r.uses[0].dataset = second.clone();
    });
    stage.world.refused(elsewhere, &[ANNA], refused);
    let more = other(&|r| {
        (r.permit, r.actor) = (wide.clone(), ben);
        r.uses.push(used(&second, PrivacyCharge::NotBounded));
    });
    stage.world.refused(more, &[ANNA], refused);
    // A review of something else, which was approved too.
    let (_, another) = stage.approved("plot");
    stage.world.refused(Stage::out(&release, another, &BOTH), &[ANNA], refused);
    stage.world.applied(Stage::out(&release, review, &BOTH), &[ANNA]);
}

#[test]
fn a_refusal_stops_it_until_its_own_reviewer_approves() {
    let mut stage = Stage::new();
    let (release, review) = stage.approved("table");
    stage.decides(review, SECOND, Refuse);
    let out = Stage::out(&release, review, &BOTH);
    stage.world.refused(out.clone(), &[ANNA], "reviews.refused");
    // More approvals outvote nobody, and leaving the refuser out of the count does not help.
    stage.decides(review, HUB, Approve);
    let three = Stage::out(&release, review, &[OFFICER, REVIEWER, HUB]);
    stage.world.refused(three, &[ANNA], "reviews.refused");
    // Nor does taking the refuser's key away.
    stage.world.applied(RevokeKey { key: signer(SECOND).public_key() }, &[ANNA]);
    stage.world.refused(out, &[ANNA], "reviews.refused");

    let mut stage = Stage::new();
    let (release, review) = stage.approved("plot");
    stage.decides(review, HUB, Refuse);
    stage.decides(review, HUB, Approve);
    // An approval that was taken back counts no more.
    stage.decides(review, OFFICER, Refuse);
    stage.decides(review, OFFICER, Approve);
    assert_eq!(stage.record(&review).decisions.len(), 6, "all of it stays on record");
    stage.world.applied(Stage::out(&release, review, &BOTH), &[ANNA]);
}

#[test]
fn a_refused_result_comes_back_by_name_alone_and_everybody_decides_anew() {
    let mut stage = Stage::new();
    let (release, refused) = stage.approved("table");
    stage.decides(refused, SECOND, Refuse);
    // The same again, and the same data under a new salt.
    let again = Stage::asked(&release);
    stage.world.refused(again, &[ANNA], "reviews.submitted-already");
    let sealed_anew = stage.release("table, salted anew");
    let silent = Stage::asked(&sealed_anew);
    stage.world.refused(silent.clone(), &[ANNA], "reviews.refused-before");
    let named = SubmitForReview { supersedes: [refused].into(), ..silent };
    let review = stage.world.applied(named.clone(), &[ANNA]).review();
    assert_eq!(stage.record(&refused).state, ReviewState::Superseded(review));
    assert_eq!(stage.record(&refused).refused_by().len(), 1, "the refusal stays on record");
    stage.may_not(refused, SECOND, "reviews.closed");
    stage.world.refused(Stage::out(&release, refused, &BOTH), &[ANNA], "reviews.closed");
    stage.world.refused(Stage::out(&sealed_anew, review, &BOTH), &[ANNA], "reviews.no-approval");
    stage.world.refused(named, &[ANNA], "reviews.closed");
    for who in BOTH {
        stage.decides(review, who, Approve);
    }
    stage.world.applied(Stage::out(&sealed_anew, review, &BOTH), &[ANNA]);
    // A review under another permit is not this permit's to supersede.
    let (_, waits) = stage.approved("plot");
    let terms = stage.world.terms(&[(&stage.data, 10)]);
    let other = stage.world.permit("ben", terms);
    let mut foreign = Stage::asked(&stage.release("model"));
    (foreign.release.permit, foreign.release.actor) = (other, signer("ben").public_key());
    foreign.supersedes = [waits].into();
    stage.world.refused(foreign, &[ANNA], "reviews.unknown");
}

#[test]
fn a_review_of_one_dataset_does_not_close_that_of_another() {
    let other = dataset(CHARITE, "stays");
    let mut stage = Stage::beside(World::with(newest), &[&other]);
    let (approved, kept) = stage.approved("table");
    // Approvals of one holder's release are not the other holder's to take away.
    let mut theirs = stage.release("their table");
    theirs.uses = vec![used(&other, PrivacyCharge::NotBounded)];
    let supersedes = SubmitForReview { supersedes: [kept].into(), ..Stage::asked(&theirs) };
    stage.world.refused(supersedes, &[CHARITE], "reviews.other-datasets");
    // One that is made from both takes the place of either.
    let mut both = stage.release("their joint table");
    both.uses =
        vec![used(&stage.data, PrivacyCharge::NotBounded), used(&other, PrivacyCharge::NotBounded)];
    let joint = SubmitForReview { supersedes: [kept].into(), ..Stage::asked(&both) };
    let again = stage.world.clone();
    stage.world.applied(joint, &[ANNA, CHARITE]);
    stage.world = again;
    stage.world.applied(Stage::out(&approved, kept, &BOTH), &[ANNA]);
}

#[test]
fn an_approval_whose_key_counts_no_longer_is_none() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 4] = [
        ("revoked key", |world| {
            world.applied(RevokeKey { key: signer(REVIEWER).public_key() }, &[ANNA]);
        }),
        ("lost role of the member", |world| {
            let roles = [Role::Holder, Role::Administrator].into();
            world.applied(SetMemberRoles { member: member(ANNA), roles }, &[HUB, ANNA]);
        }),
        ("lost role of the key", |world| world.bind(ANNA, REVIEWER, &[Role::Auditor])),
        ("expired certificate", |world| {
            let (id, until) = (member(ANNA), (2026, 3, 5));
            let roles = [Role::Reviewer];
            let key = world.authority.member_key_until(&id, REVIEWER, &roles, until);
            let bind = salus_ledger::call::BindKey { member: id, key };
            world.applied(bind, &[HUB, ANNA]);
            world.pass_days(10);
        }),
    ];
    for (what, change) in changes {
        let mut stage = Stage::new();
        let (release, review) = stage.approved("table");
        change(&mut stage.world);
        println!("{what}");
        let out = |approvals: &[&str]| Stage::out(&release, review, approvals);
        stage.world.refused(out(&BOTH), &[ANNA], "reviews.no-approval");
        stage.world.refused(out(&[OFFICER]), &[ANNA], "reviews.too-few");
        stage.decides(review, HUB, Approve);
        stage.world.applied(out(&[OFFICER, HUB]), &[ANNA]);
    }
    // The organisation itself is gone.
    let mut stage = Stage::new();
    let (release, review) = stage.approved("table");
    stage.world.applied(RevokeMember { member: member(HUB) }, &[HUB, ANNA]);
    stage.world.refused(Stage::out(&release, review, &BOTH), &[ANNA], "reviews.no-approval");
}

#[test]
fn holders_and_the_configuration_can_ask_for_more() {
    let mut stage = Stage::new();
    let set = |rule| SetReviewRule { dataset: dataset(ANNA, "observations"), rule };
    let three = set(Some(rule(3, Independence::Keys, Some(84))));
    stage.world.refused(three.clone(), &[CHARITE], "endorsement.wrong-member-or-role");
    let (release, review) = stage.approved("table");
    stage.world.applied(three, &[ANNA]);
    // What is stricter holds at once, also for what was submitted before.
    let out = |approvals: &[&str]| Stage::out(&release, review, approvals);
    stage.world.refused(out(&BOTH), &[ANNA], "reviews.score");
    let low = Stage::asked(&stage.release("plot"));
    stage.world.refused(low.clone(), &[ANNA], "reviews.score");
    let none = SubmitForReview { score: None, ..low };
    stage.world.refused(none, &[ANNA], "reviews.score");
    stage.world.applied(set(Some(rule(3, Independence::Keys, None))), &[ANNA]);
    stage.world.refused(out(&BOTH), &[ANNA], "reviews.too-few");
    // A holder's rule takes nothing away from the configuration's, which here is the standard.
    stage.world.applied(set(Some(rule(1, Independence::Keys, None))), &[ANNA]);
    stage.world.refused(out(&[OFFICER]), &[ANNA], "reviews.too-few");
    stage.world.applied(set(None), &[ANNA]);

    let current = query::config(&stage.world.store).unwrap().unwrap();
    let mut form: ConfigForm = current.form().clone();
    (form.version, form.review) = (1, Some(rule(1, Independence::Members, None)));
    let config = PlatformConfig::new(form).unwrap();
    let change = ChangeConfig { base: current.hash().unwrap(), config };
    stage.world.applied(change, &[HUB, ANNA]);
    stage.world.applied(out(&[OFFICER]), &[ANNA]);
}

#[test]
fn what_has_a_bound_may_be_reviewed_too_and_then_stands_by_it() {
    let mut stage = Stage::new();
    let mut release = stage.release("synthetic set");
    release.uses[0].charge = bounded(100);
    let review = stage.submit(&release);
    stage.decides(review, OFFICER, Refuse);
    stage.world.refused(Stage::out(&release, review, &[OFFICER]), &[ANNA], "reviews.refused");
    // What clears it is its charge: the gate is asked for only where there is no bound.
    stage.world.applied(RecordRelease { release }, &[ANNA]);
}

#[test]
fn a_long_job_passes_the_gate_when_it_ends() {
    let mut stage = Stage::new();
    let release = stage.release("model");
    let reserve = Reserve {
        permit: stage.permit.clone(),
        amounts: vec![Reserved { dataset: stage.data.clone(), charge: PrivacyCharge::NotBounded }],
        expires: stage.world.now.saturating_add_micros(3_600_000_000),
    };
    let job = stage.world.applied(reserve, &[ANNA]).job().unwrap();
    let commit = |release: Release| CommitReservation { job: job.clone(), release };
    stage.world.refused(commit(release.clone()), &[ANNA, HUB], "reviews.not-reviewed");
    let review = stage.submit(&release);
    stage.decides(review, OFFICER, Approve);
    let one = Stage::out(&release, review, &[OFFICER]).release;
    stage.world.refused(commit(one), &[ANNA], "reviews.too-few");
    stage.decides(review, REVIEWER, Approve);
    let both = Stage::out(&release, review, &BOTH).release;
    stage.world.applied(commit(both), &[ANNA]);
    assert!(matches!(stage.record(&review).state, ReviewState::Released(_)));
}

#[test]
fn what_may_not_be_released_is_not_submitted_either() {
    let mut stage = Stage::new();
    let release = stage.release("table");
    let asked = Stage::asked(&release);
    stage.world.refused(asked.clone(), &[CHARITE], "endorsement.wrong-member-or-role");
    stage.world.refused(asked.clone(), &["ada"], "endorsement.wrong-member-or-role");
    let change = |change: &dyn Fn(&mut Release)| {
        let mut call = asked.clone();
        change(&mut call.release);
        call
    };
    let name = columns(&["sex", "name"]);
    let outside = change(&|r| r.uses[0].columns = name.clone());
    stage.world.refused(outside, &[ANNA], "permits.outside-column");
    let later = change(&|r| r.uses[0].version = DatasetVersion::FIRST.next());
    stage.world.refused(later, &[ANNA], "accounts.unknown-version");
    let decided = change(&|r| r.gate = Some(GateDecision::new([1; 32])));
    stage.world.refused(decided, &[ANNA], "reviews.decided-already");
    let strict = dataset(ANNA, "strict");
    stage.world.register(&strict, 10, ReleaseRule::DpOnly);
    let terms = stage.world.terms(&[(&strict, 10)]);
    let permit = stage.world.permit("ben", terms);
    let ben = signer("ben").public_key();
    let dp_only = change(&|r| {
        (r.permit, r.actor) = (permit.clone(), ben);
        r.uses[0].dataset = strict.clone();
    });
    stage.world.refused(dp_only, &[ANNA], "accounts.dp-only");

    // Approved, and then the list of those who opted out moves on, or the permit ends.
    let (release, review) = stage.approved("plot");
    let out = Stage::out(&release, review, &BOTH);
    let root = OptOutRoot::new(hash("list"));
    let advance = AdvanceOptOutEpoch { holder: member(ANNA), epoch: 1, root };
    stage.world.applied(advance, &[ANNA]);
    stage.world.refused(out.clone(), &[ANNA], "accounts.stale-opt-outs");
    let reason = RevocationReason::Breach;
    stage.world.applied(RevokePermit { permit: stage.permit.clone(), reason }, &[HUB]);
    stage.world.refused(out, &[ANNA], "permits.revoked");
    stage.may_not(review, HUB, "permits.revoked");
}

#[test]
fn reviews_under_a_permit_and_decisions_of_a_review_have_an_end() {
    let mut stage = Stage::new();
    let first = stage.submit(&stage.release("0"));
    for number in 1..64 {
        let release = stage.release(&number.to_string());
        stage.submit(&release);
    }
    let one_more = Stage::asked(&stage.release("64"));
    stage.world.refused(one_more.clone(), &[ANNA], "reviews.too-many-waiting");
    let instead = SubmitForReview { supersedes: [first].into(), ..one_more };
    let review = stage.world.applied(instead, &[ANNA]).review();
    for number in 0..64 {
        let verdict = if number % 2 == 0 { Refuse } else { Approve };
        stage.decides(review, OFFICER, verdict);
    }
    let again = Stage::says(review, OFFICER, Refuse);
    stage.world.refused(again, &[OFFICER], "reviews.too-many-decisions");
}

#[test]
fn the_first_rules_know_no_reviews_until_the_next_are_activated() {
    let mut stage = Stage::on(World::new());
    let release = stage.release("table");
    stage.world.refused(Stage::asked(&release), &[ANNA], "reviews.later-rules");
    let none = salus_ledger::TxId::new(hash("no transaction")).review();
    stage.may_not(none, OFFICER, "reviews.later-rules");
    let rule = SetReviewRule { dataset: stage.data.clone(), rule: Some(ReviewRule::STANDARD) };
    stage.world.refused(rule, &[ANNA], "reviews.later-rules");
    // Nothing that names a review is decided by rules that count no approvals.
    let out = Stage::out(&release, none, &BOTH);
    stage.world.refused(out, &[ANNA, HUB], "reviews.later-rules");
    let mut signed = release.clone();
    signed.gate = Some(GateDecision::new(hash("gate")));
    let signed = RecordRelease { release: signed };
    stage.world.applied(signed.clone(), &[ANNA, HUB]);
    let at = stage.world.tip().height.get() + 2;
    let (contract, version) = (Contract::Accounts, ContractVersion::new(2));
    let activate = ActivateContract { contract, version, at: height(at) };
    stage.world.applied(activate, &[HUB, ANNA]);
    stage.world.refused(signed, &[ANNA, HUB], "reviews.old-gate");
    let (release, review) = stage.approved("table");
    stage.world.applied(Stage::out(&release, review, &BOTH), &[ANNA]);
}

#[test]
fn a_ledger_begins_by_the_rules_that_its_genesis_names() {
    let authority = Authority::new("Dev CA");
    let first = genesis(&authority, 1, &VALIDATORS);
    let begins = newest(first.clone());
    assert_ne!(first.ledger_id().unwrap(), begins.ledger_id().unwrap());
    for bad in [0, 4] {
        let contracts = [(Contract::Accounts, ContractVersion::new(bad))].into();
        let refused = Genesis { contracts, ..first.clone() }.found();
        assert!(matches!(refused, Err(GenesisError::Contract { .. })), "{bad}");
    }
    let world = World::with(newest);
    for contract in Contract::ALL {
        let schedule = query::schedule(&world.store, contract).unwrap();
        let version = schedule.map_or(ContractVersion::FIRST, |s| s.at(height(1)));
        assert_eq!(version, contract.newest(), "{contract:?}");
    }
}
