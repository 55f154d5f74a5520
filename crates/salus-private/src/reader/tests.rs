//! Batches against the same rows one by one, which is what every answer was made of at first.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array,
    LargeStringArray, RecordBatch, StringArray, StringDictionaryBuilder, UInt8Array,
};
use arrow::datatypes::{
    DataType, Field as ArrowField, Float64Type, Int32Type, Schema as ArrowSchema,
};
use arrow::error::ArrowError;
use proptest::prelude::*;
use salus_dp::{
    Bounds, Column, ContributionBound, Domain, Field, Mechanism, Partial, Plan, PrivacyUnit, Query,
    RowsPerUnit, Schema, Spend, plan,
};
use salus_model::{ColumnPath, MicroRho};
use zeroize::Zeroizing;

use super::Reader;
use crate::compute::ComputeError;
use crate::predicate::{Predicate, as_numbers, as_texts, column};

/// So much that every noise is 0.
const EXACT: Spend = Spend::Rho(MicroRho::new(u64::MAX));

/// What the versions of the test's devices are: the first four stand in the public domain.
const VERSIONS: [&str; 7] = ["9", "10", "11", "12", "1", "", "9 "];

fn path(name: &str) -> ColumnPath {
    ColumnPath::new(name).unwrap()
}

fn words(words: &[&str]) -> Column {
    Column::Category(Domain::new(words.iter().map(|w| (*w).to_owned()).collect()).unwrap())
}

fn schema(contribution: ContributionBound, rows_per_unit: RowsPerUnit) -> Schema {
    let columns = BTreeMap::from([
        (path("version"), words(&VERSIONS[..4])),
        (path("active"), words(&["true", "false"])),
        (path("battery"), Column::Number(Bounds::new(0.0, 100.0, 0).unwrap())),
    ]);
    Schema { unit: PrivacyUnit::Device, contribution, rows_per_unit, columns }
}

/// One row by one, each of them compared as text.
fn one_by_one(
    reader: &Reader,
    partial: &mut Partial,
    batch: &RecordBatch,
) -> Result<(), ComputeError> {
    let passes = match &reader.filter {
        Some(filter) => filter.passes(batch).map_err(ComputeError::Arrow)?,
        None => BooleanArray::from(vec![true; batch.num_rows()]),
    };
    let read = reader
        .columns
        .iter()
        .map(|(name, kind)| match kind {
            Column::Number(_) => as_numbers(&column(batch, Some(name))?),
            _ => as_texts(&column(batch, Some(name))?),
        })
        .collect::<Result<Vec<ArrayRef>, ArrowError>>()
        .map_err(ComputeError::Arrow)?;
    let units = column(batch, Some(&reader.unit)).and_then(|array| as_texts(&array));
    let units = units.map_err(ComputeError::Arrow)?;
    let units = units.as_string::<i32>();
    for row in 0..batch.num_rows() {
        if !passes.value(row) || units.is_null(row) {
            continue;
        }
        let field = |array: &'_ ArrayRef| match array.data_type() {
            _ if array.is_null(row) => None,
            DataType::Float64 => Some(Ok(array.as_primitive::<Float64Type>().value(row))),
            _ => Some(Err(array.as_string::<i32>().value(row).to_owned())),
        };
        let values: Vec<_> = read.iter().map(field).collect();
        let fields: Vec<Field<'_>> = values
            .iter()
            .map(|value| match value {
                None => Field::Missing,
                Some(Ok(number)) => Field::Number(*number),
                Some(Err(text)) => Field::Text(text),
            })
            .collect();
        partial.observe(reader.unit_key(units.value(row)), &fields)?;
    }
    Ok(())
}

/// Unit, version, whether active, battery.
type Row = (Option<u8>, Option<usize>, Option<bool>, Option<u8>);

fn row() -> impl Strategy<Value = Row> {
    let unit = prop::option::weighted(0.9, 0u8..9);
    let version = prop::option::weighted(0.9, 0..VERSIONS.len());
    (unit, version, prop::option::weighted(0.9, any::<bool>()), prop::option::of(0u8..120))
}

