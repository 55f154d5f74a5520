#![allow(clippy::unwrap_used)]

use super::{Independence, ReviewRule, ReviewRuleForm, ReviewScore};

fn rule(reviewers: u8, independence: Independence, least: Option<u8>) -> ReviewRule {
    let least_score = least.map(|points| ReviewScore::new(points).unwrap());
    ReviewRule::new(ReviewRuleForm { reviewers, independence, least_score }).unwrap()
}

#[test]
fn a_score_is_rounded_to_the_side_of_more_risk() {
    for (score, points) in [(0.0, 0), (0.99, 0), (80.999, 80), (99.999, 99), (100.0, 100)] {
        assert_eq!(ReviewScore::rounded_down(score).unwrap().get(), points, "{score}");
    }
    for none in [-0.001, 100.001, f64::NAN, f64::INFINITY] {
        assert!(ReviewScore::rounded_down(none).is_err(), "{none}");
    }
    assert!(ReviewScore::new(101).is_err());
}

#[test]
fn two_rules_together_ask_for_the_most_of_each() {
    let both = rule(3, Independence::Keys, None).with(rule(1, Independence::Members, Some(60)));
    assert_eq!(both, rule(3, Independence::Members, Some(60)));
    // A holder's weaker rule takes nothing away.
    let weaker = rule(1, Independence::Keys, None);
    assert_eq!(ReviewRule::STANDARD.with(weaker), ReviewRule::STANDARD);
    assert_eq!(ReviewRule::STANDARD.reviewers(), 2);
}

#[test]
fn a_rule_that_asks_for_nobody_or_for_too_many_is_none() {
    let form = |reviewers| ReviewRuleForm {
        reviewers,
        independence: Independence::Keys,
        least_score: None,
    };
    for bad in [0, 9, 255] {
        assert!(ReviewRule::new(form(bad)).is_err(), "{bad}");
    }
}

#[test]
fn where_a_score_is_asked_for_none_is_too_little() {
    let strict = rule(2, Independence::Keys, Some(70));
    let score = |points| Some(ReviewScore::new(points).unwrap());
    assert!(strict.takes(score(70)) && strict.takes(score(100)));
    assert!(!strict.takes(score(69)) && !strict.takes(None));
    assert!(ReviewRule::STANDARD.takes(None));
}
