#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod chance;

use std::num::{NonZeroU32, NonZeroUsize};

use super::{
    Aggregate, Attack, AttackError, COUNT, Entry, Finding, Generator, Genotypes, Halves,
    Likelihoods, Linking, Plan, Report, Scene, Shadow, allele_frequencies, by_loss,
    normal_quantile, residual, run, wilson,
};
use crate::test_entropy::Sequence;
use crate::{Column, Hierarchy, QuasiIdentifier, QuasiIdentifiers, Table};

#[test]
fn quantiles_and_intervals_are_those_of_the_textbook() {
    assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
    assert!((normal_quantile(0.999) - 3.090_232_306_167_813_6).abs() < 1e-12);
    assert!(normal_quantile(0.5).abs() < 1e-12);
    // Wilson 1927 for 10 of 100 at 95 %, as R's prop.test(correct = FALSE) gives it.
    let rate = wilson(10, 100, normal_quantile(0.975));
    assert!((rate.lower - 0.055_229_14).abs() < 1e-7 && (rate.upper - 0.174_365_7).abs() < 1e-7);
    let nothing = wilson(0, 0, 2.0);
    assert!(nothing.lower.abs() < 1e-12 && (nothing.upper - 1.0).abs() < 1e-12);
}

#[test]
fn the_residual_subtracts_what_control_people_explain() {
    let z = 1.96;
    let same = residual(wilson(300, 1000, z), wilson(300, 1000, z));
    assert!(same.value.abs() < 1e-12 && same.lower.abs() < 1e-12 && same.upper > 0.0);
    let worse = residual(wilson(500, 1000, z), wilson(100, 1000, z));
    assert!((worse.value - (0.5 - 0.1) / 0.9).abs() < 0.01);
    assert!(worse.lower > 0.35 && worse.upper < 0.5);
    let sure = residual(wilson(1000, 1000, z), wilson(0, 1000, z));
    assert!(sure.value > 0.99);
}

/// People told apart by a number and a text; `from` numbers them on.
fn people(from: usize, n: usize) -> Table {
    let ids = || from..from + n;
    Table::from_columns(vec![
        Column::from_values("age", ids().map(|i| (20 + (i * 7) % 60).to_string())).unwrap(),
        Column::from_values("ward", ids().map(|i| format!("w{}", (i * 13) % 11))).unwrap(),
        Column::from_values("code", ids().map(|i| format!("c{}", (i * i + i) % 23))).unwrap(),
        Column::from_values("result", ids().map(|i| format!("r{}", (i * 31 + i / 3) % 7))).unwrap(),
    ])
    .unwrap()
}

fn plan() -> Plan {
    Plan {
        attempts: 400,
        predicate_columns: 3,
        linking: Linking::by_lot(),
        secrets: vec!["result".into()],
        looks: NonZeroU32::MIN,
    }
}

fn scene<'a>(real: &'a Table, control: &'a Table, released: &'a Table) -> Scene<'a> {
    Scene::new(real, control, released)
}

fn attack(scene: &Scene<'_>) -> Report {
    run(scene, &plan(), &mut Sequence::new(11)).unwrap()
}

#[test]
fn a_published_copy_is_found_by_every_attack_that_runs() {
    let (real, control) = (people(0, 500), people(500, 500));
    let report = attack(&scene(&real, &control, &real));
    println!("{}", report.words);
    for finding in report.findings() {
        assert!(finding.risk.lower > 0.0 || finding.attack == Attack::SinglingOutUnivariate);
    }
    assert!(report.score < 50.0, "{}", report.score);
    let none = |e: &Entry| matches!(e, Entry::NotRun { attack: Attack::Differencing, reason } if reason.contains("earlier"));
    assert!(report.entries.iter().any(none), "differencing needs an earlier release");
}

#[test]
fn a_release_about_nobody_is_cleared() {
    let (real, control, other) = (people(0, 500), people(500, 500), people(1_000, 500));
    let report = attack(&scene(&real, &control, &other));
    assert_eq!(report.proven().count(), 0, "{:?}", report.entries);
    assert_eq!(report.published_verbatim, 0);
}

