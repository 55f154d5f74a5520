use std::time::Duration;

use salus_crypto::OsEntropy;
use salus_model::Entropy as _;

/// How patiently a server is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The first wait; it doubles with every further one.
    pub first: Duration,
    /// The longest wait that we choose ourselves.
    pub most: Duration,
    /// The longest wait that a server may ask for with `Retry-After`.
    pub longest: Duration,
    /// How long an export may take in all.
    pub patience: Duration,
    /// How often the same request may fail.
    pub attempts: u32,
}

impl Pace {
    /// For servers that others use too: 1 s to 1 min, up to an hour where the server says so, a
    /// day for an export, eight attempts.
    pub const CONSIDERATE: Self = Self {
        first: Duration::from_secs(1),
        most: Duration::from_secs(60),
        longest: Duration::from_secs(3600),
        patience: Duration::from_secs(24 * 3600),
        attempts: 8,
    };

    /// The wait before attempt number `attempt`, counted from 0.
    ///
    /// What the server asks for is kept within bounds: never shorter than our own first wait, so
    /// that no server makes us hammer it. Without it, the wait is drawn between half of the
    /// doubled one and the whole, so that many sites do not come back at once.
    pub(crate) fn wait(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        if let Some(asked) = retry_after {
            return asked.clamp(self.first, self.longest.max(self.first));
        }
        let doubled = self.first.saturating_mul(1 << attempt.min(20)).min(self.most);
        let mut byte = [255];
        // Without randomness the wait is the whole.
        let _ = OsEntropy.fill(&mut byte);
        doubled / 2 + (doubled / 2).mul_f64(f64::from(byte[0]) / 255.0)
    }
}

/// `Retry-After`, in seconds or as a date.
pub(crate) fn retry_after(
    header: Option<&str>,
    now: chrono::DateTime<chrono::Utc>,
) -> Option<Duration> {
    let text = header?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some((at.with_timezone(&chrono::Utc) - now).to_std().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn waits_double_within_bounds_and_the_server_is_heard_within_bounds() {
        let pace = Pace::CONSIDERATE;
        for attempt in 0..40 {
            let whole = Duration::from_secs(1 << attempt.min(6)).min(pace.most);
            let wait = pace.wait(attempt, None);
            assert!(whole / 2 <= wait && wait <= whole, "{attempt}: {wait:?}");
        }
        assert_eq!(pace.wait(0, Some(Duration::ZERO)), pace.first);
        assert_eq!(pace.wait(0, Some(Duration::from_secs(90))), Duration::from_secs(90));
        assert_eq!(pace.wait(0, Some(Duration::from_secs(1 << 40))), pace.longest);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(retry_after(Some("120"), now), Some(Duration::from_secs(120)));
        let date = Some("Thu, 01 Jan 2026 00:01:00 GMT");
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(60)));
        let past = Some("Wed, 31 Dec 2025 23:00:00 GMT");
        assert_eq!(retry_after(past, now), Some(Duration::ZERO));
        assert_eq!(retry_after(Some("soon"), now), None);
        assert_eq!(retry_after(Some("-1"), now), None);
        assert_eq!(retry_after(None, now), None);
    }
}
