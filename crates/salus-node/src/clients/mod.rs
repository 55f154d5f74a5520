//! Programs that sign in with a key of their own: SMART Backend Services, the server's side.
//!
//! # Source
//! SMART App Launch 2.2, "Backend Services" and "Client Authentication: Asymmetric"; RFC 7523.

mod assertion;
mod file;
mod replay;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use salus_crypto::{Digest, OsEntropy};
use salus_model::{Class, Classified, Clock, Entropy as _, Purpose, RoleName, StaffId, Timestamp};
use salus_query::{AccessToken, AuthenticationFailed, Authenticator, StaffIdentity};

pub use self::assertion::AssertionRefused;
pub use self::file::{Client, ClientId, ClientKey, ClientsError, Registrations};
use self::replay::Replays;

/// For how long a token holds; the specification recommends five minutes at most.
const TOKEN_SECONDS: i64 = 300;
/// Tokens that may hold at once; who asks for more has lost count.
const TOKENS_MOST: usize = 100_000;
const TOKEN_PREFIX: &str = "salus_client_";

/// A sign-in was refused.
///
/// # Privacy
/// Which check refused an assertion is written to our log and not told: it would help nobody but
/// those who try keys.
#[derive(Debug, thiserror::Error)]
pub enum SignInRefused {
    /// The assertion is not that of a registered client, or not for us, or not for now.
    #[error("the client's assertion is not accepted")]
    Client(#[source] AssertionRefused),
    /// What was asked for is not granted.
    #[error("none of the scopes asked for is granted; this client has: {granted}")]
    Scope {
        /// What the client has.
        granted: String,
    },
    /// We cannot decide now.
    #[error("signing in is not possible at this moment; try again")]
    Unavailable,
}

impl Classified for SignInRefused {
    fn class(&self) -> Class {
        match self {
            Self::Client(_) => Class::Refused,
            Self::Scope { .. } => Class::BadRequest,
            Self::Unavailable => Class::Unavailable,
        }
    }
}

/// A token, as the client gets it.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token; nowhere kept.
    pub token: AccessToken,
    /// For how many seconds it holds.
    pub seconds: i64,
    /// What the client may do, as its registration says.
    pub scope: String,
}

struct Issued {
    client: ClientId,
    expires: Timestamp,
}

/// For how long a job of a client may run.
const JOB_SECONDS: i64 = 24 * 3600;

/// The registered clients of a site, and the tokens that they hold.
///
/// # Privacy
/// Tokens have 256 random bits and are kept as digests, in memory alone: a restart voids them. A
/// client that is removed, or changed, is refused from the next request on.
pub struct Clients {
    file: Registrations,
    clock: Arc<dyn Clock>,
    replays: Mutex<Replays>,
    issued: Mutex<HashMap<Digest, Issued>>,
}

impl Clients {
    /// The clients of the site in `folder`.
    ///
    /// # Errors
    /// When the list of used assertions cannot be read.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, ClientsError> {
        let replays = Replays::open(folder, clock.now())?;
        Ok(Self {
            file: Registrations::new(folder),
            clock,
            replays: Mutex::new(replays),
            issued: Mutex::default(),
        })
    }

    /// Gives a token for an assertion that a client signed for `audience`, our token endpoint.
    ///
    /// # Errors
    /// When the assertion is not accepted, or was used before.
    pub fn sign_in(
        &self,
        assertion: &str,
        scope: &str,
        audience: &str,
    ) -> Result<IssuedToken, SignInRefused> {
        let now = self.clock.now();
        let clients = self.file.list().map_err(unavailable)?;
        let believed = assertion::verify(assertion, audience, now, &clients);
        let (client, used) = believed.map_err(|refused| {
            tracing::warn!(reason = %refused, "a client's sign-in was refused");
            SignInRefused::Client(refused)
        })?;
        if !scope
            .split_whitespace()
            .any(|asked| client.scope.split_whitespace().any(|has| covers(has, asked)))
        {
            return Err(SignInRefused::Scope { granted: client.scope.clone() });
        }
        // On disk before a token is given: it must not be used again after a restart either.
        let fresh = self.replays.lock().note(&client.id, &used, now).map_err(unavailable)?;
        if !fresh {
            tracing::warn!(client = %client.id, "an assertion was used a second time");
            return Err(SignInRefused::Client(AssertionRefused::Replayed));
        }
        let token = self.issue(client.id.clone(), TOKEN_SECONDS);
        let token = token.ok_or(SignInRefused::Unavailable)?;
        tracing::info!(client = %client.id, "a client signed in");
        Ok(IssuedToken { token, seconds: TOKEN_SECONDS, scope: client.scope.clone() })
    }

    fn issue(&self, client: ClientId, seconds: i64) -> Option<AccessToken> {
        let mut random = zeroize::Zeroizing::new([0; 32]);
        OsEntropy.fill(&mut *random).ok()?;
        let token = format!("{TOKEN_PREFIX}{}", hex::encode(*random));
        let now = self.clock.now();
        let expires = now.saturating_add_micros(seconds.saturating_mul(1_000_000));
        let mut issued = self.issued.lock();
        issued.retain(|_, known| now < known.expires);
        if issued.len() >= TOKENS_MOST {
            return None;
        }
        issued.insert(Digest::of(token.as_bytes()), Issued { client, expires });
        Some(AccessToken::new(token))
    }

    fn holder(&self, token: &AccessToken) -> Option<ClientId> {
        // Looked up by digest: how long it takes tells nothing about a token that is not known.
        let issued = self.issued.lock();
        let known = issued.get(&Digest::of(token.expose().as_bytes()))?;
        (self.clock.now() < known.expires).then(|| known.client.clone())
    }

    /// A token for work that a client began and that takes longer than its own token holds; it
    /// stays in this process, and is void at once when the client is removed. None when `token`
    /// is no client's.
    #[must_use]
    pub fn for_job(&self, token: &AccessToken) -> Option<AccessToken> {
        self.issue(self.holder(token)?, JOB_SECONDS)
    }

    /// Voids a token.
    pub fn forget(&self, token: &AccessToken) {
        self.issued.lock().remove(&Digest::of(token.expose().as_bytes()));
    }
}

