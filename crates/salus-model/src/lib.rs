//! The words that every other Salus crate speaks.
//!
//! **Invariant:** this crate knows no file, socket, thread, wall clock, source of randomness or
//! data format; it has ids, units, states and secrets, and the checks that make them valid.
//!
//! **Invariant:** whatever it can build is valid. Constructors are the only checks, and `serde`
//! goes through them.

mod class;
mod clock;
mod entropy;
mod id;
mod privacy;
mod purpose;
mod secret;
mod sensitivity;

pub use class::{Class, Classified};
pub use clock::{Clock, ManualClock, Timestamp, TimestampError};
pub use entropy::{Entropy, EntropyFailed};
pub use id::{
    ColumnPath, DatasetId, DatasetVersion, DealId, HolderId, IdError, JobId, JournalName, KeyName,
    MemberId, PermitId, ReceiptId, RoleName, StaffId, TableName,
};
pub use privacy::{MicroRho, PrivacyCharge};
pub use purpose::Purpose;
pub use secret::Secret;
pub use sensitivity::{KeyClass, SensitivityError};

#[cfg(test)]
mod tests;
