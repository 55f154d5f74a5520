use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase as _, ReadableTable as _};
use salus_ledger::block::{
    Block, BlockHeader, Certificate, Equivocation, FinalBlock, HistoryEntry,
};
use salus_ledger::genesis::{Genesis, MAX_GENESIS_BYTES};
use salus_ledger::proof::{FinalityProof, Handover, PrunedBlock, SignedCheckpoint};
use salus_ledger::state::{StateStore, StoreFailed};
use salus_ledger::transaction::SignedTransaction;
use salus_ledger::{BlockHash, Height, LedgerId, Opaque, TxId, cbor, history};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tables::{
    self, BLOCKS, BODIES, CERTIFICATES, CHECKPOINT, ENTRIES, EVIDENCE, FAULTS, HANDOVERS, META,
    NODES, PLACES, Proofs, VALUES,
};
use super::{Epoch, StoreError, damaged, failed};
use crate::order::EngineFault;

type Bytes = &'static [u8];

/// The largest header, certificate, entry or handover.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The ledger as one committed block left it; later blocks do not show.
pub struct View {
    read: ReadTransaction,
    values: ReadOnlyTable<Bytes, Bytes>,
    nodes: ReadOnlyTable<Bytes, Bytes>,
    tip: BlockHeader,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("height", &self.tip.height).finish_non_exhaustive()
    }
}

/// A recorded transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the whole history.
    pub history_index: u64,
    /// What the history says of it.
    pub entry: HistoryEntry,
}

impl View {
    pub(super) fn open(database: &Database) -> Result<Self, StoreError> {
        let read = database.begin_read().map_err(failed("begin to read"))?;
        let values = read.open_table(VALUES).map_err(failed("read the state"))?;
        let nodes = read.open_table(NODES).map_err(failed("read the trees"))?;
        let meta = read.open_table(META).map_err(failed("read the tip"))?;
        let tip = meta.get("tip").map_err(failed("read the tip"))?.ok_or(StoreError::Empty)?;
        let tip = tip.value().try_into().map_err(damaged("tip"))?;
        let height = Height::new(u64::from_be_bytes(tip));
        let tip = header(&read, height)?.ok_or(StoreError::NoBlock { height })?;
        Ok(Self { read, values, nodes, tip })
    }

    /// The last committed block's header.
    #[must_use]
    pub const fn tip(&self) -> &BlockHeader {
        &self.tip
    }

    /// The ledger.
    #[must_use]
    pub const fn ledger(&self) -> &LedgerId {
        &self.tip.ledger
    }

    fn meta(&self, key: &'static str) -> Result<Vec<u8>, StoreError> {
        let meta = self.read.open_table(META).map_err(failed("read"))?;
        let found = meta.get(key).map_err(failed("read"))?;
        Ok(found.ok_or(StoreError::Damaged { what: key })?.value().to_vec())
    }

    /// What the ledger began with.
    ///
    /// # Errors
    /// When the database fails.
    pub fn genesis(&self) -> Result<Genesis, StoreError> {
        cbor::decode(&self.meta("genesis")?, MAX_GENESIS_BYTES).map_err(damaged("genesis"))
    }

    /// Which configuration decides who validates.
    ///
    /// # Errors
    /// When the database fails.
    pub fn epoch(&self) -> Result<Epoch, StoreError> {
        Epoch::from_bytes(&self.meta("epoch")?).ok_or(StoreError::Damaged { what: "epoch" })
    }

    /// The checkpoint that witnesses cosigned last, if any did.
    ///
    /// # Errors
    /// When the database fails.
    pub fn cosigned(&self) -> Result<Option<SignedCheckpoint>, StoreError> {
        let meta = self.read.open_table(META).map_err(failed("read a checkpoint"))?;
        let found = meta.get(CHECKPOINT).map_err(failed("read a checkpoint"))?;
        let Some(found) = found else { return Ok(None) };
        let text = std::str::from_utf8(found.value()).map_err(damaged("checkpoint"))?;
        SignedCheckpoint::from_text(text).map(Some).map_err(damaged("checkpoint"))
    }

    /// The height of the snapshot that this store began with; the genesis otherwise.
    ///
    /// # Errors
    /// When the database fails.
    pub fn base(&self) -> Result<Height, StoreError> {
        let bytes = self.meta("base")?.try_into().map_err(damaged("base"))?;
        Ok(Height::new(u64::from_be_bytes(bytes)))
    }

    /// A block's header.
    ///
    /// # Errors
    /// When the database fails.
    pub fn header(&self, height: Height) -> Result<Option<BlockHeader>, StoreError> {
        header(&self.read, height)
    }

