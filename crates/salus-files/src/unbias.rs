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
use crate::file::{Format, Source, check_outputs, given, write_table};
use crate::numbers;
use crate::text::{columns, count, counted, decimals, notes, percent};

/// Measures how differently groups fare in a table and mends it.
#[derive(Debug, Clone, Args)]
pub struct UnbiasArgs {
    /// The table: CSV with column names in the first line and a record of a person in each other.
    pub file: PathBuf,
    /// Columns by which nobody should fare worse; of several, their combinations are the groups.
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name, required = true)]
    pub sensitive: Vec<String>,
    /// The outcome that is good for a person, as column=value.
    #[arg(long, value_parser = favourable)]
    pub favourable: (String, String),
    /// How to mend.
    #[arg(long, value_enum, default_value = "reweigh")]
    pub method: Mend,
    /// For `repair`: the numeric columns to repair; all but the sensitive ones and the outcome if
    /// not given.
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name)]
    pub features: Vec<String>,
    /// For `repair`: how far the columns are moved towards the same distribution in each group.
    #[arg(long, default_value_t = 1.0, value_parser = numbers::share)]
    pub level: f64,
    /// The column with a model's predicted chance of the good outcome: its bias is measured, and
    /// `threshold` mends it.
    #[arg(long, value_parser = crate::text::name)]
    pub score: Option<String>,
    /// The column with a model's predicted outcome, written as the outcome is: its bias is
    /// measured.
    #[arg(long, value_parser = crate::text::name, conflicts_with = "score")]
    pub predicted: Option<String>,
    /// The score from which on the model predicts the good outcome.
    #[arg(long, default_value_t = 0.5, value_parser = numbers::share)]
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

pub(crate) fn favourable(text: &str) -> Result<(String, String), String> {
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
    /// Bias of the model's predictions as they are, with `--score` or `--predicted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictions: Option<BiasReport>,
    /// What a model does that is trained on the table as it is, and on the mended one, for
    /// `reweigh` and `repair`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained: Option<Trained>,
    /// The same by each sensitive column alone, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_attribute: Vec<ByAttribute>,
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

/// A naive Bayes classifier's bias, each record predicted by a model that has not seen it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trained {
    /// Trained on the table as it is.
    pub before: BiasReport,
    /// Trained on the mended table.
    pub after: BiasReport,
    /// Records predicted right, before.
    pub accuracy_before: f64,
    /// And after.
    pub accuracy_after: f64,
}

