//! Money, orders, deals and escrow. Who is matched with whom is decided elsewhere; here are the
//! rules that a match has to keep.

use std::collections::BTreeSet;

use salus_model::{DealId, MemberId, PermitId, Purpose, Timestamp};

use super::accounts;
use super::permits;
use super::records::{Deal, DealState, OrderState, PostedOrder, Share};
use super::{Context, Stop, misrouted};
use crate::call::{
    Call, CancelOrder, IssueFunds, JobKind, OpenDeal, Order, RedeemFunds, RefundDeal, Reserved,
    SettleDeal,
};
use crate::policy::Role;
use crate::state::{StateError, slot};
use crate::words::{CodeHash, Money, OrderId};

super::refusal::refusals! {
    /// Rules of the market contract.
    MarketRefusal {
        UnknownMember { member: MemberId } = "market.unknown-member", "there is no member {member}";
        NoAmount = "market.no-amount", "the amount is zero";
        Overflow = "market.overflow", "the amount does not fit";
        Funds { member: MemberId } = "market.funds", "the wallet of {member} does not hold so much";
        UnknownOrder { order: OrderId } = "market.unknown-order", "there is no order {order}";
        NotOpen { order: OrderId } = "market.not-open", "order {order} cannot be matched any more";
        OrderExpired { order: OrderId } = "market.order-expired", "order {order} has expired";
        ExpiresBefore { expires: Timestamp } = "market.expires-before", "it would be over before it begins, at {expires}";
        NothingOffered = "market.nothing-offered", "an offer names the jobs and purposes that it is for";
        WrongKind { order: OrderId } = "market.wrong-kind", "order {order} is of another kind than this place needs";
        WrongDataset { order: OrderId } = "market.wrong-dataset", "the offers do not cover each dataset of the request once ({order})";
        WrongPurpose { purpose: Purpose } = "market.wrong-purpose", "a dataset is not offered for purpose {purpose}";
        WrongJob { job: JobKind } = "market.wrong-job", "an offer is not for jobs of kind {job:?}";
        TooDear { price: Money, max_price: Money } = "market.too-dear", "the offers ask {price}, the request pays at most {max_price}";
        NotParty = "market.not-party", "none of the parties of the order has signed";
        UnknownDeal { deal: DealId } = "market.unknown-deal", "there is no deal {deal}";
        Closed { deal: DealId } = "market.closed", "deal {deal} is settled or refunded already";
        DealExpired { deal: DealId } = "market.deal-expired", "deal {deal} has run out";
        NotExpired { deal: DealId } = "market.not-expired", "deal {deal} has not run out yet";
        OtherCode { code: CodeHash } = "market.other-code", "the deal is for other code than {code}";
    }
}

pub(super) fn decide(call: &Call, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    match call {
        Call::IssueFunds(call) => issue(call, cx),
        Call::RedeemFunds(call) => redeem(call, cx),
        Call::PostOrder(call) => post(&call.order, cx),
        Call::CancelOrder(call) => cancel(call, cx),
        Call::OpenDeal(call) => open(call, cx),
        Call::SettleDeal(call) => settle(call, cx),
        Call::RefundDeal(call) => refund(call, cx),
        other => Err(misrouted(other.method())),
    }
}

fn balance(member: &MemberId, cx: &Context<'_, '_>) -> Result<Money, Stop> {
    Ok(cx.view.read(&slot::wallet(member))?.unwrap_or(Money::ZERO))
}

fn pay_in(member: &MemberId, amount: Money, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let after = balance(member, cx)?.checked_add(amount).ok_or(MarketRefusal::Overflow)?;
    Ok(cx.view.write(&slot::wallet(member), &after)?)
}

fn take_out(member: &MemberId, amount: Money, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let short = || MarketRefusal::Funds { member: member.clone() };
    let after = balance(member, cx)?.checked_sub(amount).ok_or_else(short)?;
    Ok(cx.view.write(&slot::wallet(member), &after)?)
}

fn supply(cx: &Context<'_, '_>) -> Result<Money, Stop> {
    Ok(cx.view.read(&slot::supply())?.unwrap_or(Money::ZERO))
}

fn issue(call: &IssueFunds, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_role(Role::Treasurer)?;
    if call.amount == Money::ZERO {
        return Err(MarketRefusal::NoAmount.into());
    }
    if !cx.view.holds(&slot::member(&call.to))? {
        return Err(MarketRefusal::UnknownMember { member: call.to.clone() }.into());
    }
    let after = supply(cx)?.checked_add(call.amount).ok_or(MarketRefusal::Overflow)?;
    cx.view.write(&slot::supply(), &after)?;
    pay_in(&call.to, call.amount, cx)
}

