use std::collections::VecDeque;

use rand_core::CryptoRng;
use salus_ledger::block::{Block, ExecuteError, FinalBlock};
use salus_ledger::order::{
    Acknowledgement, Orderer, OrdererInput, OrdererOutput, Pool, Rejection, Replica, ReplicaError,
    ResumeError,
};
use salus_ledger::{BlockHash, Opaque, PublicKey, Signer, TxId};
use salus_model::{Class, Classified, Timestamp};

use crate::order::EngineFault;
use crate::packet::{CATCH_UP_BYTES, Packet};
use crate::store::{Store, StoreError};

/// The most bytes of transactions that wait.
const POOL_BYTES: usize = 16 * 1024 * 1024;
/// The most blocks that one answer to a validator that was away carries.
const CATCH_UP_BLOCKS: u64 = 256;

/// A message that leaves this validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// To one validator.
    To(PublicKey, Vec<u8>),
    /// To every other validator.
    ToAll(Vec<u8>),
}

/// What one step brought about.
#[derive(Debug, Default)]
pub struct Progress {
    /// Messages to send.
    pub outgoing: Vec<Outgoing>,
    /// Transactions that are recorded durably and for good.
    pub acknowledged: Vec<Acknowledgement>,
    /// Whether a block was committed.
    pub committed: bool,
}

/// Why a core cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// Its last block and its state do not belong together.
    #[error("the ledger cannot be taken up where it was left")]
    Resume(#[from] ResumeError),
}

impl Classified for CoreError {
    fn class(&self) -> Class {
        match self {
            Self::Store(error) => error.class(),
            Self::Resume(error) => error.class(),
        }
    }
}

/// Whether the orderer's proposals leave this process before they are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Alone,
    Others,
}

/// Store, replica and orderer of one validator, without network and clock: each call takes what
/// happened and gives what is to be sent. The simulation and the process run exactly this.
#[derive(Debug)]
pub struct Core<O> {
    store: Store,
    replica: Replica,
    orderer: O,
    signer: Signer,
    /// Whom a missing block was asked of, in turn.
    asks: usize,
}

