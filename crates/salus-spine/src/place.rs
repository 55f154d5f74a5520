use salus_crypto::Digest;
use salus_model::{HolderId, Timestamp};

use crate::authority::{HolderAuthority, SignedStatement, Statement, StatementRefused};
use crate::scope::Scope;

/// The holder's word that a use takes place on its own premises.
#[derive(Debug, Clone)]
pub struct PremisesStatement {
    /// The use.
    pub scope: Scope,
    /// From when it holds.
    pub issued: Timestamp,
    /// Until when it holds.
    pub expires: Timestamp,
}

impl Statement for PremisesStatement {
    const DOMAIN: &'static str = "salus premises v1";

    fn holder(&self) -> &HolderId {
        self.scope.holder()
    }

    fn valid(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.issued, self.expires))
    }

    fn digest(&self) -> Digest {
        Digest::of_parts(
            Self::DOMAIN,
            &[
                self.scope.holder().as_str().as_bytes(),
                self.scope.deal().as_str().as_bytes(),
                &self.issued.as_micros().to_be_bytes(),
                &self.expires.as_micros().to_be_bytes(),
            ],
        )
    }
}

/// Proof that the process holds the holder's authority key, so runs on the holder's premises.
#[derive(Debug)]
pub struct OnPremises {
    pub(crate) scope: Scope,
}

impl OnPremises {
    /// Verifies the holder's word.
    ///
    /// # Errors
    /// When holder, signature or time do not fit.
    pub fn verify(
        statement: &SignedStatement<PremisesStatement>,
        authority: &HolderAuthority,
        now: Timestamp,
    ) -> Result<Self, StatementRefused> {
        let statement = authority.verify(statement, now)?;
        Ok(Self { scope: statement.scope.clone() })
    }
}

/// Where rows will be decrypted.
///
/// Verified attestation evidence becomes the second variant when there are workers to attest.
#[derive(Debug)]
pub enum Place {
    /// On the holder's own premises.
    Premises(OnPremises),
}

impl Place {
    pub(crate) const fn scope(&self) -> &Scope {
        match self {
            Self::Premises(p) => &p.scope,
        }
    }
}
