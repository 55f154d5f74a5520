//! The ledger on which the fuzz targets stand.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use salus_ledger::call::{
    AdvanceOptOutEpoch, AmendPermit, Call, CancelReservation, CommitDataset, CommitReservation,
    GrantPermit, IssueFunds, JobKind, MarkTime, OpenDeal, Order, PostOrder, RecordRelease,
    RedeemFunds, RefundDeal, ReleaseRule, Reserve, Reserved, RevocationReason, RevokeMember,
    RevokePermit, SettleDeal,
};
use salus_ledger::proof::{CheckpointTrust, TrustAnchor};
use salus_ledger::{CodeHash, Commitment, Money, OptOutRoot, OrderId, Signer};
use salus_model::{DatasetVersion, DealId, JobId, PermitId, Purpose, Timestamp};
use salus_testkit::ledger::ca::signer;
use salus_testkit::ledger::world::{
    ANNA, CHARITE, HUB, UNI, VALIDATORS, WORKER, World, at, bounded, dataset, genesis, hash,
    member, release, used,
};

/// A ledger in which there is something to use, spend and take away.
pub(super) struct Ground {
    /// As the kept vectors have it: a dataset and a permit for it.
    pub(super) kept: World,
    /// The same ledger later: money, a reservation, offers, an open deal.
    pub(super) busy: World,
    pub(super) anchor: TrustAnchor,
    pub(super) trust: CheckpointTrust,
    /// Everybody who may have to agree.
    pub(super) signers: Vec<Signer>,
    permit: PermitId,
    job: JobId,
    offer: OrderId,
    deal: DealId,
}

pub(super) fn ground() -> &'static Ground {
    static GROUND: OnceLock<Ground> = OnceLock::new();
    GROUND.get_or_init(Ground::new)
}

fn soon(world: &World) -> Timestamp {
    world.now.saturating_add_micros(3_600_000_000)
}

fn reserved(micro: u64) -> Vec<Reserved> {
    vec![Reserved { dataset: dataset(ANNA, "observations"), charge: bounded(micro) }]
}

fn request(world: &World, permit: &PermitId) -> Order {
    Order::Request {
        payer: member(UNI),
        permit: permit.clone(),
        job: JobKind::Wasm,
        code: CodeHash::new(hash("code")),
        amounts: reserved(100),
        max_price: Money::new(300),
        expires: soon(world),
    }
}

impl Ground {
    fn new() -> Self {
        let mut kept = World::new();
        let first = genesis(&kept.authority, 1, &VALIDATORS);
        let anchor = TrustAnchor::from_genesis(&first).expect("the genesis is an anchor");
        let data = dataset(ANNA, "observations");
        kept.register(&data, 1_000, ReleaseRule::DpOnly);
        let terms = kept.terms(&[(&data, 1_000)]);
        let permit = kept.permit("ada", terms);
        let trust = CheckpointTrust {
            ledger: kept.ledger,
            validators: anchor.validators().clone(),
            witnesses: BTreeMap::new(),
            threshold: 0,
        };
        let mut busy = kept.clone();
        let reference = Commitment::new(hash("paper"));
        let funds = IssueFunds { to: member(UNI), amount: Money::new(1_000), reference };
        busy.applied(funds, &[HUB]);
        let reserve =
            Reserve { permit: permit.clone(), amounts: reserved(200), expires: soon(&busy) };
        let job = busy.applied(reserve, &[ANNA]).job().expect("a job");
        let order = Order::Dataset {
            dataset: data,
            purposes: [Purpose::Research].into(),
            jobs: [JobKind::Wasm].into(),
            price: Money::new(200),
            expires: soon(&busy),
        };
        let offer = busy.applied(PostOrder { order }, &[ANNA]).order();
        let order = request(&busy, &permit);
        let request = busy.applied(PostOrder { order }, &[UNI, "ada"]).order();
        let open = OpenDeal { request, datasets: vec![offer], worker: None, expires: soon(&busy) };
        let deal = busy.applied(open, &[HUB]).deal().expect("a deal");
        let names = [HUB, ANNA, CHARITE, UNI, WORKER, "ada"].into_iter().chain(VALIDATORS);
        let signers = names.map(signer).collect();
        Self { kept, busy, anchor, trust, signers, permit, job, offer, deal }
    }

    /// Inputs by hand: what a use of the ledger consists of.
    pub(super) fn seeds(&self) -> Vec<(&'static str, Vec<Call>)> {
        let (permit, data) = (self.permit.clone(), dataset(ANNA, "observations"));
        let released = |micro| release("ada", &permit, vec![used(&data, bounded(micro))]);
        let record = |micro| Call::from(RecordRelease { release: released(micro) });
        let mut amended = self.busy.terms(&[(&data, 500)]);
        amended.expires = at("2026-10-01T00:00:00Z");
        let commit =
            |micro| CommitReservation { job: self.job.clone(), release: released(micro) }.into();
        let settle =
            |micro| SettleDeal { deal: self.deal.clone(), release: released(micro) }.into();
        let reason = RevocationReason::Requested;
        let epoch = |epoch, root: &str| {
            let root = OptOutRoot::new(hash(root));
            AdvanceOptOutEpoch { holder: member(ANNA), epoch, root }.into()
        };
        let redeem = RedeemFunds {
            from: member(ANNA),
            amount: Money::new(200),
            reference: Commitment::new(hash("paper")),
        };
        let open = OpenDeal {
            request: self.offer,
            datasets: vec![self.offer],
            worker: None,
            expires: soon(&self.busy),
        };
        let next = CommitDataset {
            dataset: data.clone(),
            version: DatasetVersion::FIRST.next(),
            commitment: Commitment::new(hash("version 2")),
        };
        vec![
            ("spend", vec![record(600), record(100), record(1)]),
            (
                "amend",
                vec![
                    AmendPermit { permit: permit.clone(), revision: 0, terms: amended }.into(),
                    record(1),
                ],
            ),
            (
                "revoke",
                vec![
                    RevokePermit { permit: permit.clone(), reason }.into(),
                    record(1),
                    GrantPermit { permit: permit.clone() }.into(),
                ],
            ),
            ("opt-out", vec![epoch(1, "root"), record(1), epoch(2, "other root")]),
            ("version", vec![next.into(), MarkTime {}.into(), record(1)]),
            ("leave", vec![RevokeMember { member: member(ANNA) }.into(), record(1)]),
            ("reserve", vec![commit(200), commit(1)]),
            ("cancel", vec![CancelReservation { job: self.job.clone() }.into(), commit(1)]),
            ("deal", vec![settle(101), settle(100), redeem.into()]),
            ("refund", vec![RefundDeal { deal: self.deal.clone() }.into(), open.into()]),
            ("request", vec![PostOrder { order: request(&self.busy, &permit) }.into(), record(1)]),
        ]
    }
}