    /// A block's header and the votes that make it final; none for the genesis.
    ///
    /// # Errors
    /// When the database fails.
    pub fn finality(&self, height: Height) -> Result<Option<FinalityProof>, StoreError> {
        let Some(header) = self.header(height)? else { return Ok(None) };
        let table = self.read.open_table(CERTIFICATES).map_err(failed("read a certificate"))?;
        let found = table.get(height.get()).map_err(failed("read a certificate"))?;
        let Some(found) = found else { return Ok(None) };
        let certificate: Certificate =
            cbor::decode(found.value(), MAX_BYTES).map_err(damaged("certificate"))?;
        Ok(Some(FinalityProof { header, certificate }))
    }

    /// A block's transactions, unless they were pruned.
    ///
    /// # Errors
    /// When the database fails.
    pub fn transactions(&self, height: Height) -> Result<Option<Vec<Opaque>>, StoreError> {
        let table = self.read.open_table(BODIES).map_err(failed("read a block"))?;
        let found = table.get(height.get()).map_err(failed("read a block"))?;
        let limit = salus_ledger::block::MAX_ENCODED_BLOCK_BYTES;
        found.map(|bytes| cbor::decode(bytes.value(), limit).map_err(damaged("block"))).transpose()
    }

    /// A final block, unless it was pruned.
    ///
    /// # Errors
    /// When the database fails.
    pub fn block(&self, height: Height) -> Result<Option<FinalBlock>, StoreError> {
        let (finality, body) = (self.finality(height)?, self.transactions(height)?);
        let (Some(finality), Some(transactions)) = (finality, body) else { return Ok(None) };
        let block = Block { header: finality.header, transactions };
        Ok(Some(FinalBlock { block, certificate: finality.certificate }))
    }

    /// A block without its transactions, whether they were pruned or not.
    ///
    /// # Errors
    /// When the database fails, or holds no such block.
    pub fn pruned_block(&self, height: Height) -> Result<PrunedBlock, StoreError> {
        let finality = self.finality(height)?.ok_or(StoreError::NoBlock { height })?;
        PrunedBlock::kept(finality, self.entries_of(height)?).map_err(damaged("entries"))
    }

    /// The height of a committed block.
    ///
    /// # Errors
    /// When the database fails.
    pub fn height_of(&self, block: &BlockHash) -> Result<Option<Height>, StoreError> {
        Ok(self.place(&tables::place_of_block(block))?.map(Height::new))
    }

    fn place(&self, key: &[u8]) -> Result<Option<u64>, StoreError> {
        let table = self.read.open_table(PLACES).map_err(failed("look something up"))?;
        let found = table.get(key).map_err(failed("look something up"))?;
        Ok(found.map(|found| found.value()))
    }

