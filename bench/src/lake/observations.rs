//! Observation rows as monitors and laboratories give them.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{Float64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};

const BATCH: usize = 64 * 1024;
const START_MICROS: i64 = 1_700_000_000_000_000;
/// LOINC code, unit, lowest value and span.
const KINDS: &[(&str, &str, f64, f64)] = &[
    ("8867-4", "/min", 45.0, 90.0),
    ("9279-1", "/min", 8.0, 20.0),
    ("8480-6", "mm[Hg]", 90.0, 90.0),
    ("8462-4", "mm[Hg]", 50.0, 60.0),
    ("2708-6", "%", 85.0, 15.0),
    ("8310-5", "Cel", 35.0, 5.0),
    ("29463-7", "kg", 40.0, 80.0),
    ("39156-5", "kg/m2", 17.0, 25.0),
    ("4548-4", "%", 4.0, 7.0),
    ("2345-7", "mg/dL", 60.0, 160.0),
    ("2160-0", "mg/dL", 0.5, 2.0),
    ("718-7", "g/dL", 8.0, 10.0),
];

/// The rows' schema.
pub(crate) fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text("id"),
        text("patient_id"),
        text("code"),
        Field::new("effective", moment, false),
        Field::new("value", DataType::Float64, false),
        text("unit"),
        text("status"),
    ]))
}

/// The id of a row.
pub(crate) fn id(row: usize) -> String {
    format!("obs-{row:012}")
}

/// `rows` rows in batches, the same ones every time.
pub(crate) fn batches(rows: usize) -> impl Iterator<Item = Result<RecordBatch>> {
    let mut random = ChaCha8Rng::seed_from_u64(20_261_120);
    let starts = (0..rows).step_by(BATCH);
    starts.map(move |start| batch(start, BATCH.min(rows - start), &mut random))
}

#[allow(clippy::cast_possible_wrap, reason = "row numbers are small")]
fn batch(start: usize, rows: usize, random: &mut ChaCha8Rng) -> Result<RecordBatch> {
    let text = || StringBuilder::with_capacity(rows, rows * 16);
    let (mut ids, mut patients, mut codes) = (text(), text(), text());
    let (mut units, mut states) = (text(), text());
    let mut moments = TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC");
    let mut values = Float64Builder::with_capacity(rows);
    for row in start..start + rows {
        let (code, unit, least, span) = KINDS[random.next_u32() as usize % KINDS.len()];
        let share = f64::from(random.next_u32()) / f64::from(u32::MAX);
        ids.append_value(id(row));
        patients.append_value(format!("patient-{:06}", random.next_u32() % 100_000));
        codes.append_value(code);
        let jitter = i64::from(random.next_u32() % 1_000_000);
        moments.append_value(START_MICROS + row as i64 * 1_000_000 + jitter);
        values.append_value(((least + span * share) * 10.0).round() / 10.0);
        units.append_value(unit);
        states.append_value(if random.next_u32().is_multiple_of(50) { "amended" } else { "final" });
    }
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(ids.finish()),
            Arc::new(patients.finish()),
            Arc::new(codes.finish()),
            Arc::new(moments.finish()),
            Arc::new(values.finish()),
            Arc::new(units.finish()),
            Arc::new(states.finish()),
        ],
    )?)
}
