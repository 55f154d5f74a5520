//! `salus unbias`: bias between groups measured, and mended.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use salus_deid::unbias::{
    BiasReport, Favourable, Predictions, Repair, Representation, Thresholds, Weights,
};
use salus_deid::{Column, Table, is_missing};
use serde::Serialize;

use crate::Answer;
use crate::error::FilesError;
use crate::file::{Format, Source, not_over, write_table};
use crate::text::{columns, count, notes, percent};

/// Measures how differently groups fare in a table and mends it.
#[derive(Debug, Clone, Args)]
pub struct UnbiasArgs {
    /// The table: CSV with column names in the first line and a record of a person in each other.
    pub file: PathBuf,
    /// Columns by which nobody should fare worse; of several, their combinations are the groups.
    #[arg(long, value_delimiter = ',', required = true)]
    pub sensitive: Vec<String>,
    /// The outcome that is good for a person, as column=value.
    #[arg(long, value_parser = favourable)]
    pub favourable: (String, String),
    /// How to mend.
    #[arg(long, value_enum, default_value = "reweigh")]
    pub method: Mend,
    /// For `repair`: the numeric columns to repair; all but the sensitive ones and the outcome if
    /// not given.
    #[arg(long, value_delimiter = ',')]
    pub features: Vec<String>,
    /// For `repair`: how far the columns are moved towards the same distribution in each group.
    #[arg(long, default_value_t = 1.0)]
    pub level: f64,
    /// For `threshold`: the column with a model's predicted chance of the good outcome.
    #[arg(long)]
    pub score: Option<String>,
    /// For `threshold`: the score from which on the model predicts the good outcome.
    #[arg(long, default_value_t = 0.5)]
    pub threshold: f64,
    /// A table of the population, to compare the groups' shares with.
    #[arg(long)]
    pub reference: Option<PathBuf>,
    /// The file for the mended table; without it, bias is measured only.
    #[arg(long)]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// How to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mend {
    /// A column `weight` that makes the outcome independent of the group in training.
    Reweigh,
    /// Numeric columns moved so that they no longer tell the group: disparate impact removal.
    #[value(alias = "disparate-impact", alias = "disparate-impact-removal")]
    Repair,
    /// A column `favoured`: a threshold for each group that gives those with the good outcome the
    /// same chance to be predicted so (equal opportunity).
    #[value(alias = "thresholds")]
    Threshold,
}

fn favourable(text: &str) -> Result<(String, String), String> {
    // Values such as >=50 hold the sign too: the first one splits.
    match text.split_once('=') {
        Some((column, value)) if !column.is_empty() => {
            let value = value.trim_matches('"');
            Ok((column.to_owned(), value.to_owned()))
        }
        _ => {
            Err("the good outcome is written as column=value, as in salary-class=\">50K\""
                .to_owned())
        }
    }
}

/// What `salus unbias` answers.
#[derive(Debug, Clone, Serialize)]
pub struct UnbiasReport {
    /// Records.
    pub records: u64,
    /// How it was mended.
    pub method: Mend,
    /// Bias before.
    pub before: BiasReport,
    /// Bias after: with the weights, with the repaired columns' table, or with the new thresholds.
    pub after: BiasReport,
    /// The weights of each group, for `reweigh`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<GroupWeight>,
    /// The repaired columns, for `repair`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repaired: Vec<Repaired>,
    /// The threshold of each group, for `threshold`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<GroupThreshold>,
    /// Shares of the groups in the table and in the reference table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub representation: Vec<Representation>,
    /// The file written.
    pub out: Option<PathBuf>,
    /// What to note.
    pub notes: Vec<String>,
}

/// A group's weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupWeight {
    /// The group.
    pub group: String,
    /// Weight of a record with the good outcome.
    pub favourable: f64,
    /// Weight of another.
    pub unfavourable: f64,
}

/// What repairing did to a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Repaired {
    /// The column.
    pub column: String,
    /// The largest gap between two groups' shares at or below a number, before: 0 is alike.
    pub gap_before: f64,
    /// And after.
    pub gap_after: f64,
}

/// A group's threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupThreshold {
    /// The group.
    pub group: String,
    /// The score from which on it is favoured.
    pub threshold: f64,
}

/// Measures and mends.
///
/// # Errors
/// When a file cannot be read or written, a column or the good outcome does not exist, or the
/// method lacks what it needs.
pub fn run(args: &UnbiasArgs) -> Result<Answer, FilesError> {
    let source = Source::read(&args.file, &args.format)?;
    if let Some(out) = &args.out {
        not_over(out, &[&args.file])?;
    }
    let (mended, report) = mend(args, &source)?;
    if let Some(out) = &args.out {
        write_table(out, &mended, source.format)?;
    }
    let text = text(&report);
    Answer::new(&report, text)
}

