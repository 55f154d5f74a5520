//! `CommonwareOrderer`: the consensus engine of `commonware-consensus` (simplex) behind the
//! ledger's own [`Orderer`] trait.
//!
//! The engine agrees on block hashes, view by view. This adapter brings it the blocks: it holds
//! back proposals while nothing waits, has every block executed before the engine may vote,
//! fetches what is missing, follows a chain that the engine has agreed on, and then collects the
//! validators' own votes ([`Vote`]), which make the ledger's certificate. It does no I/O: messages,
//! time and disk are the driver's, so a simulation runs exactly this code.
//!
//! # Why the engine's marshal is not used
//!
//! The marshal keeps blocks and certificates in archives of its own, beside a ledger whose rule is
//! one durable transaction per block; its epochs are ranges of heights fixed in advance, while here
//! a configuration transaction decides when the validators change; and its certificates may prove a
//! block only through a later one. The votes of the ledger cost one more message, about half a
//! millisecond in a local network, and every block has a certificate that a verifier checks
//! without knowing the engine.
//!
//! # Change of validators
//!
//! Each configuration has an engine of its own. A block that changes the configuration is the
//! last of its engine: while it is not final, the only thing that may be proposed after it is the
//! same block again, so that a later view can finish what an earlier one began.
//!
//! # Blocks that hang
//!
//! A view may end with a block that a quorum supports and that is not final: the validators lost
//! power, or messages were lost. Only a later block on it can make it final, and none comes while
//! nothing waits but what it carries. So a leader that has nothing to build on such a block proposes
//! the same block again after a moment.

mod bodies;
mod engine;
mod fault;
mod votes;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use commonware_cryptography::sha256::Digest;
use commonware_utils::channel::oneshot;
use salus_ledger::block::{Block, BlockHeader, FinalBlock, Vote};
use salus_ledger::order::{Orderer, OrdererInput, OrdererOutput, Rejection};
use salus_ledger::{BlockHash, ConfigHash, Height, PublicKey};
use salus_model::Timestamp;

use crate::packet::Packet;
use bodies::Bodies;
use engine::EngineEvent;
pub(crate) use engine::{Application, EngineQueue, to_digest};
pub use fault::{EngineFault, EngineFaultError, EngineRule};
pub(crate) use fault::{engine_namespace, participants};
use votes::{Counted, Votes};

/// How many committed blocks are still known by their hashes, for an engine that asks late.
const RECENT: usize = 512;
const FETCH_AGAIN_MICROS: i64 = 150_000;
/// How long a leader waits for something to build on a block that is not committed, before it
/// proposes that block again.
const PROPOSE_AGAIN_MICROS: i64 = 250_000;
const CATCH_UP_AGAIN_MICROS: i64 = 400_000;

/// What the engine waits to hear of a block.
#[derive(Debug)]
enum Question {
    /// Whether it may be voted for on this parent.
    Verify(BlockHash),
    /// Whether it is here and right.
    Certify,
}

#[derive(Debug)]
struct Asked {
    payload: BlockHash,
    question: Question,
    reply: oneshot::Sender<bool>,
}

#[derive(Debug)]
struct Build {
    parent: BlockHash,
    reply: oneshot::Sender<Digest>,
    /// When the engine asked.
    since: Timestamp,
}

/// Where the replica is.
#[derive(Debug, Clone)]
struct Tip {
    height: Height,
    hash: BlockHash,
    config: ConfigHash,
    version: u64,
}

/// Orders by the consensus of several validators, tolerating that less than a third of them lie.
#[derive(Debug)]
pub struct CommonwareOrderer {
    queue: EngineQueue,
    tip: Tip,
    recent: VecDeque<BlockHash>,
    bodies: Bodies,
    checked: HashSet<BlockHash>,
    rejected: HashSet<BlockHash>,
    not_yet: HashSet<BlockHash>,
    asked: Vec<Asked>,
    build: Option<Build>,
    /// Nothing waited when the replica was asked last.
    idle: bool,
    agreed: Option<BlockHash>,
    votes: Votes,
    fetched: HashMap<BlockHash, Timestamp>,
    caught_up: Option<Timestamp>,
    status_sent: Option<Timestamp>,
    offered: Option<BlockHash>,
}

