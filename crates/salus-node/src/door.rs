//! Who may come with a question: by default anybody with a permit's signature, and where the site
//! wants it, only who shows a certificate of a member of its ledger besides.
//!
//! The handshake proves that the caller has the certificate's key. What the certificate means is
//! decided at each request, by proofs of the ledger's present state and this node's clock: the key
//! that it vouches for, that key's member, and whether an authority has revoked it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use salus_crypto::Digest;
use salus_ledger::proof::{EvidenceError, Fact, ProvenState};
use salus_ledger::query::{Holder, HolderError};
use salus_ledger::{Fingerprint, PublicKey};
use salus_model::{Class, Classified, Clock, Timestamp};
use salus_private::{Ledger as _, LedgerRefused};
use salus_spine::Freshness;

use crate::ledger::HolderLedger;

/// How often the facts of a key may change while they are asked for.
const ATTEMPTS: usize = 3;

/// The header in which a caller names the ledger key that its certificate vouches for, in
/// hexadecimal. It is a hint where to look, and believed by nobody.
pub const MEMBER_KEY_HEADER: &str = "salus-member-key";

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// No certificate, or no key named beside it.
    #[error(
        "this node takes questions from members of its ledger alone: show a member's certificate"
    )]
    NoCertificate,
    /// The certificate does not count. Why not is for the log: a stranger learns nothing of it.
    #[error("the certificate that was shown does not count on this node's ledger now")]
    DoesNotCount(#[source] HolderError),
    /// Nobody proves how the ledger is.
    #[error("the ledger does not tell whether the certificate counts")]
    Ledger(#[from] LedgerRefused),
    /// What the validators give proves nothing.
    #[error("the ledger's evidence about the certificate proves nothing")]
    Evidence(#[from] EvidenceError),
    /// The proven state is too old, or from the future.
    #[error("the ledger's state of {time} is no evidence at {now}")]
    Stale {
        /// The state's time.
        time: Timestamp,
        /// This node's.
        now: Timestamp,
    },
}

impl Classified for NotAdmitted {
    fn class(&self) -> Class {
        match self {
            Self::NoCertificate | Self::DoesNotCount(_) => Class::Refused,
            Self::Ledger(error) => error.class(),
            Self::Evidence(error) => error.class(),
            Self::Stale { .. } => Class::Unavailable,
        }
    }
}

/// Lets in whoever shows a certificate of a member of the site's ledger.
pub struct MemberDoor {
    ledger: Arc<HolderLedger>,
    clock: Arc<dyn Clock>,
    freshness: Freshness,
    /// What had to be asked about keys that were let in: a hint for the next time.
    asked: Mutex<BTreeMap<PublicKey, BTreeSet<Fact>>>,
}

impl MemberDoor {
    /// A door of a member's node. `freshness` says how old the ledger's state may be, and so how
    /// soon a revocation takes effect.
    #[must_use]
    pub fn new(ledger: Arc<HolderLedger>, clock: Arc<dyn Clock>, freshness: Freshness) -> Self {
        Self { ledger, clock, freshness, asked: Mutex::new(BTreeMap::new()) }
    }

    /// The member behind a certificate whose key the caller has proved to have.
    ///
    /// # Errors
    /// When the certificate does not count now, or the ledger does not tell.
    ///
    /// # Cost
    /// One round to a validator for a member that was here before; up to three for others.
    pub async fn admit(&self, certificate: &[u8], key: &PublicKey) -> Result<Holder, NotAdmitted> {
        let fingerprint = Fingerprint::new(*Digest::of(certificate).as_bytes());
        let known = self.asked.lock().get(key).cloned();
        let mut facts = match known {
            Some(facts) => facts,
            None => self.look_up(key, &fingerprint).await?,
        };
        for _ in 0..ATTEMPTS {
            let state = self.fresh(&facts).await?;
            let wanted = state.facts_of_key(key)?;
            if !wanted.is_subset(&facts) {
                facts = wanted;
                continue;
            }
            let holder = state.certificate_holder(key, &fingerprint, self.clock.now())?;
            let holder = holder.map_err(NotAdmitted::DoesNotCount)?;
            if holder.expired.is_some() {
                // The ledger goes on with a validator's expired certificate; questions do not.
                let member = holder.member;
                return Err(NotAdmitted::DoesNotCount(HolderError::NotValidNow { member }));
            }
            self.asked.lock().insert(*key, facts);
            return Ok(holder);
        }
        Err(EvidenceError::NotProven { fact: Fact::Key(*key) }.into())
    }

    /// Whether there is such a key at all, before anything is written to the ledger for a stranger.
    async fn look_up(
        &self,
        key: &PublicKey,
        certificate: &Fingerprint,
    ) -> Result<BTreeSet<Fact>, NotAdmitted> {
        let state = self.ledger.state(&[Fact::Key(*key)]).await?;
        let facts = state.facts_of_key(key)?;
        match state.certificate_holder(key, certificate, self.clock.now()) {
            Ok(Err(HolderError::Unknown)) => Err(NotAdmitted::DoesNotCount(HolderError::Unknown)),
            // It exists; its member and its revocation are asked for next.
            _ => Ok(facts),
        }
    }

    async fn fresh(&self, facts: &BTreeSet<Fact>) -> Result<ProvenState, NotAdmitted> {
        let facts: Vec<Fact> = facts.iter().cloned().collect();
        let evidence = self.ledger.evidence(&facts, self.freshness).await?;
        let state = ProvenState::verify(&evidence, self.ledger.anchor())?;
        let (time, now) = (state.time(), self.clock.now());
        let oldest = now.saturating_add_micros(-self.freshness.max_age_micros);
        let latest = now.saturating_add_micros(self.freshness.max_ahead_micros);
        if time < oldest || time > latest {
            return Err(NotAdmitted::Stale { time, now });
        }
        Ok(state)
    }
}

impl std::fmt::Debug for MemberDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemberDoor({:?})", self.ledger)
    }
}
