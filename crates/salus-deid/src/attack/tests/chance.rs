//! What chance explains, and what it does not.

use std::num::NonZeroU32;

use super::{attack, measured, people, plan, scene};
use crate::attack::statistics::binomial_tail;
use crate::attack::{
    Attack, Entry, Finding, Plan, Report, Scene, confidence_of_each, normal_quantile, residual,
    run, wilson,
};
use crate::dice::Dice;
use crate::test_entropy::Sequence;
use crate::{Column, Table};

fn of(report: &Report, attack: Attack) -> Finding {
    let found = report.findings().find(|f| f.attack == attack).cloned();
    found.unwrap_or_else(|| panic!("{attack:?} was not run: {:?}", report.entries))
}

fn guessing(scene: &Scene<'_>, secret: &str) -> Report {
    let plan = Plan { secrets: vec![secret.into()], ..plan() };
    run(scene, &plan, &mut Sequence::new(11)).unwrap()
}

/// A table with one more column.
fn with(table: Table, name: &str, values: impl Iterator<Item = String>) -> Table {
    table.with_column(Column::from_values(name, values).unwrap()).unwrap()
}

#[test]
fn what_anybody_guesses_takes_nothing_from_the_score_and_a_leak_of_the_rest_does() {
    let n = 2_000;
    let confidence = confidence_of_each(15, NonZeroU32::MIN);
    let z = normal_quantile(f64::midpoint(1.0, confidence));
    let risk = |members: u64, control: u64| residual(wilson(members, n, z), wilson(control, n, z));
    // Nobody is exposed: 95, 99.5 and 100 in 100 are guessed, members or not.
    for (right, least) in [(1_900, 0.88), (1_990, 0.95), (2_000, 0.96)] {
        let none = risk(right, right);
        println!("n {n}, {right} right on both sides, alpha {:.5}: {none:?}", 1.0 - confidence);
        assert!(none.lower <= 0.0 && 1.0 - none.upper > least, "{none:?}");
    }
    // The 5 in 100 whom nobody guesses are all found out.
    let leak = risk(2_000, 1_900);
    assert!(leak.lower > 0.15 && (leak.value - 0.25).abs() < 0.02, "{leak:?}");
    // No jump where the room becomes the least.
    let (below, above) = (risk(1_800, 1_599), risk(1_800, 1_602));
    assert!((below.upper - above.upper).abs() < 0.03, "{below:?} {above:?}");
    // A risk is no more than the attack achieves.
    let rare = risk(0, 0);
    assert!(rare.upper <= wilson(0, n, z).upper);
}

#[test]
fn numbers_far_from_zero_are_no_easier_to_guess() {
    // Years of 24 and saturations of 12 values: within 5 % of each other all of them.
    let made = |from: usize| {
        let years = (from..from + 600).map(|i| (2_001 + (i * 7 + i / 5) % 24).to_string());
        let oxygen = (from..from + 600).map(|i| (88 + (i * 5 + i / 7) % 12).to_string());
        with(with(measured(from, 600), "year", years), "oxygen", oxygen)
    };
    let (real, control, other) = (made(0), made(600), made(1_200));
    for (secret, values) in [("year", 24.0), ("oxygen", 12.0)] {
        let calm = of(&guessing(&scene(&real, &control, &other), secret), Attack::Inference);
        let leaky = of(&guessing(&scene(&real, &control, &real), secret), Attack::Inference);
        println!("{secret}: {calm:?} {leaky:?}");
        // Neighbouring values count as well, where 5 % of the spread reaches them.
        assert!(calm.control.value < 4.0 / values && calm.risk.lower <= 0.0, "{calm:?}");
        assert!(leaky.successes == leaky.attempts && leaky.risk.lower > 0.5, "{leaky:?}");
    }
}

#[test]
fn a_number_that_half_of_all_have_is_guessed_within_its_own_share() {
    // Three in four have none; the others differ by more than 5 % of themselves.
    let gains = |from: usize| {
        let gain = |i: usize| if i.is_multiple_of(4) { 100 << (i / 4 % 8) } else { 0 };
        with(measured(from, 600), "gain", (from..from + 600).map(move |i| gain(i).to_string()))
    };
    let (real, control) = (gains(0), gains(600));
    // Of a release that says the largest of everybody, no other is guessed.
    let most = real.column("gain").unwrap().map(|_| "12800".to_owned());
    let released = real.clone().with_column(most).unwrap();
    let found = of(&guessing(&scene(&real, &control, &released), "gain"), Attack::Inference);
    println!("{found:?}");
    assert!(found.control.value < 0.1, "{found:?}");
}