/// The treasurer books it, the member agrees to it.
fn redeem(call: &RedeemFunds, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_role(Role::Treasurer)?;
    if !cx.endorsers.iter().any(|e| e.member == call.from) {
        return Err(MarketRefusal::NotParty.into());
    }
    if call.amount == Money::ZERO {
        return Err(MarketRefusal::NoAmount.into());
    }
    take_out(&call.from, call.amount, cx)?;
    let after = supply(cx)?.checked_sub(call.amount).ok_or(MarketRefusal::Overflow)?;
    Ok(cx.view.write(&slot::supply(), &after)?)
}

impl Order {
    /// The first moment at which it is over.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        match self {
            Self::Dataset { expires, .. }
            | Self::Worker { expires, .. }
            | Self::Request { expires, .. } => *expires,
        }
    }

    /// Who posts it, and in which role.
    #[must_use]
    pub const fn owner(&self) -> (&MemberId, Role) {
        match self {
            Self::Dataset { dataset, .. } => (&dataset.holder, Role::Holder),
            Self::Worker { worker, .. } => (worker, Role::Worker),
            Self::Request { payer, .. } => (payer, Role::Research),
        }
    }
}

fn post(order: &Order, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let (owner, role) = order.owner();
    cx.require_member_as(owner, role)?;
    if order.expires() <= cx.time {
        return Err(MarketRefusal::ExpiresBefore { expires: order.expires() }.into());
    }
    match order {
        Order::Dataset { dataset, purposes, jobs, .. } => {
            super::datasets::concerned(dataset, cx)?;
            if jobs.is_empty() || purposes.is_empty() {
                return Err(MarketRefusal::NothingOffered.into());
            }
        }
        Order::Worker { jobs, .. } => {
            if jobs.is_empty() {
                return Err(MarketRefusal::NothingOffered.into());
            }
        }
        Order::Request { permit, amounts, .. } => {
            let record = permits::in_force(permit, cx)?;
            cx.require_pseudonym(&record.pseudonym)?;
            for amount in amounts {
                permits::budget_for(&record, &amount.dataset)?;
            }
        }
    }
    let posted = PostedOrder { order: order.clone(), since: cx.height, state: OrderState::Open };
    let id = cx.tx.order();
    Ok(cx.view.write(&slot::order(&id), &posted)?)
}

/// An order that can be matched now.
fn open_order(order: OrderId, cx: &Context<'_, '_>) -> Result<PostedOrder, Stop> {
    let unknown = MarketRefusal::UnknownOrder { order };
    let posted = cx.view.read(&slot::order(&order))?.ok_or(unknown)?;
    if posted.state != OrderState::Open {
        return Err(MarketRefusal::NotOpen { order }.into());
    }
    if cx.time >= posted.order.expires() {
        return Err(MarketRefusal::OrderExpired { order }.into());
    }
    Ok(posted)
}

fn cancel(call: &CancelOrder, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let order = call.order;
    let slot = slot::order(&order);
    let mut posted = cx.view.read(&slot)?.ok_or(MarketRefusal::UnknownOrder { order })?;
    let (owner, role) = posted.order.owner();
    cx.require_member_as(owner, role)?;
    if posted.state != OrderState::Open {
        return Err(MarketRefusal::NotOpen { order }.into());
    }
    posted.state = OrderState::Cancelled;
    Ok(cx.view.write(&slot, &posted)?)
}

/// A request as a deal needs it.
struct Wanted {
    payer: MemberId,
    permit: PermitId,
    job: JobKind,
    code: CodeHash,
    purpose: Purpose,
    amounts: Vec<Reserved>,
    max_price: Money,
}

fn wanted(order: OrderId, posted: &PostedOrder, cx: &Context<'_, '_>) -> Result<Wanted, Stop> {
    let Order::Request { payer, permit, job, code, amounts, max_price, .. } = &posted.order else {
        return Err(MarketRefusal::WrongKind { order }.into());
    };
    let record = permits::in_force(permit, cx)?;
    Ok(Wanted {
        payer: payer.clone(),
        permit: permit.clone(),
        job: *job,
        code: *code,
        purpose: record.terms.purpose,
        amounts: amounts.clone(),
        max_price: *max_price,
    })
}

