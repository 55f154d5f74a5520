use std::collections::BTreeSet;

use salus_ledger::call::{Call, Order, PermitTerms, Release, Tick};
use salus_ledger::policy::Policy;
use salus_ledger::{DatasetRef, TxId};
use salus_model::{MemberId, PermitId};
use serde::{Deserialize, Serialize};

/// What a transaction is about, beside its kind: what people look it up by.
///
/// # Privacy
/// Each of them stands in the transaction, which every member reads anyway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// An organisation that signed it, or that it names.
    Member(MemberId),
    /// A dataset.
    Dataset(DatasetRef),
    /// A permit.
    Permit(PermitId),
}

/// A transaction by the half of its id that the ids of permits, receipts, jobs and deals carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Half([u8; 16]);

impl Half {
    /// The half within an id such as `permit-0123…`.
    pub(crate) fn of_created(id: &str) -> Option<Self> {
        let (_, digits) = id.rsplit_once('-')?;
        let bytes = hex::decode(digits).ok()?;
        bytes.try_into().ok().map(Self)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What a call names itself, and the earlier transactions whose subjects are its own too.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) subjects: BTreeSet<Subject>,
    pub(crate) earlier: Vec<Half>,
}

impl Named {
    /// What a call names. The permit that an application creates is a subject of its own.
    pub(crate) fn by(call: &Call, id: &TxId) -> Self {
        let mut named = Self::default();
        named.governance(call);
        named.data(call, id);
        named.accounts(call);
        named.market(call);
        named
    }

    fn member(&mut self, member: &MemberId) {
        self.subjects.insert(Subject::Member(member.clone()));
    }

    fn dataset(&mut self, dataset: &DatasetRef) {
        self.member(&dataset.holder);
        self.subjects.insert(Subject::Dataset(dataset.clone()));
    }

    fn permit(&mut self, permit: &PermitId) {
        self.subjects.insert(Subject::Permit(permit.clone()));
        self.created(permit.as_str());
    }

    fn created(&mut self, id: &str) {
        self.earlier.extend(Half::of_created(id));
    }

    fn asked(&mut self, review: &salus_ledger::ReviewId) {
        let half = review.as_bytes().first_chunk::<16>();
        self.earlier.extend(half.map(|half| Half(*half)));
    }

    fn posted(&mut self, order: &salus_ledger::OrderId) {
        let half = order.as_bytes().first_chunk::<16>();
        self.earlier.extend(half.map(|half| Half(*half)));
    }

    fn terms(&mut self, terms: &PermitTerms) {
        for ground in &terms.grounds {
            self.dataset(&ground.dataset);
        }
    }

    fn release(&mut self, release: &Release) {
        self.permit(&release.permit);
        for used in &release.uses {
            self.dataset(&used.dataset);
        }
    }

    fn governance(&mut self, call: &Call) {
        match call {
            Call::AdmitMember(call) => self.member(&call.member),
            Call::SetMemberRoles(call) => self.member(&call.member),
            Call::RevokeMember(call) => self.member(&call.member),
            Call::BindKey(call) => self.member(&call.member),
            _ => {}
        }
    }

    fn data(&mut self, call: &Call, id: &TxId) {
        match call {
            Call::RegisterDataset(call) => self.dataset(&call.dataset),
            Call::CommitDataset(call) => self.dataset(&call.dataset),
            Call::SetDatasetPolicy(call) => {
                self.dataset(&call.dataset);
                self.members_of(call.policy.as_ref());
            }
            Call::ApplyForPermit(call) => {
                self.terms(&call.terms);
                self.subjects.extend(id.permit().ok().map(Subject::Permit));
            }
            Call::GrantPermit(call) => self.permit(&call.permit),
            Call::RefusePermit(call) => self.permit(&call.permit),
            Call::AmendPermit(call) => {
                self.permit(&call.permit);
                self.terms(&call.terms);
            }
            Call::RevokePermit(call) => self.permit(&call.permit),
            Call::AdvanceOptOutEpoch(call) => self.member(&call.holder),
            Call::RegisterArtefact(call) => {
                self.member(&call.owner);
                self.created(call.receipt.as_str());
            }
            _ => {}
        }
    }

    fn members_of(&mut self, policy: Option<&Policy>) {
        use salus_ledger::policy::Expression;
        let mut waiting: Vec<&Expression> = policy.map(Policy::expression).into_iter().collect();
        while let Some(expression) = waiting.pop() {
            match expression {
                Expression::Member(member) | Expression::MemberAs { member, .. } => {
                    self.member(member);
                }
                Expression::Quorum { .. } => {}
                Expression::AtLeast { of, .. } | Expression::All(of) | Expression::OneOf(of) => {
                    waiting.extend(of);
                }
            }
        }
    }

    fn accounts(&mut self, call: &Call) {
        match call {
            Call::RecordRelease(call) => self.release(&call.release),
            Call::RecordTick(call) => {
                if let Tick::Next { job, .. } = &call.tick {
                    self.created(job.as_str());
                }
                self.release(&call.release);
            }
            Call::Reserve(call) => {
                self.permit(&call.permit);
                call.amounts.iter().for_each(|amount| self.dataset(&amount.dataset));
            }
            Call::CommitReservation(call) => {
                self.created(call.job.as_str());
                self.release(&call.release);
            }
            Call::CancelReservation(call) => self.created(call.job.as_str()),
            Call::ExpireReservations(call) => self.dataset(&call.dataset),
            Call::SubmitForReview(call) => {
                self.release(&call.release);
                call.supersedes.iter().for_each(|review| self.asked(review));
            }
            Call::DecideReview(call) => self.asked(&call.review),
            Call::SetReviewRule(call) => self.dataset(&call.dataset),
            _ => {}
        }
    }

    fn market(&mut self, call: &Call) {
        match call {
            Call::IssueFunds(call) => self.member(&call.to),
            Call::RedeemFunds(call) => self.member(&call.from),
            Call::PostOrder(call) => match &call.order {
                Order::Dataset { dataset, .. } => self.dataset(dataset),
                Order::Worker { worker, .. } => self.member(worker),
                Order::Request { payer, permit, amounts, .. } => {
                    self.member(payer);
                    self.permit(permit);
                    amounts.iter().for_each(|amount| self.dataset(&amount.dataset));
                }
            },
            Call::CancelOrder(call) => self.posted(&call.order),
            Call::OpenDeal(call) => {
                self.posted(&call.request);
                call.datasets.iter().chain(&call.worker).for_each(|order| self.posted(order));
            }
            Call::SettleDeal(call) => {
                self.created(call.deal.as_str());
                self.release(&call.release);
            }
            Call::RefundDeal(call) => self.created(call.deal.as_str()),
            _ => {}
        }
    }
}