#[test]
fn one_verbatim_person_from_the_tail_is_enough_for_a_score_of_zero() {
    let with_tail = |table: Table| {
        let add = |c: &Column, value: &str| {
            let rows: Vec<String> = (0..table.rows())
                .map(|r| c.value(r).unwrap().to_owned())
                .chain([value.to_owned()])
                .collect();
            Column::from_values(c.name(), rows).unwrap()
        };
        let tail = ["104", "w1", "c2", "r3"];
        Table::from_columns(table.columns().iter().zip(tail).map(|(c, v)| add(c, v)).collect())
            .unwrap()
    };
    let (real, control, other) = (with_tail(people(0, 500)), people(500, 501), people(1_000, 500));
    let clean = attack(&scene(&real, &control, &other));
    assert_eq!(clean.published_verbatim, 0);
    let released = with_tail(other);
    let leaky = attack(&scene(&real, &control, &released));
    assert_eq!(leaky.published_verbatim, 1);
    assert!(leaky.score.abs() < 1e-12 && clean.score > leaky.score);
    assert!(leaky.words.contains("published as they are"));
}

#[test]
fn two_releases_together_give_away_what_each_hides() {
    // One release coarsens the age, the other the ward. Each leaves two results possible for
    // everybody; only one of them is possible in both.
    let ages = || (0..480u32).map(|i| 20 + i % 40);
    let wards = || (0..480u32).map(|i| (i / 40) % 2);
    let make = |result: &dyn Fn(u32, u32) -> u32| {
        let results = ages().zip(wards()).map(|(a, w)| format!("r{}", result(a, w)));
        Table::from_columns(vec![
            Column::from_values("age", ages().map(|a| a.to_string())).unwrap(),
            Column::from_values("ward", wards().map(|w| format!("w{w}"))).unwrap(),
            Column::from_values("result", results).unwrap(),
        ])
        .unwrap()
    };
    let real = make(&|age, ward| 2 * (age % 2) + ward);
    let control = make(&|age, ward| (age / 2 + ward) % 4);
    let tens: Vec<Vec<String>> =
        (20..60).map(|a| vec![a.to_string(), format!("{}0s", a / 10), "*".into()]).collect();
    let age = Hierarchy::from_rows(&tens).unwrap();
    let by_ten = real.column("age").unwrap().map(|a| age.generalise(a, 1).unwrap().to_owned());
    let no_ward = real.column("ward").unwrap().map(|_| "*".to_owned());
    let coarse_age = real.clone().with_column(by_ten).unwrap();
    let coarse_ward = real.clone().with_column(no_ward).unwrap();
    let hierarchies =
        QuasiIdentifiers::new(vec![QuasiIdentifier { column: "age".into(), hierarchy: age }])
            .unwrap();
    let find = |released: &Table, earlier: &Table| {
        let scene = Scene {
            earlier: &[earlier],
            hierarchies: Some(&hierarchies),
            ..Scene::new(&real, &control, released)
        };
        attack(&scene).findings().find(|f| f.attack == Attack::Differencing).unwrap().clone()
    };
    assert_eq!(find(&coarse_age, &coarse_age).successes, 0);
    assert_eq!(find(&coarse_ward, &coarse_ward).successes, 0);
    let both = find(&coarse_age, &coarse_ward);
    assert_eq!(both.successes, both.attempts);
    assert!(both.control_successes < both.attempts / 2 && both.risk.lower > 0.5, "{both:?}");
}

#[test]
fn a_population_file_in_which_nobody_is_unique_prevents_linkage() {
    let (real, control) = (people(0, 300), people(300, 300));
    let doubled: Vec<usize> = (0..300).chain(0..300).collect();
    let crowd = real.select(doubled).unwrap();
    let alone = scene(&real, &control, &real);
    let crowded = Scene { population: Some(&crowd), ..alone };
    let linked = |scene: &Scene<'_>| {
        attack(scene)
            .findings()
            .find(|f| f.attack == Attack::PopulationLinkage)
            .map(|f| f.successes)
            .unwrap()
    };
    assert!(linked(&alone) > 200);
    assert_eq!(linked(&crowded), 0);
}

