//! How one validator's ledger bears a long history: blocks through the same core and store as in
//! the process, without network.

use std::time::{Duration, Instant};

use salus_ledger::order::SoloOrderer;
use salus_ledger::state::{self, StateProof};
use salus_ledger::{Height, history, query};
use salus_model::{MemberId, Timestamp};

use super::{Failure, Mint, Scratch, median};
use crate::clock;
use crate::dev::DevNetwork;
use crate::driver::Core;
use crate::store::Store;

/// How many transactions a block carries while the history is made.
const BLOCK: usize = 500;
/// How many blocks a transaction may wait, as members' sites sign theirs. The state remembers each
/// for so long; with thousands, what is measured is that memory and not the history.
const LIFETIME_BLOCKS: u64 = 50;
/// How many blocks are measured at each length.
const SAMPLES: usize = 20;

/// The figures at one length of history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryFigures {
    /// How many transactions the ledger has.
    pub transactions: u64,
    /// Durable transactions a second in full blocks, signatures checked.
    pub a_second: f64,
    /// The time of a block of one transaction, made, executed, voted for and durable.
    pub block_p50: Duration,
    /// The time to prove one transaction and one value of the state.
    pub proof_p50: Duration,
    /// The size of the database's file.
    pub disk_bytes: u64,
}

/// Grows one ledger and measures it at each of these lengths.
///
/// # Errors
/// When the disk fails, or a rule of the ledger is broken.
pub(super) fn measure(lengths: &[u64]) -> Result<Vec<HistoryFigures>, Failure> {
    let scratch = Scratch::new()?;
    let path = scratch.0.join("ledger.redb");
    let network = super::network(1)?;
    let mut ledger = Ledger::found(&path, &network)?;
    let mut figures = Vec::new();
    for length in lengths {
        let begun = (Instant::now(), ledger.size());
        while ledger.size() < *length {
            let left = usize::try_from(*length - ledger.size()).unwrap_or(BLOCK);
            ledger.block(left.min(BLOCK))?;
        }
        tracing::info!(length, seconds = begun.0.elapsed().as_secs(), "a history is made");
        figures.push(ledger.figures(&path)?);
    }
    Ok(figures)
}

struct Ledger {
    core: Core<SoloOrderer>,
    mint: Mint,
    last: Timestamp,
}

impl Ledger {
    fn found(path: &std::path::Path, network: &DevNetwork) -> Result<Self, Failure> {
        let store = Store::found(path, &network.genesis)?;
        let (_, identity) = network.validators.first().ok_or("no validator")?;
        let signer = identity.signer();
        let tip = store.view().tip().clone();
        let orderer = SoloOrderer::new(tip.ledger, signer.public_key(), tip.height, tip.hash()?);
        let mint = Mint::of(network)?;
        Ok(Self { core: Core::new(store, orderer, signer)?, mint, last: clock::now() })
    }

    fn size(&self) -> u64 {
        self.core.store().view().tip().history_size
    }

    /// Makes one block of so many transactions; gives the time from handing them in to the disk.
    fn block(&mut self, count: usize) -> Result<Duration, Failure> {
        let height = self.core.store().view().tip().height;
        let transactions: Vec<Vec<u8>> = (0..count)
            .map(|_| Ok(self.mint.make_until(height.after(LIFETIME_BLOCKS))?.as_bytes().to_vec()))
            .collect::<Result<_, Failure>>()?;
        self.last = clock::now().max(self.last.saturating_add_micros(1));
        let begun = Instant::now();
        let (answers, progress) = self.core.submit(&transactions, self.last);
        let took = begun.elapsed();
        answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        if progress.acknowledged.len() != count {
            return Err("a block does not carry what was handed in".into());
        }
        Ok(took)
    }

    fn figures(&mut self, path: &std::path::Path) -> Result<HistoryFigures, Failure> {
        let transactions = self.size();
        let mut full = Duration::ZERO;
        for _ in 0..SAMPLES {
            full += self.block(BLOCK)?;
        }
        let mut small = Vec::new();
        for _ in 0..SAMPLES * 5 {
            small.push(self.block(1)?);
        }
        let mut proofs = Vec::new();
        for number in 0..100 {
            let begun = Instant::now();
            self.prove(number * transactions / 100)?;
            proofs.push(begun.elapsed());
        }
        Ok(HistoryFigures {
            transactions,
            a_second: (SAMPLES * BLOCK) as f64 / full.as_secs_f64(),
            block_p50: median(&mut small),
            proof_p50: median(&mut proofs),
            disk_bytes: std::fs::metadata(path)?.len(),
        })
    }

    fn prove(&self, index: u64) -> Result<StateProof, Failure> {
        let view = self.core.store().view();
        let tip = view.tip();
        history::prove_inclusion(view, index, tip.history_size)?;
        let key = query::wallet_key(&MemberId::new("uni")?);
        let height: Height = tip.height;
        Ok(state::prove(view, height, &key)?)
    }
}
