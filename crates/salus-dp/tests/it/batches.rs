//! Batches of coded rows against the same rows one by one.

use proptest::prelude::*;
use salus_dp::{
    ContributionBound, Field, Mechanism, OUTSIDE, ObserveError, Plan, PrivacyUnit, Query,
    RowsPerUnit, Schema, UnitKey, Units, plan,
};

use crate::support::{EXACT, column, schema};

/// One row: its unit, and its codes in `model` (four values) and `version` (three).
type Row = (u8, u32, u32);

fn code(values: u32) -> impl Strategy<Value = u32> {
    // Some of them just outside, far outside, and missing.
    prop_oneof![8 => 0..values, 1 => values..values + 2, 1 => Just(OUTSIDE - 1), 1 => Just(OUTSIDE)]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    // Units of few names, so that most have several rows.
    prop::collection::vec((0u8..12, code(4), code(3)), 0..120)
}

fn of(schema: &Schema, keys: &[&str]) -> Plan {
    let keys = keys.iter().map(|name| column(name)).collect();
    let query = Query::GroupedCount { keys, threshold_delta: None };
    plan(&query, schema, EXACT, Mechanism::Gaussian).unwrap()
}

fn field(code: u32) -> Field<'static> {
    if code == OUTSIDE { Field::Missing } else { Field::Code(code) }
}

fn one_by_one(plan: Plan, rows: &[Row], columns: usize) -> Vec<i128> {
    let mut partial = plan.partial();
    for (unit, model, version) in rows {
        let fields = [field(*model), field(*version)];
        partial.observe(UnitKey::new((*unit).into()), &fields[..columns]).unwrap();
    }
    plan.execute(partial).unwrap().numbers().to_vec()
}

fn in_batches(plan: Plan, rows: &[Row], columns: usize, together: usize) -> Vec<i128> {
    let mut partial = plan.partial();
    // An empty batch changes nothing.
    partial.observe_codes(Units::Keys(&[]), &[[].as_slice(); 2][..columns]).unwrap();
    for batch in rows.chunks(together) {
        let units: Vec<UnitKey> = batch.iter().map(|r| UnitKey::new(r.0.into())).collect();
        let models: Vec<u32> = batch.iter().map(|r| r.1).collect();
        let versions: Vec<u32> = batch.iter().map(|r| r.2).collect();
        let codes = [models.as_slice(), versions.as_slice()];
        partial.observe_codes(Units::Keys(&units), &codes[..columns]).unwrap();
    }
    plan.execute(partial).unwrap().numbers().to_vec()
}

proptest! {
    #[test]
    fn batches_count_what_the_rows_one_by_one_do(
        rows in rows(),
        together in 1usize..40,
        bound in (1u32..7).prop_flat_map(|rows| (Just(rows), 1..=rows)),
        one in any::<bool>(),
        columns in 1usize..=2,
    ) {
        let mut schema = schema(PrivacyUnit::Device, bound.0, bound.1);
        schema.contribution = ContributionBound::new(bound.0, bound.1).unwrap();
        schema.rows_per_unit = if one { RowsPerUnit::One } else { RowsPerUnit::Many };
        let keys = &["model", "version"][..columns];
        let slow = one_by_one(of(&schema, keys), &rows, columns);
        let fast = in_batches(of(&schema, keys), &rows, columns, together);
        prop_assert_eq!(slow, fast);
    }
}

#[test]
fn codes_that_do_not_fit_are_refused_and_count_nothing() {
    let mut schema = schema(PrivacyUnit::Device, 2, 1);
    let plan = of(&schema, &["model"]);
    let mut partial = plan.partial();
    let unit = [UnitKey::new(1)];
    let refused = partial.observe_codes(Units::Keys(&unit), &[&[0], &[0]]);
    assert_eq!(refused, Err(ObserveError::Columns { wanted: 1, found: 2 }));
    let refused = partial.observe_codes(Units::Keys(&unit), &[&[0, 1]]);
    assert_eq!(refused, Err(ObserveError::Rows));
    // Who may have several rows has to be told.
    let refused = partial.observe_codes(Units::OneRowEach, &[&[0]]);
    assert_eq!(refused, Err(ObserveError::UnitSplit));
    assert_eq!(plan.execute(partial).unwrap().numbers(), [0; 4]);
    let two = of(&schema, &["model", "version"]);
    let refused = two.partial().observe_codes(Units::Keys(&unit), &[&[0], &[]]);
    assert_eq!(refused, Err(ObserveError::Rows));
    let count = salus_dp::plan(&Query::Count, &schema, EXACT, Mechanism::Gaussian).unwrap();
    let refused = count.partial().observe_codes(Units::Keys(&unit), &[&[0]]);
    assert_eq!(refused, Err(ObserveError::NotGrouped));
    schema.rows_per_unit = RowsPerUnit::One;
    let plan = of(&schema, &["model"]);
    let mut partial = plan.partial();
    partial.observe_codes(Units::OneRowEach, &[&[3, 3, OUTSIDE, 4, 0]]).unwrap();
    assert_eq!(plan.execute(partial).unwrap().numbers(), [1, 0, 0, 2]);
}