/// People drawn by lot from one population, with a number of four digits.
fn drawn_by_lot(n: usize, dice: &mut Dice<'_>) -> Table {
    let mut column = |name: &str, below: usize| {
        let values: Vec<String> = (0..n).map(|_| dice.below(below).unwrap().to_string()).collect();
        Column::from_values(name, values).unwrap()
    };
    let all = [("age", 60), ("ward", 11), ("code", 23), ("result", 7), ("value", 10_000)];
    Table::from_columns(all.map(|(name, below)| column(name, below)).to_vec()).unwrap()
}

#[test]
fn a_small_control_group_hides_no_verbatim_release_and_accuses_no_independent_one() {
    let mut sequence = Sequence::new(3);
    let mut dice = Dice::new(&mut sequence);
    let [real, other, many, few] = [2_000, 2_000, 2_000, 200].map(|n| drawn_by_lot(n, &mut dice));
    let [equal, tenth] = [&many, &few].map(|control| attack(&scene(&real, control, &real)));
    println!("equal {:.2}, a tenth {:.2}", equal.score, tenth.score);
    assert!(equal.score < 1.0 && tenth.score < 1.0, "{} {}", equal.score, tenth.score);
    for kind in
        [Attack::SinglingOutUnivariate, Attack::SinglingOutMultivariate, Attack::PopulationLinkage]
    {
        let (equal, tenth) = (of(&equal, kind), of(&tenth, kind));
        println!("{kind:?}: {equal:?} {tenth:?}");
        assert!(tenth.rate.value > 0.9 * equal.rate.value && tenth.risk.lower > 0.5, "{tenth:?}");
    }
    let calm = attack(&scene(&real, &few, &other));
    assert_eq!(calm.proven().count(), 0, "{:?}", calm.entries);
    // What several members share is about none of them, also where few control people are asked.
    let doubled = real.select((0..1_000).chain(0..1_000)).unwrap();
    let shared = attack(&scene(&doubled, &few, &doubled));
    assert_eq!(of(&shared, Attack::PopulationLinkage).successes, 0);
}

#[test]
fn one_gap_does_not_make_a_column_of_numbers_one_of_words() {
    // Released values are off by little: as numbers they are near, as words they are all others.
    let numbers = |from: usize, off: f64| {
        let of = |column: usize| {
            let value = move |i: usize| {
                let place = (i * [7_919, 104_729, 15_485_863][column]) % 10_007;
                if (i, column) == (3, 0) {
                    "NA".to_owned()
                } else {
                    format!("{}", place as f64 + off)
                }
            };
            Column::from_values(["a", "b", "c"][column], (from..from + 500).map(value)).unwrap()
        };
        Table::from_columns((0..3).map(of).collect()).unwrap()
    };
    let (real, control, released) = (numbers(0, 0.0), numbers(500, 0.0), numbers(0, 0.25));
    let plan = Plan { secrets: vec!["a".into()], ..plan() };
    let report = run(&scene(&real, &control, &released), &plan, &mut Sequence::new(11)).unwrap();
    for kind in [Attack::Membership, Attack::Inference, Attack::LinkabilityAllNearest] {
        let found = of(&report, kind);
        println!("{found:?}");
        assert!(found.risk.lower > 0.5, "{found:?}");
    }
    // A gap is like a gap, however it is written, and unlike every number.
    let lost = crate::attack::unmatched(&scene(&real, &control, &released)).unwrap();
    assert!(lost.is_empty(), "{lost:?}");
    let written = released.column("a").unwrap().map(|v| v.replace("NA", "?"));
    let otherwise = released.clone().with_column(written).unwrap();
    assert!(crate::attack::unmatched(&scene(&real, &control, &otherwise)).unwrap().is_empty());
    assert!(!crate::attack::unmatched(&scene(&control, &control, &otherwise)).unwrap().is_empty());
}

/// Two columns with a value for each of thirty people: a draw from them repeats somebody's record.
fn narrow(ages: impl Iterator<Item = usize>) -> Table {
    let ages: Vec<usize> = ages.collect();
    let wards = ages.iter().map(|age| format!("w{}", age % 2)).collect::<Vec<_>>();
    Table::from_columns(vec![
        Column::from_values("age", ages.iter().map(usize::to_string)).unwrap(),
        Column::from_values("ward", wards).unwrap(),
    ])
    .unwrap()
}

