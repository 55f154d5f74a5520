//! The ledger as the site uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use salus_crypto::OsEntropy;
use salus_ledger::block::Outcome;
use salus_ledger::call::{Call, MarkTime, RecordRelease, RecordTick, Release, Tick};
use salus_ledger::config::PlatformConfig;
use salus_ledger::genesis::Genesis;
use salus_ledger::proof::{Fact, ProvenState, StateEvidence, TrustAnchor};
use salus_ledger::transaction::{Envelope, SignedTransaction, Transaction, TransactionError};
use salus_ledger::{Height, Nonce, Opaque, PublicKey, Signer, TxId};
use salus_model::{Class, Clock, Entropy as _, MemberId, ReceiptId};
use salus_private::{Ledger, LedgerRefused, SignedRelease};
use salus_spine::Freshness;
use salus_validator::Identity;
use salus_validator::client::{ClientError, LedgerClient, Recorded};

use crate::tls::TlsError;

/// How many blocks a transaction may wait for its place.
const LIFETIME_BLOCKS: u64 = 50;

/// A member's hand on the ledger: it reads proofs, and signs what the organisation records.
pub struct HolderLedger {
    client: LedgerClient,
    signer: Signer,
    identity: Identity,
    clock: Arc<dyn Clock>,
    member: MemberId,
    genesis: Genesis,
    /// The last block that was seen.
    height: AtomicU64,
}

impl HolderLedger {
    /// A member that signs with its own key, over `client`.
    #[must_use]
    pub fn new(
        (member, genesis): (MemberId, Genesis),
        client: LedgerClient,
        identity: Identity,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let signer = identity.signer();
        Self { client, signer, identity, clock, member, genesis, height: AtomicU64::new(0) }
    }

