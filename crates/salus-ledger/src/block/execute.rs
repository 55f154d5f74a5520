use std::borrow::Cow;
use std::collections::BTreeSet;

use salus_crypto::merkle::LeafHash;
use salus_model::{Class, Classified, Timestamp};

use super::{
    Block, BlockHeader, HistoryEntry, Outcome, RuleName, envelope_hash, receipts_root,
    transactions_root,
};
use crate::cbor::CborError;
use crate::config::PlatformConfig;
use crate::contract::records::Tip;
use crate::contract::{self, Context, Contract, ContractVersion, Refusal, Stop};
use crate::history;
use crate::state::{self, StateChanges, StateError, StateStore, View, slot};
use crate::transaction::{SignedTransaction, TransactionError};
use crate::words::{Height, Opaque, TxId};

/// Why a block cannot be executed, or is not what its header says.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The state has no configuration: no genesis was ever committed here.
    #[error("there is no ledger in this store; commit its genesis first")]
    NoGenesis,
    /// The block does not follow the state's last block.
    #[error("the state is at block {tip}, so the parent has to be that and is {parent}")]
    NotNext {
        /// The state's height.
        tip: Height,
        /// The named parent's height.
        parent: Height,
    },
    /// The block is not later than its parent.
    #[error("the block's time {time} is not after its parent's, {parent}")]
    TimeBackwards {
        /// The block's time.
        time: Timestamp,
        /// Its parent's.
        parent: Timestamp,
    },
    /// The block is too far ahead of the validator's clock.
    #[error("the block's time {time} is too far ahead of this clock, {now}")]
    TimeAhead {
        /// The block's time.
        time: Timestamp,
        /// The validator's clock.
        now: Timestamp,
    },
    /// More bytes than a block may have.
    #[error("{bytes} bytes of transactions are more than the {limit} of a block")]
    OversizedBlock {
        /// How many there are.
        bytes: usize,
        /// How many are allowed.
        limit: u32,
    },
    /// More transactions than a block may have.
    #[error("{count} transactions are more than the {limit} of a block")]
    TooManyTransactions {
        /// How many there are.
        count: usize,
        /// How many are allowed.
        limit: u32,
    },
    /// A transaction that no block may carry.
    #[error("transaction {index} of the block cannot be taken (counted from 0)")]
    Transaction {
        /// Which one.
        index: usize,
        /// Why.
        #[source]
        source: TransactionError,
    },
    /// A transaction that the ledger has already.
    #[error("transaction {id} was recorded before")]
    Replayed {
        /// Which one.
        id: TxId,
    },
    /// A transaction that is over, or reaches further ahead than the ledger remembers.
    #[error(
        "transaction {id} may be carried up to block {last}; this is {height}, and {limit} blocks ahead is the most"
    )]
    OutsideLifetime {
        /// Which one.
        id: TxId,
        /// Its last block.
        last: Height,
        /// This block.
        height: Height,
        /// How far ahead a last block may lie.
        limit: u64,
    },
    /// A header that does not say what execution gives.
    #[error("the header's {field} is not what execution gives")]
    OtherResult {
        /// Which field.
        field: &'static str,
    },
    /// Rules that this program does not have.
    #[error(
        "{contract:?} is at version {version:?} from this block on, this program has {newest:?}; upgrade it"
    )]
    ContractTooNew {
        /// The contract.
        contract: Contract,
        /// The version that is effective.
        version: ContractVersion,
        /// The newest version at hand.
        newest: ContractVersion,
    },
    /// The state cannot be read or written.
    #[error("the state cannot be used")]
    State(#[from] StateError),
    /// Something could not be encoded.
    #[error("a value could not be encoded")]
    Encoding(#[from] CborError),
    /// The table of calls is wrong.
    #[error("call {0:?} has no contract")]
    Misrouted(crate::call::Method),
}

impl Classified for ExecuteError {
    fn class(&self) -> Class {
        match self {
            Self::State(error) => error.class(),
            Self::Encoding(_) | Self::Misrouted(_) => Class::Bug,
            Self::NoGenesis | Self::ContractTooNew { .. } => Class::Unavailable,
            _ => Class::Peer,
        }
    }
}

/// A block with everything that follows from it, not committed yet.
#[derive(Debug, Clone)]
pub struct Executed {
    /// The block.
    pub block: Block,
    /// What the history remembers of its transactions.
    pub entries: Vec<HistoryEntry>,
    /// What it writes.
    pub changes: StateChanges,
    /// The configuration after it.
    pub config: PlatformConfig,
    /// Why each refused transaction is refused, for people; not part of the block.
    pub refusals: Vec<(TxId, Refusal)>,
}

/// The state and the block's circumstances, ready to decide transactions.
struct Run<'s> {
    view: View<'s>,
    parent: &'s BlockHeader,
    config: Cow<'s, PlatformConfig>,
    height: Height,
    time: Timestamp,
    ids: BTreeSet<TxId>,
    bytes: usize,
}