#[test]
fn a_repeated_record_of_a_private_sample_is_chance_until_it_exceeds_control_people() {
    let crowd = || (0..400).map(|i| 1_000 + i % 20);
    let plan = Plan { secrets: Vec::new(), ..plan() };
    let judged = |members: usize, others: usize, drawn: bool| {
        // Unique ages below 100 are members', from 100 on control people's.
        let (real, control) = (narrow(crowd().chain(0..40)), narrow(crowd().chain(100..140)));
        let released = narrow(crowd().chain(0..members).chain(100..100 + others));
        let scene = Scene { drawn, ..Scene::new(&real, &control, &released) };
        run(&scene, &plan, &mut Sequence::new(11)).unwrap()
    };
    for (members, others, drawn, decides) in [
        (1, 0, false, true),
        (1, 0, true, false),
        (7, 8, false, false),
        (7, 8, true, false),
        (30, 2, false, true),
        (30, 2, true, true),
    ] {
        let report = judged(members, others, drawn);
        let counts = (report.published_verbatim, report.control_verbatim);
        println!("drawn {drawn}, {counts:?}: score {:.1}; {}", report.score, report.words);
        assert_eq!(counts, (members as u64, others as u64));
        assert_eq!(report.verbatim_decides, decides);
        assert!(report.words.contains("published as they are"), "{}", report.words);
        let zero = report.words.contains("the score is 0 whatever the rates");
        assert_eq!((zero, report.words.contains("chance explains it.")), (decides, !decides));
        assert!(!decides || report.score.abs() < 1e-12, "{}", report.score);
    }
    assert!(judged(1, 0, true).score > 50.0);
}

#[test]
fn each_record_that_stands_alone_is_one_attempt() {
    let columns = ["a", "b", "c", "d"];
    // People whom nobody is like, among two thousand in groups of a hundred: any three of the four
    // columns tell them apart.
    let apart = |c: usize, i: usize| [i / 8, i % 8, (i + i / 8) % 8, (2 * i + i / 8) % 8][c];
    let made = |whose: &str, alone: usize| {
        let all = columns.iter().enumerate().map(|(c, name)| {
            let group = |i: usize| format!("g{}", (i / 100 + c) % 10 + 10 * (i / 1_000));
            let own = (0..alone).map(|i| format!("{whose}{}", apart(c, i)));
            Column::from_values(*name, (0..2_000).map(group).chain(own)).unwrap()
        });
        Table::from_columns(all.collect()).unwrap()
    };
    let tried = |alone: usize| {
        let (real, control) = (made("m", alone), made("n", alone));
        let plan = Plan { secrets: Vec::new(), ..plan() };
        let report = run(&scene(&real, &control, &real), &plan, &mut Sequence::new(11)).unwrap();
        let entry = report.entries.iter().find(|e| match e {
            Entry::Run(f) => f.attack == Attack::SinglingOutMultivariate,
            Entry::NotRun { attack, .. } => *attack == Attack::SinglingOutMultivariate,
        });
        entry.cloned().unwrap()
    };
    // Four sets of columns isolate each of them: forty attempts all the same, not 160.
    let Entry::Run(found) = tried(40) else { panic!("forty records are enough") };
    println!("{found:?}");
    assert_eq!((found.attempts, found.successes, found.control_successes), (40, 40, 0));
    assert!(found.risk.lower > 0.5, "{found:?}");
    for (alone, said) in [(12, "only 12 records"), (0, "differs from all others")] {
        let Entry::NotRun { reason, .. } = tried(alone) else { panic!("{alone} are too few") };
        assert!(reason.contains(said), "{reason}");
    }
}

#[test]
fn a_rate_of_those_who_stand_alone_is_not_said_of_all_members() {
    let (real, control) = (people(0, 500), people(500, 500));
    let mut report = attack(&scene(&real, &control, &control));
    report.entries.retain(|e| match e {
        Entry::Run(f) => f.attack == Attack::SinglingOutMultivariate,
        Entry::NotRun { .. } => true,
    });
    let words = report.say();
    assert!(words.contains("of the records that stand alone are exposed"), "{words}");
    // Too few attacks to pass over those that were not run.
    assert!(words.contains("Not run, and no risk in the score:"), "{words}");
    assert!(words.contains("differencing earlier releases, subtracting an earlier release (there is no earlier release)"), "{words}");
    report.entries.retain(|e| matches!(e, Entry::NotRun { .. }));
    let words = report.say();
    assert!(words.starts_with("No attack could be run") && words.contains("generator"), "{words}");
}

#[test]
fn tails_of_the_binomial_distribution_are_those_of_pascals_triangle() {
    for (k, n, p, exact) in [
        (9, 10, 0.5, 11.0 / 1_024.0),
        (0, 5, 0.3, 1.0),
        (5, 5, 0.3, 0.002_43),
        (1, 3, 0.1, 0.271),
        (6, 5, 0.5, 0.0),
        (2, 2, 1.0, 1.0),
    ] {
        assert!((binomial_tail(k, n, p) - exact).abs() < 1e-9, "{k} of {n} at {p}");
    }
}
