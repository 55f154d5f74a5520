//! People who sign in: accounts, passwords, second factors and sessions.
//!
//! ```text
//! administrator ──invite──▶ Invitation ──accept(password)──▶ account
//! login + password (+ code) ──sign_in──▶ SignedIn { session token, Standing }
//! session token ──who──▶ Standing                     for each request
//! ```
//!
//! **Invariant:** what [`Accounts`] keeps opens nothing by itself. Passwords are Argon2id strings,
//! session tokens, invitations and recovery codes are digests of 256 or 80 random bits, and the
//! secrets of second factors are sealed under a key that the database does not hold.
//!
//! **Invariant:** whether a login name exists cannot be learned from signing in: an unknown name
//! costs the same work, counts against the same limit and gets the same answer.
//!
//! **Invariant:** each try is counted before its password is looked at, so that tries in parallel
//! do not get around the limit.
//!
//! # Privacy
//! Names of staff and researchers stay here. On the ledger people appear under a key per permit.
//!
//! # Where things are
//!
//! | Module | What |
//! | --- | --- |
//! | [`password`] | what is accepted as a password, and how it is kept |
//! | [`second`] | time-based codes and recovery codes |
//! | [`limit`] | how long a name has to wait after failed tries |
//! | [`Accounts`] | the operations, over SQLite or PostgreSQL; with the history of questions |
//!
//! # Source
//! NIST SP 800-63B-4 (passwords, rate limits, sessions); RFC 6238 (codes); RFC 9106 (Argon2id).

mod account;
mod accounts;
mod asked;
mod authority;
mod error;
mod events;
pub mod limit;
pub mod password;
pub mod second;
mod session;
mod store;

pub use account::{Account, AccountId, AccountRole, AccountState, Bound, LoginName, NameRefused};
pub use accounts::{Accounts, Invitation, NewAccount, SignIn};
pub use asked::{Asked, Asking, Outcome, Pending};
pub use authority::Authority;
pub use error::AccountError;
pub use events::{Event, EventKind};
pub use second::Enrolment;
pub use session::{SessionRules, SessionToken, SignedIn, Standing, Strength};
pub use store::{Database, OpenError};

#[cfg(test)]
mod tests;