impl<'s> Run<'s> {
    fn begin(
        store: &'s dyn StateStore,
        parent: &'s BlockHeader,
        time: Timestamp,
    ) -> Result<Self, ExecuteError> {
        let config = View::new(store).read(&slot::config())?.ok_or(ExecuteError::NoGenesis)?;
        Self::begin_under(store, parent, time, Cow::Owned(config))
    }

    /// [`Run::begin`] where the configuration in that state is at hand.
    fn begin_under(
        store: &'s dyn StateStore,
        parent: &'s BlockHeader,
        time: Timestamp,
        config: Cow<'s, PlatformConfig>,
    ) -> Result<Self, ExecuteError> {
        let view = View::new(store);
        let tip = view.read(&slot::tip())?.ok_or(ExecuteError::NoGenesis)?.height;
        if tip != parent.height {
            return Err(ExecuteError::NotNext { tip, parent: parent.height });
        }
        if time <= parent.time {
            return Err(ExecuteError::TimeBackwards { time, parent: parent.time });
        }
        let height = parent.height.next();
        check_versions(&view, height)?;
        Ok(Self { view, parent, config, height, time, ids: BTreeSet::new(), bytes: 0 })
    }

    /// Whether a block may carry the transaction at all, whatever becomes of it.
    fn admit(&mut self, tx: &SignedTransaction) -> Result<(), ExecuteError> {
        let limits = &self.config.form().limits;
        let bytes = self.bytes + tx.as_bytes().len();
        if bytes > limits.block_bytes as usize {
            return Err(ExecuteError::OversizedBlock { bytes, limit: limits.block_bytes });
        }
        if self.ids.len() >= limits.block_transactions as usize {
            let (count, limit) = (self.ids.len() + 1, limits.block_transactions);
            return Err(ExecuteError::TooManyTransactions { count, limit });
        }
        let (id, last) = (tx.id(), tx.transaction().last());
        let limit = limits.lifetime_blocks;
        if last < self.height || last > self.height.after(limit) {
            return Err(ExecuteError::OutsideLifetime { id, last, height: self.height, limit });
        }
        if self.ids.contains(&id) || self.view.holds(&slot::seen(last, &id))? {
            return Err(ExecuteError::Replayed { id });
        }
        self.bytes = bytes;
        self.ids.insert(id);
        Ok(())
    }

    /// Decides one admitted transaction; a refused one leaves only its id behind.
    fn apply(&mut self, tx: &SignedTransaction) -> Result<Option<Refusal>, ExecuteError> {
        let decided = self.decide(tx);
        let refusal = match decided {
            Ok(()) => None,
            Err(Stop::Refused(refusal)) => Some(refusal),
            Err(Stop::State(error)) => return Err(error.into()),
            Err(Stop::Misrouted(method)) => return Err(ExecuteError::Misrouted(method)),
        };
        if refusal.is_some() {
            self.view.discard();
        }
        self.view.write(&slot::seen(tx.transaction().last(), &tx.id()), &self.height)?;
        self.view.keep();
        Ok(refusal)
    }

    fn decide(&mut self, tx: &SignedTransaction) -> Result<(), Stop> {
        let (endorsers, pseudonyms) = contract::resolve_endorsers(tx, &self.view, self.time)?;
        let mut cx = Context {
            view: &mut self.view,
            height: self.height,
            time: self.time,
            tx: tx.id(),
            config: &self.config,
            endorsers,
            pseudonyms,
        };
        contract::decide(tx.transaction().call(), &mut cx)
    }

