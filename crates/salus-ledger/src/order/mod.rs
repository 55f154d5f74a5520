//! How a ledger is driven: a replica that admits, votes and commits, and an orderer that decides
//! which block comes next. Neither does I/O; a driver carries bytes, time and durability.

mod orderer;
mod pending;
mod pool;
mod replica;
mod solo;

pub use orderer::{Orderer, OrdererInput, OrdererOutput, Rejection};
pub use pool::{Pool, PoolRefused};
pub use replica::{Acknowledgement, Commit, Replica, ReplicaError, ResumeError, Voted};
pub use solo::SoloOrderer;
