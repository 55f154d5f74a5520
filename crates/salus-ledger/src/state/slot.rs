//! Where each kind of value is kept: the only place that builds keys of the state.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use salus_model::{DealId, JobId, MemberId, PermitId, ReceiptId};
use serde::de::DeserializeOwned;

use super::{StateError, StateStore};
use crate::cbor;
use crate::config::PlatformConfig;
use crate::contract::Contract;
use crate::contract::records::{
    Account, ArtefactRecord, ContractSchedule, CrlRecord, DatasetRecord, Deal, DeviceRecord,
    HolderOptOuts, KeyRecord, MemberRecord, PermitRecord, PermitSpending, PostedOrder,
    ReceiptRecord, ReviewRecord, RevokedSerial, Tip,
};
use crate::review::ReviewRule;
use crate::words::{
    ArtefactId, Commitment, DatasetRef, Height, LedgerId, Money, OrderId, PublicKey, ReviewId, TxId,
};

/// The largest value that the state holds.
const MAX_VALUE_BYTES: usize = 1 << 22;

/// A key of the state that knows what stands there.
pub(crate) struct Slot<T> {
    kind: &'static str,
    key: Vec<u8>,
    value: PhantomData<fn() -> T>,
}

impl<T> Slot<T> {
    fn new(kind: &'static str, parts: &[&[u8]]) -> Self {
        let mut key = kind.as_bytes().to_vec();
        for part in parts {
            key.push(b'/');
            key.extend_from_slice(part);
        }
        Self { kind, key, value: PhantomData }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(crate) const fn kind(&self) -> &'static str {
        self.kind
    }
}

impl<T: DeserializeOwned> Slot<T> {
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<T, StateError> {
        cbor::decode_stored(bytes, MAX_VALUE_BYTES)
            .map_err(|source| StateError::Damaged { slot: self.kind, source })
    }
}

/// The prefix under which all values of a kind stand.
fn prefix(kind: &str) -> Vec<u8> {
    format!("{kind}/").into_bytes()
}

pub(crate) const MEMBER: &str = "member";
pub(crate) const KEY: &str = "key";
pub(crate) const CRL: &str = "crl";
pub(crate) const ACCOUNT: &str = "account";
pub(crate) const SPENDING: &str = "spending";
pub(crate) const PERMIT: &str = "permit";
pub(crate) const RECEIPT: &str = "receipt";
pub(crate) const WALLET: &str = "wallet";
pub(crate) const DEAL: &str = "deal";
pub(crate) const DATASET: &str = "dataset";
pub(crate) const REVIEW: &str = "review";
pub(crate) const REVIEWS_WAITING: &str = "reviews-waiting";
const SEEN: &str = "seen";

pub(crate) fn ledger() -> Slot<LedgerId> {
    Slot::new("ledger", &[])
}

pub(crate) fn tip() -> Slot<Tip> {
    Slot::new("tip", &[])
}

pub(crate) fn config() -> Slot<PlatformConfig> {
    Slot::new("config", &[])
}

pub(crate) fn past_config(version: u64) -> Slot<PlatformConfig> {
    Slot::new("past-config", &[&version.to_be_bytes()])
}

pub(crate) fn schedule(contract: Contract) -> Slot<ContractSchedule> {
    Slot::new("contract", &[contract.as_str().as_bytes()])
}

pub(crate) fn seen(last: Height, id: &TxId) -> Slot<Height> {
    Slot::new(SEEN, &[&last.get().to_be_bytes(), id.as_bytes()])
}

/// All transactions whose last block is `last`.
pub(crate) fn seen_prefix(last: Height) -> Vec<u8> {
    [SEEN.as_bytes(), b"/", &last.get().to_be_bytes(), b"/"].concat()
}

pub(crate) fn member(id: &MemberId) -> Slot<MemberRecord> {
    Slot::new(MEMBER, &[id.as_str().as_bytes()])
}

pub(crate) fn key(key: &PublicKey) -> Slot<KeyRecord> {
    Slot::new(KEY, &[key.as_bytes()])
}

pub(crate) fn crl(issuer: &[u8; 32]) -> Slot<CrlRecord> {
    Slot::new(CRL, &[issuer])
}

pub(crate) fn revoked_serial(issuer: &[u8; 32], serial: &[u8]) -> Slot<RevokedSerial> {
    Slot::new("revoked", &[issuer, serial])
}

