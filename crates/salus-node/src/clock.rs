use salus_model::{Clock, Timestamp};

/// The operating system's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = chrono::Utc::now().timestamp_micros();
        Timestamp::from_micros(micros).unwrap_or(Timestamp::EPOCH)
    }
}