    /// What became of a transaction; none when no block has it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn recorded(&self, id: &TxId) -> Result<Option<Recorded>, StoreError> {
        let Some(index) = self.place(&tables::place_of_transaction(id))? else { return Ok(None) };
        let entries = self.entries(index, 1)?;
        let entry = entries.into_iter().next().ok_or(StoreError::Damaged { what: "entry" })?;
        Ok(Some(Recorded { history_index: index, entry }))
    }

    /// At most `count` entries of the history from `first` on.
    ///
    /// # Errors
    /// When the database fails.
    pub fn entries(&self, first: u64, count: u64) -> Result<Vec<HistoryEntry>, StoreError> {
        let table = self.read.open_table(ENTRIES).map_err(failed("read the history"))?;
        let range =
            table.range(first..first.saturating_add(count)).map_err(failed("read the history"))?;
        let mut entries = Vec::new();
        for found in range {
            let (_, bytes) = found.map_err(failed("read the history"))?;
            entries.push(cbor::decode(bytes.value(), MAX_BYTES).map_err(damaged("entry"))?);
        }
        Ok(entries)
    }

    /// What became of a block's transactions.
    ///
    /// # Errors
    /// When the database fails, or holds no such block.
    pub fn entries_of(&self, height: Height) -> Result<Vec<HistoryEntry>, StoreError> {
        let missing = || StoreError::NoBlock { height };
        let last = self.header(height)?.ok_or_else(missing)?.history_size;
        let before = match height.get().checked_sub(1) {
            Some(before) => self.header(Height::new(before))?.ok_or_else(missing)?.history_size,
            None => 0,
        };
        self.entries(before, last - before)
    }

    /// At most `limit` values of the state whose keys begin with `prefix`, from the key after
    /// `after` on, in the order of their keys.
    ///
    /// # Errors
    /// When the database fails.
    #[allow(clippy::type_complexity, reason = "keys and values, each a string of bytes")]
    pub fn page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let first = match after {
            // The smallest key behind it.
            Some(after) => [after, &[0]].concat(),
            None => prefix.to_vec(),
        };
        let mut page = Vec::new();
        for found in self.values.range(first.as_slice()..).map_err(failed("read the state"))? {
            let (key, value) = found.map_err(failed("read the state"))?;
            if page.len() >= limit || !key.value().starts_with(prefix) {
                break;
            }
            page.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(page)
    }

    /// Every change of configuration before a block, in order: what leads an auditor from the
    /// genesis to the validators of that block.
    ///
    /// # Errors
    /// When the database fails.
    pub fn handovers_before(&self, height: Height) -> Result<Vec<Handover>, StoreError> {
        let table = self.read.open_table(HANDOVERS).map_err(failed("read the handovers"))?;
        let range = table.range(..height.get()).map_err(failed("read the handovers"))?;
        let mut handovers = Vec::new();
        for found in range {
            let (_, bytes) = found.map_err(failed("read the handovers"))?;
            handovers.push(cbor::decode(bytes.value(), MAX_BYTES).map_err(damaged("handover"))?);
        }
        Ok(handovers)
    }

    /// The transaction with its signatures, unless it was pruned.
    ///
    /// # Errors
    /// When the database fails.
    pub fn transaction(&self, at: &Recorded) -> Result<Option<SignedTransaction>, StoreError> {
        let index = at.entry.index as usize;
        let body = self.transactions(at.entry.height)?;
        let Some(bytes) = body.as_ref().and_then(|body| body.get(index)) else { return Ok(None) };
        let read = SignedTransaction::from_bytes(bytes.as_bytes(), self.ledger());
        read.map(Some).map_err(damaged("transaction"))
    }

    /// The proof that an entry is in the history of its own block.
    ///
    /// # Errors
    /// When the database fails.
    pub fn inclusion(
        &self,
        at: &Recorded,
    ) -> Result<salus_crypto::merkle::InclusionProof, StoreError> {
        let height = at.entry.height;
        let header = self.header(height)?.ok_or(StoreError::NoBlock { height })?;
        history::prove_inclusion(self, at.history_index, header.history_size)
            .map_err(damaged("history"))
    }

    /// The proofs of double votes that this validator has seen.
    ///
    /// # Errors
    /// When the database fails.
    pub fn evidence(&self) -> Result<Vec<Equivocation>, StoreError> {
        self.proofs(EVIDENCE)
    }

    /// The proofs of broken rules of consensus that this validator has seen and verified.
    ///
    /// # Errors
    /// When the database fails.
    pub fn faults(&self) -> Result<Vec<EngineFault>, StoreError> {
        self.proofs(FAULTS)
    }

    fn proofs<T: Serialize + DeserializeOwned>(&self, table: Proofs) -> Result<Vec<T>, StoreError> {
        let table = self.read.open_table(table).map_err(failed("read the evidence"))?;
        let mut proofs = Vec::new();
        for found in table.iter().map_err(failed("read the evidence"))? {
            let (_, bytes) = found.map_err(failed("read the evidence"))?;
            proofs.push(cbor::decode(bytes.value(), MAX_BYTES).map_err(damaged("evidence"))?);
        }
        Ok(proofs)
    }

    pub(super) fn has_proof(&self, table: Proofs, key: &[u8]) -> Result<bool, StoreError> {
        let table = self.read.open_table(table).map_err(failed("read the evidence"))?;
        Ok(table.get(key).map_err(failed("read the evidence"))?.is_some())
    }
}

fn header(read: &ReadTransaction, height: Height) -> Result<Option<BlockHeader>, StoreError> {
    let table = read.open_table(BLOCKS).map_err(failed("read a header"))?;
    let found = table.get(height.get()).map_err(failed("read a header"))?;
    found.map(|bytes| cbor::decode(bytes.value(), MAX_BYTES).map_err(damaged("header"))).transpose()
}

fn no_answer(error: &redb::StorageError) -> StoreFailed {
    StoreFailed { reason: error.to_string() }
}

impl StateStore for View {
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailed> {
        let found = self.values.get(key).map_err(|e| no_answer(&e))?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn node(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailed> {
        let found = self.nodes.get(key).map_err(|e| no_answer(&e))?;
        Ok(found.map(|node| node.value().to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreFailed> {
        let mut all = Vec::new();
        for found in self.values.range(prefix..).map_err(|e| no_answer(&e))? {
            let (key, value) = found.map_err(|e| no_answer(&e))?;
            if !key.value().starts_with(prefix) {
                break;
            }
            all.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(all)
    }
}
