//! The engine's side of the adapter: what `commonware-consensus` asks, put into a queue for the
//! orderer, and the orderer's answers.

use std::collections::VecDeque;
use std::sync::Arc;

use commonware_actor::Feedback;
use commonware_consensus::simplex::Plan;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Activity, Context};
use commonware_consensus::types::Round;
use commonware_consensus::{Automaton, CertifiableAutomaton, Relay, Reporter};
use commonware_cryptography::ed25519::PublicKey as EngineKey;
use commonware_cryptography::sha256::Digest;
use commonware_utils::channel::oneshot;
use commonware_utils::ordered::Set;
use parking_lot::Mutex;
use salus_ledger::BlockHash;
use tokio::sync::Notify;

use super::fault::EngineFault;

/// How many reports wait at most; who breaks the rules once breaks them often.
const MAX_FAULTS: usize = 64;

/// Which engine an event is of: every configuration has an engine of its own.
pub(crate) type EpochVersion = u64;

/// What the engine asks or says.
#[derive(Debug)]
pub(crate) enum EngineEvent {
    /// This validator leads: which block comes after the parent?
    Propose { parent: BlockHash, reply: oneshot::Sender<Digest> },
    /// May this validator vote for the block?
    Verify { parent: BlockHash, payload: BlockHash, reply: oneshot::Sender<bool> },
    /// A quorum voted for the block: is it here and right?
    Certify { payload: BlockHash, reply: oneshot::Sender<bool> },
    /// Send the block to the others.
    Relay { payload: BlockHash },
    /// The block and all before it are agreed for good.
    Agreed { payload: BlockHash },
}

/// What the engines have said and the orderer has not heard yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct EngineQueue {
    events: Arc<Mutex<VecDeque<(EpochVersion, EngineEvent)>>>,
    /// Who broke the engine's rules, as it says; for the driver, who verifies it.
    faults: Arc<Mutex<Vec<EngineFault>>>,
    heard: Arc<Notify>,
}

impl EngineQueue {
    fn push(&self, epoch: EpochVersion, event: EngineEvent) {
        self.events.lock().push_back((epoch, event));
        self.heard.notify_one();
    }

    pub(super) fn pop(&self) -> Option<(EpochVersion, EngineEvent)> {
        self.events.lock().pop_front()
    }

    /// What the engines have reported of others; not verified.
    pub(crate) fn take_faults(&self) -> Vec<EngineFault> {
        std::mem::take(&mut *self.faults.lock())
    }

    fn accuse(&self, fault: EngineFault) {
        let mut faults = self.faults.lock();
        if faults.len() < MAX_FAULTS {
            faults.push(fault);
            self.heard.notify_one();
        }
    }

    /// Returns once an engine has something to say.
    pub(crate) async fn heard(&self) {
        self.heard.notified().await;
    }
}

/// The application as the engine of one configuration sees it.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    epoch: EpochVersion,
    queue: EngineQueue,
    participants: Set<EngineKey>,
}

impl Application {
    pub(crate) const fn new(
        epoch: EpochVersion,
        queue: EngineQueue,
        participants: Set<EngineKey>,
    ) -> Self {
        Self { epoch, queue, participants }
    }

    fn push(&self, event: EngineEvent) {
        self.queue.push(self.epoch, event);
    }
}

pub(crate) const fn to_hash(digest: &Digest) -> BlockHash {
    BlockHash::new(digest.0)
}

pub(crate) const fn to_digest(hash: &BlockHash) -> Digest {
    Digest(*hash.as_bytes())
}

impl Automaton for Application {
    type Context = Context<Digest, EngineKey>;
    type Digest = Digest;

    async fn propose(&mut self, context: Self::Context) -> oneshot::Receiver<Digest> {
        let (reply, answer) = oneshot::channel();
        self.push(EngineEvent::Propose { parent: to_hash(&context.parent.1), reply });
        answer
    }

    async fn verify(&mut self, context: Self::Context, payload: Digest) -> oneshot::Receiver<bool> {
        let (reply, answer) = oneshot::channel();
        let (parent, payload) = (to_hash(&context.parent.1), to_hash(&payload));
        self.push(EngineEvent::Verify { parent, payload, reply });
        answer
    }
}

impl CertifiableAutomaton for Application {
    async fn certify(&mut self, _round: Round, payload: Digest) -> oneshot::Receiver<bool> {
        let (reply, answer) = oneshot::channel();
        self.push(EngineEvent::Certify { payload: to_hash(&payload), reply });
        answer
    }
}

impl Relay for Application {
    type Digest = Digest;
    type PublicKey = EngineKey;
    type Plan = Plan<EngineKey>;

    fn broadcast(&mut self, payload: Digest, _plan: Self::Plan) -> Feedback {
        self.push(EngineEvent::Relay { payload: to_hash(&payload) });
        Feedback::Ok
    }
}

impl Reporter for Application {
    type Activity = Activity<Scheme, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        if let Activity::Finalization(finalization) = &activity {
            self.push(EngineEvent::Agreed { payload: to_hash(&finalization.proposal.payload) });
        } else if let Some(fault) = EngineFault::reported(&activity, self.epoch, &self.participants)
        {
            self.queue.accuse(fault);
        }
        Feedback::Ok
    }
}
