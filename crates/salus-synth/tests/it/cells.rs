//! Columns of thousands of values: their pairs and triples have more cells than memory.

use salus_dp::{Delta, Epsilon, UnitKey, rho_from_epsilon};
use salus_model::MicroRho;
use salus_synth::quality::similarity;
use salus_synth::{FitError, Method, Missing, Table, TableBuilder, fit};

use crate::support::category;

/// Columns of so many values each; the first two agree, where `alike`.
fn wide(columns: usize, values: usize, rows: usize, alike: bool) -> Table {
    let words: Vec<String> = (0..values).map(|v| format!("v{v}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let attributes =
        (0..columns).map(|c| category(&format!("c{c}"), &words, Missing::Never)).collect();
    let mut builder = TableBuilder::new(attributes, 1).unwrap();
    for row in 0..rows {
        let of = |column: usize| match (column, alike) {
            (1, false) => words[(row * 31 + 7) % values],
            _ => words[row * (column / 2 + 1) % values],
        };
        let fields: Vec<Option<&str>> = (0..columns).map(|c| Some(of(c))).collect();
        builder.push(UnitKey::new(row as u128), &fields).unwrap();
    }
    builder.finish()
}

#[test]
fn triples_of_columns_with_thousands_of_values_are_compared() {
    // Three columns of 2,000 values have 8 · 10⁹ cells, and those of 4,000 more than 2³².
    for values in [2_000, 4_000] {
        let (one, other) = (wide(3, values, 6_000, true), wide(3, values, 6_000, false));
        let same = similarity(&one, &one);
        assert!((same.three_way - 1.0).abs() < 1e-12, "{same:?}");
        let near = similarity(&one, &other);
        println!("{values} values: {near:?}");
        // Single columns are alike, and no pair that holds the second one is.
        assert!(near.one_way > 0.9 && near.two_way < 0.5 && near.three_way < 0.2, "{near:?}");
    }
}

#[test]
fn of_many_columns_some_triples_stand_for_all() {
    let (one, other) = (wide(40, 5, 50, true), wide(40, 5, 50, true));
    let near = similarity(&one, &other);
    assert!((near.three_way - 1.0).abs() < 1e-12, "9,880 triples: {near:?}");
}

#[test]
fn columns_whose_pairs_have_millions_of_cells_are_left_apart() {
    // At so little noise all values stay apart: each pair has 1.4 million cells. Of a prime number
    // of values each column has all.
    let table = wide(4, 1_201, 12_010, true);
    let rho = MicroRho::new(100_000_000);
    for method in [Method::Mst, Method::PrivBayes] {
        let model = fit(&table, method, rho).unwrap();
        let sample = model.sample(500, 1, &[], &[]).unwrap();
        println!("{method:?}: about {:.0} rows", model.rows());
        assert_eq!(sample.records().len(), 500);
        assert!((model.rows() - 12_010.0).abs() < 100.0);
    }
}

#[test]
fn a_unit_with_more_rows_than_the_noise_has_a_number_for_is_refused() {
    let values = ["a", "b"];
    let attributes: Vec<_> =
        (0..64).map(|c| category(&format!("c{c}"), &values, Missing::Never)).collect();
    let rho = rho_from_epsilon(Epsilon::new(1.0).unwrap(), Delta::new(1e-6).unwrap());
    for (method, rows_per_unit) in [
        // A row's part in a copula of 64 columns is about 18,000.
        (Method::Copula, 250_000),
        (Method::PrivBayes, u32::MAX / 4),
    ] {
        let mut builder = TableBuilder::new(attributes.clone(), rows_per_unit).unwrap();
        for unit in 0..40 {
            let fields = vec![Some(values[unit % 2]); 64];
            builder.push(UnitKey::new(unit as u128), &fields).unwrap();
        }
        let refused = fit(&builder.finish(), method, rho).unwrap_err();
        println!("{method:?}: {refused}");
        assert!(matches!(refused, FitError::TooManyRows { .. }), "{refused:?}");
    }
}
