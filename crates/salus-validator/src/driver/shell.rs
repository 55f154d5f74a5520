use std::collections::HashMap;
use std::time::Duration;

use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::ed25519::PublicKey as EngineKey;
use commonware_p2p::{Blocker, Receiver, Recipients, Sender};
use commonware_runtime::{Clock, Metrics, Spawner, Storage};
use rand_core::CryptoRng;
use salus_ledger::block::ExecuteError;
use salus_ledger::order::{Acknowledgement, Orderer, OrdererInput, PoolRefused, ReplicaError};
use salus_ledger::proof::SignedCheckpoint;
use salus_ledger::{Height, PublicKey, TxId};
use salus_model::{Class, Classified, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

use super::core::{Core, Outgoing, Progress};
use super::engine::{Engines, ledger_key};
use crate::order::EngineQueue;
use crate::store::{Pruned, Reader, StoreError};

const TICK: Duration = Duration::from_millis(100);
/// How many ticks pass before waiting transactions are sent again.
const RELAY_TICKS: u32 = 10;
const BATCH: usize = 512;

/// Why a transaction is not recorded.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// It is not taken.
    #[error("the transaction is not taken: {0}")]
    Refused(#[source] ReplicaError),
    /// No block carried it in its lifetime.
    #[error("no block carried the transaction up to block {last}, the last that may; sign it anew")]
    Expired {
        /// The last block that might have.
        last: Height,
    },
    /// The validator stopped.
    #[error("the validator is stopping; ask another one what became of the transaction")]
    Stopped,
}

impl Classified for SubmitError {
    fn class(&self) -> Class {
        match self {
            Self::Refused(error) => error.class(),
            Self::Expired { .. } | Self::Stopped => Class::Unavailable,
        }
    }
}

/// Whether a validator still commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frozen {
    /// It does.
    No,
    /// A write failed: it serves what it has and commits nothing more.
    Yes,
}

/// How a validator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The last committed block.
    pub height: Height,
    /// How many transactions wait.
    pub waiting: usize,
    /// Whether it still commits.
    pub frozen: Frozen,
}

type Answer = oneshot::Sender<Result<Acknowledgement, SubmitError>>;

/// What other threads ask of the driver.
pub(crate) enum Request {
    Submit { transaction: Vec<u8>, answer: Answer },
    Keep { cosigned: Box<SignedCheckpoint>, answer: oneshot::Sender<Result<(), StoreError>> },
    Prune { below: Height, answer: oneshot::Sender<Result<Pruned, StoreError>> },
    Stop,
}

/// A running validator, from any thread.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) reader: Reader,
}

impl Handle {
    /// Hands a transaction in, and returns once it is recorded durably and for good. Handing the
    /// same transaction in again is harmless and gives the same answer.
    ///
    /// # Errors
    /// When it is refused, runs out of its lifetime, or the validator stops.
    pub async fn submit(&self, transaction: Vec<u8>) -> Result<Acknowledgement, SubmitError> {
        let (answer, outcome) = oneshot::channel();
        let request = Request::Submit { transaction, answer };
        self.requests.send(request).await.map_err(|_| SubmitError::Stopped)?;
        outcome.await.unwrap_or(Err(SubmitError::Stopped))
    }

    /// Keeps a checkpoint that witnesses cosigned, to serve it.
    ///
    /// # Errors
    /// When the store fails or the validator stops.
    pub(crate) async fn keep_checkpoint(
        &self,
        cosigned: SignedCheckpoint,
    ) -> Result<(), StoreError> {
        let (answer, outcome) = oneshot::channel();
        let request = Request::Keep { cosigned: Box::new(cosigned), answer };
        self.requests.send(request).await.map_err(|_| StoreError::Frozen)?;
        outcome.await.unwrap_or(Err(StoreError::Frozen))
    }

    /// Drops the transactions of blocks below a height; their proofs stay.
    ///
    /// # Errors
    /// When the store fails or the validator stops.
    pub async fn prune_below(&self, below: Height) -> Result<Pruned, StoreError> {
        let (answer, outcome) = oneshot::channel();
        let request = Request::Prune { below, answer };
        self.requests.send(request).await.map_err(|_| StoreError::Frozen)?;
        outcome.await.unwrap_or(Err(StoreError::Frozen))
    }

    /// How the validator is now.
    #[must_use]
    pub fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Sees every change of the status: the live tail.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Reads the ledger.
    #[must_use]
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }
}