impl CommonwareOrderer {
    /// Orders after the last committed block.
    ///
    /// # Errors
    /// None in practice: a header can always be encoded.
    pub fn new(
        tip: &BlockHeader,
        validators: BTreeSet<PublicKey>,
        config_version: u64,
    ) -> Result<Self, salus_ledger::cbor::CborError> {
        Ok(Self {
            queue: EngineQueue::default(),
            votes: Votes::new(tip.ledger, tip.height, validators),
            tip: Tip {
                height: tip.height,
                hash: tip.hash()?,
                config: tip.config,
                version: config_version,
            },
            recent: VecDeque::new(),
            bodies: Bodies::default(),
            checked: HashSet::new(),
            rejected: HashSet::new(),
            not_yet: HashSet::new(),
            asked: Vec::new(),
            build: None,
            idle: false,
            agreed: None,
            fetched: HashMap::new(),
            caught_up: None,
            status_sent: None,
            offered: None,
        })
    }

    /// What the engines of this orderer put their questions into.
    pub(crate) fn queue(&self) -> EngineQueue {
        self.queue.clone()
    }

    fn is_ready(&self, hash: &BlockHash) -> bool {
        *hash == self.tip.hash || self.checked.contains(hash)
    }

    fn is_past(&self, hash: &BlockHash) -> bool {
        *hash == self.tip.hash || self.recent.contains(hash)
    }

    /// Whether a block is agreed already, as one before the last that is.
    fn is_agreed(&self, hash: &BlockHash) -> bool {
        let path = self.agreed.and_then(|agreed| self.bodies.path(&self.tip.hash, &agreed));
        path.is_some_and(|path| path.contains(hash))
    }

    /// Whether a block that is not committed changes the configuration: the last of its engine.
    fn ends_epoch(&self, hash: &BlockHash) -> bool {
        let changes = |body: &Block| body.header.config != self.tip.config;
        *hash != self.tip.hash && self.bodies.get(hash).is_some_and(changes)
    }

    fn take_events(&mut self, now: Timestamp, out: &mut Vec<OrdererOutput>) {
        while let Some((version, event)) = self.queue.pop() {
            if version != self.tip.version {
                continue;
            }
            match event {
                EngineEvent::Propose { parent, reply } => {
                    self.build = Some(Build { parent, reply, since: now });
                    self.idle = false;
                }
                EngineEvent::Verify { parent, payload, reply } => {
                    let question = Question::Verify(parent);
                    self.asked.push(Asked { payload, question, reply });
                }
                EngineEvent::Certify { payload, reply } => {
                    self.asked.push(Asked { payload, question: Question::Certify, reply });
                }
                EngineEvent::Relay { payload } => {
                    if let Some(block) = self.bodies.get(&payload) {
                        send(out, None, &Packet::Proposal(block.clone()));
                    }
                }
                EngineEvent::Agreed { payload } => {
                    if !self.is_past(&payload) && !self.is_agreed(&payload) {
                        self.agreed = Some(payload);
                    }
                }
            }
        }
    }

    fn advance(&mut self, now: Timestamp, out: &mut Vec<OrdererOutput>) {
        self.take_events(now, out);
        self.lead(now, out);
        self.answer(now, out);
        self.follow(now, out);
        self.finish(now, out);
    }

    /// Asks the replica for a block when this validator leads and something waits.
    fn lead(&mut self, now: Timestamp, out: &mut Vec<OrdererOutput>) {
        let Some(build) = self.build.take_if(|build| !build.reply.is_closed()) else {
            self.build = None;
            return;
        };
        let parent = build.parent;
        if self.ends_epoch(&parent) || self.hangs(&build, now) {
            let _ = build.reply.send(to_digest(&parent));
            return;
        }
        self.build = Some(build);
        if !self.is_ready(&parent) {
            self.want(parent, now, out);
        } else if !self.idle {
            self.idle = true;
            out.push(OrdererOutput::Propose { parent });
        }
    }

    /// Whether the parent is checked and not committed, while nothing comes that could be built on
    /// it: its view may have ended before it was final, and nothing but a later view can make it so.
    fn hangs(&self, build: &Build, now: Timestamp) -> bool {
        let over = now >= build.since.saturating_add_micros(PROPOSE_AGAIN_MICROS);
        over && self.idle && self.checked.contains(&build.parent)
    }

    fn proposed(&mut self, parent: BlockHash, block: Option<Block>) {
        let Some(block) = block else { return };
        let Ok(hash) = block.header.hash() else { return };
        self.bodies.keep(hash, block);
        self.checked.insert(hash);
        if let Some(build) = self.build.take_if(|build| build.parent == parent) {
            let _ = build.reply.send(to_digest(&hash));
        }
    }

    /// Answers the engine where the replica has decided, and has the rest checked.
    fn answer(&mut self, now: Timestamp, out: &mut Vec<OrdererOutput>) {
        for asked in std::mem::take(&mut self.asked) {
            if asked.reply.is_closed() {
                continue;
            }
            match self.verdict(&asked) {
                Some(verdict) => drop(asked.reply.send(verdict)),
                None => {
                    self.want(asked.payload, now, out);
                    self.asked.push(asked);
                }
            }
        }
    }

