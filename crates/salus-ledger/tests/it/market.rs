//! Money, orders, deals and escrow.

use salus_ledger::call::{
    ArtefactKind, CancelOrder, CommitReservation, DeviceClass, IssueFunds, JobKind, OpenDeal,
    Order, PostOrder, RedeemFunds, RefundDeal, RegisterArtefact, RegisterDevice, ReleaseRule,
    Reserved, RetireDevice, SettleDeal, WithdrawArtefact,
};
use salus_ledger::invariant::invariants;
use salus_ledger::{CodeHash, Commitment, DatasetRef, Money, OrderId, query};
use salus_model::{PermitId, Purpose, ReceiptId};

use crate::world::{
    ANNA, CHARITE, HUB, UNI, WORKER, World, at, bounded, dataset, hash, member, newest, release,
    used,
};

struct Market {
    world: World,
    data: DatasetRef,
    permit: PermitId,
}

const END: &str = "2026-06-01T00:00:00Z";

impl Market {
    fn new() -> Self {
        Self::on(World::new())
    }

    fn on(mut world: World) -> Self {
        let data = dataset(ANNA, "observations");
        world.register(&data, 1_000, ReleaseRule::DpOnly);
        let terms = world.terms(&[(&data, 1_000)]);
        let permit = world.permit("ada", terms);
        world.applied(issue(1_000), &[HUB]);
        Self { world, data, permit }
    }

    fn offer(&mut self, price: u64, purposes: &[Purpose]) -> OrderId {
        let order = Order::Dataset {
            dataset: self.data.clone(),
            purposes: purposes.iter().copied().collect(),
            jobs: [JobKind::Wasm].into(),
            price: Money::new(price),
            expires: at(END),
        };
        self.world.applied(PostOrder { order }, &[ANNA]).order()
    }

    fn worker(&mut self, price: u64) -> OrderId {
        let order = Order::Worker {
            worker: member(WORKER),
            jobs: [JobKind::Wasm].into(),
            price: Money::new(price),
            expires: at(END),
        };
        self.world.applied(PostOrder { order }, &[WORKER]).order()
    }

    fn request(&mut self, max_price: u64) -> OrderId {
        let order = Order::Request {
            payer: member(UNI),
            permit: self.permit.clone(),
            job: JobKind::Wasm,
            code: CodeHash::new(hash("code")),
            amounts: vec![Reserved { dataset: self.data.clone(), charge: bounded(300) }],
            max_price: Money::new(max_price),
            expires: at(END),
        };
        self.world.refused(PostOrder { order: order.clone() }, &[UNI], "endorsement.pseudonym");
        self.world.applied(PostOrder { order }, &[UNI, "ada"]).order()
    }

    fn balances(&self) -> [u64; 3] {
        [UNI, ANNA, WORKER].map(|name| {
            let wallet = query::wallet(&self.world.store, &member(name)).unwrap();
            wallet.unwrap_or(Money::ZERO).get()
        })
    }
}

fn issue(amount: u64) -> IssueFunds {
    let reference = Commitment::new(hash("paper"));
    IssueFunds { to: member(UNI), amount: Money::new(amount), reference }
}

#[test]
fn a_deal_locks_the_price_and_the_budget_and_pays_at_settlement() {
    let mut market = Market::new();
    let (offer, worker) = (market.offer(200, &[Purpose::Research]), market.worker(50));
    let request = market.request(300);
    let expires = market.world.now.saturating_add_micros(3_600_000_000);
    let open = OpenDeal { request, datasets: vec![offer], worker: Some(worker), expires };
    let opened = market.world.applied(open.clone(), &[HUB]);
    assert_eq!(market.balances(), [750, 0, 0]);
    market.world.refused(open, &[HUB], "market.not-open");
    let world = &mut market.world;
    let (deal, job) = (opened.deal().unwrap(), opened.job().unwrap());
    let released =
        |charge| release("ada", &market.permit, vec![used(&market.data, bounded(charge))]);
    // The deal's budget is spent by its settlement only, and within what is reserved.
    let commit = CommitReservation { job, release: released(10) };
    world.refused(commit, &[ANNA], "accounts.belongs-to-deal");
    let settle = |release| SettleDeal { deal: deal.clone(), release };
    world.refused(settle(released(301)), &[ANNA], "accounts.above-reserved");
    let mut other = released(300);
    other.code = CodeHash::new([0; 32]);
    world.refused(settle(other), &[ANNA], "market.other-code");
    world.refused(RefundDeal { deal: deal.clone() }, &[UNI], "market.not-expired");
    world.applied(settle(released(300)), &[ANNA]);
    world.refused(settle(released(300)), &[ANNA], "market.closed");
    world.pass_days(2);
    world.refused(RefundDeal { deal }, &[UNI], "market.closed");
    invariants(&world.store, world.tip()).unwrap();
    assert_eq!(market.balances(), [750, 200, 50]);
}

#[test]
fn a_deal_that_runs_out_returns_price_and_budget() {
    let mut market = Market::new();
    let offer = market.offer(200, &[Purpose::Research]);
    let request = market.request(300);
    let expires = market.world.now.saturating_add_micros(3_600_000_000);
    let open = OpenDeal { request, datasets: vec![offer], worker: None, expires };
    let deal = market.world.applied(open, &[HUB]).deal().unwrap();
    market.world.pass_days(1);
    let late = release("ada", &market.permit, vec![used(&market.data, bounded(1))]);
    let settle = SettleDeal { deal: deal.clone(), release: late };
    market.world.refused(settle, &[ANNA], "market.deal-expired");
    market.world.applied(RefundDeal { deal: deal.clone() }, &[UNI]);
    market.world.refused(RefundDeal { deal }, &[UNI], "market.closed");
    assert_eq!(market.balances(), [1_000, 0, 0]);
    let account = query::account(&market.world.store, &market.data).unwrap().unwrap();
    assert_eq!(account.left_at(market.world.now), Some(account.budget));
    invariants(&market.world.store, market.world.tip()).unwrap();
}

