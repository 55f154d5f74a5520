use salus_dp::joint::{JointError, JointPlan, JointRule, Share};
use salus_dp::{Mechanism, PrivacyUnit, Query, Spend, plan};
use salus_model::{Entropy, EntropyFailed, MicroRho};

use crate::support::{Counter, EXACT, HALF, column, fleet, observe_into, schema};

fn joint(query: &Query, spend: Spend, rule: JointRule) -> JointPlan {
    let schema = schema(PrivacyUnit::Device, 2, 2);
    JointPlan::new(plan(query, &schema, spend, Mechanism::Gaussian).unwrap(), rule).unwrap()
}

fn shares(query: &Query, spend: Spend, rule: JointRule, rows: u32, seed: u64) -> Vec<Share> {
    let schema = schema(PrivacyUnit::Device, 2, 2);
    let reader = plan(query, &schema, spend, Mechanism::Gaussian).unwrap();
    let mine = joint(query, spend, rule);
    let mut partial = mine.partial();
    observe_into(&mut partial, &reader, &fleet(rows));
    mine.contribute(partial, 2, &mut Counter(seed)).unwrap()
}

fn open(
    query: &Query,
    spend: Spend,
    rule: JointRule,
    rows: &[u32],
) -> Result<Vec<i128>, JointError> {
    let mut parties = vec![Vec::new(), Vec::new()];
    for (rows, seed) in rows.iter().zip(10u64..) {
        for share in shares(query, spend, rule, *rows, seed) {
            parties[usize::from(share.party())].push(share);
        }
    }
    let sums: Vec<Share> = parties.into_iter().map(|p| Share::sum(p).unwrap()).collect();
    Ok(joint(query, spend, rule).open(&sums)?.numbers().to_vec())
}

#[test]
fn shares_of_three_hospitals_add_up_to_the_central_answer() {
    let rule = JointRule::new(3, 1, 1, 1_000).unwrap();
    let line = Query::LinearRegression { x: column("battery"), y: column("hours") };
    for query in [Query::Count, Query::Sum { column: column("battery") }, line] {
        let apart = open(&query, EXACT, rule, &[20, 40, 60]).unwrap();
        let alone = |rows| {
            open(&query, EXACT, JointRule::new(2, 1, 1, 1_000).unwrap(), &[rows, 0]).unwrap()
        };
        let (a, b, c) = (alone(20), alone(40), alone(60));
        let central: Vec<i128> = a.iter().zip(&b).zip(&c).map(|((a, b), c)| a + b + c).collect();
        // A share of noise has a σ of at least one half, however large the budget: nine of them.
        for (apart, central) in apart.iter().zip(&central) {
            assert!((apart - central).abs() <= 12, "{apart} for {central}");
        }
    }
}

#[test]
fn the_joint_error_is_within_1_3_of_the_central_one() {
    for (holders, dishonest) in [(3, 1), (5, 2), (10, 1), (10, 4)] {
        let rule = JointRule::new(holders, dishonest, 1, 1_000).unwrap();
        let spend = Spend::Rho(MicroRho::new(5_000));
        let factor = joint(&Query::Count, spend, rule).error_factor();
        assert!(factor <= 1.3, "{holders} holders, {dishonest} dishonest: {factor}");
    }
    let rule = JointRule::new(3, 1, 1, 1_000).unwrap();
    let spend = Spend::Rho(MicroRho::new(5_000));
    let runs = 4_000;
    let errors: f64 = (0..runs)
        .map(|_| (open(&Query::Count, spend, rule, &[20, 20, 20]).unwrap()[0] - 60) as f64)
        .map(|e| e * e)
        .sum();
    let measured = (errors / f64::from(runs)).sqrt();
    // Two rows of one unit count: the central σ is 2/√(2ρ).
    let central = 2.0 / (2.0 * 0.005f64).sqrt();
    // Five standard errors of a deviation over this many runs.
    let slack = 1.0 + 5.0 / (2.0 * f64::from(runs)).sqrt();
    println!(
        "joint: n {runs}, error {measured:.2}, central {central:.2}, factor {:.3}, bound 1.3, alpha 6e-7",
        measured / central
    );
    assert!(measured <= central * 1.3);
    assert!(measured <= central * (3.0f64 / 2.0).sqrt() * slack);
    assert!(measured >= central, "the honest two alone must carry the noise");
}

/// A hospital that fails is simply not in the sum: the others' noise suffices, and no more is asked.
#[test]
fn who_drops_out_is_left_out_and_the_rest_still_carries_the_noise() {
    let spend = Spend::Rho(MicroRho::new(5_000));
    let rule = JointRule::new(3, 1, 1, 1_000).unwrap();
    let runs = 4_000;
    let errors: f64 = (0..runs)
        .map(|_| (open(&Query::Count, spend, rule, &[20, 30]).unwrap()[0] - 50) as f64)
        .map(|e| e * e)
        .sum();
    let measured = (errors / f64::from(runs)).sqrt();
    let central = 2.0 / (2.0 * 0.005f64).sqrt();
    // Five standard errors of a deviation over this many runs.
    let slack = 5.0 / (2.0 * f64::from(runs)).sqrt();
    println!("two of three: n {runs}, error {measured:.2}, central {central:.2}, alpha 6e-7");
    assert!((measured / central - 1.0).abs() < slack, "neither less nor more than one dataset's");
    // Two that fail are one too many; and nobody's own number is ever opened.
    let alone = open(&Query::Count, spend, rule, &[20]);
    assert!(matches!(alone, Err(JointError::ForeignShare)), "{alone:?}");
    let trusting = JointRule::new(3, 2, 1, 1_000).unwrap();
    assert_eq!((trusting.honest(), trusting.fewest()), (1, 2));
    let alone = open(&Query::Count, spend, trusting, &[20]);
    assert!(matches!(alone, Err(JointError::ForeignShare)), "{alone:?}");
    // Parties that added up different sets of holders tell nothing.
    let of = |rows: u32, seed| shares(&Query::Count, spend, rule, rows, seed);
    let (a, b, c) = (of(20, 1), of(20, 2), of(20, 3));
    let first = Share::sum([a[0].clone(), b[0].clone(), c[0].clone()]).unwrap();
    let second = Share::sum([a[1].clone(), b[1].clone()]).unwrap();
    let differing = joint(&Query::Count, spend, rule).open(&[first, second]);
    assert!(matches!(differing, Err(JointError::ForeignShare)), "{differing:?}");
}

