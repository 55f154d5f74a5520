//! `salus transform`: one change after the other, without a search.

use std::path::{Path, PathBuf};

use clap::Args;
use salus_deid::sets::KmAnonymity;
use salus_deid::transform::{
    Average, Bounds, DateShift, Pseudonyms, mdav, microaggregate, round_to, sample, suppress_rare,
    top_and_bottom_code,
};
use salus_deid::{Column, Table};
use salus_model::Entropy;
use serde::Serialize;

use crate::Answer;
use crate::error::FilesError;
use crate::file::{Format, Source, check_outputs, given, write_table};
use crate::hierarchies;
use crate::text::{count, notes, pairs};

/// Codes, rounds, shifts, averages or replaces columns. Nothing here proves anonymity by itself:
/// measure the result with `salus risk`.
#[derive(Debug, Clone, Args)]
pub struct TransformArgs {
    /// The table: CSV with column names in the first line and a record in each other.
    pub file: PathBuf,
    /// Numbers beyond these become <LOW and >HIGH, as age=18:90; repeat for more.
    #[arg(long, value_parser = bounds)]
    pub top_bottom: Vec<(String, f64, f64)>,
    /// Numbers are rounded to multiples, as weight=5; repeat for more.
    #[arg(long, value_parser = amount)]
    pub round: Vec<(String, f64)>,
    /// Cells whose value fewer records share are suppressed, as city=20; repeat for more.
    #[arg(long, value_parser = amount)]
    pub rare: Vec<(String, f64)>,
    /// Numbers of these columns become the averages of groups of nearest records (MDAV).
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name, requires = "group_size")]
    pub microaggregate: Vec<String>,
    /// Records in a group of --microaggregate.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    pub group_size: Option<u32>,
    /// All dates of these columns move by as many days, drawn for each patient of --patient.
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name, requires = "patient")]
    pub shift_dates: Vec<String>,
    /// The column that says whose a record is.
    #[arg(long)]
    pub patient: Option<String>,
    /// How many days dates move at most.
    #[arg(long, default_value = "365")]
    pub most_days: std::num::NonZeroU32,
    /// Identifiers that become pseudonyms by a keyed hash.
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name)]
    pub pseudonyms: Vec<String>,
    /// A file with at least 32 random bytes: the same key gives the same pseudonyms and shifts
    /// again. Without it a key is drawn and forgotten.
    #[arg(long)]
    pub key_file: Option<PathBuf>,
    /// The project: the same person has another pseudonym in another.
    #[arg(long, default_value = "salus")]
    pub project: String,
    /// Lists of codes, such as diagnoses: whoever knows --known-items of them finds --alike records
    /// or none (k^m-anonymity). Needs --hierarchies with a file for the column.
    #[arg(long, requires_all = ["hierarchies", "alike"])]
    pub lists: Option<String>,
    /// What separates the codes of a list.
    #[arg(long, default_value = "|")]
    pub separator: char,
    /// The k of k^m-anonymity.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    pub alike: Option<u32>,
    /// The m of k^m-anonymity.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub known_items: u8,
    /// A folder of hierarchies.
    #[arg(long)]
    pub hierarchies: Option<PathBuf>,
    /// So many records, drawn at random, in random order.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: Option<u32>,
    /// The file for the result.
    #[arg(long)]
    pub out: PathBuf,
    #[command(flatten)]
    pub(crate) format: Format,
}

fn bounds(text: &str) -> Result<(String, f64, f64), String> {
    let parsed = text.rsplit_once('=').and_then(|(name, range)| {
        let (low, high) = range.split_once(':')?;
        Some((name.to_owned(), low.trim().parse().ok()?, high.trim().parse().ok()?))
    });
    parsed.ok_or_else(|| "bounds are written as column=lowest:highest, as in age=18:90".to_owned())
}