/// Measures and mends a table.
pub(crate) fn mend(
    args: &UnbiasArgs,
    source: &Source,
) -> Result<(Table, UnbiasReport), FilesError> {
    let (column, value) = &args.favourable;
    source.require("--sensitive", &args.sensitive)?;
    source.require("--favourable", std::slice::from_ref(column))?;
    source.require("--features", &args.features)?;
    source.require("--score", args.score.as_slice())?;
    let known = source.table.column(column)?;
    if !known.dictionary().contains(value) {
        let mut values: Vec<&str> = known.dictionary().iter().map(String::as_str).collect();
        values.truncate(12);
        return Err(FilesError::option(format!(
            "--favourable: column '{column}' never has that value; it has {}",
            values.join(", ")
        )));
    }
    let good = Favourable { column: column.clone(), value: value.clone() };
    let sensitive: Vec<&str> = args.sensitive.iter().map(String::as_str).collect();
    let mut report = UnbiasReport {
        records: source.table.rows() as u64,
        method: args.method,
        before: BiasReport::measure(&source.table, &sensitive, &good, None, None)?,
        after: BiasReport::measure(&source.table, &sensitive, &good, None, None)?,
        weights: Vec::new(),
        repaired: Vec::new(),
        thresholds: Vec::new(),
        representation: Vec::new(),
        out: args.out.clone(),
        notes: source.notes.clone(),
    };
    let mended = match args.method {
        Mend::Reweigh => reweigh(&source.table, &sensitive, &good, &mut report)?,
        Mend::Repair => repair(args, &source.table, &sensitive, &mut report)?,
        Mend::Threshold => threshold(args, &source.table, &sensitive, &good, &mut report)?,
    };
    if let Some(path) = &args.reference {
        let reference = Source::read(path, &args.format)?;
        reference.require("--reference", &args.sensitive)?;
        report.representation =
            BiasReport::representation(&source.table, &reference.table, &sensitive)?;
    }
    let small = report.before.groups.iter().filter(|g| g.records < 30.0).count();
    if small > 0 {
        report
            .notes
            .push(format!("{small} groups have fewer than 30 records: their rates are uncertain"));
    }
    Ok((mended, report))
}

fn free_name(table: &Table, wanted: &str) -> String {
    let mut name = wanted.to_owned();
    while table.column(&name).is_ok() {
        name.push('_');
    }
    name
}

fn reweigh(
    table: &Table,
    sensitive: &[&str],
    good: &Favourable,
    report: &mut UnbiasReport,
) -> Result<Table, FilesError> {
    let weights = Weights::reweigh(table, sensitive, good)?;
    report.after = BiasReport::measure(table, sensitive, good, Some(&weights.by_record), None)?;
    report.weights = weights
        .by_group
        .iter()
        .map(|(group, favourable, unfavourable)| GroupWeight {
            group: group.clone(),
            favourable: *favourable,
            unfavourable: *unfavourable,
        })
        .collect();
    let name = free_name(table, "weight");
    let column = Column::from_values(name, weights.by_record.iter().map(f64::to_string))?;
    Ok(table.clone().with_column(column)?)
}

fn repair(
    args: &UnbiasArgs,
    table: &Table,
    sensitive: &[&str],
    report: &mut UnbiasReport,
) -> Result<Table, FilesError> {
    let repair = Repair::new(args.level)?;
    let numeric = |c: &&Column| c.numbers().is_some();
    let features: Vec<String> = if args.features.is_empty() {
        let fit = table.columns().iter().filter(numeric).map(|c| c.name().to_owned());
        fit.filter(|n| !args.sensitive.contains(n) && *n != args.favourable.0).collect()
    } else {
        args.features.clone()
    };
    if features.is_empty() {
        return Err(FilesError::option(
            "no column holds numbers only, so there is nothing to repair; use --method reweigh",
        ));
    }
    let with_gaps: Vec<&str> = table
        .columns()
        .iter()
        .filter(|c| c.dictionary().iter().any(|v| is_missing(v)))
        .map(Column::name)
        .filter(|name| !features.iter().any(|f| f == name))
        .collect();
    if args.features.is_empty() && !with_gaps.is_empty() {
        report.notes.push(format!(
            "columns with missing values are not repaired: {}",
            with_gaps.join(", ")
        ));
    }
    let mut mended = table.clone();
    for feature in features {
        let column = repair.apply(table, &feature, sensitive)?;
        let gap_before = gap(table, &feature, sensitive)?;
        mended = mended.with_column(column)?;
        let gap_after = gap(&mended, &feature, sensitive)?;
        report.repaired.push(Repaired { column: feature, gap_before, gap_after });
    }
    Ok(mended)
}

