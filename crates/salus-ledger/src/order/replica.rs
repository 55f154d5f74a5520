use std::collections::HashSet;

use salus_model::{Class, Classified, Timestamp};
use serde::{Deserialize, Serialize};

use super::pending::{Pending, on_top};
use super::pool::{Pool, PoolRefused};
use crate::block::{
    self, Block, BlockHeader, CertificateError, ExecuteError, Executed, FinalBlock, HistoryEntry,
    Known, Outcome, Vote,
};
use crate::config::PlatformConfig;
use crate::contract::Refusal;
use crate::sign::Signer;
use crate::state::{self, StateChanges, StateError, StateStore, slot};
use crate::transaction::{SignedTransaction, TransactionError};
use crate::words::{BlockHash, Height, TxId};

/// Why a replica does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// A commit was not durable: nothing is served until an operator has looked.
    #[error(
        "this node is frozen since block {height} could not be made durable; check its disk and restart it"
    )]
    Frozen {
        /// The block.
        height: Height,
    },
    /// The transaction cannot be read or is forged.
    #[error("the transaction cannot be taken")]
    Transaction(#[from] TransactionError),
    /// The transaction cannot wait.
    #[error("the transaction cannot wait")]
    Pool(#[from] PoolRefused),
    /// The transaction would be refused now.
    #[error("the transaction would be refused: {0}")]
    Refused(Refusal),
    /// The block cannot be executed, or says something else.
    #[error("the block cannot be taken")]
    Execute(#[from] ExecuteError),
    /// The block is not final.
    #[error("the block is not final")]
    NotFinal(#[from] CertificateError),
    /// This validator has voted for another block of the height, or for a later one.
    #[error("this validator voted for another block at height {height} already")]
    VotedAlready {
        /// The height.
        height: Height,
    },
    /// The parent is neither committed last nor checked.
    #[error("block {parent}, on which this one builds, is not known here")]
    UnknownParent {
        /// The parent.
        parent: BlockHash,
    },
    /// A vote for a block that was not checked.
    #[error("block {block} was not checked here, so this validator does not vote for it")]
    NotChecked {
        /// The block.
        block: BlockHash,
    },
    /// A block is still being made durable.
    #[error("block {height} is still being committed")]
    Committing {
        /// The block.
        height: Height,
    },
    /// The commit is none of this replica's.
    #[error("the commit is not the one that waits")]
    OtherCommit,
    /// The state cannot be read.
    #[error("the state cannot be read")]
    State(#[from] StateError),
}

impl Classified for ReplicaError {
    fn class(&self) -> Class {
        match self {
            Self::Frozen { .. } | Self::Committing { .. } | Self::UnknownParent { .. } => {
                Class::Unavailable
            }
            Self::Transaction(error) => error.class(),
            Self::Pool(error) => error.class(),
            Self::Execute(error) => error.class(),
            Self::NotFinal(error) => error.class(),
            Self::State(error) => error.class(),
            Self::Refused(_) | Self::VotedAlready { .. } => Class::Refused,
            Self::OtherCommit | Self::NotChecked { .. } => Class::Bug,
        }
    }
}

/// Why a replica cannot go on from what its store holds.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The state cannot be read.
    #[error("the state cannot be read")]
    State(#[from] StateError),
    /// No genesis was committed.
    #[error("there is no ledger in this store")]
    NoGenesis,
    /// The last header and the state do not belong together.
    #[error("the last block is {header}, the state is at {state}: restore both from one snapshot")]
    Torn {
        /// The header's height.
        header: Height,
        /// The state's height.
        state: Height,
    },
    /// The state is not the one that the header commits to.
    #[error("the state's root is not that of block {0}: restore it from a snapshot")]
    OtherRoot(Height),
}

impl Classified for ResumeError {
    fn class(&self) -> Class {
        match self {
            Self::State(error) => error.class(),
            Self::NoGenesis => Class::Unavailable,
            _ => Class::Corrupt,
        }
    }
}

/// The last vote of this validator; durable before the vote leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voted {
    /// The height.
    pub height: Height,
    /// The block.
    pub block: BlockHash,
}

/// A final block with all that has to be made durable in one transaction.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The block and its votes.
    pub block: FinalBlock,
    /// What the history remembers; by place, for receipts and explorers.
    pub entries: Vec<HistoryEntry>,
    /// The writes.
    pub changes: StateChanges,
    config: PlatformConfig,
}

impl Commit {
    /// The configuration after the block.
    #[must_use]
    pub const fn config(&self) -> &PlatformConfig {
        &self.config
    }
}

/// That a transaction is recorded, durably and for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The transaction.
    pub transaction: TxId,
    /// The block.
    pub height: Height,
    /// Its place in the whole history.
    pub history_index: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// One node's part in a ledger: admits, proposes, votes and commits.
///
/// The order of a commit is fixed: [`Replica::finalise`] gives a [`Commit`], the driver makes it
/// durable, [`Replica::committed`] takes it back and only then gives acknowledgements.
#[derive(Debug)]
pub struct Replica {
    tip: BlockHeader,
    tip_hash: BlockHash,
    config: PlatformConfig,
    pool: Pool,
    voted: Option<Voted>,
    /// Blocks that were checked and are not committed: on the tip, or on each other.
    pending: Pending,
    committing: Option<(Height, BlockHash)>,
    frozen: Option<Height>,
}

impl Replica {
    /// Goes on from what a store holds: its last header, its state, and this validator's last vote.
    ///
    /// # Errors
    /// When header and state do not belong together.
    pub fn resume(
        store: &dyn StateStore,
        tip: BlockHeader,
        voted: Option<Voted>,
        pool: Pool,
    ) -> Result<Self, ResumeError> {
        let config = slot::read(store, &slot::config())?.ok_or(ResumeError::NoGenesis)?;
        let state = slot::read(store, &slot::tip())?.ok_or(ResumeError::NoGenesis)?.height;
        if state != tip.height {
            return Err(ResumeError::Torn { header: tip.height, state });
        }
        if state::root(store, state)? != tip.state {
            return Err(ResumeError::OtherRoot(state));
        }
        let tip_hash = tip.hash().map_err(|source| StateError::Damaged { slot: "tip", source })?;
        let pending = Pending::default();
        Ok(Self { tip, tip_hash, config, pool, voted, pending, committing: None, frozen: None })
    }

    /// The last committed block's header.
    #[must_use]
    pub const fn tip(&self) -> &BlockHeader {
        &self.tip
    }

    /// The last committed block's hash.
    #[must_use]
    pub const fn tip_hash(&self) -> BlockHash {
        self.tip_hash
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &PlatformConfig {
        &self.config
    }

    /// The transactions that wait.
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// This validator's last vote.
    #[must_use]
    pub const fn voted(&self) -> Option<&Voted> {
        self.voted.as_ref()
    }

    fn check_awake(&self) -> Result<(), ReplicaError> {
        match self.frozen {
            Some(height) => Err(ReplicaError::Frozen { height }),
            None => Ok(()),
        }
    }

    /// Takes a transaction in: reads it, checks its signatures, tries it on the present state.
    ///
    /// # Errors
    /// When it is malformed, forged, replayed, or would be refused now.
    pub fn admit(
        &mut self,
        store: &dyn StateStore,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<TxId, ReplicaError> {
        self.check_awake()?;
        let tx = SignedTransaction::from_bytes(bytes, &self.tip.ledger)?;
        self.preview(store, &tx, now)?;
        let id = tx.id();
        self.pool.add(tx)?;
        Ok(id)
    }

    /// What would become of a transaction if it were the next block's only one.
    ///
    /// # Errors
    /// When it would be refused, or no block may carry it.
    pub fn preview(
        &self,
        store: &dyn StateStore,
        tx: &SignedTransaction,
        now: Timestamp,
    ) -> Result<(), ReplicaError> {
        let time = self.next_time(now);
        let refusal = block::try_one(store, &self.tip, &self.config, time, tx)?;
        refusal.map_or(Ok(()), |refusal| Err(ReplicaError::Refused(refusal)))
    }

    /// The clock, or just after the tip where the clock lags.
    fn next_time(&self, now: Timestamp) -> Timestamp {
        now.max(self.tip.time.saturating_add_micros(1))
    }

    /// Lets a transaction of another validator wait: its signatures are checked, and that no block
    /// has it. Whether it is refused shows in the block.
    ///
    /// # Errors
    /// When it is malformed, forged, known, or over.
    pub fn admit_relayed(
        &mut self,
        store: &dyn StateStore,
        bytes: &[u8],
    ) -> Result<TxId, ReplicaError> {
        self.check_awake()?;
        let tx = SignedTransaction::from_bytes(bytes, &self.tip.ledger)?;
        let (id, last, tip) = (tx.id(), tx.transaction().last(), self.tip.height);
        let limit = self.config.form().limits.lifetime_blocks;
        if last <= tip || last > tip.next().after(limit) {
            let height = tip.next();
            return Err(ExecuteError::OutsideLifetime { id, last, height, limit }.into());
        }
        if store.value(slot::seen(last, &id).key()).map_err(StateError::from)?.is_some() {
            return Err(ExecuteError::Replayed { id }.into());
        }
        self.pool.add(tx)?;
        Ok(id)
    }

    /// Makes the next block of what waits; none when nothing does.
    ///
    /// # Errors
    /// When the replica is frozen, or the state cannot be used.
    pub fn propose(
        &self,
        store: &dyn StateStore,
        now: Timestamp,
    ) -> Result<Option<Block>, ReplicaError> {
        let executed = self.build(store, &self.tip_hash, now)?;
        Ok(executed.map(|executed| executed.block))
    }

    /// Makes a block on a parent that is the tip or was checked, and counts it as checked.
    ///
    /// # Errors
    /// When the parent is not known, the replica is frozen, or the state cannot be used.
    pub fn propose_on(
        &mut self,
        store: &dyn StateStore,
        parent: &BlockHash,
        now: Timestamp,
    ) -> Result<Option<Block>, ReplicaError> {
        let Some(executed) = self.build(store, parent, now)? else { return Ok(None) };
        let block = executed.block.clone();
        self.pending.insert(block.header.hash().map_err(ExecuteError::from)?, executed);
        Ok(Some(block))
    }

    /// Whether something waits that no block on the way to `parent` carries.
    #[must_use]
    pub fn has_work_on(&self, parent: &BlockHash) -> bool {
        match self.pending.path(&self.tip_hash, parent) {
            Some(path) => self.pool.has_besides(&carried(&path)),
            None => false,
        }
    }

    fn build(
        &self,
        store: &dyn StateStore,
        parent: &BlockHash,
        now: Timestamp,
    ) -> Result<Option<Executed>, ReplicaError> {
        self.check_awake()?;
        let path = self.path(parent)?;
        let header = path.last().map_or(&self.tip, |executed| &executed.block.header);
        let count = self.config.form().limits.block_transactions as usize;
        let candidates = self.pool.first_besides(count, &carried(&path));
        if candidates.is_empty() {
            return Ok(None);
        }
        let time = now.max(header.time.saturating_add_micros(1));
        let executed =
            on_top(store, &path, &mut |store| block::propose(store, header, time, &candidates))?;
        Ok((!executed.entries.is_empty()).then_some(executed))
    }

    fn path(&self, parent: &BlockHash) -> Result<Vec<&Executed>, ReplicaError> {
        let unknown = ReplicaError::UnknownParent { parent: *parent };
        self.pending.path(&self.tip_hash, parent).ok_or(unknown)
    }

    /// Whether a block was checked and is not committed.
    #[must_use]
    pub fn has_checked(&self, block: &BlockHash) -> bool {
        self.pending.contains(block)
    }

    /// Executes a proposed block again, on the tip or on another checked block, and remembers it:
    /// what a validator does before it lets its orderer vote.
    ///
    /// # Errors
    /// When the parent is not known, or the block is not what execution gives.
    pub fn check(
        &mut self,
        store: &dyn StateStore,
        block: &Block,
        now: Timestamp,
    ) -> Result<BlockHash, ReplicaError> {
        self.check_awake()?;
        let hash = block.header.hash().map_err(ExecuteError::from)?;
        if self.pending.get(&hash).is_some_and(|executed| executed.block == *block) {
            return Ok(hash);
        }
        let path = self.path(&block.header.parent)?;
        let header = path.last().map_or(&self.tip, |executed| &executed.block.header);
        let pool = &self.pool;
        let known = |bytes: &[u8]| pool.verified(bytes);
        let executed = on_top(store, &path, &mut |store| {
            block::check_knowing(store, header, block, now, &known)
        })?;
        self.pending.insert(hash, executed);
        Ok(hash)
    }

    /// Votes for a checked block that the orderer has found to be the only one of its height, at
    /// most once a height. Where votes leave before the orderer has agreed, the driver makes
    /// [`Replica::voted`] durable first.
    ///
    /// # Errors
    /// When the block was not checked, or another was voted for.
    pub fn cast(&mut self, hash: BlockHash, signer: &Signer) -> Result<Vote, ReplicaError> {
        self.check_awake()?;
        let executed = self.pending.get(&hash).ok_or(ReplicaError::NotChecked { block: hash })?;
        let (ledger, height) = (executed.block.header.ledger, executed.block.header.height);
        let other = self.voted.is_some_and(|voted| {
            voted.height > height || (voted.height == height && voted.block != hash)
        });
        if other {
            return Err(ReplicaError::VotedAlready { height });
        }
        self.voted = Some(Voted { height, block: hash });
        Ok(Vote::cast(signer, &ledger, height, hash))
    }

    /// Checks a proposed block and votes for it, for an orderer that counts these votes itself.
    /// The driver makes [`Replica::voted`] durable before the vote leaves.
    ///
    /// # Errors
    /// When the block is not what execution gives, or another was voted for.
    pub fn vote(
        &mut self,
        store: &dyn StateStore,
        block: &Block,
        signer: &Signer,
        now: Timestamp,
    ) -> Result<Vote, ReplicaError> {
        let hash = self.check(store, block, now)?;
        self.cast(hash, signer)
    }

    /// Checks a final block and executes it; none when it is committed already.
    ///
    /// # Errors
    /// When its votes do not suffice, it does not follow the tip, or it says something else than
    /// execution gives.
    pub fn finalise(
        &mut self,
        store: &dyn StateStore,
        block: FinalBlock,
    ) -> Result<Option<Commit>, ReplicaError> {
        self.check_awake()?;
        let height = block.block.header.height;
        if height <= self.tip.height {
            return Ok(None);
        }
        if let Some((height, _)) = self.committing {
            return Err(ReplicaError::Committing { height });
        }
        block.certificate.verify(&block.block.header, &self.config.validator_keys())?;
        let hash = block.certificate.block;
        let Executed { entries, changes, config, .. } = match self.pending.get(&hash) {
            // A block that was checked; its parent is the tip, as its header says.
            Some(executed) if executed.block == block.block => executed.clone(),
            _ => {
                let known: Known<'_> = &|bytes| self.pool.verified(bytes);
                block::replay(store, &self.tip, &block.block, known)?
            }
        };
        if block.block.header.parent != self.tip_hash {
            return Err(ExecuteError::OtherResult { field: "parent" }.into());
        }
        self.committing = Some((height, hash));
        Ok(Some(Commit { block, entries, changes, config }))
    }

    /// Takes note that a commit is durable, and acknowledges its transactions.
    ///
    /// # Errors
    /// When it is not the commit that waits.
    pub fn committed(&mut self, commit: Commit) -> Result<Vec<Acknowledgement>, ReplicaError> {
        let header = commit.block.block.header;
        let waits = self.committing.take();
        if waits != Some((header.height, commit.block.certificate.block)) {
            return Err(ReplicaError::OtherCommit);
        }
        let ids: Vec<TxId> = commit.entries.iter().map(|entry| entry.transaction).collect();
        self.pool.settle(&ids, header.height);
        let first = header.history_size - commit.entries.len() as u64;
        self.tip = header;
        self.tip_hash = commit.block.certificate.block;
        self.config = commit.config;
        self.pending.settle(&self.tip_hash);
        let acknowledge = |(place, entry): (u64, HistoryEntry)| Acknowledgement {
            transaction: entry.transaction,
            height: entry.height,
            history_index: first + place,
            outcome: entry.outcome,
        };
        Ok((0..).zip(commit.entries).map(acknowledge).collect())
    }

    /// Takes note that a commit could not be made durable. After a failed fsync nobody knows what
    /// the disk holds, so nothing more is admitted, voted for or committed.
    pub fn commit_failed(&mut self) {
        let height = self.committing.map_or(self.tip.height, |(height, _)| height);
        self.frozen = Some(height);
    }
}

/// The transactions that the blocks of a path carry.
fn carried(path: &[&Executed]) -> HashSet<TxId> {
    path.iter().flat_map(|executed| &executed.entries).map(|entry| entry.transaction).collect()
}