fn amount(text: &str) -> Result<(String, f64), String> {
    let parsed = text
        .rsplit_once('=')
        .and_then(|(name, number)| Some((name.to_owned(), number.trim().parse().ok()?)));
    parsed.ok_or_else(|| "an amount is written as column=number, as in weight=5".to_owned())
}

/// What `salus transform` answers.
#[derive(Debug, Clone, Serialize)]
pub struct TransformReport {
    /// Records written.
    pub records: u64,
    /// What was done, in order.
    pub done: Vec<String>,
    /// For lists: the mean share of the domain that a published code leaves open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_loss: Option<f64>,
    /// The file written.
    pub out: PathBuf,
    /// What to note.
    pub notes: Vec<String>,
}

/// Transforms.
///
/// # Errors
/// When a file cannot be read or written, a column does not exist, or a value is not what the
/// change needs.
pub fn run(args: &TransformArgs, entropy: &mut dyn Entropy) -> Result<Answer, FilesError> {
    let written = [Some(("--out", args.out.as_path()))];
    let key = given("--key-file", args.key_file.as_deref());
    check_outputs(&[Some(("the table", args.file.as_path())), key], &written)?;
    let source = Source::read(&args.file, &args.format)?;
    hierarchies::not_over(args.hierarchies.as_deref(), &source, &written)?;
    check(args, &source)?;
    let mut report = TransformReport {
        records: 0,
        done: Vec::new(),
        list_loss: None,
        out: args.out.clone(),
        notes: source.notes.clone(),
    };
    let mut table = numbers(args, source.table.clone(), &mut report)?;
    table = people(args, table, entropy, &mut report)?;
    if let Some(lists) = &args.lists {
        table = anonymous_lists(args, &source, table, lists, &mut report)?;
    }
    if let Some(records) = args.sample {
        if records as usize > table.rows() {
            return Err(FilesError::option(format!(
                "--sample: {records} records cannot be drawn from {}",
                table.rows()
            )));
        }
        table = sample(&table, records as usize, entropy)?;
        report.done.push(format!("{records} records drawn at random"));
    }
    if report.done.is_empty() {
        return Err(FilesError::option(
            "say what to change: --top-bottom, --round, --rare, --microaggregate, --shift-dates, \
             --pseudonyms, --lists or --sample",
        ));
    }
    report.records = table.rows() as u64;
    write_table(&args.out, &table, source.format)?;
    let rows = [
        ("records", count(report.records)),
        ("done", report.done.join("; ")),
        ("written to", report.out.display().to_string()),
    ];
    let text = format!("Transformed\n{}{}", pairs(&rows), notes(&report.notes));
    Answer::new(&report, text)
}

fn check(args: &TransformArgs, source: &Source) -> Result<(), FilesError> {
    let names = |list: &[(String, f64)]| list.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
    let bounded: Vec<String> = args.top_bottom.iter().map(|(n, ..)| n.clone()).collect();
    source.require("--top-bottom", &bounded)?;
    source.require("--round", &names(&args.round))?;
    source.require("--rare", &names(&args.rare))?;
    source.require("--microaggregate", &args.microaggregate)?;
    source.require("--shift-dates", &args.shift_dates)?;
    source.require("--patient", args.patient.as_slice())?;
    source.require("--pseudonyms", &args.pseudonyms)?;
    source.require("--lists", args.lists.as_slice())
}

