use salus_crypto::{Digest, Signature, SigningKey, VerifyingKey};
use salus_model::{Class, Classified, HolderId, Timestamp};

/// Something that a holder's authority signs: a grant, an order, an acknowledgement.
pub trait Statement {
    /// Keeps signatures over different kinds of statement apart.
    const DOMAIN: &'static str;
    /// The holder who is to have signed it.
    fn holder(&self) -> &HolderId;
    /// From when and until when it holds; none for a record, which holds for ever.
    fn valid(&self) -> Option<(Timestamp, Timestamp)>;
    /// A digest that binds every field.
    fn digest(&self) -> Digest;
}

/// A statement with its signature, not verified yet.
#[derive(Debug, Clone)]
pub struct SignedStatement<S> {
    statement: S,
    signature: Signature,
}

impl<S: Statement> SignedStatement<S> {
    /// Puts a statement and a signature from elsewhere together.
    #[must_use]
    pub const fn new(statement: S, signature: Signature) -> Self {
        Self { statement, signature }
    }

    /// The signature.
    #[must_use]
    pub const fn signature(&self) -> Signature {
        self.signature
    }

    /// The statement, as far as anybody may read it before it is verified.
    #[must_use]
    pub const fn unverified(&self) -> &S {
        &self.statement
    }
}

/// A holder's authority: the signing side, at the holder's policy decision point.
pub struct Authority {
    holder: HolderId,
    key: SigningKey,
}

impl Authority {
    /// The authority of `holder` with its key.
    #[must_use]
    pub const fn new(holder: HolderId, key: SigningKey) -> Self {
        Self { holder, key }
    }

    /// What others verify its statements with.
    #[must_use]
    pub fn verifier(&self) -> HolderAuthority {
        HolderAuthority { holder: self.holder.clone(), key: self.key.verifying_key() }
    }

    /// Signs a statement.
    pub fn sign<S: Statement>(&self, statement: S) -> SignedStatement<S> {
        let signature = self.key.sign(S::DOMAIN, statement.digest().as_bytes());
        SignedStatement { statement, signature }
    }
}

/// A holder's authority: the verifying side.
#[derive(Debug, Clone)]
pub struct HolderAuthority {
    holder: HolderId,
    key: VerifyingKey,
}

impl HolderAuthority {
    /// The authority whose statements `key` verifies.
    #[must_use]
    pub const fn new(holder: HolderId, key: VerifyingKey) -> Self {
        Self { holder, key }
    }

    /// Whose authority it is.
    #[must_use]
    pub const fn holder(&self) -> &HolderId {
        &self.holder
    }

    /// What its signatures are verified with.
    #[must_use]
    pub const fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Verifies holder, signature and validity, in this order.
    ///
    /// # Errors
    /// Says which of them does not hold.
    pub fn verify<'s, S: Statement>(
        &self,
        signed: &'s SignedStatement<S>,
        now: Timestamp,
    ) -> Result<&'s S, StatementRefused> {
        let statement = &signed.statement;
        if *statement.holder() != self.holder {
            return Err(StatementRefused::OtherHolder { wanted: self.holder.clone() });
        }
        self.key
            .verify(S::DOMAIN, statement.digest().as_bytes(), &signed.signature)
            .map_err(|_| StatementRefused::Signature)?;
        if let Some((from, until)) = statement.valid() {
            if now < from {
                return Err(StatementRefused::NotYetValid { from });
            }
            if now >= until {
                return Err(StatementRefused::Expired { until });
            }
        }
        Ok(statement)
    }
}

/// Why a token was not made from a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementRefused {
    /// It speaks for another holder.
    #[error("the statement is not one of holder {wanted}")]
    OtherHolder {
        /// The holder whose statement was wanted.
        wanted: HolderId,
    },
    /// The signature does not fit statement and key.
    #[error("the statement's signature does not verify")]
    Signature,
    /// Its time has not come.
    #[error("the statement holds from {from}")]
    NotYetValid {
        /// When it begins.
        from: Timestamp,
    },
    /// Its time is over.
    #[error("the statement expired at {until}; ask again")]
    Expired {
        /// When it ended.
        until: Timestamp,
    },
    /// A secondary purpose in a care grant.
    #[error("'{0}' is secondary use, which needs a permit; a care grant does not cover it")]
    NotCare(salus_model::Purpose),
    /// It is for another person than the one who asks.
    #[error("the grant is for another member of staff than the one who asks")]
    OtherRecipient,
    /// It is for another dataset or kind of work.
    #[error("the order does not cover this")]
    OtherWork,
}

impl Classified for StatementRefused {
    fn class(&self) -> Class {
        Class::Refused
    }
}
