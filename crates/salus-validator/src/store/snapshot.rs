//! A snapshot: everything that a new validator needs to go on from a block, and to check it.
//!
//! Records, each a length of four bytes and CBOR: the head, then values, then entries, then an
//! empty record. Old transactions are not part of it; their proofs are.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use salus_ledger::block::HistoryEntry;
use salus_ledger::genesis::Genesis;
use salus_ledger::proof::{AnchorError, FinalityError, FinalityProof, Handover, TrustAnchor};
use salus_ledger::restore::{RestoreError, restore};
use salus_ledger::state::StateStore as _;
use salus_ledger::{LedgerId, Opaque, cbor};
use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use super::{Base, Epoch, Store, StoreError, View, database};

const FORMAT: u8 = 1;
const MAX_RECORD_BYTES: u32 = 64 * 1024 * 1024;
const ENTRIES_PER_RECORD: u64 = 4096;
const VALUES_PER_RECORD: usize = 1024;

/// Why a snapshot is not taken, or cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be read or written.
    #[error("the snapshot's file cannot be read or written")]
    File(#[from] std::io::Error),
    /// The bytes are no snapshot.
    #[error("the file is no snapshot of format {FORMAT}, or is damaged")]
    Malformed,
    /// A snapshot of another ledger.
    #[error("the snapshot is of ledger {found}, wanted is {wanted}")]
    OtherLedger {
        /// Its ledger.
        found: LedgerId,
        /// The wanted one.
        wanted: LedgerId,
    },
    /// A change of validators is not proved.
    #[error("the snapshot does not prove who validates")]
    Handover(#[from] AnchorError),
    /// Its block is not final.
    #[error("the snapshot's block is not final")]
    NotFinal(#[from] FinalityError),
    /// Its content is not what the block commits to.
    #[error("the snapshot's content is not that of its block")]
    Content(#[from] RestoreError),
    /// A ledger that has no block yet needs no snapshot.
    #[error("the ledger has no block yet; begin from its genesis")]
    NoBlocks,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Classified for SnapshotError {
    fn class(&self) -> Class {
        match self {
            Self::File(_) => Class::Unavailable,
            Self::NoBlocks => Class::BadRequest,
            Self::Content(error) => error.class(),
            Self::Store(error) => error.class(),
            _ => Class::Peer,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u8,
    genesis: Genesis,
    finality: FinalityProof,
    handovers: Vec<Handover>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    Values(Vec<(Opaque, Opaque)>),
    Entries(Vec<HistoryEntry>),
}

fn put<T: Serialize>(to: &mut dyn Write, record: &T) -> Result<(), SnapshotError> {
    let bytes = cbor::encode(record).map_err(|_| SnapshotError::Malformed)?;
    let length = u32::try_from(bytes.len()).map_err(|_| SnapshotError::Malformed)?;
    to.write_all(&length.to_be_bytes())?;
    Ok(to.write_all(&bytes)?)
}

fn take(from: &mut dyn Read) -> Result<Vec<u8>, SnapshotError> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_RECORD_BYTES {
        return Err(SnapshotError::Malformed);
    }
    let mut bytes = Vec::new();
    let read = from.take(u64::from(length)).read_to_end(&mut bytes)?;
    if read == length as usize { Ok(bytes) } else { Err(SnapshotError::Malformed) }
}

fn read<T: Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, SnapshotError> {
    cbor::decode(bytes, MAX_RECORD_BYTES as usize).map_err(|_| SnapshotError::Malformed)
}

/// Writes a snapshot of a view.
///
/// # Errors
/// When the ledger has no block beside its genesis, or the file cannot be written.
pub fn write_snapshot(view: &View, to: &mut dyn Write) -> Result<(), SnapshotError> {
    let tip = view.tip();
    let finality = view.finality(tip.height)?.ok_or(SnapshotError::NoBlocks)?;
    // The tip's own handover included: it is what names the next block's validators.
    let handovers = view.handovers_before(tip.height.next())?;
    put(to, &Head { format: FORMAT, genesis: view.genesis()?, finality, handovers })?;
    let values = view.scan(b"").map_err(|_| StoreError::Damaged { what: "state" })?;
    for chunk in values.chunks(VALUES_PER_RECORD) {
        let chunk =
            chunk.iter().map(|(k, v)| (Opaque::new(k.clone()), Opaque::new(v.clone()))).collect();
        put(to, &Part::Values(chunk))?;
    }
    let mut first = 0;
    while first < tip.history_size {
        let entries = view.entries(first, ENTRIES_PER_RECORD)?;
        first += entries.len() as u64;
        if entries.is_empty() {
            return Err(StoreError::Damaged { what: "entry" }.into());
        }
        put(to, &Part::Entries(entries))?;
    }
    Ok(to.write_all(&0_u32.to_be_bytes())?)
}

/// Checks a snapshot of `ledger` and begins a store with it: the validators' votes, the state's
/// root and the history's root have to agree, so whoever made the file need not be trusted.
///
/// # Errors
/// Names what does not agree.
///
/// # Cost
/// The whole state and the entries of the history in memory.
pub fn restore_snapshot(
    path: &Path,
    from: &mut dyn Read,
    ledger: &LedgerId,
) -> Result<Store, SnapshotError> {
    let head: Head = read(&take(from)?)?;
    if head.format != FORMAT {
        return Err(SnapshotError::Malformed);
    }
    let found = head.genesis.ledger_id().map_err(|_| SnapshotError::Malformed)?;
    if found != *ledger {
        return Err(SnapshotError::OtherLedger { found, wanted: *ledger });
    }
    let epoch = check_finality(&head)?;
    let (mut values, mut entries) = (BTreeMap::new(), Vec::new());
    loop {
        let record = take(from)?;
        if record.is_empty() {
            break;
        }
        match read(&record)? {
            Part::Values(part) => values.extend(
                part.into_iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())),
            ),
            Part::Entries(part) => entries.extend(part),
        }
    }
    let changes = restore(&head.finality.header, values, &entries)?;
    let base = Base {
        genesis: &head.genesis,
        header: &head.finality.header,
        certificate: Some(&head.finality.certificate),
        epoch,
        handovers: &head.handovers,
        entries: &entries,
        changes: &changes,
    };
    Ok(Store::lay(database(path)?, &base)?)
}

/// Follows the handovers from the genesis; the tip is signed by the validators before it.
fn check_finality(head: &Head) -> Result<Epoch, SnapshotError> {
    let tip = &head.finality.header;
    let mut anchor = TrustAnchor::from_genesis(&head.genesis)?;
    let first = head.genesis.found().map_err(StoreError::Genesis)?.block.header;
    let since = first.hash().map_err(|_| SnapshotError::Malformed)?;
    let mut epoch = Epoch { version: head.genesis.config.form().version, since };
    for handover in &head.handovers {
        let at = &handover.finality.header;
        if at.height == tip.height {
            head.finality.verify(&anchor)?;
        }
        anchor = anchor.follow(handover)?;
        let since = at.hash().map_err(|_| SnapshotError::Malformed)?;
        epoch = Epoch { version: handover.config.form().version, since };
    }
    if epoch.since != tip.hash().map_err(|_| SnapshotError::Malformed)? {
        head.finality.verify(&anchor)?;
    }
    Ok(epoch)
}
