//! The system's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use salus_model::{Clock, Timestamp};

/// The present moment as the operating system tells it.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        Timestamp::EPOCH.saturating_add_micros(micros)
    }
}