    fn verdict(&self, asked: &Asked) -> Option<bool> {
        let known = self.is_ready(&asked.payload) || self.is_past(&asked.payload);
        match &asked.question {
            // A quorum has found it right: wait until it is here, however long that takes.
            Question::Certify => known.then_some(true),
            // The same block again brings nothing new, and may make it final.
            Question::Verify(parent) if *parent == asked.payload => known.then_some(true),
            Question::Verify(parent) if self.ends_epoch(parent) => Some(false),
            Question::Verify(_) if self.rejected.contains(&asked.payload) => Some(false),
            Question::Verify(parent) => {
                let body = self.bodies.get(&asked.payload)?;
                if body.header.parent != *parent { Some(false) } else { known.then_some(true) }
            }
        }
    }

    /// Has a block checked, or whatever has to be checked or fetched before it.
    fn want(&mut self, hash: BlockHash, now: Timestamp, out: &mut Vec<OrdererOutput>) {
        let mut at = hash;
        loop {
            if self.rejected.contains(&at) || self.not_yet.contains(&at) || self.is_past(&at) {
                return;
            }
            let Some(block) = self.bodies.get(&at) else { return self.fetch(at, now, out) };
            if block.header.height <= self.tip.height {
                self.rejected.insert(at);
                return;
            }
            let parent = block.header.parent;
            if self.is_ready(&parent) {
                if !self.is_ready(&at) {
                    out.push(OrdererOutput::Check(block.clone()));
                    // Until the replica has answered, which it does before the next step.
                    self.not_yet.insert(at);
                }
                return;
            }
            at = parent;
        }
    }

    fn fetch(&mut self, hash: BlockHash, now: Timestamp, out: &mut Vec<OrdererOutput>) {
        let again = self.fetched.get(&hash).map(|at| at.saturating_add_micros(FETCH_AGAIN_MICROS));
        if again.is_none_or(|again| now >= again) {
            self.fetched.insert(hash, now);
            out.push(OrdererOutput::Fetch(hash));
        }
    }

    /// Has the replica vote, block by block, for what the engine has agreed on.
    fn follow(&mut self, now: Timestamp, out: &mut Vec<OrdererOutput>) {
        let Some(agreed) = self.agreed else { return };
        if self.is_past(&agreed) {
            self.agreed = None;
            return;
        }
        let Some(path) = self.bodies.path(&self.tip.hash, &agreed) else {
            return self.want(agreed, now, out);
        };
        for hash in path {
            if !self.is_ready(&hash) {
                return self.want(hash, now, out);
            }
            if self.votes.shall_vote(&hash, self.bodies.get(&hash)) {
                out.push(OrdererOutput::Vote(hash));
            }
        }
    }

    /// Hands on the next block once its certificate is complete.
    fn finish(&mut self, now: Timestamp, out: &mut Vec<OrdererOutput>) {
        let Some(certificate) = self.votes.certificate(self.tip.height.next()) else { return };
        let hash = certificate.block;
        if self.offered == Some(hash) {
            return;
        }
        let certificate = certificate.clone();
        match self.bodies.get(&hash) {
            Some(block) => {
                self.offered = Some(hash);
                let block = block.clone();
                out.push(OrdererOutput::Final(FinalBlock { block, certificate }));
            }
            None => self.fetch(hash, now, out),
        }
    }

    fn found(&mut self, from: Option<PublicKey>, block: Block) {
        let height = block.header.height;
        let near = height > self.tip.height && height <= self.tip.height.after(4096);
        let Ok(hash) = block.header.hash() else { return };
        if near && block.is_whole() {
            let wanted = self.fetched.remove(&hash).is_some();
            self.bodies.insert(hash, block, from.filter(|_| !wanted));
        } else if !near {
            // An old block of another branch, or one that is committed here.
            self.agreed.take_if(|agreed| *agreed == hash);
            self.rejected.insert(hash);
        }
    }

    fn count(&mut self, vote: Vote, out: &mut Vec<OrdererOutput>) {
        match self.votes.count(vote) {
            Counted::Yes => {}
            Counted::Equivocation(evidence) => {
                out.push(OrdererOutput::Misbehaviour(*evidence));
            }
            Counted::No(reason) => tracing::debug!(%reason, "a vote does not count"),
        }
    }