    /// The ledger key that the organisation's certificate vouches for.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.signer.public_key()
    }

    /// TLS towards another organisation's node: it is verified with what that organisation gave
    /// out, as PEM, and is shown this organisation's certificate where it asks for one.
    ///
    /// # Errors
    /// When the PEM holds no certificate, or the own certificate cannot be used.
    pub fn tls_towards(&self, trusted_pem: &str) -> Result<rustls::ClientConfig, TlsError> {
        crate::tls::client(trusted_pem, &self.identity)
    }

    /// Whom the holder believes about the ledger.
    #[must_use]
    pub const fn anchor(&self) -> &TrustAnchor {
        self.client.anchor()
    }

    /// The organisation.
    #[must_use]
    pub const fn member(&self) -> &MemberId {
        &self.member
    }

    /// What the ledger began with.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
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
        let signed = self.signed(call.into(), &[]).await?;
        self.hand_in(&signed).await
    }

    /// Signs a call for the member and for others who have to, and sends nothing yet.
    ///
    /// # Errors
    /// When no validator tells how far the ledger is, or the call is too large.
    pub async fn signed(
        &self,
        call: Call,
        others: &[&Signer],
    ) -> Result<SignedTransaction, LedgerRefused> {
        self.signed_for(call, others, LIFETIME_BLOCKS).await
    }

    /// As [`HolderLedger::signed`], for a call on which others have to agree first: it may wait for
    /// its place for so many blocks.
    ///
    /// # Errors
    /// As there.
    pub async fn signed_for(
        &self,
        call: Call,
        others: &[&Signer],
        blocks: u64,
    ) -> Result<SignedTransaction, LedgerRefused> {
        if self.height.load(Ordering::Relaxed) == 0 {
            match self.client.last_block().await {
                Ok(tip) => self.saw(tip.finality.header.height),
                // A ledger that has no block yet has no proof of one.
                Err(ClientError::Refused { .. } | ClientError::NotProved { .. }) => {}
                Err(e) => return Err(refused(&e)),
            }
        }
        let mut nonce = [0; 16];
        OsEntropy.fill(&mut nonce).map_err(|e| unavailable(e.to_string()))?;
        let last = Height::new(self.height.load(Ordering::Relaxed)).after(blocks);
        let transaction = Transaction::new(*self.client.ledger(), Nonce::new(nonce), last, call);
        let wrong = |e: TransactionError| unavailable(e.to_string());
        let draft = transaction.draft().map_err(wrong)?.sign(&self.signer);
        others.iter().fold(draft, |draft, signer| draft.sign(signer)).finish().map_err(wrong)
    }

    /// Adds the member's signature to a transaction on which others agreed already, and checks
    /// theirs.
    ///
    /// # Errors
    /// When it is no transaction of this ledger, or a signature on it is forged.
    pub fn endorse(&self, transaction: &[u8]) -> Result<SignedTransaction, TransactionError> {
        SignedTransaction::from_bytes(transaction, self.client.ledger())?;
        Envelope::from_bytes(transaction)?.draft().sign(&self.signer).finish()
    }

    /// Hands a signed transaction in and waits until it is recorded for good; once more is harmless.
    ///
    /// # Errors
    /// When a rule refuses it, which is named, or no validator answers.
    pub async fn hand_in(&self, signed: &SignedTransaction) -> Result<Recorded, LedgerRefused> {
        self.applied(self.client.submit(signed).await.map_err(|e| refused(&e))?)
    }

    fn applied(&self, recorded: Recorded) -> Result<Recorded, LedgerRefused> {
        self.saw(recorded.entry.height);
        match &recorded.entry.outcome {
            Outcome::Applied => Ok(recorded),
            Outcome::Refused(rule) => {
                let says = format!("it is on record as refused at block {}", recorded.entry.height);
                Err(LedgerRefused::Rule { rule: rule.as_str().to_owned(), says })
            }
        }
    }

    fn saw(&self, height: Height) {
        self.height.fetch_max(height.get(), Ordering::Relaxed);
    }

    async fn proofs(&self, facts: &[Fact]) -> Result<StateEvidence, LedgerRefused> {
        let evidence = match self.client.facts(facts).await {
            // Before the first block there is no state that the validators signed; so make one.
            Err(ClientError::Refused { class: Class::BadRequest, rule: None, .. }) => {
                self.submit(MarkTime {}).await?;
                self.client.facts(facts).await
            }
            other => other,
        };
        let evidence = evidence.map_err(|e| refused(&e))?;
        self.saw(evidence.finality.header.height);
        Ok(evidence)
    }

    /// What the ledger's last state says of these facts, proved.
    ///
    /// # Errors
    /// When no validator gives a proof that holds.
    pub async fn state(&self, facts: &[Fact]) -> Result<ProvenState, LedgerRefused> {
        let evidence = self.proofs(facts).await?;
        ProvenState::verify(&evidence, self.anchor()).map_err(|e| unavailable(e.to_string()))
    }

    /// The configuration that the ledger is under, proved.
    ///
    /// # Errors
    /// When no validator gives a proof that holds.
    pub async fn config(&self) -> Result<PlatformConfig, LedgerRefused> {
        match self.client.config(None).await {
            Ok(Some(config)) => Ok(config),
            // Without a change, or a block, it is the first one.
            Ok(None) | Err(ClientError::Refused { class: Class::BadRequest, rule: None, .. }) => {
                Ok(self.genesis.config.clone())
            }
            Err(e) => Err(refused(&e)),
        }
    }

    /// The ledger's last block, proved.
    ///
    /// # Errors
    /// When no validator gives a proof that holds.
    pub async fn block(&self) -> Result<Height, LedgerRefused> {
        self.tip().await
    }

    /// The file of a receipt that stands on the ledger.
    ///
    /// # Errors
    /// When there is none, or no validator proves it.
    pub async fn receipt_file(&self, receipt: &ReceiptId) -> Result<Vec<u8>, LedgerRefused> {
        let state = self.state(&[Fact::Receipt(receipt.clone())]).await?;
        let record = state.receipt(receipt).map_err(|e| unavailable(e.to_string()))?;
        let record =
            record.ok_or_else(|| unavailable(format!("the ledger has no receipt {receipt}")))?;
        self.receipt(&record.transaction).await
    }

    async fn receipt(&self, id: &TxId) -> Result<Vec<u8>, LedgerRefused> {
        Ok(self.client.receipt(id).await.map_err(|e| refused(&e))?.1)
    }

    fn read(&self, signed: &SignedRelease) -> Result<SignedTransaction, LedgerRefused> {
        SignedTransaction::from_bytes(signed.bytes.as_bytes(), self.client.ledger())
            .map_err(|e| unavailable(e.to_string()))
    }

    /// Hands a kept transaction in and waits until it is recorded for good; once more is harmless.
    pub(crate) async fn hand_in_bytes(
        &self,
        signed: &SignedRelease,
    ) -> Result<TxId, LedgerRefused> {
        Ok(self.hand_in(&self.read(signed)?).await?.entry.transaction)
    }

    /// What became of a kept transaction that was perhaps sent: recorded, or none once it can never
    /// be.
    pub(crate) async fn take_up(
        &self,
        signed: &SignedRelease,
    ) -> Result<Option<TxId>, LedgerRefused> {
        let transaction = self.read(signed)?;
        let error = match self.client.submit(&transaction).await {
            // One that is recorded already is acknowledged again.
            Ok(recorded) => return Ok(Some(self.applied(recorded)?.entry.transaction)),
            Err(error) => error,
        };
        let lapsed = self.tip().await? > transaction.transaction().last();
        let known_to_none =
            matches!(&error, ClientError::Refused { class, .. } if *class != Class::Unavailable);
        if lapsed && known_to_none { Ok(None) } else { Err(refused(&error)) }
    }

    /// The height of the last block, proved.
    async fn tip(&self) -> Result<Height, LedgerRefused> {
        let tip = self.client.last_block().await.map_err(|e| refused(&e))?;
        self.saw(tip.finality.header.height);
        Ok(tip.finality.header.height)
    }
}