fn unavailable(error: impl std::fmt::Display) -> SignInRefused {
    tracing::error!(%error, "a client cannot sign in");
    SignInRefused::Unavailable
}

/// Whether a scope that a client has covers one that it asks for: the same right to the same
/// type or to all, `read` being `rs`.
fn covers(has: &str, asked: &str) -> bool {
    let parts = |scope: &str| {
        let (kind, right) = scope.strip_prefix("system/")?.rsplit_once('.')?;
        let right = match right {
            "read" => "rs",
            "write" => "cud",
            "*" => "cruds",
            right => right,
        };
        Some((kind.to_owned(), right.to_owned()))
    };
    let (Some((has, rights)), Some((kind, wanted))) = (parts(has), parts(asked)) else {
        return false;
    };
    let type_fits = has == "*" || has == kind;
    type_fits && !wanted.is_empty() && wanted.chars().all(|right| rights.contains(right))
}

#[async_trait::async_trait]
impl Authenticator for Clients {
    async fn authenticate(
        &self,
        token: &AccessToken,
    ) -> Result<StaffIdentity, AuthenticationFailed> {
        if !token.expose().starts_with(TOKEN_PREFIX) {
            return Err(AuthenticationFailed::Token);
        }
        let id = self.holder(token).ok_or(AuthenticationFailed::Token)?;
        let client = self.registered()?.into_iter().find(|client| client.id == id);
        client.map(Client::identity).ok_or(AuthenticationFailed::Token)?
    }

    /// A registration stands for as long as it is there: a program's tokens hold for minutes.
    async fn standing(
        &self,
        staff: &StaffId,
        role: &RoleName,
        purpose: Purpose,
    ) -> Result<StaffIdentity, AuthenticationFailed> {
        for client in self.registered()? {
            let identity = client.identity()?;
            if identity.staff == *staff
                && identity.roles.contains(role)
                && identity.purpose == purpose
            {
                return Ok(identity);
            }
        }
        Err(AuthenticationFailed::Token)
    }
}

impl Clients {
    fn registered(&self) -> Result<Vec<Client>, AuthenticationFailed> {
        self.file.list().map_err(|error| {
            tracing::error!(%error, "the clients file cannot be read");
            AuthenticationFailed::Unavailable
        })
    }
}

impl Client {
    fn identity(self) -> Result<StaffIdentity, AuthenticationFailed> {
        let staff = StaffId::new(format!("client:{}", self.id));
        let staff = staff.map_err(|_| AuthenticationFailed::Token)?;
        let roles: BTreeSet<RoleName> = self.roles;
        let purpose: Purpose = self.purpose;
        Ok(StaffIdentity { staff, roles, purpose })
    }
}

/// Several ways to prove who one is; the first that knows the token counts.
pub struct AnyOf(Vec<Arc<dyn Authenticator>>);

impl AnyOf {
    /// Asks each in turn.
    #[must_use]
    pub const fn new(ways: Vec<Arc<dyn Authenticator>>) -> Self {
        Self(ways)
    }
}

#[async_trait::async_trait]
impl Authenticator for AnyOf {
    async fn authenticate(
        &self,
        token: &AccessToken,
    ) -> Result<StaffIdentity, AuthenticationFailed> {
        let mut failed = AuthenticationFailed::Token;
        for way in &self.0 {
            match way.authenticate(token).await {
                Err(AuthenticationFailed::Token) => {}
                Err(other) => failed = other,
                known => return known,
            }
        }
        Err(failed)
    }

    async fn standing(
        &self,
        staff: &StaffId,
        role: &RoleName,
        purpose: Purpose,
    ) -> Result<StaffIdentity, AuthenticationFailed> {
        let mut failed = AuthenticationFailed::Token;
        for way in &self.0 {
            match way.standing(staff, role, purpose).await {
                Err(AuthenticationFailed::Token) => {}
                Err(other) => failed = other,
                known => return known,
            }
        }
        Err(failed)
    }
}

#[cfg(test)]
mod tests;
