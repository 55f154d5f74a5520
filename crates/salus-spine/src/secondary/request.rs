use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use salus_crypto::aead::Aad;
use salus_crypto::hpke::RecipientPublicKey;
use salus_crypto::{Digest, Signature, SigningKey, VerifyingKey};
use salus_ledger::proof::{EvidenceError, ProvenState};
use salus_ledger::query::{Access, AccessError};
use salus_ledger::{CodeHash, Column, LedgerId, PublicKey};
use salus_model::{
    Class, Classified, ColumnPath, DatasetId, HolderId, IdError, PermitId, Purpose, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::dataset_ref;
use crate::release::PermitChecked;
use crate::rows::DatasetAccess;
use crate::scope::{Scope, Secondary};

/// The longest that a request holds: ten minutes.
pub const MAX_REQUEST_MICROS: i64 = 10 * 60 * 1_000_000;
const DOMAIN: &str = "salus secondary request v1";

/// What a person asks of one holder under a permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondaryRequest {
    /// On which ledger the permit stands.
    pub ledger: LedgerId,
    /// The permit.
    pub permit: PermitId,
    /// Who is asked.
    pub holder: HolderId,
    /// This one use; the asker draws it at random.
    pub deal: salus_model::DealId,
    /// What for.
    pub purpose: Purpose,
    /// The code that is to run.
    pub code: CodeHash,
    /// The digest of the exact question.
    pub question: Digest,
    /// To whom the result is sealed.
    pub recipient: RecipientPublicKey,
    /// From when the request holds.
    pub issued: Timestamp,
    /// Until when; at most ten minutes later.
    pub expires: Timestamp,
}

impl SecondaryRequest {
    /// The context under which the result is sealed to the recipient, who opens it under the same.
    #[must_use]
    pub fn result_context(&self) -> Aad {
        let scope = Scope::new(self.holder.clone(), self.deal.clone());
        super::result::context(&self.ledger, &self.permit, &scope)
    }

    fn digest(&self) -> Digest {
        Digest::of_parts(
            DOMAIN,
            &[
                self.ledger.as_bytes(),
                self.permit.as_str().as_bytes(),
                self.holder.as_str().as_bytes(),
                self.deal.as_str().as_bytes(),
                self.purpose.as_str().as_bytes(),
                self.code.as_bytes(),
                self.question.as_bytes(),
                &self.recipient.to_bytes(),
                &self.issued.as_micros().to_be_bytes(),
                &self.expires.as_micros().to_be_bytes(),
            ],
        )
    }
}

/// A request signed with the permit's own key, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRequest {
    request: SecondaryRequest,
    key: VerifyingKey,
    signature: Signature,
}

impl SignedRequest {
    /// Signs with the permit's key.
    #[must_use]
    pub fn sign(request: SecondaryRequest, key: &SigningKey) -> Self {
        let signature = key.sign(DOMAIN, request.digest().as_bytes());
        Self { request, key: key.verifying_key(), signature }
    }

    /// The request, as far as anybody may read it before it is verified.
    #[must_use]
    pub const fn unverified(&self) -> &SecondaryRequest {
        &self.request
    }

    /// Names this request; a holder answers each only once.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.request.digest()
    }
}

/// How old the ledger's state may be when a permit is checked against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// The block's age, in microseconds.
    pub max_age_micros: i64,
    /// How far the validators' clocks may be ahead of ours, in microseconds.
    pub max_ahead_micros: i64,
}

/// Why a request does not become a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefused {
    /// The signature does not belong to the key and the request.
    #[error("the request's signature does not verify")]
    Signature,
    /// It is for another ledger than the one that proved the permit.
    #[error("the request is for another ledger")]
    OtherLedger,
    /// It is for another holder.
    #[error("the request is for holder {holder}")]
    OtherHolder {
        /// Who was asked.
        holder: HolderId,
    },
    /// Its time has not come, is over, or is longer than allowed.
    #[error("the request holds from {from} until {until}, ten minutes at most, and it is {now}")]
    Time {
        /// From.
        from: Timestamp,
        /// Until.
        until: Timestamp,
        /// The holder's clock.
        now: Timestamp,
    },
    /// The ledger's state is too old to rely on: a revocation could have come since.
    #[error("the ledger's state is of {time}, too old at {now}; wait for the next block")]
    Stale {
        /// The block's time.
        time: Timestamp,
        /// The holder's clock.
        now: Timestamp,
    },
    /// The block claims to be from the future.
    #[error("the ledger's state is of {time}, and it is only {now}: set the clock")]
    Ahead {
        /// The block's time.
        time: Timestamp,
        /// The holder's clock.
        now: Timestamp,
    },
    /// The question reads nothing.
    #[error("the question reads no column of any dataset")]
    Nothing,
    /// There is no such permit.
    #[error("there is no permit {permit}")]
    NoPermit {
        /// The permit.
        permit: PermitId,
    },
    /// The permit does not cover it.
    #[error(transparent)]
    NotCovered(#[from] AccessError),
    /// A dataset is not registered.
    #[error("dataset {dataset} is not registered on the ledger")]
    NotRegistered {
        /// The dataset.
        dataset: DatasetId,
    },
    /// A column's name cannot stand on the ledger.
    #[error(
        "column '{column}' of {dataset} has a name that no permit can name; rename it in a view"
    )]
    Column {
        /// The dataset.
        dataset: DatasetId,
        /// The column.
        column: ColumnPath,
    },
    /// The evidence does not speak of what is needed.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// An id that is none, which is a bug.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl Classified for RequestRefused {
    fn class(&self) -> Class {
        match self {
            Self::Stale { .. } => Class::Unavailable,
            Self::Evidence(e) => e.class(),
            Self::Id(_) => Class::Bug,
            Self::Nothing => Class::BadRequest,
            _ => Class::Refused,
        }
    }
}

