#![allow(clippy::unwrap_used)]

use salus_crypto::OsEntropy;
use salus_ledger::review::ReviewScore;

use super::{ReportError, ReviewReport};

fn report() -> ReviewReport {
    let checks = serde_json::json!({ "attacks": [{ "attack": "linkability", "risk": 0.01 }] });
    ReviewReport::new(checks, Some(ReviewScore::new(87).unwrap()), &mut OsEntropy).unwrap()
}

#[test]
fn a_report_is_read_as_it_was_written_and_two_alike_have_two_digests() {
    let (one, other) = (report(), report());
    let read = ReviewReport::from_bytes(one.as_bytes()).unwrap();
    assert_eq!((read.digest(), read.checks()), (one.digest(), one.checks()));
    assert_eq!(read.score().unwrap().get(), 87);
    // The same findings: without the salt, nobody can tell from the digest what a report says.
    assert_eq!(one.checks(), other.checks());
    assert_ne!(one.digest(), other.digest());
}

#[test]
fn a_changed_report_has_another_digest_and_what_is_none_is_refused() {
    let one = report();
    let text = String::from_utf8(one.as_bytes().to_vec()).unwrap();
    let better = text.replace("87", "99");
    let better = ReviewReport::from_bytes(better.as_bytes()).unwrap();
    assert_ne!(better.digest(), one.digest());
    for bad in ["", "{}", "[1]", &text.replace("salus review report", "another"), &text[1..]] {
        let refused = ReviewReport::from_bytes(bad.as_bytes());
        assert!(matches!(refused, Err(ReportError::Form { .. })), "{bad}");
    }
    let newer = text.replace("\"format\": 1", "\"format\": 2");
    let refused = ReviewReport::from_bytes(newer.as_bytes());
    assert!(matches!(refused, Err(ReportError::Format { found: 2 })), "{newer}");
    let unsalted = text.split("\"salt\": \"").nth(1).unwrap().split('"').next().unwrap();
    let refused = ReviewReport::from_bytes(text.replace(unsalted, "00").as_bytes());
    assert!(matches!(refused, Err(ReportError::Form { .. })));
}
