use redb::{TableDefinition, TableError, WriteTransaction};
use salus_ledger::{BlockHash, TxId};

type Bytes = &'static [u8];

/// Format, genesis, tip, base, epoch.
pub(super) const META: TableDefinition<'static, &'static str, Bytes> = TableDefinition::new("meta");
/// Under which key of `META` the last cosigned checkpoint is.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The state.
pub(super) const VALUES: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("values");
/// The nodes of the state tree and of the history tree.
pub(super) const NODES: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("nodes");
/// Headers by height.
pub(super) const BLOCKS: TableDefinition<'static, u64, Bytes> = TableDefinition::new("blocks");
/// Certificates by height.
pub(super) const CERTIFICATES: TableDefinition<'static, u64, Bytes> =
    TableDefinition::new("certificates");
/// Transactions by height, until they are pruned.
pub(super) const BODIES: TableDefinition<'static, u64, Bytes> = TableDefinition::new("bodies");
/// What became of each transaction, by its place in the history.
pub(super) const ENTRIES: TableDefinition<'static, u64, Bytes> = TableDefinition::new("entries");
/// Places of transactions in the history, and heights of blocks, by their hashes.
pub(super) const PLACES: TableDefinition<'static, Bytes, u64> = TableDefinition::new("places");
/// Every change of configuration, by height.
pub(super) const HANDOVERS: TableDefinition<'static, u64, Bytes> =
    TableDefinition::new("handovers");
/// Checked blocks that are not committed, by hash; the height in front.
pub(super) const PROPOSALS: TableDefinition<'static, Bytes, Bytes> =
    TableDefinition::new("proposals");
/// A table of proofs of misbehaviour.
pub(super) type Proofs = TableDefinition<'static, Bytes, Bytes>;
/// Proofs of double votes, by validator.
pub(super) const EVIDENCE: Proofs = TableDefinition::new("evidence");
/// Proofs of broken rules of consensus, by validator and rule.
pub(super) const FAULTS: Proofs = TableDefinition::new("faults");

pub(super) fn place_of_block(hash: &BlockHash) -> Vec<u8> {
    [b"b".as_slice(), hash.as_bytes()].concat()
}

pub(super) fn place_of_transaction(id: &TxId) -> Vec<u8> {
    [b"t".as_slice(), id.as_bytes()].concat()
}

pub(super) fn create_all(write: &WriteTransaction) -> Result<(), TableError> {
    write.open_table(META)?;
    for table in [VALUES, NODES, PROPOSALS, EVIDENCE, FAULTS] {
        write.open_table(table)?;
    }
    for table in [BLOCKS, CERTIFICATES, BODIES, ENTRIES, HANDOVERS] {
        write.open_table(table)?;
    }
    write.open_table(PLACES)?;
    Ok(())
}