/// Averages, bounds, roundings and rare values: in this order, so that each sees numbers.
fn numbers(
    args: &TransformArgs,
    mut table: Table,
    report: &mut TransformReport,
) -> Result<Table, FilesError> {
    if let (Some(size), false) = (args.group_size, args.microaggregate.is_empty()) {
        let columns: Vec<Column> = args
            .microaggregate
            .iter()
            .map(|name| Ok(table.column(name)?.clone()))
            .collect::<Result<_, FilesError>>()?;
        let groups = mdav(&columns.iter().collect::<Vec<_>>(), size as usize)?;
        for column in &columns {
            table = table.with_column(microaggregate(column, &groups, Average::Mean)?)?;
        }
        report.done.push(format!(
            "{} averaged over groups of at least {size}",
            args.microaggregate.join(", ")
        ));
    }
    for (name, base) in &args.round {
        let column = round_to(table.column(name)?, *base)?;
        table = table.with_column(column)?;
        report.done.push(format!("{name} rounded to multiples of {base}"));
    }
    for (name, lowest, highest) in &args.top_bottom {
        let bounds = Bounds { lowest: *lowest, highest: *highest };
        let column = top_and_bottom_code(table.column(name)?, bounds)?;
        table = table.with_column(column)?;
        report.done.push(format!("{name} coded below {lowest} and above {highest}"));
    }
    for (name, least) in &args.rare {
        let column = suppress_rare(table.column(name)?, least.max(0.0).ceil() as u64);
        table = table.with_column(column)?;
        report.done.push(format!("{name} suppressed where fewer than {least} share it"));
    }
    Ok(table)
}

/// Dates and identifiers, by a key.
fn people(
    args: &TransformArgs,
    mut table: Table,
    entropy: &mut dyn Entropy,
    report: &mut TransformReport,
) -> Result<Table, FilesError> {
    if args.shift_dates.is_empty() && args.pseudonyms.is_empty() {
        return Ok(table);
    }
    let key = key(args.key_file.as_deref(), entropy)?;
    let weak = |_| FilesError::option("--key-file needs at least 32 random bytes");
    // Dates first: they move by the identifier that pseudonyms replace.
    if let (Some(patient), false) = (&args.patient, args.shift_dates.is_empty()) {
        let shift = DateShift::new(key.clone(), args.most_days).map_err(weak)?;
        let patients = table.column(patient)?.clone();
        for name in &args.shift_dates {
            let column = shift.shift(table.column(name)?, &patients)?;
            table = table.with_column(column)?;
        }
        report.done.push(format!(
            "{} moved by at most {} days, alike for each {patient}",
            args.shift_dates.join(", "),
            args.most_days
        ));
    }
    let pseudonyms = Pseudonyms::new(key, args.project.as_str()).map_err(weak)?;
    for name in &args.pseudonyms {
        let column = pseudonyms.replace(table.column(name)?);
        table = table.with_column(column)?;
        report.done.push(format!("{name} replaced by pseudonyms"));
    }
    if args.key_file.is_none() {
        report.notes.push(
            "the key was drawn and forgotten: run again, and pseudonyms and shifts are others"
                .to_owned(),
        );
    }
    Ok(table)
}

fn key(path: Option<&Path>, entropy: &mut dyn Entropy) -> Result<Vec<u8>, FilesError> {
    match path {
        Some(path) => std::fs::read(path).map_err(FilesError::file(path, "the key cannot be read")),
        None => {
            let mut key = vec![0; 32];
            entropy.fill(&mut key).map_err(|e| FilesError::Transform(e.into()))?;
            Ok(key)
        }
    }
}

/// Lists of codes made k^m-anonymous over their hierarchy.
fn anonymous_lists(
    args: &TransformArgs,
    source: &Source,
    table: Table,
    name: &str,
    report: &mut TransformReport,
) -> Result<Table, FilesError> {
    let folder = args.hierarchies.as_deref().unwrap_or(Path::new("."));
    let hierarchy = hierarchies::of_items(
        source.table.column(name)?,
        args.separator,
        folder,
        args.format.encoding,
    )?;
    let model = KmAnonymity::new(args.alike.unwrap_or(2), usize::from(args.known_items))?;
    let made = model.anonymise(table.column(name)?, args.separator, &hierarchy)?;
    report.list_loss = Some(made.loss);
    report.done.push(format!(
        "{name} generalised: whoever knows {} of its codes finds {} records or none; {} codes \
         suppressed",
        args.known_items,
        args.alike.unwrap_or(2),
        made.suppressed_items
    ));
    Ok(table.with_column(made.column)?)
}