    fn finish(
        mut self,
        transactions: Vec<Opaque>,
        entries: Vec<HistoryEntry>,
        refusals: Vec<(TxId, Refusal)>,
    ) -> Result<Executed, ExecuteError> {
        let store = self.view.store();
        // Ids of transactions that no block may carry any more.
        let spent = store.scan(&slot::seen_prefix(self.parent.height)).map_err(StateError::from)?;
        for (key, _) in spent {
            self.view.delete_raw(key);
        }
        let leaves: Vec<LeafHash> =
            entries.iter().map(HistoryEntry::leaf).collect::<Result<_, _>>()?;
        let before = self.parent.history_size;
        let (nodes, history) = history::append(store, before, &leaves)?;
        let history_size = before + leaves.len() as u64;
        let parent = self.parent.hash()?;
        let tip = Tip { height: self.height, parent, time: self.time, history_size };
        self.view.write(&slot::tip(), &tip)?;
        self.view.keep();
        let config = self.view.read(&slot::config())?.ok_or(ExecuteError::NoGenesis)?;
        let mut changes = state::update(store, self.height, self.view.into_writes())?;
        changes.nodes.extend(nodes);
        let header = BlockHeader {
            ledger: self.parent.ledger,
            height: self.height,
            parent,
            time: self.time,
            transactions: transactions_root(&transactions),
            history_size,
            history,
            state: changes.root,
            receipts: receipts_root(&entries)?,
            config: config.hash()?,
        };
        let block = Block { header, transactions };
        Ok(Executed { block, entries, changes, config, refusals })
    }

    fn entry(
        &self,
        tx: &SignedTransaction,
        index: usize,
        refusal: Option<&Refusal>,
    ) -> Result<HistoryEntry, ExecuteError> {
        let outcome = match refusal {
            None => Outcome::Applied,
            Some(refusal) => Outcome::Refused(
                RuleName::try_from(refusal.rule().to_owned())
                    .map_err(|_| ExecuteError::Encoding(CborError::Unencodable))?,
            ),
        };
        Ok(HistoryEntry {
            height: self.height,
            index: u32::try_from(index).unwrap_or(u32::MAX),
            time: self.time,
            transaction: tx.id(),
            envelope: envelope_hash(tx.as_bytes()),
            method: tx.transaction().call().method(),
            outcome,
        })
    }
}

fn check_versions(view: &View<'_>, height: Height) -> Result<(), ExecuteError> {
    for contract in Contract::ALL {
        let schedule = view.read(&slot::schedule(contract))?;
        let version = schedule.map_or(ContractVersion::FIRST, |schedule| schedule.at(height));
        let newest = contract.newest();
        if version > newest {
            return Err(ExecuteError::ContractTooNew { contract, version, newest });
        }
    }
    Ok(())
}

/// Executes a block on the state that `parent` left.
///
/// # Errors
/// When a transaction may not be in any block, or the block breaks a limit. A transaction that
/// only breaks a contract's rule is recorded as refused.
pub fn execute(
    store: &dyn StateStore,
    parent: &BlockHeader,
    time: Timestamp,
    transactions: Vec<Opaque>,
) -> Result<Executed, ExecuteError> {
    execute_knowing(store, parent, time, transactions, &|_| None)
}

/// Transactions that this node has read and verified before, found by their exact bytes: it does
/// not verify their signatures a second time.
pub(crate) type Known<'a> = &'a dyn Fn(&[u8]) -> Option<SignedTransaction>;

fn execute_knowing(
    store: &dyn StateStore,
    parent: &BlockHeader,
    time: Timestamp,
    transactions: Vec<Opaque>,
    known: Known<'_>,
) -> Result<Executed, ExecuteError> {
    let mut run = Run::begin(store, parent, time)?;
    let mut entries = Vec::with_capacity(transactions.len());
    let mut refusals = Vec::new();
    for (index, bytes) in transactions.iter().enumerate() {
        let read = || SignedTransaction::from_bytes(bytes.as_bytes(), &parent.ledger);
        let tx = known(bytes.as_bytes())
            .map_or_else(read, Ok)
            .map_err(|source| ExecuteError::Transaction { index, source })?;
        run.admit(&tx)?;
        let refusal = run.apply(&tx)?;
        entries.push(run.entry(&tx, index, refusal.as_ref())?);
        refusals.extend(refusal.map(|refusal| (tx.id(), refusal)));
    }
    run.finish(transactions, entries, refusals)
}

