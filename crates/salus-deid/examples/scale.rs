//! Prints CPU time and memory of the whole path on a table of any size: risk, optimal search,
//! release, attacks, score.
//!
//! `cargo run --release -p salus-deid --example scale -- [records]`
//!
//! The table is Adult drawn with replacement, ages moved a little, so that it has about as many
//! classes per record as a larger survey would.

#![allow(clippy::print_stdout)]

use std::fs;
use std::path::Path;

use salus_deid::attack::{Linking, Plan, Scene, run};
use salus_deid::risk::Risk;
use salus_deid::transform::UnknownValue;
use salus_deid::{
    Column, CsvFormat, Hierarchy, Loss, PrivacyModel, Problem, QuasiIdentifier, QuasiIdentifiers,
    SuppressionLimit, Table,
};
use salus_model::{Entropy, EntropyFailed};

/// SplitMix64: a benchmark wants the same draws each time.
struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Entropy for Sequence {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn peak_megabytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
    peak.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn drawn(
    adult: &Table,
    records: usize,
    dice: &mut Sequence,
) -> Result<Table, Box<dyn std::error::Error>> {
    let n = adult.rows() as u64;
    let rows: Vec<usize> = (0..records).map(|_| (dice.next() % n) as usize).collect();
    let mut table = adult.select(rows)?;
    let ages = table.column("age")?.clone();
    let moved = (0..records).map(|row| {
        let age: u64 = ages.value(row).and_then(|a| a.parse().ok()).unwrap_or(40);
        (age + dice.next() % 9).saturating_sub(4).clamp(1, 100).to_string()
    });
    table = table.with_column(Column::from_values("age", moved)?)?;
    Ok(table)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let records = std::env::args().nth(1).map_or(Ok(1_000_000), |a| a.parse())?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/adult");
    let format = CsvFormat::with_delimiter(b';');
    let adult = Table::read_csv(fs::File::open(folder.join("adult_arx_30162x9.csv"))?, format)?;
    let items = adult
        .columns()
        .iter()
        .map(|column| {
            let file = folder.join(format!("adult_hierarchy_{}.csv", column.name()));
            let hierarchy = Hierarchy::read_csv(fs::File::open(file)?, format.without_header())?;
            Ok(QuasiIdentifier { column: column.name().to_owned(), hierarchy })
        })
        .collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
    let quasi = QuasiIdentifiers::new(items)?;
    let mut dice = Sequence(1);
    let (real, control) = (drawn(&adult, records, &mut dice)?, drawn(&adult, records, &mut dice)?);
    let names: Vec<&str> = real.columns().iter().map(Column::name).collect();

    let mut last = cpu_seconds();
    let mut lap = |what: &str| {
        let now = cpu_seconds();
        println!("{what:<28}{:>8.2} s", now - last);
        last = now;
    };
    let risk = Risk::of_table(&real, &names, None)?;
    lap("risk");
    let problem = Problem::new(
        &real,
        &quasi,
        &[PrivacyModel::k_anonymity(5)?],
        SuppressionLimit::new(0.05)?,
        Loss::REFERENCE,
        None,
    )?;
    let found = problem.optimum()?;
    lap("optimum");
    let released =
        found.scheme(&quasi, UnknownValue::Refuse)?.apply(&real, &found.suppressed, &[])?;
    lap("release");
    let scene = Scene { hierarchies: Some(&quasi), ..Scene::new(&real, &control, &released) };
    let plan = Plan {
        attempts: 1_000,
        predicate_columns: 4,
        linking: Linking::by_lot(),
        secrets: vec!["salary-class".to_owned()],
        looks: std::num::NonZeroU32::MIN,
    };
    let report = run(&scene, &plan, &mut dice)?;
    lap("attacks and score");
    println!(
        "records {records}, average risk {:.4}, loss {:.6} at {:?}, suppressed {}, score {:.1}",
        risk.average,
        found.loss,
        found.levels.as_slice(),
        found.suppressed.len(),
        report.score
    );
    println!("{}", report.words);
    println!("peak memory {} MB", peak_megabytes());
    Ok(())
}