/// Scores of people of two kinds, normal around two middles.
fn scores(n: usize, middle: f64, dice: &mut crate::dice::Dice<'_>) -> Vec<f64> {
    (0..n)
        .map(|_| {
            let sum: f64 = (0..12).map(|_| dice.below(1 << 30).unwrap() as f64).sum();
            middle + sum / f64::from(1 << 30) - 6.0
        })
        .collect()
}

#[test]
fn an_overfitted_generator_is_flagged_by_both_likelihood_attacks_and_a_private_one_cleared() {
    let (real, control) = (people(0, 400), people(400, 400));
    let mut entropy = Sequence::new(5);
    let mut dice = crate::dice::Dice::new(&mut entropy);
    for (gain, leaks) in [(3.0, true), (0.0, false)] {
        let n = 400;
        let base = [scores(n, -10.0, &mut dice), scores(n, -10.0, &mut dice)];
        let noisy = |side: &[f64], own: &[bool], dice: &mut crate::dice::Dice<'_>| -> Vec<f64> {
            let noise = scores(side.len(), 0.0, dice);
            let one = |((b, with), e): ((&f64, &bool), f64)| b + e / 3.0 + gain * f64::from(*with);
            side.iter().zip(own).zip(noise).map(one).collect()
        };
        let (all, none) = (vec![true; n], vec![false; n]);
        let mut likelihoods = |real: &[bool], control: &[bool]| Likelihoods {
            real: noisy(&base[0], real, &mut dice),
            control: noisy(&base[1], control, &mut dice),
        };
        let attacked = likelihoods(&all, &none);
        let reference = Some((likelihoods(&none, &none), all.clone()));
        let shadows = (0..6)
            .map(|s| {
                let half: Vec<bool> = (0..n).map(|i| (i * 7 + s) % 2 == 0).collect();
                let likelihoods = likelihoods(&half, &half);
                Shadow { likelihoods, real: half.clone(), control: half }
            })
            .collect();
        let generator = Generator { attacked, reference, shadows };
        let scene = Scene { generator: Some(&generator), ..Scene::new(&real, &control, &control) };
        let report = attack(&scene);
        for kind in [Attack::LikelihoodRatio, Attack::ShadowModels] {
            let found = report.findings().find(|f| f.attack == kind).unwrap();
            println!(
                "{kind:?}, gain {gain}: n {} hits {} control {} risk [{:.3}, {:.3}]",
                found.attempts,
                found.successes,
                found.control_successes,
                found.risk.lower,
                found.risk.upper
            );
            assert_eq!(found.risk.lower > 0.0, leaks, "{found:?}");
        }
    }
}

#[test]
fn the_loss_of_an_overfitted_model_tells_members_and_that_of_another_does_not() {
    let mut sequence = Sequence::new(7);
    let mut dice = crate::dice::Dice::new(&mut sequence);
    let (seen, unseen) = (scores(600, 0.0, &mut dice), scores(900, 1.5, &mut dice));
    let report = by_loss(&seen, &unseen, NonZeroU32::MIN, &mut Sequence::new(8)).unwrap();
    let proven: Vec<Attack> = report.proven().map(|f| f.attack).collect();
    assert_eq!(proven, [Attack::SmallLoss], "{:?}", report.entries);
    // A unit normal against one 1.5 to the right: the best threshold is half way, and its
    // advantage 2 Φ(0.75) − 1 = 0.547.
    let found = report.worst().unwrap();
    let advantage = found.rate.value - found.control.value;
    assert!((advantage - 0.547).abs() < 0.1 && found.attempts == 300, "{found:?}");
    // Turned round, the other threshold finds it.
    let turned = by_loss(&unseen, &seen, NonZeroU32::MIN, &mut Sequence::new(8)).unwrap();
    assert_eq!(turned.worst().unwrap().attack, Attack::LargeLoss);
    let alike = scores(900, 0.0, &mut dice);
    let clear = by_loss(&seen, &alike, NonZeroU32::MIN, &mut Sequence::new(8)).unwrap();
    assert_eq!(clear.proven().count(), 0, "{:?}", clear.entries);
    assert!(by_loss(&[f64::NAN; 50], &seen, NonZeroU32::MIN, &mut Sequence::new(8)).is_err());
    let few = by_loss(&seen[..10], &unseen, NonZeroU32::MIN, &mut Sequence::new(8)).unwrap();
    assert_eq!(few.findings().count(), 0, "{:?}", few.entries);
}