#[test]
fn a_match_keeps_to_what_was_offered_and_wanted() {
    let mut market = Market::new();
    let good = market.offer(200, &[Purpose::Research]);
    let other = market.offer(1, &[Purpose::Statistics]);
    let dear = market.offer(5_000, &[Purpose::Research]);
    let worker = market.worker(200);
    let (request, rich) = (market.request(300), market.request(9_000));
    let expires = market.world.now.saturating_add_micros(3_600_000_000);
    let open = |request, datasets: &[OrderId], worker| OpenDeal {
        request,
        datasets: datasets.to_vec(),
        worker,
        expires,
    };
    let world = &mut market.world;
    world.refused(open(request, &[], None), &[HUB], "market.wrong-dataset");
    world.refused(open(request, &[good, good], None), &[HUB], "market.wrong-dataset");
    world.refused(open(request, &[other], None), &[HUB], "market.wrong-purpose");
    world.refused(open(request, &[worker], None), &[HUB], "market.wrong-kind");
    world.refused(open(good, &[good], None), &[HUB], "market.wrong-kind");
    world.refused(open(request, &[dear], None), &[HUB], "market.too-dear");
    world.refused(open(request, &[good], Some(worker)), &[HUB], "market.too-dear");
    world.refused(open(rich, &[dear], None), &[HUB], "market.funds");
    world.refused(CancelOrder { order: good }, &[CHARITE], "endorsement.wrong-member-or-role");
    world.applied(CancelOrder { order: good }, &[ANNA]);
    world.refused(open(request, &[good], None), &[HUB], "market.not-open");
    world.refused(issue(5), &[UNI], "endorsement.wrong-role");
    world.refused(issue(0), &[HUB], "market.no-amount");
    let reference = Commitment::new(hash("paper"));
    let redeem = |amount| RedeemFunds { from: member(UNI), amount: Money::new(amount), reference };
    world.refused(redeem(10), &[HUB], "market.not-party");
    world.refused(redeem(1_001), &[HUB, UNI], "market.funds");
    world.applied(redeem(1_000), &[HUB, UNI]);
    invariants(&world.store, world.tip()).unwrap();
}

#[test]
fn artefacts_stand_under_receipts_and_devices_under_commitments() {
    let mut market = Market::new();
    let world = &mut market.world;
    let register = |receipt: ReceiptId| RegisterArtefact {
        kind: ArtefactKind::Model,
        commitment: Commitment::new(hash("model")),
        receipt,
        owner: member(UNI),
    };
    let none = ReceiptId::new("receipt-none").unwrap();
    world.refused(register(none), &[UNI], "artefacts.no-receipt");
    let call = salus_ledger::call::RecordRelease {
        release: release("ada", &market.permit, vec![used(&market.data, bounded(1))]),
    };
    let receipt = world.applied(call, &[ANNA]).receipt().unwrap();
    world.refused(register(receipt.clone()), &[ANNA], "artefacts.not-owner");
    let artefact = world.applied(register(receipt), &[UNI]).artefact();
    world.refused(WithdrawArtefact { artefact }, &[ANNA], "artefacts.not-owner");
    world.applied(WithdrawArtefact { artefact }, &[UNI]);
    world.refused(WithdrawArtefact { artefact }, &[UNI], "artefacts.withdrawn");
    let device = Commitment::new(hash("device"));
    let call = RegisterDevice { device, class: DeviceClass::Wearable };
    world.refused(call.clone(), &[UNI], "endorsement.wrong-role");
    world.refused(call.clone(), &[ANNA, CHARITE], "devices.one-holder");
    world.applied(call.clone(), &[ANNA]);
    world.refused(call, &[ANNA], "devices.exists");
    world.refused(RetireDevice { device }, &[CHARITE], "endorsement.wrong-member-or-role");
    world.applied(RetireDevice { device }, &[ANNA]);
    world.refused(RetireDevice { device }, &[ANNA], "devices.retired");
}

#[test]
fn nothing_takes_the_place_of_what_was_released() {
    for (rules, refuses) in [(newest as fn(_) -> _, true), ((|first| first) as fn(_) -> _, false)] {
        let mut market = Market::on(World::with(rules));
        let world = &mut market.world;
        let call = salus_ledger::call::RecordRelease {
            release: release("ada", &market.permit, vec![used(&market.data, bounded(1))]),
        };
        let receipt = world.applied(call, &[ANNA]).receipt().unwrap();
        let register = |what: &str, owner: &str| RegisterArtefact {
            kind: ArtefactKind::AnonymisedSet,
            commitment: Commitment::new(hash(what)),
            receipt: receipt.clone(),
            owner: member(owner),
        };
        let artefact = world.applied(register("table", ANNA), &[ANNA]).artefact();
        if !refuses {
            // The first rules take any number.
            world.applied(register("another table", ANNA), &[ANNA]);
            continue;
        }
        world.refused(register("another table", ANNA), &[ANNA], "artefacts.another");
        // Withdrawing makes no room for one, and nobody has the place of another owner.
        world.applied(WithdrawArtefact { artefact }, &[ANNA]);
        world.refused(register("another table", ANNA), &[ANNA], "artefacts.another");
        world.applied(register("another table", UNI), &[UNI]);
    }
}