/// The channel between the drivers of the validators, and their engines.
pub(crate) struct Network<E, S: Sender, R, B> {
    pub(crate) sender: S,
    pub(crate) receiver: R,
    pub(crate) engines: Engines<E, S, B>,
}

/// The asynchronous shell around a [`Core`].
pub(crate) struct Shell<E, O, S: Sender, R, B> {
    pub(crate) context: E,
    pub(crate) core: Core<O>,
    pub(crate) queue: EngineQueue,
    pub(crate) network: Option<Network<E, S, R, B>>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) status: watch::Sender<Status>,
    waiting: HashMap<TxId, Waiting>,
    ticks: u32,
}

#[derive(Default)]
struct Waiting {
    last: Option<Height>,
    answers: Vec<Answer>,
}

enum Event {
    Requests(Vec<Request>),
    Message(PublicKey, Vec<u8>),
    Heard,
    Tick,
    Stop,
}

impl<E, O, S, R, B> Shell<E, O, S, R, B>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    O: Orderer,
    S: Sender<PublicKey = EngineKey>,
    R: Receiver<PublicKey = EngineKey>,
    B: Blocker<PublicKey = EngineKey>,
{
    pub(crate) fn new(
        context: E,
        core: Core<O>,
        queue: EngineQueue,
        network: Option<Network<E, S, R, B>>,
    ) -> (Self, Handle) {
        let (ask, requests) = mpsc::channel(4096);
        let height = core.store().view().tip().height;
        let (status, seen) = watch::channel(Status { height, waiting: 0, frozen: Frozen::No });
        let handle = Handle { requests: ask, status: seen, reader: core.store().reader() };
        let (waiting, ticks) = (HashMap::new(), 0);
        (Self { context, core, queue, network, requests, status, waiting, ticks }, handle)
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self) {
        self.run_engine().await;
        let mut next_tick = self.context.current() + TICK;
        loop {
            let event = self.event(next_tick).await;
            let now = self.now();
            let progress = match event {
                Event::Stop => break,
                Event::Requests(requests) => self.requests(requests, now),
                Event::Message(from, bytes) => self.core.receive(from, bytes, now),
                Event::Heard => self.heard(now),
                Event::Tick => {
                    next_tick = self.context.current() + TICK;
                    self.tick(now)
                }
            };
            self.carry_out(progress).await;
        }
        if let Some(network) = &mut self.network {
            network.engines.stop();
        }
    }

    fn now(&self) -> Timestamp {
        crate::clock::timestamp(self.context.current())
    }

    async fn event(&mut self, next_tick: std::time::SystemTime) -> Event {
        let receiver = self.network.as_mut().map(|network| &mut network.receiver);
        let message = async {
            match receiver {
                Some(receiver) => receiver.recv().await.ok(),
                None => std::future::pending().await,
            }
        };
        let mut requests = Vec::new();
        tokio::select! {
            biased;
            () = self.queue.heard() => Event::Heard,
            message = message => match message {
                Some((from, bytes)) => Event::Message(ledger_key(&from), bytes.as_ref().to_vec()),
                None => Event::Stop,
            },
            count = self.requests.recv_many(&mut requests, BATCH) => {
                if count == 0 { Event::Stop } else { Event::Requests(requests) }
            }
            () = self.context.sleep_until(next_tick) => Event::Tick,
        }
    }

    fn heard(&mut self, now: Timestamp) -> Progress {
        for fault in self.queue.take_faults() {
            self.core.accuse(&fault, &mut self.context);
        }
        self.core.step(OrdererInput::Tick, now)
    }

    fn tick(&mut self, now: Timestamp) -> Progress {
        self.ticks = self.ticks.wrapping_add(1);
        let mut progress = self.core.step(OrdererInput::Tick, now);
        if self.ticks.is_multiple_of(RELAY_TICKS) {
            progress.outgoing.extend(self.core.relay_again().outgoing);
        }
        progress
    }

    fn requests(&mut self, requests: Vec<Request>, now: Timestamp) -> Progress {
        let (mut transactions, mut answers) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                Request::Submit { transaction, answer } => {
                    transactions.push(transaction);
                    answers.push(answer);
                }
                Request::Prune { below, answer } => {
                    let _ = answer.send(self.core.store_mut().prune_below(below));
                }
                Request::Keep { cosigned, answer } => {
                    let _ = answer.send(self.core.store_mut().keep_checkpoint(&cosigned));
                }
                Request::Stop => self.requests.close(),
            }
        }
        // Whoever waits is noted before the step that may already commit, as one alone does.
        let known: Vec<_> = transactions
            .iter()
            .map(|bytes| salus_ledger::transaction::Envelope::from_bytes(bytes).ok())
            .map(|envelope| envelope.map(|e| (e.id(), e.transaction().last())))
            .collect();
        let mut refused_answers = HashMap::new();
        for (index, (answer, id)) in answers.into_iter().zip(&known).enumerate() {
            match id {
                Some((id, last)) => {
                    let waiting = self.waiting.entry(*id).or_default();
                    waiting.last = Some(*last);
                    waiting.answers.push(answer);
                }
                None => drop(refused_answers.insert(index, answer)),
            }
        }
        let (outcomes, progress) = self.core.submit(&transactions, now);
        for (index, outcome) in outcomes.into_iter().enumerate() {
            let Err(error) = outcome else { continue };
            match known.get(index).copied().flatten() {
                None => {
                    if let Some(answer) = refused_answers.remove(&index) {
                        let _ = answer.send(Err(SubmitError::Refused(error)));
                    }
                }
                Some((id, _)) => self.not_taken(id, error),
            }
        }
        progress
    }

    /// A transaction that waits already stays; one that is recorded is acknowledged again.
    fn not_taken(&mut self, id: TxId, error: ReplicaError) {
        if matches!(error, ReplicaError::Pool(PoolRefused::Known { .. })) {
            return;
        }
        let recorded = match &error {
            ReplicaError::Execute(
                ExecuteError::Replayed { .. } | ExecuteError::OutsideLifetime { .. },
            ) => self.core.store().view().recorded(&id).ok().flatten(),
            _ => None,
        };
        let Some(waiting) = self.waiting.remove(&id) else { return };
        let mut error = Some(error);
        for answer in waiting.answers {
            let outcome = match (&recorded, error.take()) {
                (Some(recorded), _) => Ok(Acknowledgement {
                    transaction: id,
                    height: recorded.entry.height,
                    history_index: recorded.history_index,
                    outcome: recorded.entry.outcome.clone(),
                }),
                (None, Some(error)) => Err(SubmitError::Refused(error)),
                // Handed in twice in one batch: the first caller has the reason.
                (None, None) => {
                    Err(SubmitError::Refused(ReplicaError::Pool(PoolRefused::Known { id })))
                }
            };
            let _ = answer.send(outcome);
        }
    }

    async fn carry_out(&mut self, progress: Progress) {
        // First: whoever is answered and then looks must not find an earlier height.
        self.report();
        for acknowledgement in progress.acknowledged {
            if let Some(waiting) = self.waiting.remove(&acknowledgement.transaction) {
                for answer in waiting.answers {
                    let _ = answer.send(Ok(acknowledgement.clone()));
                }
            }
        }
        if let Some(network) = &mut self.network {
            for message in progress.outgoing {
                let (to, bytes) = match message {
                    Outgoing::ToAll(bytes) => (Recipients::All, bytes),
                    Outgoing::To(to, bytes) => match EngineKey::decode(Copying(to.as_bytes())) {
                        Ok(key) => (Recipients::One(key), bytes),
                        Err(_) => continue,
                    },
                };
                drop(network.sender.send(to, bytes, true));
            }
        }
        if progress.committed {
            self.expire();
            self.run_engine().await;
        }
    }

    fn expire(&mut self) {
        let height = self.core.replica().tip().height;
        let over: Vec<TxId> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.last.is_some_and(|last| last <= height))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            if let Some(waiting) = self.waiting.remove(&id) {
                let last = waiting.last.unwrap_or(height);
                for answer in waiting.answers {
                    let _ = answer.send(Err(SubmitError::Expired { last }));
                }
            }
        }
    }

    fn report(&mut self) {
        let frozen = if self.core.store().is_frozen() { Frozen::Yes } else { Frozen::No };
        let height = self.core.replica().tip().height;
        let waiting = self.core.replica().pool().len();
        let status = Status { height, waiting, frozen };
        self.status.send_if_modified(|known| std::mem::replace(known, status) != status);
        if frozen == Frozen::Yes
            && let Some(network) = &mut self.network
        {
            network.engines.stop();
        }
    }

    /// Every configuration has an engine of its own.
    async fn run_engine(&mut self) {
        let Some(network) = &mut self.network else { return };
        let keys: Vec<PublicKey> =
            self.core.replica().config().validator_keys().into_iter().collect();
        match self.core.store().view().epoch() {
            Ok(epoch) if !self.core.store().is_frozen() => network.engines.run(epoch, &keys).await,
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "the configuration in force cannot be read"),
        }
    }
}