#[test]
fn counts_by_a_unique_column_give_secrets_away_and_a_coarse_table_does_not() {
    let (real, control) = (people(0, 300), people(300, 300));
    let secret = "ward";
    let counted = |by: &[&str]| {
        let names: Vec<&str> = by.iter().copied().chain([secret]).collect();
        let (class_of, number) = crate::risk::classes(&real, &names).unwrap();
        let sizes = crate::risk::sizes(&class_of, number);
        let first: Vec<usize> =
            (0..number as u32).map(|c| class_of.iter().position(|&x| x == c).unwrap()).collect();
        let mut columns: Vec<Column> = names
            .iter()
            .map(|n| {
                let column = real.column(n).unwrap();
                Column::from_values(*n, first.iter().map(|&r| column.value(r).unwrap())).unwrap()
            })
            .collect();
        columns.push(Column::from_values(COUNT, sizes.iter().map(u64::to_string)).unwrap());
        Table::from_columns(columns).unwrap()
    };
    let others: Vec<&str> =
        real.columns().iter().map(Column::name).filter(|n| *n != secret).collect();
    let (fine, coarse) = (counted(&others), counted(&[]));
    let find = |table: &Table| {
        let tables = [Aggregate(table)];
        let scene = Scene { aggregates: &tables, ..Scene::new(&real, &control, &control) };
        let plan = Plan {
            attempts: 300,
            predicate_columns: 2,
            linking: Linking::by_lot(),
            secrets: vec![secret.to_owned()],
            looks: NonZeroU32::MIN,
        };
        let report = run(&scene, &plan, &mut Sequence::new(9)).unwrap();
        let found = report.findings().find(|f| f.attack == Attack::Reconstruction).unwrap();
        println!(
            "n {} hits {} control {}",
            found.attempts, found.successes, found.control_successes
        );
        found.clone()
    };
    assert!(find(&fine).risk.lower > 0.2);
    assert!(find(&coarse).risk.lower <= 0.0);
}

#[test]
fn frequencies_of_many_sites_tell_a_group_of_fifty_and_not_of_another() {
    let mut entropy = Sequence::new(11);
    let mut dice = crate::dice::Dice::new(&mut entropy);
    let frequencies: Vec<usize> = (0..4_000).map(|_| 5 + dice.below(45).unwrap()).collect();
    let mut people = |n: usize| Genotypes {
        people: (0..n)
            .map(|_| {
                let allele = |f: &usize, dice: &mut crate::dice::Dice<'_>| {
                    u8::from(dice.below(100).unwrap() < *f)
                };
                frequencies
                    .iter()
                    .map(|f| Some(allele(f, &mut dice) + allele(f, &mut dice)))
                    .collect()
            })
            .collect(),
    };
    let (group, control, strangers) = (people(50), people(200), people(50));
    for (published, leaks) in [(group.frequencies(), true), (strangers.frequencies(), false)] {
        let report =
            allele_frequencies(&published, &group, &control, 1_000, &mut Sequence::new(3)).unwrap();
        let found = report.findings().next().unwrap();
        println!(
            "n {} hits {} control {}",
            found.attempts, found.successes, found.control_successes
        );
        assert_eq!(found.risk.lower > 0.0, leaks, "{found:?}");
    }
    let short = Genotypes { people: vec![vec![Some(1)]] };
    let refused =
        allele_frequencies(&group.frequencies(), &short, &control, 9, &mut Sequence::new(3));
    assert!(matches!(refused, Err(AttackError::Plan(_))));
}