/// How a batch brings its versions.
#[derive(Debug, Clone, Copy)]
enum Form {
    Plain,
    Large,
    Listed,
    /// With texts twice in the list, a missing one, and some that no row has.
    ListedOddly,
    ListedByBytes,
    /// More texts in the list than rows in the batch.
    ListedLong,
}

fn form() -> impl Strategy<Value = Form> {
    prop::sample::select(vec![
        Form::Plain,
        Form::Large,
        Form::Listed,
        Form::ListedOddly,
        Form::ListedByBytes,
        Form::ListedLong,
    ])
}

fn versions(rows: &[Row], form: Form) -> ArrayRef {
    let texts = || rows.iter().map(|r| r.1.map(|v| VERSIONS[v]));
    let all = |more: usize| {
        let unused = (0..more).map(|n| Some(format!("unused {n}")));
        let named = VERSIONS.iter().map(|v| Some((*v).to_owned()));
        named.chain([None]).chain(unused).chain([Some("9".to_owned())]).collect::<StringArray>()
    };
    let place = |r: &Row| r.1.map(|v| i32::try_from(v).unwrap());
    match form {
        Form::Plain => Arc::new(texts().collect::<StringArray>()),
        Form::Large => Arc::new(texts().collect::<LargeStringArray>()),
        Form::Listed => {
            let mut builder = StringDictionaryBuilder::<Int32Type>::new();
            texts().for_each(|text| builder.append_option(text));
            Arc::new(builder.finish())
        }
        Form::ListedOddly => {
            // Every other "9" by its second place, every other missing one by a missing text.
            let places = rows.iter().enumerate().map(|(n, r)| match place(r) {
                Some(0) if n % 2 == 0 => Some(8),
                None if n % 2 == 0 => Some(7),
                place => place,
            });
            Arc::new(DictionaryArray::new(places.collect::<Int32Array>(), Arc::new(all(0))))
        }
        Form::ListedByBytes => {
            let places = rows.iter().map(|r| r.1.map(|v| u8::try_from(v).unwrap()));
            Arc::new(DictionaryArray::new(places.collect::<UInt8Array>(), Arc::new(all(3))))
        }
        Form::ListedLong => {
            let places: Int32Array = rows.iter().map(place).collect();
            Arc::new(DictionaryArray::new(places, Arc::new(all(rows.len()))))
        }
    }
}

fn batch(rows: &[Row], form: Form, numbered: bool) -> RecordBatch {
    let units: ArrayRef = if numbered {
        Arc::new(rows.iter().map(|r| r.0.map(i64::from)).collect::<Int64Array>())
    } else {
        Arc::new(rows.iter().map(|r| r.0.map(|u| format!("unit {u}"))).collect::<StringArray>())
    };
    let active: BooleanArray = rows.iter().map(|r| r.2).collect();
    let battery: Float64Array = rows.iter().map(|r| r.3.map(f64::from)).collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("device", units),
        ("version", versions(rows, form)),
        ("active", Arc::new(active)),
        ("battery", Arc::new(battery)),
    ];
    let fields =
        columns.iter().map(|(name, a)| ArrowField::new(*name, a.data_type().clone(), true));
    let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, a)| a).collect()).unwrap()
}

fn queries() -> Vec<Query> {
    let groups = |keys: &[&str]| {
        let keys = keys.iter().map(|k| path(k)).collect();
        Query::GroupedCount { keys, threshold_delta: None }
    };
    vec![
        groups(&["version"]),
        groups(&["active"]),
        groups(&["version", "active"]),
        groups(&["active", "version"]),
        Query::TopK { keys: vec![path("version")], k: 2, threshold_delta: None },
        Query::Count,
        Query::DistinctUnits,
        Query::Sum { column: path("battery") },
        Query::DistinctCount { column: path("version") },
    ]
}

