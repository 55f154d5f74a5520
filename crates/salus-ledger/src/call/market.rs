use std::collections::BTreeSet;

use salus_model::{DealId, MemberId, PermitId, Purpose, Timestamp};
use serde::{Deserialize, Serialize};

use crate::words::{CodeHash, Commitment, DatasetRef, Money, OrderId};

use super::{Release, Reserved};

/// The kinds of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// A differentially private query.
    Sql,
    /// Windows over live signals.
    Stream,
    /// The researcher's own sandboxed program.
    Wasm,
    /// Risk factors.
    Weights,
    /// An anonymised set.
    Anonymise,
    /// A synthetic set.
    Synthesise,
    /// Federated training.
    Federate,
    /// Secure multi-party computation.
    Mpc,
    /// Homomorphic encryption.
    He,
}

/// Books money that was paid in outside the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueFunds {
    /// Whose wallet grows.
    pub to: MemberId,
    /// By how much.
    pub amount: Money,
    /// A salted commitment to the payment's papers.
    pub reference: Commitment,
}

/// Books money that was paid out outside the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedeemFunds {
    /// Whose wallet shrinks.
    pub from: MemberId,
    /// By how much.
    pub amount: Money,
    /// A salted commitment to the payment's papers.
    pub reference: Commitment,
}

/// What somebody offers or wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// A holder offers jobs over a dataset.
    Dataset {
        /// The dataset.
        dataset: DatasetRef,
        /// The purposes that it is offered for.
        purposes: BTreeSet<Purpose>,
        /// The kinds of job that it is offered for.
        jobs: BTreeSet<JobKind>,
        /// The price of one job.
        price: Money,
        /// The first moment at which the offer is over.
        expires: Timestamp,
    },
    /// A worker offers computation.
    Worker {
        /// The worker's member.
        worker: MemberId,
        /// The kinds of job that it runs.
        jobs: BTreeSet<JobKind>,
        /// The price of one job.
        price: Money,
        /// The first moment at which the offer is over.
        expires: Timestamp,
    },
    /// A research organisation wants one job under a permit.
    Request {
        /// Who pays.
        payer: MemberId,
        /// The permit; its key has to sign.
        permit: PermitId,
        /// The kind of job.
        job: JobKind,
        /// The code to run.
        code: CodeHash,
        /// What may be spent, dataset by dataset.
        amounts: Vec<Reserved>,
        /// The most that it may cost.
        max_price: Money,
        /// The first moment at which the request is over.
        expires: Timestamp,
    },
}

/// Posts an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostOrder {
    /// The order.
    pub order: Order,
}

/// Withdraws an order; open deals are not touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// The order.
    pub order: OrderId,
}

/// Matches a request with offers: locks the price in escrow and reserves the budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenDeal {
    /// The request.
    pub request: OrderId,
    /// One offer for each dataset of the request.
    pub datasets: Vec<OrderId>,
    /// The worker's offer; none on the holders' premises.
    pub worker: Option<OrderId>,
    /// When the deal runs out.
    pub expires: Timestamp,
}

/// Records a deal's release and pays its holders and its worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettleDeal {
    /// The deal.
    pub deal: DealId,
    /// The receipt; no charge above what is reserved.
    pub release: Release,
}

/// Returns the price and the budget of a deal that ran out before its release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundDeal {
    /// The deal.
    pub deal: DealId,
}
