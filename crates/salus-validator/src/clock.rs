use std::time::{SystemTime, UNIX_EPOCH};

use salus_model::Timestamp;

/// A moment of the system's clock.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(micros).unwrap_or(Timestamp::EPOCH)
}

/// The system's clock now.
pub(crate) fn now() -> Timestamp {
    timestamp(SystemTime::now())
}