fn reader(plan: &Plan, schema: &Schema, filter: Option<Predicate>) -> Reader {
    let columns = plan.columns().iter().map(|c| (c.clone(), schema.columns[c].clone()));
    Reader {
        filter,
        unit: path("device"),
        rows_per_unit: schema.rows_per_unit,
        columns: columns.collect(),
        key: Zeroizing::new([7; 16]),
    }
}

/// What a question's numbers are without noise.
fn numbers(
    query: &Query,
    schema: &Schema,
    filter: Option<&Predicate>,
    batches: &[RecordBatch],
    observe: impl Fn(&Reader, &mut Partial, &RecordBatch) -> Result<(), ComputeError>,
) -> Vec<i128> {
    let plan = plan(query, schema, EXACT, Mechanism::Gaussian).unwrap();
    let reader = reader(&plan, schema, filter.cloned());
    let mut partial = plan.partial();
    batches.iter().for_each(|batch| observe(&reader, &mut partial, batch).unwrap());
    plan.execute(partial).unwrap().numbers().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn batches_answer_what_their_rows_one_by_one_do(
        batches in prop::collection::vec(
            (prop::collection::vec(row(), 0..60), form(), any::<bool>()), 0..5,
        ),
        bound in (1u32..7).prop_flat_map(|rows| (Just(rows), 1..=rows)),
        one in any::<bool>(),
        filtered in any::<bool>(),
    ) {
        let filter: Predicate = serde_json::from_str(
            r#"{"or":[{"compare":{"column":"battery","is":"<","value":60}},
                {"not":{"compare":{"column":"version","is":"=","value":"9"}}}]}"#,
        ).unwrap();
        let filter = filtered.then_some(&filter);
        let contribution = ContributionBound::new(bound.0, bound.1).unwrap();
        let schema = schema(contribution, if one { RowsPerUnit::One } else { RowsPerUnit::Many });
        let batches: Vec<RecordBatch> =
            batches.iter().map(|(rows, form, numbered)| batch(rows, *form, *numbered)).collect();
        for query in queries() {
            let slow = numbers(&query, &schema, filter, &batches, one_by_one);
            let fast = numbers(&query, &schema, filter, &batches, Reader::observe);
            prop_assert_eq!(slow, fast, "{:?}", query);
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused_alike() {
    let schema = schema(ContributionBound::ONE_ROW, RowsPerUnit::Many);
    let whole = batch(&[(Some(1), Some(0), Some(true), Some(5))], Form::Listed, false);
    let without = |name: &str| {
        let kept = (0..4).filter(|&c| whole.schema().field(c).name() != name);
        whole.project(&kept.collect::<Vec<_>>()).unwrap()
    };
    let nested = {
        let inner = Arc::new(ArrowField::new("x", DataType::Utf8, true));
        let versions = arrow::array::StructArray::from(vec![(
            inner,
            Arc::new(StringArray::from(vec!["9"])) as ArrayRef,
        )]);
        let fields = vec![
            ArrowField::new("device", DataType::Utf8, true),
            ArrowField::new("version", versions.data_type().clone(), true),
        ];
        let columns: Vec<ArrayRef> = vec![whole.column(0).clone(), Arc::new(versions)];
        RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).unwrap()
    };
    let refused = |query: &Query, batch: &RecordBatch, wanted: &str| {
        let plan = plan(query, &schema, EXACT, Mechanism::Gaussian).unwrap();
        let reader = reader(&plan, &schema, None);
        let text = |e: ComputeError| format!("{e:?}");
        let slow = one_by_one(&reader, &mut plan.partial(), batch).map_err(text);
        let fast = reader.observe(&mut plan.partial(), batch).map_err(text);
        assert_eq!(slow, fast);
        assert!(fast.unwrap_err().contains(wanted), "{query:?}");
    };
    let groups = &queries()[0];
    refused(groups, &without("version"), "column 'version' was not read");
    refused(groups, &without("device"), "column 'device' was not read");
    refused(&Query::Count, &without("device"), "column 'device' was not read");
    refused(groups, &nested, "Casting from Struct");
}