    fn message(
        &mut self,
        from: PublicKey,
        bytes: &[u8],
        now: Timestamp,
        out: &mut Vec<OrdererOutput>,
    ) {
        match Packet::from_bytes(bytes) {
            Ok(Packet::Proposal(block)) => self.found(Some(from), block),
            Ok(Packet::Vote(vote)) => {
                let height = vote.height;
                self.count(vote, out);
                // Whoever votes for a block has committed, or is about to, the one before.
                if let Some(before) = height.get().checked_sub(2) {
                    self.status(from, Height::new(before), now, out);
                }
            }
            Ok(Packet::Status(height)) => self.status(from, height, now, out),
            Ok(Packet::Final(blocks)) => self.take_final(blocks, out),
            Ok(_) => {}
            Err(error) => tracing::debug!(%from, %error, "a message cannot be read"),
        }
    }

    fn status(
        &mut self,
        from: PublicKey,
        height: Height,
        now: Timestamp,
        out: &mut Vec<OrdererOutput>,
    ) {
        let again = self.caught_up.map(|at| at.saturating_add_micros(CATCH_UP_AGAIN_MICROS));
        if height > self.tip.height && again.is_none_or(|again| now >= again) {
            self.caught_up = Some(now);
            send(out, Some(from), &Packet::WantFinal(self.tip.height));
        }
    }

    /// Final blocks prove themselves, so it does not matter who sent them.
    fn take_final(&mut self, blocks: Vec<FinalBlock>, out: &mut Vec<OrdererOutput>) {
        let mut next = self.tip.height.next();
        for block in blocks {
            if block.block.header.height == next {
                next = next.next();
                out.push(OrdererOutput::Final(block));
            }
        }
        // More may follow at once.
        self.caught_up = None;
    }

    fn committed(&mut self, tip: Tip, validators: BTreeSet<PublicKey>) {
        if tip.height <= self.tip.height {
            return;
        }
        self.recent.push_back(self.tip.hash);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        if tip.version != self.tip.version {
            self.asked.clear();
            self.build = None;
            self.agreed = None;
        }
        self.votes.committed(tip.height, validators);
        self.bodies.settle(tip.height);
        let bodies = &self.bodies;
        self.checked.retain(|hash| bodies.get(hash).is_some());
        self.rejected.clear();
        self.not_yet.clear();
        self.fetched.clear();
        self.idle = false;
        self.tip = tip;
    }

    fn tick(&mut self, now: Timestamp, out: &mut Vec<OrdererOutput>) {
        self.not_yet.clear();
        self.offered = None;
        let again = self.status_sent.map(|at| at.saturating_add_micros(CATCH_UP_AGAIN_MICROS));
        if again.is_none_or(|again| now >= again) {
            self.status_sent = Some(now);
            send(out, None, &Packet::Status(self.tip.height));
            for vote in self.votes.ours() {
                send(out, None, &Packet::Vote(vote.clone()));
            }
        }
    }
}

fn send(out: &mut Vec<OrdererOutput>, to: Option<PublicKey>, packet: &Packet) {
    match (packet.to_bytes(), to) {
        (Ok(bytes), Some(to)) => out.push(OrdererOutput::Send { to, bytes }),
        (Ok(bytes), None) => out.push(OrdererOutput::Broadcast(bytes)),
        (Err(error), _) => tracing::error!(%error, "a message cannot be written"),
    }
}

impl Orderer for CommonwareOrderer {
    fn step(&mut self, input: OrdererInput, now: Timestamp) -> Vec<OrdererOutput> {
        let mut out = Vec::new();
        match input {
            OrdererInput::Pending => self.idle = false,
            OrdererInput::Tick => self.tick(now, &mut out),
            OrdererInput::Message { from, bytes } => self.message(from, &bytes, now, &mut out),
            OrdererInput::Proposed { parent, block } => self.proposed(parent, block),
            OrdererInput::Found(block) => self.found(None, block),
            OrdererInput::Checked(hash) => {
                self.not_yet.remove(&hash);
                self.checked.insert(hash);
            }
            OrdererInput::Rejected { block, rejection: Rejection::Invalid } => {
                self.rejected.insert(block);
            }
            OrdererInput::Rejected { block, rejection: Rejection::NotYet } => {
                self.not_yet.insert(block);
            }
            OrdererInput::Voted(vote) => {
                send(&mut out, None, &Packet::Vote(vote.clone()));
                self.votes.gave(&vote);
                self.count(vote, &mut out);
            }
            OrdererInput::Committed { header, block, validators, config_version } => {
                let tip = Tip {
                    height: header.height,
                    hash: block,
                    config: header.config,
                    version: config_version,
                };
                self.committed(tip, validators);
            }
        }
        self.advance(now, &mut out);
        out
    }
}