/// Bias by one sensitive column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ByAttribute {
    /// The column.
    pub column: String,
    /// Bias before.
    pub before: BiasReport,
    /// Bias after.
    pub after: BiasReport,
    /// Bias of the model's predictions as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictions: Option<BiasReport>,
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
    let reference = given("--reference", args.reference.as_deref());
    check_outputs(
        &[Some(("the table", args.file.as_path())), reference],
        &[given("--out", args.out.as_deref())],
    )?;
    let source = Source::read(&args.file, &args.format)?;
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
    for (i, name) in args.sensitive.iter().enumerate() {
        if args.sensitive.iter().skip(i + 1).any(|other| other == name) {
            return Err(FilesError::option(format!("--sensitive: column '{name}' is named twice")));
        }
    }
    source.require("--favourable", std::slice::from_ref(column))?;
    source.require("--features", &args.features)?;
    source.require("--score", args.score.as_slice())?;
    source.require("--predicted", args.predicted.as_slice())?;
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
    let said = predictions(args, &source.table)?;
    let measured = |sensitive: &[&str], weights: Option<&[f64]>, said: Option<&Predictions>| {
        let mut report = BiasReport::measure(&source.table, sensitive, &good, weights, said)?;
        if args.predicted.is_some() {
            // An outcome is no chance that could be compared with a rate.
            uncalibrated(&mut report);
        }
        Ok::<_, FilesError>(report)
    };
    let mut report = UnbiasReport {
        records: source.table.rows() as u64,
        method: args.method,
        before: BiasReport::measure(&source.table, &sensitive, &good, None, None)?,
        after: BiasReport::measure(&source.table, &sensitive, &good, None, None)?,
        predictions: said.as_ref().map(|p| measured(&sensitive, None, Some(p))).transpose()?,
        trained: None,
        by_attribute: Vec::new(),
        weights: Vec::new(),
        repaired: Vec::new(),
        thresholds: Vec::new(),
        representation: Vec::new(),
        out: args.out.clone(),
        notes: source.notes.clone(),
    };
    let (mended, way) = match args.method {
        Mend::Reweigh => reweigh(&source.table, &sensitive, &good, &mut report)?,
        Mend::Repair => repair(args, &source.table, &sensitive, &mut report)?,
        Mend::Threshold => {
            let scores = args.score.as_ref().and(said.as_ref());
            threshold(args, &source.table, scores, &sensitive, &good, &mut report)?
        }
    };
    report.trained = trained(args, &source.table, &mended, &way, &good, &mut report.notes)?;
    let (before, weights) = match &way {
        Way::Decided(_) => (said.as_ref(), None),
        Way::Weighed(weights) => (None, Some(weights.as_slice())),
        Way::Changed => (None, None),
    };
    let decided = match &way {
        Way::Decided(decided) => Some(decided),
        _ => None,
    };
    for column in sensitive.iter().filter(|_| sensitive.len() > 1) {
        let one = std::slice::from_ref(column);
        // A column with one value compares nothing.
        let Ok(own) = measured(one, None, before) else { continue };
        let mut after = measured(one, weights, decided)?;
        if decided.is_some() {
            uncalibrated(&mut after);
        }
        report.by_attribute.push(ByAttribute {
            column: (*column).to_owned(),
            before: own,
            after,
            predictions: said.as_ref().map(|p| measured(one, None, Some(p))).transpose()?,
        });
    }
    if let Some(path) = &args.reference {
        let reference = Source::read(path, &args.format)?;
        reference.require("--reference", &args.sensitive)?;
        report.representation =
            BiasReport::representation(&source.table, &reference.table, &sensitive)?;
    }
    let small = report.before.groups.iter().filter(|g| g.records < 30.0).count();
    if small > 0 {
        let said = counted(small as u64, "group has", "groups have");
        report.notes.push(format!("{said} fewer than 30 records: rates are uncertain there"));
    }
    Ok((mended, report))
}

/// What a method leaves behind beside the table.
enum Way {
    /// A weight per record.
    Weighed(Vec<f64>),
    /// Other values.
    Changed,
    /// Other decisions.
    Decided(Predictions),
}

fn uncalibrated(report: &mut BiasReport) {
    report.calibration = None;
    for group in &mut report.groups {
        group.calibration = None;
    }
}

/// What a model said of each record.
fn predictions(args: &UnbiasArgs, table: &Table) -> Result<Option<Predictions>, FilesError> {
    if let Some(score) = &args.score {
        let column = table.column(score)?;
        let numbers = column.numbers().ok_or_else(|| {
            FilesError::option(format!(
                "--score: column '{score}' holds something else than numbers"
            ))
        })?;
        let scores: Vec<f64> =
            column.codes().iter().filter_map(|&c| numbers.get(c as usize).copied()).collect();
        if let Some(record) = scores.iter().position(|chance| !(0.0..=1.0).contains(chance)) {
            return Err(FilesError::option(format!(
                "--score: column '{score}', record {}: this is no chance; a model's \
                 predicted chances lie between 0 and 1",
                record + 1
            )));
        }
        return Ok(Some(Predictions { scores, threshold: args.threshold }));
    }
    let Some(predicted) = &args.predicted else { return Ok(None) };
    let column = table.column(predicted)?;
    let good = |row| column.value(row) == Some(args.favourable.1.as_str());
    let scores: Vec<f64> = (0..table.rows()).map(|row| f64::from(u8::from(good(row)))).collect();
    if !scores.contains(&1.0) {
        return Err(FilesError::option(format!(
            "--predicted: column '{predicted}' never has the good outcome of --favourable; it is \
             written as in that column"
        )));
    }
    Ok(Some(Predictions { scores, threshold: 0.5 }))
}

