//! How long a login name has to wait after failed tries.
//!
//! A name is never locked for good: that would let anybody lock out anybody. It waits instead,
//! longer each time, so that one name allows about 100 guesses in the first day and 24 on each
//! later one, known or unknown.
//!
//! # Source
//! NIST SP 800-63B-4, section 3.2.2 (at most 100 failed tries in a row).

use salus_model::Timestamp;

/// Tries that cost no waiting.
pub const FREE_TRIES: u32 = 5;

const SECOND: i64 = 1_000_000;
const FIRST_WAIT: i64 = 30 * SECOND;
const LONGEST_WAIT: i64 = 60 * 60 * SECOND;

/// Failed tries of one name in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    failures: u32,
    next: Timestamp,
}

impl Tries {
    /// No failed try yet.
    #[must_use]
    pub const fn none(now: Timestamp) -> Self {
        Self { failures: 0, next: now }
    }

    pub(crate) const fn stored(failures: u32, next: Timestamp) -> Self {
        Self { failures, next }
    }

    pub(crate) const fn failures(self) -> u32 {
        self.failures
    }

    pub(crate) const fn next(self) -> Timestamp {
        self.next
    }

    /// Counts a try as failed, before it is known whether it is; what counts after a success is
    /// [`Tries::none`].
    ///
    /// # Errors
    /// The time from which on a try is allowed again.
    pub fn count(self, now: Timestamp) -> Result<Self, Timestamp> {
        if now < self.next {
            return Err(self.next);
        }
        let failures = self.failures.saturating_add(1);
        let doublings = failures.saturating_sub(FREE_TRIES);
        let wait = match doublings {
            0 => 0,
            n => FIRST_WAIT.saturating_mul(1 << (n - 1).min(20)).min(LONGEST_WAIT),
        };
        Ok(Self { failures, next: now.saturating_add_micros(wait) })
    }
    /// Takes one counted try back, which did not fail. What failed before it still counts, or a
    /// right password would give its thief any number of codes to guess.
    #[must_use]
    pub const fn give_back(self) -> Self {
        Self { failures: self.failures.saturating_sub(1), ..self }
    }
}
