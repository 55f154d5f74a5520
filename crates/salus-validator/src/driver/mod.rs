//! The driver: carries bytes, time and durability between the replica, the orderer, the store, the
//! network and the clients.

mod core;
mod engine;
mod shell;

pub use self::core::{Core, CoreError, Outgoing, Progress};
pub(crate) use engine::{Engines, Links};
pub use engine::{Pace, engine_key, ledger_key};
pub use shell::{Frozen, Handle, Status, SubmitError};
pub(crate) use shell::{Network, Request, Shell};

#[cfg(test)]
mod tests;