/// The largest distance between two groups' distributions of a number (Kolmogorov–Smirnov).
fn gap(table: &Table, feature: &str, sensitive: &[&str]) -> Result<f64, FilesError> {
    let column = table.column(feature)?;
    let Some(numbers) = column.numbers() else { return Ok(0.0) };
    let keys = sensitive.iter().map(|s| table.column(s)).collect::<Result<Vec<_>, _>>()?;
    let mut groups: std::collections::BTreeMap<Vec<u32>, Vec<f64>> = Default::default();
    for (row, &code) in column.codes().iter().enumerate() {
        let key = keys.iter().filter_map(|c| c.codes().get(row).copied()).collect();
        groups.entry(key).or_default().extend(numbers.get(code as usize));
    }
    for own in groups.values_mut() {
        own.sort_by(f64::total_cmp);
    }
    let share = |own: &[f64], x: f64| own.partition_point(|y| *y <= x) as f64 / own.len() as f64;
    let mut cuts = numbers;
    cuts.sort_by(f64::total_cmp);
    cuts.dedup();
    let spread = |x: &f64| {
        let shares = groups.values().map(|own| share(own, *x));
        let (low, high) = shares.fold((1.0f64, 0.0f64), |(l, h), s| (l.min(s), h.max(s)));
        high - low
    };
    Ok(cuts.iter().map(spread).fold(0.0, f64::max))
}

fn threshold(
    args: &UnbiasArgs,
    table: &Table,
    sensitive: &[&str],
    good: &Favourable,
    report: &mut UnbiasReport,
) -> Result<Table, FilesError> {
    let Some(score) = &args.score else {
        return Err(FilesError::option(
            "--method threshold mends predictions: name the column with the predicted chances with \
             --score",
        ));
    };
    let column = table.column(score)?;
    let numbers = column.numbers().ok_or_else(|| {
        FilesError::option(format!("--score: column '{score}' holds something else than numbers"))
    })?;
    let scores: Vec<f64> =
        column.codes().iter().filter_map(|&c| numbers.get(c as usize).copied()).collect();
    let before = Predictions { scores: scores.clone(), threshold: args.threshold };
    report.before = BiasReport::measure(table, sensitive, good, None, Some(&before))?;
    let found = Thresholds::equal_opportunity(table, sensitive, good, &scores, args.threshold)?;
    let decided: Vec<f64> = found.favoured.iter().map(|f| f64::from(u8::from(*f))).collect();
    let after = Predictions { scores: decided, threshold: 0.5 };
    report.after = BiasReport::measure(table, sensitive, good, None, Some(&after))?;
    report.after.calibration = None;
    report.thresholds = found
        .by_group
        .iter()
        .map(|(group, threshold)| GroupThreshold { group: group.clone(), threshold: *threshold })
        .collect();
    let name = free_name(table, "favoured");
    let words = found.favoured.iter().map(|f| if *f { "1" } else { "0" });
    Ok(table.clone().with_column(Column::from_values(name, words)?)?)
}

fn text(report: &UnbiasReport) -> String {
    let number = |x: f64| format!("{x:.5}");
    let rates: Vec<Vec<String>> = report
        .before
        .groups
        .iter()
        .zip(&report.after.groups)
        .map(|(before, after)| {
            let weights = report.weights.iter().find(|w| w.group == before.group);
            let threshold = report.thresholds.iter().find(|t| t.group == before.group);
            let mut row = vec![
                before.group.clone(),
                count(before.records as u64),
                percent(before.favourable),
                percent(after.favourable),
            ];
            match (weights, threshold) {
                (Some(w), _) => row.extend([number(w.favourable), number(w.unfavourable)]),
                (None, Some(t)) => row.push(number(t.threshold)),
                (None, None) => {}
            }
            row
        })
        .collect();
    let mut header = vec!["group", "records", "favourable before", "after"];
    if !report.weights.is_empty() {
        header.extend(["weight if favourable", "weight if not"]);
    }
    if !report.thresholds.is_empty() {
        header.push("threshold");
    }
    let both = |word: &str, fair: &str, pick: fn(&BiasReport) -> Option<f64>| {
        let (before, after) = (pick(&report.before)?, pick(&report.after)?);
        Some(vec![word.to_owned(), number(before), number(after), fair.to_owned()])
    };
    let measures: Vec<Vec<String>> = [
        both("statistical parity", "0", |r| Some(r.statistical_parity)),
        both("disparate impact", "1; 0.8 is the usual limit", |r| Some(r.disparate_impact)),
        both("equal opportunity", "0", |r| r.equal_opportunity),
        both("average odds", "0", |r| r.average_odds),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut said = format!(
        "Bias between groups\n{}\n\n{}",
        columns(&header, &rates),
        columns(&["measure", "before", "after", "fair"], &measures)
    );
    if !report.repaired.is_empty() {
        let rows: Vec<Vec<String>> = report
            .repaired
            .iter()
            .map(|r| vec![r.column.clone(), number(r.gap_before), number(r.gap_after)])
            .collect();
        said.push_str(&format!(
            "\n\nLargest gap between groups\n{}",
            columns(&["column", "before", "after"], &rows)
        ));
    }
    if !report.representation.is_empty() {
        let rows: Vec<Vec<String>> = report
            .representation
            .iter()
            .map(|r| vec![r.group.clone(), percent(r.share), percent(r.reference)])
            .collect();
        said.push_str(&format!(
            "\n\nRepresentation\n{}",
            columns(&["group", "in the table", "in the reference"], &rows)
        ));
    }
    if let Some(out) = &report.out {
        said.push_str(&format!("\n\nWritten to {}", out.display()));
    }
    said.push_str(&notes(&report.notes));
    said
}