/// People with a number that nobody else has, such as a laboratory value. It tells nothing of their
/// places: people from one end are no nearer to each other than to those from the other.
fn measured(from: usize, n: usize) -> Table {
    let value = |i: usize| format!("{}.{:04}", 40 + (i * 104_729) % 60, (i * 7_919) % 10_000);
    let values = (from..from + n).map(value);
    people(from, n).with_column(Column::from_values("value", values).unwrap()).unwrap()
}

#[test]
fn every_attack_on_a_table_flags_a_planted_leak_and_clears_an_independent_sample() {
    let (real, control, other) = (measured(0, 600), measured(600, 600), measured(1_200, 600));
    let leaky = attack(&scene(&real, &control, &real));
    let calm = attack(&scene(&real, &control, &other));
    let of =
        |report: &Report, attack| report.findings().find(|f| f.attack == attack).cloned().unwrap();
    for attack in [
        Attack::SinglingOutUnivariate,
        Attack::SinglingOutMultivariate,
        Attack::Linkability,
        Attack::LinkabilityAllNearest,
        Attack::Membership,
        Attack::PopulationLinkage,
        Attack::Inference,
    ] {
        let (with, without) = (of(&leaky, attack), of(&calm, attack));
        println!(
            "{attack:?}: planted {} of {} against {}, independent {} of {} against {}, alpha {:.5}",
            with.successes,
            with.attempts,
            with.control_successes,
            without.successes,
            without.attempts,
            without.control_successes,
            1.0 - leaky.confidence,
        );
        assert!(with.risk.lower > 0.0, "{attack:?} misses a verbatim copy");
        assert!(without.risk.lower <= 0.0, "{attack:?} flags an independent sample");
    }
}

#[test]
fn differencing_clears_two_releases_about_other_people() {
    let (real, control) = (people(0, 400), people(400, 400));
    let (one, two) = (people(800, 400), people(1_200, 400));
    let scene = Scene { earlier: &[&two], ..Scene::new(&real, &control, &one) };
    let found = attack(&scene);
    let found = found.findings().find(|f| f.attack == Attack::Differencing).unwrap();
    println!("n {} hits {} control {}", found.attempts, found.successes, found.control_successes);
    assert!(found.risk.lower <= 0.0, "{found:?}");
}

#[test]
fn a_choice_among_several_releases_widens_every_interval() {
    let (real, control, other) = (people(0, 500), people(500, 500), people(1_000, 500));
    let with = |looks: u32| {
        let plan = Plan { looks: NonZeroU32::new(looks).unwrap(), ..plan() };
        run(&scene(&real, &control, &other), &plan, &mut Sequence::new(11)).unwrap()
    };
    let (one, eight) = (with(1), with(8));
    println!(
        "one look {:.2} at {:.5}, eight {:.2} at {:.5}",
        one.score, one.confidence, eight.score, eight.confidence
    );
    assert!(((1.0 - eight.confidence) * 8.0 - (1.0 - one.confidence)).abs() < 1e-12);
    // The same draws, the same counts: only the certainty asked for is another.
    for (a, b) in one.findings().zip(eight.findings()) {
        assert_eq!((a.successes, a.control_successes), (b.successes, b.control_successes));
        for (a, b) in [(a.rate, b.rate), (a.control, b.control)] {
            assert!(b.upper - b.lower > a.upper - a.lower, "{a:?} {b:?}");
        }
        // A risk that is nothing, because control people are guessed better, stays nothing.
        assert!(b.risk.upper > a.risk.upper || a.risk.upper == 0.0, "{a:?} {b:?}");
    }
    assert!(eight.score < one.score);
}

