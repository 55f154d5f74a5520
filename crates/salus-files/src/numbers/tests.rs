#![allow(clippy::unwrap_used)]

use super::{budget, days, delta, epsilon, people, score, seconds, seed, share, too_large};

type Read = fn(&str) -> Result<f64, String>;

#[test]
fn what_lies_outside_is_refused_with_the_range() {
    let cases: [(Read, &str, &str, &str); 10] = [
        (score, "100", "100.1", "between 0 and 100"),
        (score, "0", "-1", "between 0 and 100"),
        (share, "1", "2", "between 0 and 1"),
        (epsilon, "1e-9", "0", "above 0"),
        (epsilon, "1", "inf", "above 0"),
        (delta, "1e-18", "0", "above 0"),
        (delta, "0.5", "1", "below 1"),
        (seconds, "0.1", "0", "above 0"),
        (budget, "0", "-1", "not negative"),
        (budget, "0", "NaN", "not negative"),
    ];
    for (read, good, bad, part) in cases {
        assert!(read(good).is_ok(), "{good}");
        let said = read(bad).unwrap_err();
        assert!(said.contains(part), "{bad}: {said}");
    }
    assert!(people("0").is_err() && people("-1").is_err() && people("7") == Ok(7));
    assert!(days("0").is_err() && days("3").is_ok() && seed("-1").is_err() && seed("0") == Ok(0));
    assert!(too_large(0.5, 1_500).is_some() && too_large(1e-6, 1_500).is_none());
}