impl<O: Orderer> Core<O> {
    /// Goes on from what the store holds. `orderer` is made for its last block.
    ///
    /// # Errors
    /// When the state is not that of the last block.
    pub fn new(store: Store, orderer: O, signer: Signer) -> Result<Self, CoreError> {
        let tip = store.view().tip().clone();
        let replica = Replica::resume(store.view(), tip, None, Pool::new(POOL_BYTES))?;
        Ok(Self { store, replica, orderer, signer, asks: 0 })
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The store, for upkeep such as pruning.
    pub const fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// The replica.
    #[must_use]
    pub const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The orderer.
    #[must_use]
    pub const fn orderer(&self) -> &O {
        &self.orderer
    }

    fn company(&self) -> Company {
        let validators = &self.replica.config().form().validators;
        if validators.len() > 1 { Company::Others } else { Company::Alone }
    }

    /// Takes a client's transactions in; those that were taken go to the other validators.
    #[allow(clippy::type_complexity, reason = "one answer per transaction, and what follows")]
    pub fn submit(
        &mut self,
        transactions: &[Vec<u8>],
        now: Timestamp,
    ) -> (Vec<Result<TxId, ReplicaError>>, Progress) {
        let mut answers = Vec::with_capacity(transactions.len());
        let mut taken = Vec::new();
        for bytes in transactions {
            let answer = self.replica.admit(self.store.view(), bytes, now);
            if answer.is_ok() {
                taken.push(Opaque::new(bytes.clone()));
            }
            answers.push(answer);
        }
        let mut progress = Progress::default();
        if !taken.is_empty() {
            if self.company() == Company::Others {
                send(&mut progress, None, &Packet::Transactions(taken));
            }
            progress.append(self.step(OrdererInput::Pending, now));
        }
        (answers, progress)
    }

    /// Sends what waits here once more: a validator that was away has not heard of it.
    pub fn relay_again(&self) -> Progress {
        let mut progress = Progress::default();
        let waiting = self.replica.pool().first(256);
        if !waiting.is_empty() && self.company() == Company::Others {
            let waiting = waiting.iter().map(|tx| Opaque::new(tx.as_bytes().to_vec())).collect();
            send(&mut progress, None, &Packet::Transactions(waiting));
        }
        progress
    }

    /// Takes a message of another validator, whose key the transport has authenticated.
    pub fn receive(&mut self, from: PublicKey, bytes: Vec<u8>, now: Timestamp) -> Progress {
        let mut progress = Progress::default();
        match Packet::from_bytes(&bytes) {
            Ok(Packet::Transactions(transactions)) => {
                let mut taken = false;
                for tx in &transactions {
                    match self.replica.admit_relayed(self.store.view(), tx.as_bytes()) {
                        Ok(_) => taken = true,
                        Err(error) => tracing::trace!(%error, "a relayed transaction is not taken"),
                    }
                }
                if taken {
                    progress.append(self.step(OrdererInput::Pending, now));
                }
            }
            Ok(Packet::WantProposal(hash)) => {
                if let Some(block) = self.look_up(&hash) {
                    send(&mut progress, Some(from), &Packet::Proposal(block));
                }
            }
            Ok(Packet::WantFinal(after)) => self.serve_final(from, after, &mut progress),
            Ok(Packet::PrunedTo(height)) => {
                tracing::warn!(%from, %height, "the blocks that are missing here were pruned there; restore a snapshot");
            }
            Ok(_) => progress.append(self.step(OrdererInput::Message { from, bytes }, now)),
            Err(error) => tracing::debug!(%from, %error, "a message cannot be read"),
        }
        progress
    }

    fn serve_final(&self, to: PublicKey, after: salus_ledger::Height, progress: &mut Progress) {
        let view = self.store.view();
        let (mut blocks, mut bytes, mut height) = (Vec::new(), 0, after.next());
        while height <= view.tip().height && (blocks.len() as u64) < CATCH_UP_BLOCKS {
            match view.block(height) {
                Ok(Some(block)) => {
                    bytes +=
                        block.block.transactions.iter().map(|t| t.as_bytes().len()).sum::<usize>();
                    if bytes > CATCH_UP_BYTES && !blocks.is_empty() {
                        break;
                    }
                    blocks.push(block);
                    height = height.next();
                }
                Ok(None) if blocks.is_empty() => {
                    send(progress, Some(to), &Packet::PrunedTo(view.tip().height));
                    return;
                }
                _ => break,
            }
        }
        if !blocks.is_empty() {
            send(progress, Some(to), &Packet::Final(blocks));
        }
    }

    /// A block from the store: a proposal that was kept, or a committed block.
    fn look_up(&self, hash: &BlockHash) -> Option<Block> {
        if let Ok(Some(block)) = self.store.proposal(hash) {
            return Some(block);
        }
        let view = self.store.view();
        let height = view.height_of(hash).ok().flatten()?;
        Some(view.block(height).ok().flatten()?.block)
    }

    /// Tells the orderer what happened, and does what it asks until it asks nothing more.
    pub fn step(&mut self, input: OrdererInput, now: Timestamp) -> Progress {
        let mut progress = Progress::default();
        let mut todo = VecDeque::from(self.orderer.step(input, now));
        while let Some(output) = todo.pop_front() {
            if self.store.is_frozen() {
                break;
            }
            if let Some(input) = self.serve(output, now, &mut progress) {
                todo.extend(self.orderer.step(input, now));
            }
        }
        progress
    }

    fn serve(
        &mut self,
        output: OrdererOutput,
        now: Timestamp,
        progress: &mut Progress,
    ) -> Option<OrdererInput> {
        match output {
            OrdererOutput::Propose { parent } => Some(self.propose(parent, now)),
            OrdererOutput::Check(block) => self.check(&block, now),
            OrdererOutput::Vote(hash) => match self.replica.cast(hash, &self.signer) {
                Ok(vote) => Some(OrdererInput::Voted(vote)),
                Err(error) => {
                    tracing::warn!(%error, "this validator does not vote for an agreed block");
                    None
                }
            },
            OrdererOutput::Fetch(hash) => match self.look_up(&hash) {
                Some(block) => Some(OrdererInput::Found(block)),
                None => {
                    self.ask_for(hash, progress);
                    None
                }
            },
            OrdererOutput::Send { to, bytes } => {
                progress.outgoing.push(Outgoing::To(to, bytes));
                None
            }
            OrdererOutput::Broadcast(bytes) => {
                progress.outgoing.push(Outgoing::ToAll(bytes));
                None
            }
            OrdererOutput::Final(block) => self.commit(block, progress),
            OrdererOutput::Misbehaviour(evidence) => {
                tracing::warn!(validator = %evidence.validator(), "a validator voted twice at one height");
                if let Err(error) = self.store.keep_evidence(&evidence) {
                    self.freeze(&error);
                }
                None
            }
        }
    }

    /// Keeps what the engine reports of another validator, once it is verified.
    pub fn accuse<R: CryptoRng>(&mut self, fault: &EngineFault, rng: &mut R) {
        let config = self.replica.config();
        let known = fault.config_version == config.form().version;
        let ledger = self.replica.tip().ledger;
        if !known || fault.verify(&ledger, &config.validator_keys(), rng).is_err() {
            tracing::debug!(validator = %fault.validator, "a reported fault is not proved");
            return;
        }
        tracing::warn!(validator = %fault.validator, rule = ?fault.rule, "a validator broke a rule of consensus");
        if !self.store.is_frozen()
            && let Err(error) = self.store.keep_fault(fault)
        {
            self.freeze(&error);
        }
    }

    /// One validator after the other, so that one that lacks the block delays little.
    fn ask_for(&mut self, hash: BlockHash, progress: &mut Progress) {
        let ours = self.signer.public_key();
        let others: Vec<PublicKey> =
            self.replica.config().validator_keys().into_iter().filter(|k| *k != ours).collect();
        self.asks = self.asks.wrapping_add(1);
        if let Some(to) = others.get(self.asks % others.len().max(1)) {
            send(progress, Some(*to), &Packet::WantProposal(hash));
        }
    }

    fn propose(&mut self, parent: BlockHash, now: Timestamp) -> OrdererInput {
        let block = match self.replica.propose_on(self.store.view(), &parent, now) {
            Ok(block) => block,
            Err(error) => {
                tracing::warn!(%error, "this validator cannot propose");
                None
            }
        };
        let kept = block.as_ref().is_none_or(|block| self.keep(block));
        OrdererInput::Proposed { parent, block: block.filter(|_| kept) }
    }

    /// Alone, a block is durable when it is committed, and nobody hears of it before.
    fn keep(&mut self, block: &Block) -> bool {
        if self.company() == Company::Alone {
            return true;
        }
        let Ok(hash) = block.header.hash() else { return false };
        let kept = match self.store.has_proposal(&hash) {
            Ok(true) => Ok(()),
            Ok(false) => self.store.keep_proposal(&hash, block),
            Err(error) => Err(error),
        };
        match kept {
            Ok(()) => true,
            Err(error) => {
                self.freeze(&error);
                false
            }
        }
    }

    fn check(&mut self, block: &Block, now: Timestamp) -> Option<OrdererInput> {
        let hash = block.header.hash().ok()?;
        match self.replica.check(self.store.view(), block, now) {
            Ok(hash) => self.keep(block).then_some(OrdererInput::Checked(hash)),
            Err(error) => {
                let rejection = rejection(&error);
                tracing::warn!(%error, ?rejection, "a proposed block is not taken");
                Some(OrdererInput::Rejected { block: hash, rejection })
            }
        }
    }

    fn commit(&mut self, block: FinalBlock, progress: &mut Progress) -> Option<OrdererInput> {
        let commit = match self.replica.finalise(self.store.view(), block) {
            Ok(Some(commit)) => commit,
            Ok(None) => return None,
            Err(error) => {
                tracing::warn!(%error, "a block that was said to be final is not taken");
                return None;
            }
        };
        if let Err(error) = self.store.commit(&commit) {
            self.freeze(&error);
            return None;
        }
        let header = Box::new(commit.block.block.header.clone());
        let block = commit.block.certificate.block;
        match self.replica.committed(commit) {
            Ok(acknowledged) => progress.acknowledged.extend(acknowledged),
            Err(error) => {
                self.freeze(&error);
                return None;
            }
        }
        progress.committed = true;
        let config = self.replica.config();
        let (validators, config_version) = (config.validator_keys(), config.form().version);
        Some(OrdererInput::Committed { header, block, validators, config_version })
    }

    fn freeze(&mut self, error: &dyn std::error::Error) {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::error!(%error, cause, "this validator is frozen; check its disk and restart it");
        self.replica.commit_failed();
    }
}

impl Progress {
    fn append(&mut self, other: Self) {
        self.outgoing.extend(other.outgoing);
        self.acknowledged.extend(other.acknowledged);
        self.committed |= other.committed;
    }
}

/// Whether a block may still become right as time passes.
fn rejection(error: &ReplicaError) -> Rejection {
    match error {
        ReplicaError::UnknownParent { .. }
        | ReplicaError::Frozen { .. }
        | ReplicaError::State(_)
        | ReplicaError::Execute(ExecuteError::TimeAhead { .. } | ExecuteError::State(_)) => {
            Rejection::NotYet
        }
        _ => Rejection::Invalid,
    }
}

fn send(progress: &mut Progress, to: Option<PublicKey>, packet: &Packet) {
    match (packet.to_bytes(), to) {
        (Ok(bytes), Some(to)) => progress.outgoing.push(Outgoing::To(to, bytes)),
        (Ok(bytes), None) => progress.outgoing.push(Outgoing::ToAll(bytes)),
        (Err(error), _) => tracing::error!(%error, "a message cannot be written"),
    }
}