/// Each dataset's price, the offers covering each dataset of the request exactly once.
fn dataset_shares(
    call: &OpenDeal,
    wanted: &Wanted,
    cx: &Context<'_, '_>,
) -> Result<Vec<Share>, Stop> {
    let mut missing: BTreeSet<_> = wanted.amounts.iter().map(|a| &a.dataset).collect();
    let mut shares = Vec::new();
    for order in &call.datasets {
        let posted = open_order(*order, cx)?;
        let Order::Dataset { dataset, purposes, jobs, price, .. } = &posted.order else {
            return Err(MarketRefusal::WrongKind { order: *order }.into());
        };
        if !missing.remove(dataset) {
            return Err(MarketRefusal::WrongDataset { order: *order }.into());
        }
        if !purposes.contains(&wanted.purpose) {
            return Err(MarketRefusal::WrongPurpose { purpose: wanted.purpose }.into());
        }
        if !jobs.contains(&wanted.job) {
            return Err(MarketRefusal::WrongJob { job: wanted.job }.into());
        }
        shares.push(Share { to: dataset.holder.clone(), amount: *price });
    }
    if missing.is_empty() {
        Ok(shares)
    } else {
        Err(MarketRefusal::WrongDataset { order: call.request }.into())
    }
}

fn worker_share(order: OrderId, wanted: &Wanted, cx: &Context<'_, '_>) -> Result<Share, Stop> {
    let posted = open_order(order, cx)?;
    let Order::Worker { worker, jobs, price, .. } = &posted.order else {
        return Err(MarketRefusal::WrongKind { order }.into());
    };
    if !jobs.contains(&wanted.job) {
        return Err(MarketRefusal::WrongJob { job: wanted.job }.into());
    }
    Ok(Share { to: worker.clone(), amount: *price })
}

/// Any member may bring the match: the orders bind their parties already.
fn open(call: &OpenDeal, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_any_member()?;
    let mut request = open_order(call.request, cx)?;
    let wanted = wanted(call.request, &request, cx)?;
    let mut shares = dataset_shares(call, &wanted, cx)?;
    if let Some(order) = call.worker {
        shares.push(worker_share(order, &wanted, cx)?);
    }
    let price = shares
        .iter()
        .try_fold(Money::ZERO, |sum, share| sum.checked_add(share.amount))
        .ok_or(MarketRefusal::Overflow)?;
    if price > wanted.max_price {
        return Err(MarketRefusal::TooDear { price, max_price: wanted.max_price }.into());
    }
    let broken = |e: salus_model::IdError| StateError::Tree { reason: e.to_string() };
    let deal = cx.tx.deal().map_err(broken)?;
    let job = cx.tx.job().map_err(broken)?;
    take_out(&wanted.payer, price, cx)?;
    let (permit, amounts) = (&wanted.permit, &wanted.amounts);
    accounts::reserve_for(&job, permit, amounts, call.expires, Some(deal.clone()), cx)?;
    request.state = OrderState::Matched(deal.clone());
    cx.view.write(&slot::order(&call.request), &request)?;
    let record = Deal {
        payer: wanted.payer,
        shares,
        escrow: price,
        job,
        code: wanted.code,
        expires: call.expires,
        state: DealState::Open,
    };
    Ok(cx.view.write(&slot::deal(&deal), &record)?)
}

fn open_deal(deal: &DealId, cx: &Context<'_, '_>) -> Result<Deal, Stop> {
    let unknown = || MarketRefusal::UnknownDeal { deal: deal.clone() };
    let record = cx.view.read(&slot::deal(deal))?.ok_or_else(unknown)?;
    match record.state {
        DealState::Open => Ok(record),
        _ => Err(MarketRefusal::Closed { deal: deal.clone() }.into()),
    }
}

fn settle(call: &SettleDeal, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let mut deal = open_deal(&call.deal, cx)?;
    if cx.time >= deal.expires {
        return Err(MarketRefusal::DealExpired { deal: call.deal.clone() }.into());
    }
    if call.release.code != deal.code {
        return Err(MarketRefusal::OtherCode { code: call.release.code }.into());
    }
    accounts::commit_job(&deal.job, &call.release, cx)?;
    for share in &deal.shares {
        pay_in(&share.to, share.amount, cx)?;
    }
    deal.escrow = Money::ZERO;
    deal.state = DealState::Settled;
    Ok(cx.view.write(&slot::deal(&call.deal), &deal)?)
}

fn refund(call: &RefundDeal, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_any_member()?;
    let mut deal = open_deal(&call.deal, cx)?;
    if cx.time < deal.expires {
        return Err(MarketRefusal::NotExpired { deal: call.deal.clone() }.into());
    }
    accounts::free_job(&deal.job, cx)?;
    pay_in(&deal.payer, deal.escrow, cx)?;
    deal.escrow = Money::ZERO;
    deal.state = DealState::Refunded;
    Ok(cx.view.write(&slot::deal(&call.deal), &deal)?)
}
