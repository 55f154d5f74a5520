//! The ledger as the site uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use salus_crypto::OsEntropy;
use salus_ledger::block::Outcome;
use salus_ledger::call::{Call, MarkTime, RecordRelease, Release};
use salus_ledger::proof::{Fact, StateEvidence, TrustAnchor};
use salus_ledger::transaction::{SignedTransaction, Transaction};
use salus_ledger::{Height, Nonce, Signer, TxId};
use salus_model::{Clock, Entropy as _};
use salus_private::{Ledger, LedgerRefused};
use salus_spine::Freshness;
use salus_validator::client::{ClientError, LedgerClient, Recorded};

/// How many blocks a transaction may wait for its place.
const LIFETIME_BLOCKS: u64 = 50;

/// A holder's hand on the ledger: it reads proofs, and signs what the holder records.
pub struct HolderLedger {
    client: LedgerClient,
    signer: Signer,
    clock: Arc<dyn Clock>,
    /// The last block that was seen.
    height: AtomicU64,
}

impl HolderLedger {
    /// A holder that signs with `signer`, over `client`.
    #[must_use]
    pub const fn new(client: LedgerClient, signer: Signer, clock: Arc<dyn Clock>) -> Self {
        Self { client, signer, clock, height: AtomicU64::new(0) }
    }

    /// Whom the holder believes about the ledger.
    #[must_use]
    pub const fn anchor(&self) -> &TrustAnchor {
        self.client.anchor()
    }

    /// The client, for what needs no signature of the holder.
    #[must_use]
    pub const fn client(&self) -> &LedgerClient {
        &self.client
    }

    /// Signs a call and waits until it is recorded for good.
    ///
    /// # Errors
    /// When a rule refuses it, which is named, or no validator answers.
    pub async fn submit(&self, call: impl Into<Call>) -> Result<Recorded, LedgerRefused> {
        let signed = self.signed(call.into()).await?;
        let recorded = self.client.submit(&signed).await.map_err(|e| unavailable(&e))?;
        self.saw(recorded.entry.height);
        match &recorded.entry.outcome {
            Outcome::Applied => Ok(recorded),
            Outcome::Refused(rule) => Err(LedgerRefused::Rule { rule: rule.as_str().to_owned() }),
        }
    }

    async fn signed(&self, call: Call) -> Result<SignedTransaction, LedgerRefused> {
        if self.height.load(Ordering::Relaxed) == 0
            // A ledger that has no block yet has no tip; who is out of reach says so below.
            && let Ok(tip) = self.client.tip(Height::GENESIS).await
        {
            self.saw(tip.finality.header.height);
        }
        let mut nonce = [0; 16];
        OsEntropy.fill(&mut nonce).map_err(|e| reason(e.to_string()))?;
        let last = Height::new(self.height.load(Ordering::Relaxed)).after(LIFETIME_BLOCKS);
        let transaction = Transaction::new(*self.client.ledger(), Nonce::new(nonce), last, call);
        let wrong = |e: salus_ledger::transaction::TransactionError| reason(e.to_string());
        transaction.draft().map_err(wrong)?.sign(&self.signer).finish().map_err(wrong)
    }

    fn saw(&self, height: Height) {
        self.height.fetch_max(height.get(), Ordering::Relaxed);
    }

    async fn facts(&self, facts: &[Fact]) -> Result<StateEvidence, LedgerRefused> {
        let evidence = self.client.facts(facts).await.map_err(|e| unavailable(&e))?;
        self.saw(evidence.finality.header.height);
        Ok(evidence)
    }

    async fn receipt(&self, id: &TxId) -> Result<Vec<u8>, LedgerRefused> {
        Ok(self.client.receipt(id).await.map_err(|e| unavailable(&e))?.1)
    }
}

fn reason(reason: String) -> LedgerRefused {
    LedgerRefused::Unavailable { reason }
}

/// The client's sentence with its cause: it names addresses and rules, never content.
fn unavailable(error: &ClientError) -> LedgerRefused {
    let cause = std::error::Error::source(error).map(|e| format!(": {e}")).unwrap_or_default();
    reason(format!("{error}{cause}"))
}

#[async_trait::async_trait]
impl Ledger for HolderLedger {
    async fn evidence(
        &self,
        facts: &[Fact],
        freshness: Freshness,
    ) -> Result<StateEvidence, LedgerRefused> {
        let evidence = self.facts(facts).await?;
        let half =
            evidence.finality.header.time.saturating_add_micros(freshness.max_age_micros / 2);
        if self.clock.now() < half {
            return Ok(evidence);
        }
        // Nothing happened for a while, so nobody knows whether a revocation is on its way.
        self.submit(MarkTime {}).await?;
        self.facts(facts).await
    }

    async fn record(&self, release: Release) -> Result<Vec<u8>, LedgerRefused> {
        let recorded = self.submit(RecordRelease { release }).await?;
        self.receipt(&recorded.entry.transaction).await
    }
}
