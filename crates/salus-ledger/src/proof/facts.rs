use std::collections::{BTreeMap, BTreeSet};

use salus_model::{Class, Classified, MemberId, PermitId, ReceiptId, Timestamp};
use serde::{Deserialize, Serialize};

use super::anchor::{AnchorError, FinalityError, FinalityProof, Handover, TrustAnchor};
use crate::contract::records::{
    Account, ArtefactRecord, DatasetRecord, HolderOptOuts, KeyRecord, MemberRecord, PermitRecord,
    PermitSpending, ReceiptRecord, ReviewRecord, RevokedSerial,
};
use crate::query::{self, Holder, HolderError};
use crate::review::ReviewRule;
use crate::state::slot::{self, Slot};
use crate::state::{StateError, StateProof, StateProofError, StateStore, prove};
use crate::words::{
    ArtefactId, DatasetRef, Fingerprint, Height, LedgerId, Opaque, PublicKey, ReviewId,
};

/// The most proofs in one piece of evidence.
pub const MAX_FACTS: usize = 256;

/// Something that the ledger's state says, or says not to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// A permit.
    Permit(PermitId),
    /// A dataset.
    Dataset(DatasetRef),
    /// A dataset's privacy account.
    Account(DatasetRef),
    /// A holder's opt-out list.
    OptOuts(MemberId),
    /// What a permit has spent on a dataset.
    Spending(PermitId, DatasetRef),
    /// A member.
    Member(MemberId),
    /// A member's key, with the certificate that vouches for it.
    Key(PublicKey),
    /// Whether an authority, by the hash of its key, has revoked a serial number.
    RevokedSerial(Fingerprint, Opaque),
    /// A review of what wants out.
    Review(ReviewId),
    /// A dataset's own rule of review.
    ReviewRule(DatasetRef),
    /// The reviews under a permit that have led to nothing yet.
    ReviewsWaiting(PermitId),
    /// A registered model or set.
    Artefact(ArtefactId),
    /// What a release was recorded as.
    Receipt(ReceiptId),
}

impl Fact {
    fn key(&self) -> Vec<u8> {
        match self {
            Self::Permit(id) => slot::permit(id).key().to_vec(),
            Self::Dataset(id) => slot::dataset(id).key().to_vec(),
            Self::Account(id) => slot::account(id).key().to_vec(),
            Self::OptOuts(holder) => slot::opt_outs(holder).key().to_vec(),
            Self::Spending(permit, dataset) => slot::spending(permit, dataset).key().to_vec(),
            Self::Member(id) => slot::member(id).key().to_vec(),
            Self::Key(key) => slot::key(key).key().to_vec(),
            Self::RevokedSerial(issuer, serial) => {
                slot::revoked_serial(issuer.as_bytes(), serial.as_bytes()).key().to_vec()
            }
            Self::Review(id) => slot::review(id).key().to_vec(),
            Self::ReviewRule(dataset) => slot::review_rule(dataset).key().to_vec(),
            Self::ReviewsWaiting(permit) => slot::reviews_waiting(permit).key().to_vec(),
            Self::Artefact(id) => slot::artefact(id).key().to_vec(),
            Self::Receipt(id) => slot::receipt(id).key().to_vec(),
        }
    }
}

/// Facts of one final block's state, as anybody may hand them on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateEvidence {
    /// The block.
    pub finality: FinalityProof,
    /// Every change of validators before it, in order.
    pub handovers: Vec<Handover>,
    /// A proof for each fact, of its value or of its absence.
    pub proofs: Vec<StateProof>,
}

