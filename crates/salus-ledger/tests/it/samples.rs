//! One sample of every kind of call. A new kind does not compile until it has one.

use salus_ledger::block::{Equivocation, Vote};
use salus_ledger::call::{
    ActivateContract, AdmitMember, AdvanceOptOutEpoch, AmendPermit, ApplyForPermit, ArtefactKind,
    AttestationRef, BindKey, Call, CancelOrder, CancelReservation, ChangeConfig, CommitDataset,
    CommitReservation, DecideReview, DeltaExponent, DeviceClass, ExpireReservations, GrantPermit,
    IssueFunds, JobKind, MarkTime, Method, OpenDeal, Order, PostOrder, PublishCrl, RecordRelease,
    RecordTick, RedeemFunds, RefundDeal, RefusePermit, RegisterArtefact, RegisterDataset,
    RegisterDevice, ReleaseRule, ReportEquivocation, Reserve, Reserved, RetireDevice,
    RevocationReason, RevokeKey, RevokeMember, RevokePermit, SetDatasetPolicy, SetMemberRoles,
    SetReviewRule, SettleDeal, SubmitForReview, Tick, WithdrawArtefact,
};
use salus_ledger::contract::{Contract, ContractVersion};
use salus_ledger::policy::{Policy, Role};
use salus_ledger::review::{
    Independence, ReviewRule, ReviewRuleForm, ReviewScore, Reviewed, Verdict,
};
use salus_ledger::{
    AttestationDigest, BlockHash, CodeHash, Commitment, GateDecision, Height, Money, OptOutRoot,
    ReportDigest, ResultHash, TxId,
};
use salus_model::{DatasetVersion, MicroRho, PrivacyCharge, Purpose};

use crate::ca::signer;
use crate::world::{
    ANNA, HUB, UNI, VALIDATORS, WORKER, World, at, bounded, dataset, genesis, hash, member,
    release, roles_of, used,
};

