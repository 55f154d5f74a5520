//! Who asks.

use std::collections::BTreeSet;

use salus_model::{Class, Classified, Purpose, RoleName, Secret, StaffId};

/// A member of staff, as an access token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaffIdentity {
    /// Who.
    pub staff: StaffId,
    /// The roles that they may act in.
    pub roles: BTreeSet<RoleName>,
    /// What they work on; a primary use.
    pub purpose: Purpose,
}

/// A bearer token as a client sends it.
#[derive(Debug)]
pub struct AccessToken(Secret<String>);

impl AccessToken {
    /// Takes the token in.
    #[must_use]
    pub const fn new(token: String) -> Self {
        Self(Secret::new(token))
    }

    /// Lends the token to an [`Authenticator`].
    #[must_use]
    pub const fn expose(&self) -> &String {
        self.0.expose()
    }
}

/// Turns an access token into an identity.
///
/// It is asked anew for every statement, also within one connection, so that a token that is
/// revoked or expires stops working at once.
#[async_trait::async_trait]
pub trait Authenticator: Send + Sync {
    /// The person whom the token stands for.
    ///
    /// # Errors
    /// When the token is unknown, expired or revoked; which of them is not told.
    async fn authenticate(
        &self,
        token: &AccessToken,
    ) -> Result<StaffIdentity, AuthenticationFailed>;

    /// A person who is not here now, and has a token that holds in this role and for this
    /// purpose; for work that they asked for earlier and that goes on.
    ///
    /// # Errors
    /// When there is no such token any more; by default there never is.
    async fn standing(
        &self,
        staff: &StaffId,
        role: &RoleName,
        purpose: Purpose,
    ) -> Result<StaffIdentity, AuthenticationFailed> {
        let _ = (staff, role, purpose);
        Err(AuthenticationFailed::Token)
    }
}

/// A token was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationFailed {
    /// The token is not valid, or no longer.
    #[error("the access token is not valid; sign in again for a new one")]
    Token,
    /// The accounts cannot be reached.
    #[error("the accounts cannot be reached; try again")]
    Unavailable,
}

impl Classified for AuthenticationFailed {
    fn class(&self) -> Class {
        match self {
            Self::Token => Class::Refused,
            Self::Unavailable => Class::Unavailable,
        }
    }
}