/// What a model does that is trained before and after, from all columns but the sensitive ones.
fn trained(
    args: &UnbiasArgs,
    table: &Table,
    mended: &Table,
    way: &Way,
    good: &Favourable,
    notes: &mut Vec<String>,
) -> Result<Option<Trained>, FilesError> {
    let weights = match way {
        Way::Decided(_) => return Ok(None),
        Way::Weighed(weights) => Some(weights.as_slice()),
        Way::Changed => None,
    };
    let apart = [args.score.as_ref(), args.predicted.as_ref(), Some(&good.column)];
    let rows = table.rows();
    let features: Vec<&str> = table
        .columns()
        .iter()
        .filter(|c| !args.sensitive.iter().any(|s| s == c.name()))
        .filter(|c| !apart.iter().flatten().any(|name| *name == c.name()))
        // Words that nearly everybody has alone teach nothing.
        .filter(|c| c.numbers_and_gaps().is_some() || c.dictionary().len() * 2 <= rows)
        .map(Column::name)
        .collect();
    if features.is_empty() {
        notes.push("no other column is left to train a model on".to_owned());
        return Ok(None);
    }
    let sensitive: Vec<&str> = args.sensitive.iter().map(String::as_str).collect();
    let outcome = table.column(&good.column)?;
    let of = |table: &Table, weights| {
        let said = salus_deid::unbias::trained(table, &features, good, weights)?;
        let right = (0..rows)
            .filter(|&row| {
                let is_good = outcome.value(row) == Some(good.value.as_str());
                (said.scores[row] >= said.threshold) == is_good
            })
            .count();
        let report = BiasReport::measure(table, &sensitive, good, None, Some(&said))?;
        Ok::<_, FilesError>((report, right as f64 / rows as f64))
    };
    let (before, accuracy_before) = of(table, None)?;
    let (after, accuracy_after) = of(mended, weights)?;
    Ok(Some(Trained { before, after, accuracy_before, accuracy_after }))
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
) -> Result<(Table, Way), FilesError> {
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
    Ok((table.clone().with_column(column)?, Way::Weighed(weights.by_record)))
}