#[test]
fn what_one_party_sees_is_independent_of_the_numbers() {
    // The same masks for different rows: all but the last party's share are equal.
    let rule = JointRule::new(2, 1, 1, 1_000).unwrap();
    let few = shares(&Query::Count, Spend::Rho(HALF), rule, 10, 3);
    let many = shares(&Query::Count, Spend::Rho(HALF), rule, 90, 3);
    assert_eq!(few[0], many[0]);
    assert_ne!(few[1], many[1]);
    assert_eq!(format!("{:?}", few[0]), "Share(party 0, 1 numbers, redacted)");
    // And the last one is masked by them: over fresh masks its top bit is even.
    let top = (0..4_000u64)
        .filter(|&seed| {
            let last = &shares(&Query::Count, Spend::Rho(HALF), rule, 10, seed)[1];
            let text = serde_json::to_string(last).unwrap();
            let number = text.split(['[', ']']).nth(1).unwrap();
            number.parse::<u128>().unwrap() >> 127 == 1
        })
        .count();
    let (low, high) = salus_dp::audit::clopper_pearson(top, 4_000, 1e-6);
    println!("top bit of a share: n 4000, set {top}, [{low:.4}, {high:.4}], alpha 1e-6");
    assert!((low..=high).contains(&0.5));
}

#[test]
fn false_missing_and_foreign_shares_are_refused() {
    let rule = JointRule::new(2, 1, 1, 1_000).unwrap();
    // 2,000 rows where the catalogue knows of at most 1,000.
    let far = open(&Query::Count, Spend::Rho(HALF), rule, &[900, 1_100]);
    assert!(matches!(far, Err(JointError::OutOfRange)), "{far:?}");
    let missing = open(&Query::Count, Spend::Rho(HALF), rule, &[10]);
    assert!(matches!(missing, Err(JointError::ForeignShare)));
    let one = shares(&Query::Count, Spend::Rho(HALF), rule, 10, 1);
    assert!(Share::sum(one.clone()).is_err(), "two parties' shares do not add up");
    let plan = joint(&Query::Count, Spend::Rho(HALF), rule);
    assert!(matches!(plan.open(&one[..1]), Err(JointError::Parties)));
    assert!(matches!(JointRule::new(1, 0, 1, 5), Err(JointError::Holders)));
    assert!(matches!(JointRule::new(3, 3, 1, 5), Err(JointError::Holders)));
    assert!(matches!(JointRule::new(3, 1, 0, 5), Err(JointError::Holders)));
    assert!(matches!(JointRule::new(3, 1, 4, 5), Err(JointError::Holders)));
    let partial = plan.partial();
    assert!(matches!(plan.contribute(partial, 1, &mut Counter(1)), Err(JointError::Parties)));
    let distinct = Query::DistinctCount { column: column("note") };
    let schema = schema(PrivacyUnit::Device, 2, 2);
    let plan_of = |q, m| plan_or(q, &schema, m);
    assert!(matches!(
        JointPlan::new(plan_of(&distinct, Mechanism::Gaussian), rule),
        Err(JointError::NotJoint)
    ));
    assert!(matches!(
        JointPlan::new(plan_of(&Query::Count, Mechanism::Laplace), rule),
        Err(JointError::NotGaussian)
    ));
}

fn plan_or(query: &Query, schema: &salus_dp::Schema, m: Mechanism) -> salus_dp::Plan {
    plan(query, schema, Spend::Rho(HALF), m).unwrap()
}

struct Dry;

impl Entropy for Dry {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), EntropyFailed> {
        Err(EntropyFailed)
    }
}

#[test]
fn without_randomness_nothing_leaves() {
    let rule = JointRule::new(2, 1, 1, 1_000).unwrap();
    let plan = joint(&Query::Count, Spend::Rho(HALF), rule);
    let partial = plan.partial();
    assert!(matches!(plan.contribute(partial, 2, &mut Dry), Err(JointError::Entropy(_))));
}

#[test]
fn a_patient_of_two_hospitals_needs_twice_the_noise() {
    let spend = Spend::Rho(MicroRho::new(5_000));
    let spread = |unit_holders| {
        let rule = JointRule::new(3, 1, unit_holders, 1_000).unwrap();
        let runs = 600;
        let errors: f64 = (0..runs)
            .map(|_| (open(&Query::Count, spend, rule, &[20, 20, 20]).unwrap()[0] - 60) as f64)
            .map(|e| e * e)
            .sum();
        (errors / f64::from(runs)).sqrt()
    };
    let (one, two) = (spread(1), spread(2));
    // Six standard errors of a ratio of deviations over this many runs.
    println!(
        "unit with two holders: n 600, error {two:.2} for {one:.2}, ratio in 1.65..2.35, alpha 1e-8"
    );
    assert!((1.65..2.35).contains(&(two / one)));
}