pub(crate) fn dataset(id: &DatasetRef) -> Slot<DatasetRecord> {
    Slot::new(DATASET, &[id.holder.as_str().as_bytes(), id.dataset.as_str().as_bytes()])
}

pub(crate) fn account(id: &DatasetRef) -> Slot<Account> {
    Slot::new(ACCOUNT, &[id.holder.as_str().as_bytes(), id.dataset.as_str().as_bytes()])
}

pub(crate) fn device(id: &Commitment) -> Slot<DeviceRecord> {
    Slot::new("device", &[id.as_bytes()])
}

pub(crate) fn opt_outs(holder: &MemberId) -> Slot<HolderOptOuts> {
    Slot::new("optouts", &[holder.as_str().as_bytes()])
}

pub(crate) fn permit(id: &PermitId) -> Slot<PermitRecord> {
    Slot::new(PERMIT, &[id.as_str().as_bytes()])
}

pub(crate) fn pseudonym(key: &PublicKey) -> Slot<PermitId> {
    Slot::new("pseudonym", &[key.as_bytes()])
}

pub(crate) fn spending(permit: &PermitId, dataset: &DatasetRef) -> Slot<PermitSpending> {
    Slot::new(
        SPENDING,
        &[
            permit.as_str().as_bytes(),
            dataset.holder.as_str().as_bytes(),
            dataset.dataset.as_str().as_bytes(),
        ],
    )
}

pub(crate) fn standing(id: &JobId) -> Slot<crate::contract::records::StandingRecord> {
    Slot::new("standing", &[id.as_str().as_bytes()])
}

pub(crate) fn job(id: &JobId) -> Slot<crate::contract::records::Job> {
    Slot::new("job", &[id.as_str().as_bytes()])
}

pub(crate) fn receipt(id: &ReceiptId) -> Slot<ReceiptRecord> {
    Slot::new(RECEIPT, &[id.as_str().as_bytes()])
}

pub(crate) fn wallet(member: &MemberId) -> Slot<Money> {
    Slot::new(WALLET, &[member.as_str().as_bytes()])
}

pub(crate) fn supply() -> Slot<Money> {
    Slot::new("supply", &[])
}

pub(crate) fn order(id: &OrderId) -> Slot<PostedOrder> {
    Slot::new("order", &[id.as_bytes()])
}

pub(crate) fn deal(id: &DealId) -> Slot<Deal> {
    Slot::new(DEAL, &[id.as_str().as_bytes()])
}

pub(crate) fn artefact(id: &ArtefactId) -> Slot<ArtefactRecord> {
    Slot::new("artefact", &[id.as_bytes()])
}

/// The artefact that an owner has under a receipt.
pub(crate) fn artefact_under(receipt: &ReceiptId, owner: &MemberId) -> Slot<ArtefactId> {
    Slot::new("artefact-under", &[receipt.as_str().as_bytes(), owner.as_str().as_bytes()])
}

pub(crate) fn review(id: &ReviewId) -> Slot<ReviewRecord> {
    Slot::new(REVIEW, &[id.as_bytes()])
}

/// The reviews under a permit that have led to nothing yet.
pub(crate) fn reviews_waiting(permit: &PermitId) -> Slot<BTreeSet<ReviewId>> {
    Slot::new(REVIEWS_WAITING, &[permit.as_str().as_bytes()])
}

/// A dataset's own rule of review.
pub(crate) fn review_rule(id: &DatasetRef) -> Slot<ReviewRule> {
    Slot::new("review-rule", &[id.holder.as_str().as_bytes(), id.dataset.as_str().as_bytes()])
}

/// All values of a kind, by their whole keys.
pub(crate) fn scan<T: DeserializeOwned>(
    store: &dyn StateStore,
    kind: &'static str,
) -> Result<Vec<(Vec<u8>, T)>, StateError> {
    let mut found = Vec::new();
    for (key, bytes) in store.scan(&prefix(kind))? {
        let value = cbor::decode_stored(&bytes, MAX_VALUE_BYTES)
            .map_err(|source| StateError::Damaged { slot: kind, source })?;
        found.push((key, value));
    }
    Ok(found)
}

/// One value as it was committed last.
pub(crate) fn read<T: DeserializeOwned>(
    store: &dyn StateStore,
    slot: &Slot<T>,
) -> Result<Option<T>, StateError> {
    store.value(slot.key())?.map(|bytes| slot.decode(&bytes)).transpose()
}