/// What would become of a transaction as the next block's only one; nothing is written. `config`
/// is the one in the state: every transaction that comes in is tried, so it is not read each time.
pub(crate) fn try_one(
    store: &dyn StateStore,
    parent: &BlockHeader,
    config: &PlatformConfig,
    time: Timestamp,
    tx: &SignedTransaction,
) -> Result<Option<Refusal>, ExecuteError> {
    let mut run = Run::begin_under(store, parent, time, Cow::Borrowed(config))?;
    run.admit(tx)?;
    run.apply(tx)
}

/// Makes a block of as many of the candidates as it may carry, in their order.
///
/// Candidates that no block may carry are left out; those that do not fit stay for the next.
///
/// # Errors
/// When the state cannot be used, or `time` is not after the parent's.
pub fn propose(
    store: &dyn StateStore,
    parent: &BlockHeader,
    time: Timestamp,
    candidates: &[SignedTransaction],
) -> Result<Executed, ExecuteError> {
    let mut run = Run::begin(store, parent, time)?;
    let (mut taken, mut entries, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    for tx in candidates {
        match run.admit(tx) {
            Ok(()) => {}
            Err(ExecuteError::State(error)) => return Err(error.into()),
            Err(ExecuteError::OversizedBlock { .. } | ExecuteError::TooManyTransactions { .. }) => {
                break;
            }
            Err(_) => continue,
        }
        let refusal = run.apply(tx)?;
        entries.push(run.entry(tx, taken.len(), refusal.as_ref())?);
        refusals.extend(refusal.map(|refusal| (tx.id(), refusal)));
        taken.push(Opaque::new(tx.as_bytes().to_vec()));
    }
    run.finish(taken, entries, refusals)
}

/// Executes a proposed block again and compares every field: what a validator does before it
/// votes. `now` is the validator's own clock.
///
/// # Errors
/// Names the limit that is broken, or the field that does not agree.
pub fn check_proposal(
    store: &dyn StateStore,
    parent: &BlockHeader,
    block: &Block,
    now: Timestamp,
) -> Result<Executed, ExecuteError> {
    check_knowing(store, parent, block, now, &|_| None)
}

/// [`check_proposal`] with the transactions that this node has verified before.
pub(crate) fn check_knowing(
    store: &dyn StateStore,
    parent: &BlockHeader,
    block: &Block,
    now: Timestamp,
    known: Known<'_>,
) -> Result<Executed, ExecuteError> {
    let time = block.header.time;
    let config = View::new(store).read(&slot::config())?.ok_or(ExecuteError::NoGenesis)?;
    let skew = config.form().limits.clock_skew_micros;
    if time > now.saturating_add_micros(skew) {
        return Err(ExecuteError::TimeAhead { time, now });
    }
    replay(store, parent, block, known)
}

/// Executes a block that is final already; the clock has no say any more.
pub(crate) fn replay(
    store: &dyn StateStore,
    parent: &BlockHeader,
    block: &Block,
    known: Known<'_>,
) -> Result<Executed, ExecuteError> {
    let (time, transactions) = (block.header.time, block.transactions.clone());
    let executed = execute_knowing(store, parent, time, transactions, known)?;
    match first_difference(&block.header, &executed.block.header) {
        None => Ok(executed),
        Some(field) => Err(ExecuteError::OtherResult { field }),
    }
}

fn first_difference(said: &BlockHeader, found: &BlockHeader) -> Option<&'static str> {
    let checks = [
        ("ledger", said.ledger == found.ledger),
        ("height", said.height == found.height),
        ("parent", said.parent == found.parent),
        ("transactions", said.transactions == found.transactions),
        ("history_size", said.history_size == found.history_size),
        ("history", said.history == found.history),
        ("receipts", said.receipts == found.receipts),
        ("state", said.state == found.state),
        ("config", said.config == found.config),
        ("time", said.time == found.time),
    ];
    checks.into_iter().find(|(_, agrees)| !agrees).map(|(field, _)| field)
}