fn ready(signed: &SignedTransaction) -> SignedRelease {
    SignedRelease { transaction: signed.id(), bytes: Opaque::new(signed.as_bytes().to_vec()) }
}

fn unavailable(reason: String) -> LedgerRefused {
    LedgerRefused::Unavailable { reason }
}

/// A refusal by a rule names it; all else is the client's sentence with its cause, which names
/// addresses and never content.
pub(crate) fn refused(error: &ClientError) -> LedgerRefused {
    if let ClientError::Refused { problem, rule: Some(rule), .. } = error {
        return LedgerRefused::Rule { rule: rule.clone(), says: problem.clone() };
    }
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    unavailable(said)
}

#[async_trait::async_trait]
impl Ledger for HolderLedger {
    async fn evidence(
        &self,
        facts: &[Fact],
        freshness: Freshness,
    ) -> Result<StateEvidence, LedgerRefused> {
        let evidence = self.proofs(facts).await?;
        let half =
            evidence.finality.header.time.saturating_add_micros(freshness.max_age_micros / 2);
        if self.clock.now() < half {
            return Ok(evidence);
        }
        // Nothing happened for a while, so nobody knows whether a revocation is on its way.
        self.submit(MarkTime {}).await?;
        self.proofs(facts).await
    }

    async fn sign(&self, release: Release) -> Result<SignedRelease, LedgerRefused> {
        Ok(ready(&self.signed(RecordRelease { release }.into(), &[]).await?))
    }

    async fn sign_tick(
        &self,
        tick: Tick,
        release: Release,
    ) -> Result<SignedRelease, LedgerRefused> {
        Ok(ready(&self.signed(RecordTick { tick, release }.into(), &[]).await?))
    }

    async fn record(&self, signed: &SignedRelease) -> Result<Vec<u8>, LedgerRefused> {
        let recorded = self.hand_in(&self.read(signed)?).await?;
        self.receipt(&recorded.entry.transaction).await
    }

    async fn resume(&self, signed: &SignedRelease) -> Result<Option<Vec<u8>>, LedgerRefused> {
        match self.take_up(signed).await? {
            Some(transaction) => self.receipt(&transaction).await.map(Some),
            None => Ok(None),
        }
    }
}

impl std::fmt::Debug for HolderLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HolderLedger({} on {})", self.member, self.client.ledger())
    }
}