fn repair(
    args: &UnbiasArgs,
    table: &Table,
    sensitive: &[&str],
    report: &mut UnbiasReport,
) -> Result<(Table, Way), FilesError> {
    let repair = Repair::new(args.level)?;
    let numeric = |c: &&Column| c.numbers_and_gaps().is_some();
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
        .filter(|name| features.iter().any(|f| f == name))
        .collect();
    if !with_gaps.is_empty() {
        report.notes.push(format!(
            "missing values stay as they are, and may tell the group: {}",
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
    Ok((mended, Way::Changed))
}

/// The largest distance between two groups' distributions of a number (Kolmogorov–Smirnov).
fn gap(table: &Table, feature: &str, sensitive: &[&str]) -> Result<f64, FilesError> {
    let column = table.column(feature)?;
    let Some(numbers) = column.numbers_and_gaps() else { return Ok(0.0) };
    let keys = sensitive.iter().map(|s| table.column(s)).collect::<Result<Vec<_>, _>>()?;
    let mut groups: std::collections::BTreeMap<Vec<u32>, Vec<f64>> = Default::default();
    for (row, &code) in column.codes().iter().enumerate() {
        let key = keys.iter().filter_map(|c| c.codes().get(row).copied()).collect();
        groups.entry(key).or_default().extend(numbers.get(code as usize).copied().flatten());
    }
    groups.retain(|_, own| !own.is_empty());
    for own in groups.values_mut() {
        own.sort_by(f64::total_cmp);
    }
    let share = |own: &[f64], x: f64| own.partition_point(|y| *y <= x) as f64 / own.len() as f64;
    let mut cuts: Vec<f64> = numbers.into_iter().flatten().collect();
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
    before: Option<&Predictions>,
    sensitive: &[&str],
    good: &Favourable,
    report: &mut UnbiasReport,
) -> Result<(Table, Way), FilesError> {
    let Some(before) = before else {
        return Err(FilesError::option(
            "--method threshold mends predictions: name the column with the predicted chances with \
             --score",
        ));
    };
    report.before = BiasReport::measure(table, sensitive, good, None, Some(before))?;
    let found =
        Thresholds::equal_opportunity(table, sensitive, good, &before.scores, args.threshold)?;
    let decided: Vec<f64> = found.favoured.iter().map(|f| f64::from(u8::from(*f))).collect();
    let after = Predictions { scores: decided, threshold: 0.5 };
    report.after = BiasReport::measure(table, sensitive, good, None, Some(&after))?;
    uncalibrated(&mut report.after);
    report.thresholds = found
        .by_group
        .iter()
        .map(|(group, threshold)| GroupThreshold { group: group.clone(), threshold: *threshold })
        .collect();
    let name = free_name(table, "favoured");
    let words = found.favoured.iter().map(|f| if *f { "1" } else { "0" });
    let mended = table.clone().with_column(Column::from_values(name, words)?)?;
    Ok((mended, Way::Decided(after)))
}

/// Measures side by side, those that all reports have.
fn side_by_side(reports: &[&BiasReport]) -> Vec<Vec<String>> {
    let line = |word: &str, fair: &str, pick: fn(&BiasReport) -> Option<f64>| {
        let values: Vec<Option<f64>> = reports.iter().map(|r| pick(r)).collect();
        if values.iter().all(Option::is_none) {
            return None;
        }
        let mut row = vec![word.to_owned()];
        row.extend(values.into_iter().map(|v| v.map_or("–".to_owned(), decimals)));
        row.push(fair.to_owned());
        Some(row)
    };
    [
        line("statistical parity", "0", |r| Some(r.statistical_parity)),
        line("disparate impact", "1; 0.8 is the usual limit", |r| Some(r.disparate_impact)),
        line("equal opportunity", "0", |r| r.equal_opportunity),
        line("average odds", "0", |r| r.average_odds),
        line("calibration, worst gap", "0", |r| r.calibration),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn text(report: &UnbiasReport) -> String {
    let mut rates: Vec<Vec<String>> = report
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
                (Some(w), _) => row.extend([decimals(w.favourable), decimals(w.unfavourable)]),
                (None, Some(t)) => row.push(decimals(t.threshold)),
                (None, None) => {}
            }
            row
        })
        .collect();
    rates.sort();
    let mut header = vec!["group", "records", "favourable before", "after"];
    if !report.weights.is_empty() {
        header.extend(["weight if favourable", "weight if not"]);
    }
    if !report.thresholds.is_empty() {
        header.push("threshold");
    }
    let measures = side_by_side(&[&report.before, &report.after]);
    let mut said = format!(
        "Bias between groups\n{}\n\n{}",
        columns(&header, &rates),
        columns(&["measure", "before", "after", "fair"], &measures)
    );
    if let Some(predictions) = &report.predictions {
        let measures = side_by_side(&[predictions]);
        said.push_str(&format!(
            "\n\nPredictions as they are\n{}",
            columns(&["measure", "predictions", "fair"], &measures)
        ));
    }
    if let Some(trained) = &report.trained {
        let measures = side_by_side(&[&trained.before, &trained.after]);
        said.push_str(&format!(
            "\n\nA model trained before and after (naive Bayes, right on {} and {} of the records \
             that it has not seen)\n{}",
            percent(trained.accuracy_before),
            percent(trained.accuracy_after),
            columns(&["measure", "before", "after", "fair"], &measures)
        ));
    }
    for one in &report.by_attribute {
        let reports: Vec<&BiasReport> =
            [&one.before, &one.after].into_iter().chain(&one.predictions).collect();
        let mut header = vec!["measure", "before", "after"];
        header.extend(one.predictions.as_ref().map(|_| "predictions"));
        header.push("fair");
        said.push_str(&format!(
            "\n\nBy {} alone\n{}",
            one.column,
            columns(&header, &side_by_side(&reports))
        ));
    }
    if !report.repaired.is_empty() {
        let rows: Vec<Vec<String>> = report
            .repaired
            .iter()
            .map(|r| vec![r.column.clone(), decimals(r.gap_before), decimals(r.gap_after)])
            .collect();
        said.push_str(&format!(
            "\n\nLargest gap between groups\n{}",
            columns(&["column", "before", "after"], &rows)
        ));
    }
    if !report.representation.is_empty() {
        let mut rows: Vec<Vec<String>> = report
            .representation
            .iter()
            .map(|r| vec![r.group.clone(), percent(r.share), percent(r.reference)])
            .collect();
        rows.sort();
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
