use std::collections::BTreeMap;

use salus_dp::{
    Bounds, Column, ContributionBound, Domain, Field, Mechanism, Noised, Plan, PrivacyUnit, Query,
    RowsPerUnit, Schema, Spend, UnitKey, plan,
};
use salus_model::{ColumnPath, Entropy, EntropyFailed, MicroRho, Timestamp};

/// So much that every noise is 0.
pub(crate) const EXACT: Spend = Spend::Rho(MicroRho::new(u64::MAX));

/// The budget of most tests: ρ = 1/2, where the Gaussian's σ equals the sensitivity.
pub(crate) const HALF: MicroRho = MicroRho::new(500_000);

pub(crate) fn column(name: &str) -> ColumnPath {
    ColumnPath::new(name).unwrap()
}

/// Battery 0–15 %, hours 0–15, production seconds 0–15, model of four, version of three, free text.
pub(crate) fn schema(unit: PrivacyUnit, rows: u32, per_group: u32) -> Schema {
    let small = Bounds::new(0.0, 15.0, 0).unwrap();
    let words = |list: &[&str]| {
        Column::Category(Domain::new(list.iter().map(|w| (*w).to_owned()).collect()).unwrap())
    };
    let produced = Column::instant(
        Timestamp::from_micros(0).unwrap(),
        Timestamp::from_micros(15_000_000).unwrap(),
    );
    let columns = [
        ("battery", Column::Number(small)),
        ("hours", Column::Number(small)),
        ("produced", produced.unwrap()),
        ("model", words(&["a", "b", "c", "d"])),
        ("version", words(&["1", "2", "3"])),
        ("note", Column::Open),
    ];
    Schema {
        unit,
        contribution: ContributionBound::new(rows, per_group).unwrap(),
        rows_per_unit: RowsPerUnit::Many,
        columns: columns.into_iter().map(|(n, c)| (column(n), c)).collect::<BTreeMap<_, _>>(),
    }
}

/// One row of the test table.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) unit: u128,
    pub(crate) battery: f64,
    pub(crate) hours: f64,
    pub(crate) produced: i64,
    pub(crate) model: &'static str,
    pub(crate) version: &'static str,
    pub(crate) note: String,
}

impl Device {
    fn field(&self, column: &ColumnPath) -> Field<'_> {
        match column.as_str() {
            "battery" => Field::Number(self.battery),
            "hours" => Field::Number(self.hours),
            "produced" => {
                Field::Instant(Timestamp::from_micros(self.produced * 1_000_000).unwrap())
            }
            "model" => Field::Text(self.model),
            "version" => Field::Text(self.version),
            "note" => Field::Text(&self.note),
            other => panic!("no column {other}"),
        }
    }
}

/// `n` rows, two for each unit, spread over every column.
pub(crate) fn fleet(n: u32) -> Vec<Device> {
    (0..n)
        .map(|i| {
            let x = f64::from(i * 7 % 16);
            Device {
                unit: u128::from(i / 2),
                battery: x,
                hours: (0.5 * x + f64::from(i % 5)).min(15.0),
                produced: i64::from(i * 5 % 16),
                model: ["a", "b", "c", "d"][(i * i % 4) as usize],
                version: ["1", "2", "3"][(i % 3) as usize],
                note: format!("note {}", i % 2),
            }
        })
        .collect()
}

pub(crate) fn observe(plan: &Plan, rows: &[Device]) -> salus_dp::Partial {
    let mut partial = plan.partial();
    for row in rows {
        let fields: Vec<Field<'_>> = plan.columns().iter().map(|c| row.field(c)).collect();
        partial.observe(UnitKey::new(row.unit), &fields).unwrap();
    }
    partial
}

pub(crate) fn ask(
    query: &Query,
    schema: &Schema,
    spend: Spend,
    m: Mechanism,
    rows: &[Device],
) -> Noised {
    let plan = plan(query, schema, spend, m).unwrap();
    let partial = observe(&plan, rows);
    plan.execute(partial).unwrap()
}

/// A fixed sequence for the masks of secret shares, which are not privacy noise.
pub(crate) struct Counter(pub(crate) u64);

impl Entropy for Counter {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        for byte in buffer {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (self.0 >> 56) as u8;
        }
        Ok(())
    }
}

/// Rows taken in by a partial of the joint plan made from `plan`'s question.
pub(crate) fn observe_into(partial: &mut salus_dp::Partial, plan: &Plan, rows: &[Device]) {
    for row in rows {
        let fields: Vec<Field<'_>> = plan.columns().iter().map(|c| row.field(c)).collect();
        partial.observe(UnitKey::new(row.unit), &fields).unwrap();
    }
}