/// The terms under which one secondary use runs; they travel with its tokens.
#[derive(Debug, Clone)]
pub struct SecondaryTerms {
    pub(crate) ledger: LedgerId,
    pub(crate) permit: PermitId,
    pub(crate) pseudonym: PublicKey,
    pub(crate) code: CodeHash,
    pub(crate) question: Digest,
    pub(crate) recipient: RecipientPublicKey,
    pub(crate) columns: BTreeMap<DatasetId, BTreeSet<Column>>,
    pub(crate) optout_epoch: u64,
}

impl SecondaryTerms {
    /// The permit.
    #[must_use]
    pub const fn permit(&self) -> &PermitId {
        &self.permit
    }

    /// The digest of the question that was signed: only this question may be answered.
    #[must_use]
    pub const fn question(&self) -> Digest {
        self.question
    }

    /// The epoch of the opt-out list that the scan applies; 0 when the holder has none.
    #[must_use]
    pub const fn optout_epoch(&self) -> u64 {
        self.optout_epoch
    }
}

fn check_time(
    request: &SecondaryRequest,
    state: &ProvenState,
    now: Timestamp,
    freshness: Freshness,
) -> Result<(), RequestRefused> {
    let (from, until) = (request.issued, request.expires);
    let longest = from.saturating_add_micros(MAX_REQUEST_MICROS);
    if now < from || now >= until || until > longest {
        return Err(RequestRefused::Time { from, until, now });
    }
    let time = state.time();
    if now > time.saturating_add_micros(freshness.max_age_micros) {
        return Err(RequestRefused::Stale { time, now });
    }
    if time > now.saturating_add_micros(freshness.max_ahead_micros) {
        return Err(RequestRefused::Ahead { time, now });
    }
    Ok(())
}

fn ledger_columns(
    dataset: &DatasetId,
    columns: &BTreeSet<ColumnPath>,
) -> Result<BTreeSet<Column>, RequestRefused> {
    let name = |column: &ColumnPath| {
        Column::new(column.as_str()).map_err(|_| RequestRefused::Column {
            dataset: dataset.clone(),
            column: column.clone(),
        })
    };
    columns.iter().map(name).collect()
}

impl PermitChecked<Secondary> {
    /// Verifies a request against the permit on the ledger, before any key is touched.
    ///
    /// `wanted` is what the question reads at `holder`, as its planner found it, and not as the
    /// asker says.
    ///
    /// # Errors
    /// Says what does not hold: signature, time, permit, purpose, code, dataset or column.
    pub fn verify_request(
        signed: &SignedRequest,
        holder: &HolderId,
        wanted: &BTreeMap<DatasetId, BTreeSet<ColumnPath>>,
        state: &ProvenState,
        now: Timestamp,
        freshness: Freshness,
    ) -> Result<Self, RequestRefused> {
        let SignedRequest { request, key, signature } = signed;
        key.verify(DOMAIN, request.digest().as_bytes(), signature)
            .map_err(|_| RequestRefused::Signature)?;
        if request.ledger != *state.ledger() {
            return Err(RequestRefused::OtherLedger);
        }
        if request.holder != *holder {
            return Err(RequestRefused::OtherHolder { holder: request.holder.clone() });
        }
        check_time(request, state, now, freshness)?;
        if wanted.is_empty() || wanted.values().any(BTreeSet::is_empty) {
            return Err(RequestRefused::Nothing);
        }
        let permit = state.permit(&request.permit)?;
        let permit =
            permit.ok_or_else(|| RequestRefused::NoPermit { permit: request.permit.clone() })?;
        let actor = PublicKey::new(key.to_bytes());
        let mut columns = BTreeMap::new();
        for (dataset, paths) in wanted {
            let named = ledger_columns(dataset, paths)?;
            let reference = dataset_ref(holder, dataset)?;
            let access = Access {
                permit: &request.permit,
                actor: &actor,
                dataset: &reference,
                columns: &named,
                purpose: request.purpose,
                code: &request.code,
            };
            permit.allows(&access, now)?;
            if state.dataset(&reference)?.is_none() {
                return Err(RequestRefused::NotRegistered { dataset: dataset.clone() });
            }
            columns.insert(dataset.clone(), named);
        }
        let terms = SecondaryTerms {
            ledger: request.ledger,
            permit: request.permit.clone(),
            pseudonym: actor,
            code: request.code,
            question: request.question,
            recipient: request.recipient.clone(),
            columns,
            optout_epoch: 0,
        };
        let accesses = wanted
            .iter()
            .map(|(id, paths)| (id.clone(), DatasetAccess::of(paths.clone(), BTreeSet::new())))
            .collect();
        let scope = Scope::new(holder.clone(), request.deal.clone());
        let expires = request.expires.min(permit.terms.expires);
        Ok(Self::made(scope, accesses, expires, Arc::new(terms)))
    }
}
