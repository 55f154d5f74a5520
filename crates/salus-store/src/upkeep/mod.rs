//! Work on datasets that yields no rows: verification, compaction, expiry, rotation.
//!
//! # What runs beside each other
//! Versions are published by creating an object that must not be there, so of two that publish
//! the same number one has to read the other's version first and go on from it. Upkeep leans on
//! that instead of on clocks or locks:
//!
//! - *Compaction* names the files that it replaces. When one of them is no longer in the version
//!   that it goes on from, it gives up; files that others added stay.
//! - *Expiry* removes files that no kept version names. Some of those may belong to a writer that
//!   is slow and not dead. So expiry first publishes a version whose `retired_before` says which
//!   files are given up, and removes them afterwards. A writer that publishes later goes on from
//!   that version, sees it, and publishes those files no more; one that published earlier is named
//!   by the version that expiry went on from, and its files are kept. There is no moment at which
//!   a file is removed that a version names or will name. The hour that an unnamed file must be
//!   old is a courtesy to slow writers, and not what keeps the data.
//! - *Scans* hold no lock: one that still reads a version which expiry removes ends with an error.
//!   A version is kept for an hour after it was replaced, whatever number is asked for.
//! - *Rotation* replaces wrapped keys, and would bring back what expiry just removed; the two, as
//!   all upkeep, run one at a time in a process. Run upkeep in one process a lake: the node's.

mod compact;
mod destroy;
mod expire;
mod rewrap;
mod verify;

use tokio::sync::Mutex;

pub(crate) use self::compact::rewritten;
pub use self::compact::{CompactSettings, Compacted};
pub use self::destroy::Destroyed;
pub use self::expire::Expired;
pub use self::rewrap::Rewrapped;
pub use self::verify::{Finding, Problem, VerifyReport};

/// One piece of upkeep at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