/// A release in which the nearest records can be counted on paper.
#[test]
fn links_are_as_many_as_lots_and_ties_allow() {
    // Each of 60 wards has 20 people of 20 codes: a ward leaves 20 records, a code 60, and both
    // together one. Lots meet in 1 of 1,200 pairs; who keeps all has everybody.
    let crowd = |mark: &str| {
        let ids = || 0..1_200u32;
        Table::from_columns(vec![
            Column::from_values("ward", ids().map(|i| format!("w{}", i % 60))).unwrap(),
            Column::from_values("code", ids().map(|i| format!("{mark}{}", i / 60))).unwrap(),
        ])
        .unwrap()
    };
    let (real, control) = (crowd("c"), crowd("d"));
    for (neighbours, expected) in [(1, 1_200.0 * (1.0 / 1_200.0)), (60, 1_200.0)] {
        let plan = Plan {
            attempts: 1_200,
            predicate_columns: 1,
            linking: Linking {
                neighbours: NonZeroUsize::new(neighbours).unwrap(),
                halves: Halves::First(vec!["ward".into()]),
            },
            secrets: Vec::new(),
            looks: NonZeroU32::MIN,
        };
        let report = run(&scene(&real, &control, &real), &plan, &mut Sequence::new(4)).unwrap();
        let of = |attack| report.findings().find(|f| f.attack == attack).unwrap().clone();
        let (lots, all) = (of(Attack::Linkability), of(Attack::LinkabilityAllNearest));
        println!(
            "n 1,200, {neighbours} nearest: {} linked by lot, {expected} expected; {} by all",
            lots.successes, all.successes
        );
        // Poisson with mean 1: more than 8 in 1.1 of a million runs.
        let bound = if neighbours == 1 { 0..=8 } else { 1_200..=1_200 };
        assert!(bound.contains(&lots.successes), "{lots:?}");
        assert_eq!((all.successes, all.control_successes), (1_200, 0));
    }
}

#[test]
fn a_file_without_columns_of_the_release_links_nothing_and_an_unknown_column_is_refused() {
    let (real, control) = (people(0, 50), people(50, 50));
    let with = |columns: &[&str]| {
        let halves = Halves::First(columns.iter().map(|c| (*c).to_owned()).collect());
        let plan = Plan { linking: Linking { halves, ..Linking::by_lot() }, ..plan() };
        run(&scene(&real, &control, &real), &plan, &mut Sequence::new(4))
    };
    for columns in [&["age", "ward", "code", "result"][..], &[]] {
        let report = with(columns).unwrap();
        let not_run = |e: &&Entry| matches!(e, Entry::NotRun { attack: Attack::Linkability, reason } if reason.contains("none of"));
        assert_eq!(report.entries.iter().filter(not_run).count(), 1);
    }
    assert!(matches!(with(&["height"]), Err(AttackError::Table(_))));
}

/// Two releases of a growing table, whose joiners can be counted on paper.
fn growing(joiners: usize, wards: usize) -> (Table, Table, Table) {
    let illness = |i: usize| format!("d{}", (i * 7 + i / 5) % 10);
    let of = |rows: Vec<usize>, shift: usize| {
        Table::from_columns(vec![
            Column::from_values("ward", rows.iter().map(|i| format!("w{}", i % wards))).unwrap(),
            Column::from_values("sex", rows.iter().map(|i| ["f", "m"][i / wards % 2])).unwrap(),
            Column::from_values("illness", rows.iter().map(|i| illness(i + shift))).unwrap(),
        ])
        .unwrap()
    };
    let (stayed, all) = (20 * wards, 20 * wards + joiners);
    (of((0..all).collect(), 0), of((0..stayed).collect(), 0), of((0..all).collect(), 3))
}

fn joining(now: &Table, before: &Table, control: &Table) -> Result<Finding, String> {
    let plan = Plan { secrets: vec!["illness".into()], attempts: 5_000, ..plan() };
    let scene = Scene { earlier: &[before], ..Scene::new(now, control, now) };
    let report = run(&scene, &plan, &mut Sequence::new(5)).unwrap();
    let mut entries = report.entries.into_iter();
    match entries.find(|e| {
        matches!(
            e,
            Entry::NotRun { attack: Attack::Joining, .. }
                | Entry::Run(Finding { attack: Attack::Joining, .. })
        )
    }) {
        Some(Entry::Run(found)) => Ok(found),
        Some(Entry::NotRun { reason, .. }) => Err(reason),
        None => Err("no such entry".to_owned()),
    }
}