/// Why a fact is not proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The block is not final.
    #[error("the block of the evidence is not final under the trusted validators")]
    NotFinal(#[from] FinalityError),
    /// The validators changed, and the change is not proved.
    #[error("the change of validators is not proved")]
    Handover(#[from] AnchorError),
    /// A proof leads to another state.
    #[error("a proof of the evidence does not lead to the block's state")]
    Proof(#[from] StateProofError),
    /// More proofs than anybody needs.
    #[error("the evidence has {found} proofs; {MAX_FACTS} are the most")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// The evidence says nothing about it.
    #[error("the evidence says nothing about {fact:?}; ask the ledger for it too")]
    NotProven {
        /// What was looked for.
        fact: Fact,
    },
    /// The value is not what stands there.
    #[error("the state's value cannot be read")]
    Value(#[source] StateError),
}

impl Classified for EvidenceError {
    fn class(&self) -> Class {
        match self {
            Self::NotProven { .. } => Class::Bug,
            _ => Class::Peer,
        }
    }
}

impl StateEvidence {
    /// Proves facts from the store whose last committed block is that of `finality`.
    ///
    /// # Errors
    /// When the store cannot answer.
    pub fn of<'f>(
        store: &dyn StateStore,
        (finality, handovers): (FinalityProof, Vec<Handover>),
        facts: impl IntoIterator<Item = &'f Fact>,
    ) -> Result<Self, StateError> {
        let height = finality.header.height;
        let proofs = facts.into_iter().map(|fact| prove(store, height, &fact.key()));
        Ok(Self { finality, handovers, proofs: proofs.collect::<Result<_, _>>()? })
    }
}

/// What a final block's state says; made from evidence by [`ProvenState::verify`] alone.
#[derive(Debug, Clone)]
pub struct ProvenState {
    ledger: LedgerId,
    height: Height,
    time: Timestamp,
    values: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl ProvenState {
    /// Verifies the block's votes and every proof against the block's state.
    ///
    /// # Errors
    /// When the block is not final, or a proof does not lead to its state.
    pub fn verify(evidence: &StateEvidence, anchor: &TrustAnchor) -> Result<Self, EvidenceError> {
        let found = evidence.proofs.len();
        if found > MAX_FACTS {
            return Err(EvidenceError::TooMany { found });
        }
        let mut anchor = anchor.clone();
        for handover in &evidence.handovers {
            match anchor.follow(handover) {
                Ok(next) => anchor = next,
                // The anchor knows this one already.
                Err(AnchorError::Older { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        evidence.finality.verify(&anchor)?;
        let header = &evidence.finality.header;
        let mut values = BTreeMap::new();
        for proof in &evidence.proofs {
            let value = proof.verify(&header.state)?.map(<[u8]>::to_vec);
            values.insert(proof.key().to_vec(), value);
        }
        Ok(Self { ledger: header.ledger, height: header.height, time: header.time, values })
    }

    /// The ledger.
    #[must_use]
    pub const fn ledger(&self) -> &LedgerId {
        &self.ledger
    }

    /// The block.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// When the block was proposed.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    fn value<T: serde::de::DeserializeOwned>(
        &self,
        slot: &Slot<T>,
        fact: Fact,
    ) -> Result<Option<T>, EvidenceError> {
        match self.values.get(slot.key()) {
            None => Err(EvidenceError::NotProven { fact }),
            Some(None) => Ok(None),
            Some(Some(bytes)) => slot.decode(bytes).map(Some).map_err(EvidenceError::Value),
        }
    }

    /// A permit, or that there is none.
    ///
    /// # Errors
    /// When the evidence does not speak of it.
    pub fn permit(
        &self,
        id: &salus_model::PermitId,
    ) -> Result<Option<PermitRecord>, EvidenceError> {
        self.value(&slot::permit(id), Fact::Permit(id.clone()))
    }

    /// A dataset, or that there is none.
    ///
    /// # Errors
    /// When the evidence does not speak of it.
    pub fn dataset(&self, id: &DatasetRef) -> Result<Option<DatasetRecord>, EvidenceError> {
        self.value(&slot::dataset(id), Fact::Dataset(id.clone()))
    }

    /// A dataset's account, or that there is none.
    ///
    /// # Errors
    /// When the evidence does not speak of it.
    pub fn account(&self, id: &DatasetRef) -> Result<Option<Account>, EvidenceError> {
        self.value(&slot::account(id), Fact::Account(id.clone()))
    }

    /// A holder's opt-out list, or that it has none.
    ///
    /// # Errors
    /// When the evidence does not speak of it.
    pub fn opt_outs(&self, holder: &MemberId) -> Result<Option<HolderOptOuts>, EvidenceError> {
        self.value(&slot::opt_outs(holder), Fact::OptOuts(holder.clone()))
    }

    /// What a permit has spent on a dataset, or that it has spent nothing yet.
    ///
    /// # Errors
    /// When the evidence does not speak of it.
    pub fn spending(
        &self,
        permit: &PermitId,
        dataset: &DatasetRef,
    ) -> Result<Option<PermitSpending>, EvidenceError> {
        let fact = Fact::Spending(permit.clone(), dataset.clone());
        self.value(&slot::spending(permit, dataset), fact)
    }

    /// A member, or that there is none.
    ///
    /// # Errors
    /// When the evidence does not speak of it.
    pub fn member(&self, id: &MemberId) -> Result<Option<MemberRecord>, EvidenceError> {
        self.value(&slot::member(id), Fact::Member(id.clone()))
    }

    /// A member's key, or that there is none.
    ///
    /// # Errors
    /// When the evidence does not speak of it.
    pub fn key(&self, key: &PublicKey) -> Result<Option<KeyRecord>, EvidenceError> {
        self.value(&slot::key(key), Fact::Key(*key))
    }

    /// Since when a certificate is revoked, or that it is not.
    ///
    /// # Errors
    /// When the evidence does not speak of it.
    pub fn revoked_serial(
        &self,
        issuer: &Fingerprint,
        serial: &Opaque,
    ) -> Result<Option<RevokedSerial>, EvidenceError> {
        let fact = Fact::RevokedSerial(*issuer, serial.clone());
        self.value(&slot::revoked_serial(issuer.as_bytes(), serial.as_bytes()), fact)
    }

    /// A review, or that there is none.
    ///
    /// # Errors
    /// When the evidence does not speak of it.
    pub fn review(&self, id: &ReviewId) -> Result<Option<ReviewRecord>, EvidenceError> {
        self.value(&slot::review(id), Fact::Review(*id))
    }

    /// A dataset's own rule of review, or that its holder set none.
    ///
    /// # Errors
    /// When the evidence does not speak of it.
    pub fn review_rule(&self, id: &DatasetRef) -> Result<Option<ReviewRule>, EvidenceError> {
        self.value(&slot::review_rule(id), Fact::ReviewRule(id.clone()))
    }

    /// The reviews under a permit that have led to nothing yet.
    ///
    /// # Errors
    /// When the evidence does not speak of them.
    pub fn reviews_waiting(&self, permit: &PermitId) -> Result<BTreeSet<ReviewId>, EvidenceError> {
        let found =
            self.value(&slot::reviews_waiting(permit), Fact::ReviewsWaiting(permit.clone()))?;
        Ok(found.unwrap_or_default())
    }

    /// A registered artefact, withdrawn or not, or that there is none.
    ///
    /// # Errors
    /// When the evidence does not speak of it.
    pub fn artefact(&self, id: &ArtefactId) -> Result<Option<ArtefactRecord>, EvidenceError> {
        self.value(&slot::artefact(id), Fact::Artefact(*id))
    }

    /// What a release was recorded as, which names its transaction, or that there is no such receipt.
    ///
    /// # Errors
    /// When the evidence does not speak of it.
    pub fn receipt(&self, id: &ReceiptId) -> Result<Option<ReceiptRecord>, EvidenceError> {
        self.value(&slot::receipt(id), Fact::Receipt(id.clone()))
    }

    /// Everything that [`ProvenState::certificate_holder`] has to know of a key; the key itself
    /// alone where the ledger knows no such key.
    ///
    /// # Errors
    /// When the evidence does not speak of the key.
    pub fn facts_of_key(&self, key: &PublicKey) -> Result<BTreeSet<Fact>, EvidenceError> {
        Ok(super::facts_of_key(key, self.key(key)?.as_ref()).into_iter().collect())
    }

    /// The member whose certificate this is, by the key that it is bound to: the same rules as
    /// [`crate::query::certificate_holder`], for whoever has proofs and no copy of the ledger.
    ///
    /// # Errors
    /// When the evidence does not speak of all that it takes; what is against the certificate is
    /// the inner error.
    pub fn certificate_holder(
        &self,
        key: &PublicKey,
        certificate: &Fingerprint,
        now: Timestamp,
    ) -> Result<Result<Holder, HolderError>, EvidenceError> {
        let record = self.key(key)?.filter(|record| record.certificate.fingerprint == *certificate);
        let Some(record) = record else { return Ok(Err(HolderError::Unknown)) };
        let member = self.member(&record.member)?;
        let mut revoked = Vec::new();
        for serial in &record.certificate.serials {
            revoked.extend(self.revoked_serial(&serial.issuer, &serial.serial)?);
        }
        Ok(query::judge(*key, record, member.as_ref(), &revoked, (self.time, now)))
    }
}