/// Commitments and hashes are salted forms of `personal`, as the makers of transactions make them.
pub(crate) fn sample(world: &World, method: Method, personal: &str) -> Call {
    let salted = |what: &str| hash(&format!("salt 6f1c {what} {personal}"));
    let tx = TxId::new(hash("some transaction"));
    let (permit, job, deal) = (tx.permit().unwrap(), tx.job().unwrap(), tx.deal().unwrap());
    let data = dataset(ANNA, "observations");
    let commitment = Commitment::new(salted("commitment"));
    let terms = world.terms(&[(&data, 10)]);
    let amounts = vec![Reserved { dataset: data.clone(), charge: bounded(3) }];
    let expires = at("2026-06-01T00:00:00Z");
    let key = || world.authority.member_key(&member("lab"), "lab", &[Role::Research]);
    let mut released = release("ada", &permit, vec![used(&data, bounded(3))]);
    released.input = Commitment::new(salted("input"));
    released.result = ResultHash::new(salted("result"));
    released.attestation = AttestationRef::Evidence(AttestationDigest::new(hash("evidence")));
    released.gate = Some(GateDecision::new(salted("gate")));
    match method {
        Method::AdmitMember => {
            AdmitMember { member: member("lab"), roles: [Role::Research].into(), keys: vec![key()] }
                .into()
        }
        Method::SetMemberRoles => {
            SetMemberRoles { member: member(UNI), roles: roles_of(UNI).iter().copied().collect() }
                .into()
        }
        Method::RevokeMember => RevokeMember { member: member(UNI) }.into(),
        Method::BindKey => BindKey { member: member("lab"), key: key() }.into(),
        Method::RevokeKey => RevokeKey { key: signer(UNI).public_key() }.into(),
        Method::PublishCrl => {
            let crl = world.authority.crl(1, &[vec![1, 2]], (2026, 1, 1), (2026, 6, 1));
            PublishCrl { crl, issuer: vec![world.authority.der.clone()] }.into()
        }
        Method::ReportEquivocation => {
            let vote = |block| {
                let hash = BlockHash::new([block; 32]);
                Vote::cast(&signer("val-1"), &world.ledger, Height::new(7), hash)
            };
            ReportEquivocation { evidence: Equivocation::new(vote(1), vote(2)) }.into()
        }
        Method::ChangeConfig => {
            let config = genesis(&world.authority, 1, &VALIDATORS).config;
            ChangeConfig { base: config.hash().unwrap(), config }.into()
        }
        Method::ActivateContract => ActivateContract {
            contract: Contract::Permits,
            version: ContractVersion::new(2),
            at: Height::new(9),
        }
        .into(),
        Method::MarkTime => MarkTime {}.into(),
        Method::RegisterDataset => RegisterDataset {
            dataset: data,
            budget: MicroRho::new(10),
            delta: DeltaExponent::new(6).unwrap(),
            releases: ReleaseRule::DpOnly,
            commitment,
        }
        .into(),
        Method::CommitDataset => {
            CommitDataset { dataset: data, version: DatasetVersion::FIRST.next(), commitment }
                .into()
        }
        Method::SetDatasetPolicy => {
            SetDatasetPolicy { dataset: data, policy: Some(Policy::role(Role::Officer)) }.into()
        }
        Method::RegisterDevice => {
            RegisterDevice { device: commitment, class: DeviceClass::Wearable }.into()
        }
        Method::RetireDevice => RetireDevice { device: commitment }.into(),
        Method::ApplyForPermit => {
            ApplyForPermit { pseudonym: signer("ada").public_key(), terms }.into()
        }
        Method::GrantPermit => GrantPermit { permit }.into(),
        Method::RefusePermit => RefusePermit { permit }.into(),
        Method::AmendPermit => AmendPermit { permit, revision: 0, terms }.into(),
        Method::RevokePermit => RevokePermit { permit, reason: RevocationReason::Requested }.into(),
        Method::AdvanceOptOutEpoch => AdvanceOptOutEpoch {
            holder: member(ANNA),
            epoch: 1,
            root: OptOutRoot::new(salted("opted out")),
        }
        .into(),
        Method::RecordRelease => RecordRelease { release: released }.into(),
        Method::RecordTick => {
            RecordTick { tick: Tick::Next { job, number: 2 }, release: released }.into()
        }
        Method::Reserve => Reserve { permit, amounts, expires }.into(),
        Method::CommitReservation => CommitReservation { job, release: released }.into(),
        Method::CancelReservation => CancelReservation { job }.into(),
        Method::ExpireReservations => ExpireReservations { dataset: data }.into(),
        Method::IssueFunds => {
            IssueFunds { to: member(UNI), amount: Money::new(5), reference: commitment }.into()
        }
        Method::RedeemFunds => {
            RedeemFunds { from: member(UNI), amount: Money::new(5), reference: commitment }.into()
        }
        Method::PostOrder => PostOrder {
            order: Order::Request {
                payer: member(UNI),
                permit,
                job: JobKind::Wasm,
                code: CodeHash::new(hash("code")),
                amounts,
                max_price: Money::new(5),
                expires,
            },
        }
        .into(),
        Method::CancelOrder => CancelOrder { order: tx.order() }.into(),
        Method::OpenDeal => OpenDeal {
            request: tx.order(),
            datasets: vec![tx.order()],
            worker: Some(tx.order()),
            expires,
        }
        .into(),
        Method::SettleDeal => SettleDeal { deal, release: released }.into(),
        Method::RefundDeal => RefundDeal { deal }.into(),
        Method::SubmitForReview => {
            released.gate = None;
            let score = Some(ReviewScore::new(83).unwrap());
            let report = ReportDigest::new(salted("report"));
            let supersedes = [tx.review()].into();
            SubmitForReview { release: released, report, score, supersedes }.into()
        }
        Method::DecideReview => DecideReview {
            review: tx.review(),
            reviewer: signer("reviewer").public_key(),
            verdict: Verdict::Refuse,
        }
        .into(),
        Method::SetReviewRule => {
            let form = ReviewRuleForm {
                reviewers: 3,
                independence: Independence::Members,
                least_score: Some(ReviewScore::new(75).unwrap()),
            };
            SetReviewRule { dataset: data, rule: Some(ReviewRule::new(form).unwrap()) }.into()
        }
        Method::RegisterArtefact => RegisterArtefact {
            kind: ArtefactKind::Model,
            commitment,
            receipt: tx.receipt().unwrap(),
            owner: member(UNI),
        }
        .into(),
        Method::WithdrawArtefact => WithdrawArtefact { artefact: tx.artefact() }.into(),
    }
}

/// A release that goes out on a review, which the samples of releases do not.
pub(crate) fn reviewed_release() -> Call {
    let tx = TxId::new(hash("some transaction"));
    let data = dataset(ANNA, "observations");
    let uses = vec![used(&data, PrivacyCharge::NotBounded)];
    let mut released = release("ada", &tx.permit().unwrap(), uses);
    let approvals = ["reviewer", "officer"].map(|name| signer(name).public_key()).into();
    released.review = Some(Reviewed { review: tx.review(), approvals });
    RecordRelease { release: released }.into()
}

/// The other orders, which one sample of `PostOrder` cannot show.
pub(crate) fn other_orders() -> Vec<Call> {
    let expires = at("2026-06-01T00:00:00Z");
    let jobs = [JobKind::Sql, JobKind::Wasm];
    let dataset = Order::Dataset {
        dataset: dataset(ANNA, "observations"),
        purposes: [Purpose::Research].into(),
        jobs: jobs.into(),
        price: Money::new(5),
        expires,
    };
    let worker =
        Order::Worker { worker: member(WORKER), jobs: jobs.into(), price: Money::new(5), expires };
    vec![PostOrder { order: dataset }.into(), PostOrder { order: worker }.into()]
}

/// The member whose key signs a sample.
pub(crate) const SIGNER: &str = HUB;