#[test]
fn who_joined_is_found_by_subtracting_counts() {
    // One joiner in each of 40 wards: what each gained is the joiner's illness, and of the 21 in
    // the ward with the same sex those who happen to have it are guessed right as well.
    let (now, before, control) = growing(40, 40);
    let found = joining(&now, &before, &control).unwrap();
    let value = |table: &Table, name: &str, row: usize| {
        table.column(name).unwrap().value(row).unwrap().to_owned()
    };
    let key = |t: &Table, row| (value(t, "ward", row), value(t, "sex", row));
    // By the definition alone: the joiner of a group is the only one that gained.
    let gained: std::collections::BTreeMap<_, _> =
        (800..840).map(|row| (key(&now, row), value(&now, "illness", row))).collect();
    assert_eq!(gained.len(), 40);
    let right = |t: &Table| {
        let grown: Vec<usize> =
            (0..t.rows()).filter(|&r| gained.contains_key(&key(t, r))).collect();
        let hits = grown.iter().filter(|&&r| gained[&key(t, r)] == value(t, "illness", r)).count();
        (grown.len() as u64, hits as u64)
    };
    println!("{found:?}");
    assert_eq!((found.attempts, found.successes), right(&now));
    assert_eq!(found.control_successes, right(&control).1);
    // The same table twice: no group grew.
    let none = joining(&before, &before, &control).unwrap_err();
    assert!(none.contains("nobody is of a group that grew"), "{none}");
}

#[test]
fn joiners_alone_are_exposed_beyond_chance() {
    // In place of the whole table, those who joined are the members that are asked about.
    let (now, before, control) = growing(80, 40);
    let joined = now.select(800..880).unwrap();
    let plan = Plan { secrets: vec!["illness".into()], attempts: 5_000, ..plan() };
    let of = |real: &Table, released: &Table, before: &Table| {
        let control = control.select(0..80).unwrap();
        let scene = Scene { earlier: &[before], ..Scene::new(real, &control, released) };
        let report = run(&scene, &plan, &mut Sequence::new(5)).unwrap();
        report.findings().find(|f| f.attack == Attack::Joining).cloned()
    };
    let found = of(&joined, &now, &before).unwrap();
    println!("joined: {found:?}");
    assert_eq!(found.successes, found.attempts);
    assert!(found.risk.lower > 0.3, "{found:?}");
}

