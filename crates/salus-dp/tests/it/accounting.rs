use proptest::prelude::*;
use salus_dp::{
    Cost, Delta, Epsilon, epsilon_from_rho, parallel, pure_epsilon_from_rho, rho_from_epsilon,
    rho_from_pure_epsilon, sequential,
};
use salus_model::MicroRho;
use serde_json::Value;

pub(crate) fn reference() -> Value {
    serde_json::from_str(include_str!("../../testdata/accounting/reference.json")).unwrap()
}

fn micro(rho: f64) -> MicroRho {
    MicroRho::new((rho * 1e6).round() as u64)
}

#[test]
fn epsilon_agrees_with_opendp_dp_accounting_and_forty_digits() {
    for row in reference()["conversions"].as_array().unwrap() {
        let number = |name: &str| row[name].as_f64().unwrap();
        let ours = epsilon_from_rho(micro(number("rho")), Delta::new(number("delta")).unwrap());
        let (ours, exact) = (ours.get(), number("exact"));
        assert!(ours >= exact, "under-reported: {ours} below {exact} at {row}");
        assert!(ours <= exact * (1.0 + 1e-9) + 1e-12, "loose: {ours} above {exact} at {row}");
        let near = |theirs: f64, by: f64| (ours - theirs).abs() <= by * theirs.max(1e-3);
        assert!(near(number("opendp"), 1e-6), "opendp says {} and we {ours}", row["opendp"]);
        assert!(ours <= number("dp_accounting") * (1.0 + 1e-9) + 1e-9, "{ours} at {row}");
        assert!(near(number("dp_accounting"), 2e-2), "dp-accounting {row} and we {ours}");
        assert!(
            ours >= number("gaussian") * (1.0 - 1e-9) - 1e-12,
            "below the mechanism's own loss: {row}"
        );
    }
}

#[test]
fn pure_epsilon_costs_what_randomised_response_loses() {
    for row in reference()["pure"].as_array().unwrap() {
        let epsilon = Epsilon::new(row["epsilon"].as_f64().unwrap()).unwrap();
        let ours = rho_from_pure_epsilon(epsilon).unwrap().get() as f64 / 1e6;
        let (worst, bun_steinke) =
            (row["rho"].as_f64().unwrap(), row["bun_steinke"].as_f64().unwrap());
        assert!(ours >= worst, "under-reported: {ours} below {worst} at {epsilon}");
        assert!(ours <= bun_steinke + 2e-6, "{ours} above Bun and Steinke's {bun_steinke}");
        assert!(ours <= worst * 1.001 + 2e-6, "loose: {ours} above {worst} at {epsilon}");
    }
}

#[test]
fn disjoint_parts_cost_the_largest_and_repeats_add_up() {
    let delta = |atto| Delta::from_atto(atto);
    let cost = |rho, atto| Cost { rho: MicroRho::new(rho), threshold_delta: delta(atto) };
    let costs = [cost(3, 5), cost(7, 0), cost(5, 2)];
    assert_eq!(parallel(costs), cost(7, 5));
    assert_eq!(sequential(costs), Some(cost(15, 7)));
    assert_eq!(sequential([cost(u64::MAX, 0), cost(1, 0)]), None);
}

proptest! {
    #[test]
    fn a_budget_in_epsilon_is_never_overspent(e in 0.001f64..20.0, exponent in 3i32..12) {
        let delta = Delta::new(10f64.powi(-exponent)).unwrap();
        let epsilon = Epsilon::new(e).unwrap();
        let rho = rho_from_epsilon(epsilon, delta);
        prop_assert!(epsilon_from_rho(rho, delta) <= epsilon);
        let more = MicroRho::new(rho.get() + 1);
        prop_assert!(epsilon_from_rho(more, delta) > epsilon, "{rho} is not the largest");
    }

    #[test]
    fn epsilon_grows_with_rho_and_shrinks_with_delta(rho in 1u64..5_000_000, atto in 2u64..1_000_000_000_000_000) {
        let at = |rho, atto| epsilon_from_rho(MicroRho::new(rho), Delta::from_atto(atto).unwrap()).get();
        prop_assert!(at(rho + 1 + rho / 1000, atto) > at(rho, atto));
        prop_assert!(at(rho, atto) >= at(rho, atto * 2));
    }

    #[test]
    fn pure_epsilon_rounds_down_on_the_way_back(rho in 1u64..50_000_000) {
        let epsilon = pure_epsilon_from_rho(MicroRho::new(rho));
        prop_assert!(rho_from_pure_epsilon(epsilon).unwrap() <= MicroRho::new(rho));
    }

    #[test]
    fn wrong_numbers_are_refused(x in prop::num::f64::ANY) {
        prop_assert_eq!(Epsilon::new(x).is_ok(), x.is_finite() && x >= 0.0);
        prop_assert!(Delta::new(x).is_ok() == ((5e-19..1.0).contains(&x) && Delta::new(x).is_ok()));
    }
}
