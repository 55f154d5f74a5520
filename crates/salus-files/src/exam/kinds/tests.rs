#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeSet;

use super::super::cohort::{Cohort, Field};
use super::super::draw::Draws;
use super::{Maker, association_measures, plain};

#[test]
fn measures_of_association_are_those_of_the_textbook() {
    // Doll and Hill 1950, men: 647 smokers and 2 others with lung cancer, 622 and 27 without.
    let found = association_measures([[647, 622], [2, 27]]);
    let of = |name: &str| found.iter().find(|m| m.0 == name).unwrap().1.clone();
    assert_eq!(of("odds ratio"), "14.04");
    assert_eq!(of("relative risk"), "7.39");
    assert_eq!(of("risk among the exposed"), "51.0 %");
    assert_eq!(of("risk difference"), "+44.1 percentage points");
}

#[test]
fn numbers_are_written_without_needless_digits() {
    assert_eq!([plain(5.0), plain(36.6), plain(0.125), plain(-2.0)], ["5", "36.6", "0.125", "-2"]);
}

/// Patients whose diagnosis follows from smoking, and who have an age.
pub(super) fn cohort() -> Cohort {
    let mut draws = Draws::of(7);
    let patients = 1_500;
    let (mut smoking, mut sex, mut diagnosis, mut age) = (vec![], vec![], vec![], vec![]);
    for _ in 0..patients {
        let smokes = draws.below(3);
        smoking.push(Some(["never", "former", "current"][smokes].to_owned()));
        sex.push(Some(["female", "male"][draws.below(2)].to_owned()));
        let ill = draws.below(10) < 3 + 2 * smokes;
        let what = if ill { "COPD" } else { ["asthma", "none"][draws.below(2)] };
        diagnosis.push(Some(what.to_owned()));
        age.push(Some((30 + draws.below(50)).to_string()));
    }
    let fields = vec![
        Field::new("smoking".to_owned(), smoking, false),
        Field::new("sex".to_owned(), sex, false),
        Field::new("diagnosis".to_owned(), diagnosis, false),
        Field::new("age".to_owned(), age, true),
    ];
    Cohort { fields, patients, epsilon: 1.0, delta: 1e-6 }
}

#[test]
fn every_kind_has_one_right_answer_that_follows_from_what_is_shown() {
    let cohort = cohort();
    let maker = Maker::new(&cohort, None).unwrap();
    let mut draws = Draws::of(1);
    let mut digests = BTreeSet::new();
    for kind in maker.kinds() {
        let mut made = 0;
        for _ in 0..400 {
            let Some(question) = kind(&maker, &mut draws) else { continue };
            made += 1;
            let texts: BTreeSet<&str> = question.choices.iter().map(|c| c.text.as_str()).collect();
            assert_eq!(texts.len(), question.choices.len(), "two answers read alike");
            assert!((3..=5).contains(&texts.len()) && question.right < texts.len());
            let right = &question.choices[question.right].text;
            assert!(question.explanation.contains(right.as_str()), "{}", question.explanation);
            check(&question);
            digests.insert(question.digest());
        }
        println!("{made} of 400 draws gave a question");
        assert!(made > 40);
    }
    println!("{} different questions", digests.len());
}

/// Computes the answer again from the text alone.
fn check(question: &super::Question) {
    let right = &question.choices[question.right].text;
    let cell =
        |r: usize, c: usize| -> f64 { question.table.as_ref().unwrap().1[r][c].parse().unwrap() };
    match question.kind {
        "median" => {
            let list = question.vignette.split("recorded as ").nth(1).unwrap();
            let mut all: Vec<f64> =
                list.trim_end_matches('.').split("; ").map(|v| v.parse().unwrap()).collect();
            all.sort_by(f64::total_cmp);
            assert_eq!(right, &plain(all[all.len() / 2]));
        }
        "test" => {
            let (tp, fp, fnn, tn) = (cell(0, 1), cell(0, 2), cell(1, 1), cell(1, 2));
            let value = if question.ask.contains("sensitivity") {
                tp / (tp + fnn)
            } else if question.ask.contains("specificity") {
                tn / (tn + fp)
            } else if question.ask.contains("positive predictive") {
                tp / (tp + fp)
            } else {
                tn / (tn + fnn)
            };
            assert_eq!(right, &format!("{:.1} %", 100.0 * value));
        }
        "association" => {
            let (a, b, c, d) = (cell(0, 1), cell(0, 2), cell(1, 1), cell(1, 2));
            let value = if question.ask.contains("odds") {
                format!("{:.2}", (a / b) / (c / d))
            } else if question.ask.contains("relative") {
                format!("{:.2}", (a / (a + b)) / (c / (c + d)))
            } else if question.ask.contains("difference") {
                format!("{:+.1} percentage points", 100.0 * (a / (a + b) - c / (c + d)))
            } else {
                format!("{:.1} %", 100.0 * a / (a + b))
            };
            assert_eq!(right, &value);
        }
        _ => {}
    }
}

#[test]
fn the_likeliest_is_counted_from_the_cohort() {
    let cohort = cohort();
    let maker = Maker::new(&cohort, None).unwrap();
    let mut draws = Draws::of(3);
    let question = (0..500).find_map(|_| maker.likeliest(&mut draws)).unwrap();
    println!("{}\n{}", question.vignette, question.explanation);
    assert_eq!(question.kind, "case");
    assert!(question.vignette.contains("is not recorded"));
}