#[test]
fn an_earlier_release_with_fewer_columns_is_intersected_by_those_it_has() {
    // Ward and sex leave two illnesses in the first release, sex and age two others in the second.
    let people = 200usize;
    let text = |f: &dyn Fn(usize) -> String| (0..people).map(f).collect::<Vec<_>>();
    let illness = |i: usize| format!("d{i}");
    let real = Table::from_columns(vec![
        Column::from_values("ward", text(&|i| format!("w{}", i / 2))).unwrap(),
        Column::from_values("age", text(&|i| format!("{}", i.div_ceil(2)))).unwrap(),
        Column::from_values("illness", text(&illness)).unwrap(),
    ])
    .unwrap();
    let control = Table::from_columns(vec![
        Column::from_values("ward", text(&|i| format!("w{}", i / 2))).unwrap(),
        Column::from_values("age", text(&|i| format!("{}", i.div_ceil(2)))).unwrap(),
        Column::from_values("illness", text(&|i| illness((i + 77) % people))).unwrap(),
    ])
    .unwrap();
    // Neither tells anybody's illness alone: the first knows wards, the second ages.
    let now = real
        .clone()
        .with_column(Column::from_values("age", text(&|_| "*".into())).unwrap())
        .unwrap();
    let before = real.clone().without_columns(&["ward"]).unwrap();
    let plan = Plan { secrets: vec!["illness".into()], attempts: people, ..plan() };
    let scene = Scene { earlier: &[&before], ..Scene::new(&real, &control, &now) };
    let report = run(&scene, &plan, &mut Sequence::new(5)).unwrap();
    let found = report.findings().find(|f| f.attack == Attack::Differencing).unwrap();
    println!("{found:?}");
    // Wards hold {2k, 2k + 1} and ages {2k − 1, 2k}: they share one person.
    assert_eq!((found.successes, found.control_successes), (people as u64, 0));
    let lacking = before.clone().without_columns(&["illness"]).unwrap();
    let scene = Scene { earlier: &[&lacking], ..Scene::new(&real, &control, &now) };
    let report = run(&scene, &plan, &mut Sequence::new(5)).unwrap();
    let reason = |e: &Entry| matches!(e, Entry::NotRun { attack: Attack::Differencing, reason } if reason.contains("has the guessed column"));
    assert!(report.entries.iter().any(reason));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]

    /// Against every assignment of secrets that has the same published counts: what all of them
    /// agree on is found. Counts by rows and by columns of people make a transportation polytope,
    /// whose corners are whole, so that fitting forces nothing less.
    #[test]
    fn reconstruction_finds_what_every_table_with_these_counts_says(
        places in proptest::collection::btree_set((0u8..4, 0u8..4), 3..11),
        secrets in proptest::collection::vec(proptest::prelude::any::<bool>(), 16),
    ) {
        let places: Vec<(u8, u8)> = places.into_iter().collect();
        let n = places.len();
        let text = |secret: bool| if secret { "ill" } else { "well" };
        let table = |of: &dyn Fn(usize) -> bool| {
            Table::from_columns(vec![
                Column::from_values("a", places.iter().map(|p| format!("a{}", p.0))).unwrap(),
                Column::from_values("b", places.iter().map(|p| format!("b{}", p.1))).unwrap(),
                Column::from_values("result", (0..n).map(|i| text(of(i)))).unwrap(),
            ])
            .unwrap()
        };
        let counts = |by: usize, of: &dyn Fn(usize) -> bool| -> Vec<u32> {
            let mut counts = vec![0; 8];
            for (i, place) in places.iter().enumerate() {
                let at = [place.0, place.1][by] as usize;
                counts[2 * at + usize::from(of(i))] += 1;
            }
            counts
        };
        let truth = |i: usize| secrets[i];
        let published = [counts(0, &truth), counts(1, &truth)];
        let aggregate = |by: usize| {
            let name = ["a", "b"][by];
            let cells = (0..8).map(|c| format!("{name}{}", c / 2));
            let ill = (0..8).map(|c| text(c % 2 == 1));
            Table::from_columns(vec![
                Column::from_values(name, cells).unwrap(),
                Column::from_values("result", ill).unwrap(),
                Column::from_values(COUNT, published[by].iter().map(u32::to_string)).unwrap(),
            ])
            .unwrap()
        };
        // By brute force: who has the same secret in every assignment with these counts.
        let consistent: Vec<u32> = (0..1u32 << n)
            .filter(|bits| {
                let of = |i: usize| bits >> i & 1 == 1;
                [counts(0, &of), counts(1, &of)] == published
            })
            .collect();
        let forced = (0..n)
            .filter(|i| consistent.iter().all(|bits| bits >> i & 1 == consistent[0] >> i & 1))
            .count() as u64;
        let (one, two) = (aggregate(0), aggregate(1));
        let aggregates = [Aggregate(&one), Aggregate(&two)];
        let real = table(&truth);
        let plan = Plan { attempts: n, ..plan() };
        let scene = Scene { aggregates: &aggregates, ..Scene::new(&real, &real, &real) };
        let report = run(&scene, &plan, &mut Sequence::new(3)).unwrap();
        let found = report.findings().find(|f| f.attack == Attack::Reconstruction).unwrap();
        proptest::prop_assert!(found.successes >= forced, "{forced} forced: {found:?}");
    }
}
