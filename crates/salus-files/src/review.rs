//! `salus review`: a table of counts that wants out of a secure environment, looked at.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use salus_deid::review::inference::{Inferred, inferred, protect};
use salus_deid::review::{Cell, Objection, Rules};
use salus_deid::{Column, is_missing};
use serde::Serialize;

use crate::error::FilesError;
use crate::file::{Format, Source, not_over, write_table};
use crate::text::{columns, count, notes};
use crate::{Answer, Verdict};

/// Checks a table of counts before it leaves a secure environment.
///
/// Small counts, groups that fall into one category, subtraction of totals and of earlier tables,
/// and whatever else follows from all cells together.
#[derive(Debug, Clone, Args)]
pub struct ReviewArgs {
    /// The table: CSV, a line for each cell. A cell whose count is empty is held back already.
    pub file: PathBuf,
    /// The column with the number of people.
    #[arg(long, default_value = "count")]
    pub count: String,
    /// How a total over a column is written in it.
    #[arg(long, default_value = "total")]
    pub total: String,
    /// The fewest people that a cell may show.
    #[arg(long, default_value_t = 10)]
    pub least: u64,
    /// For tables of sums: the column with the sum, for dominance and the p % rule.
    #[arg(long, requires_all = ["largest", "second"])]
    pub sum: Option<String>,
    /// The column with what the largest contributor adds to the sum.
    #[arg(long, requires = "sum")]
    pub largest: Option<String>,
    /// The column with what the second largest contributor adds to the sum.
    #[arg(long, requires = "sum")]
    pub second: Option<String>,
    /// The share of a sum that its two largest contributors may make up.
    #[arg(long, default_value_t = 0.9, requires = "sum")]
    pub dominance: f64,
    /// Nobody's contribution may be told closer than this share of itself.
    #[arg(long, default_value_t = 0.1, requires = "sum")]
    pub prior: f64,
    /// A table that went out before, of the same columns; may be given several times.
    #[arg(long)]
    pub earlier: Vec<PathBuf>,
    /// The file for the table with enough cells left empty that nothing small can be worked out.
    #[arg(long)]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// What `salus review` answers.
#[derive(Debug, Clone, Serialize)]
pub struct ReviewReport {
    /// Cells.
    pub cells: u64,
    /// Cells whose count is empty.
    pub held_back: u64,
    /// Whether the table may go out as it is, as far as these checks see.
    pub passes: bool,
    /// Why not, by line of the file.
    pub objections: Vec<Line>,
    /// Cells that are not shown, and that the shown ones give away.
    pub inferred: Vec<Inferred>,
    /// Lines that `--out` leaves empty since they are small.
    pub primary: Vec<usize>,
    /// Lines of which `--out` does not show the sum, since a few people make up too much of it or
    /// of a part of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sums: Vec<usize>,
    /// Lines that `--out` leaves empty so that those cannot be worked out.
    pub secondary: Vec<usize>,
    /// The file written.
    pub out: Option<PathBuf>,
    /// What to note.
    pub notes: Vec<String>,
}

/// An objection with its place.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Line of the file, counted from 1.
    pub line: usize,
    /// The objection.
    #[serde(flatten)]
    pub objection: Objection,
    /// The same in words.
    pub words: String,
}

/// The cells of one file.
struct Counted {
    source: Source,
    cells: Vec<Cell>,
    held_back: BTreeSet<usize>,
}

/// What a table of counts is checked for, where its bytes are at hand.
#[derive(Debug, Clone)]
pub struct TableRules {
    /// The column with the number of people.
    pub count: String,
    /// How a total over a column is written in it.
    pub total: String,
    /// The fewest people that a cell may show.
    pub least: u64,
}

/// Checks a table of counts, and those that went out before, whose bytes the caller has.
///
/// # Errors
/// As [`run`].
pub fn check(
    table: (&Path, &[u8]),
    earlier: &[(&Path, Vec<u8>)],
    rules: &TableRules,
) -> Result<ReviewReport, FilesError> {
    let args = ReviewArgs {
        file: table.0.to_owned(),
        count: rules.count.clone(),
        total: rules.total.clone(),
        least: rules.least,
        sum: None,
        largest: None,
        second: None,
        dominance: 0.9,
        prior: 0.1,
        earlier: Vec::new(),
        out: None,
        format: Format::default(),
    };
    let table = Source::of_bytes(table.0, table.1, &args.format)?;
    let read = |(path, bytes): &(&Path, Vec<u8>)| Source::of_bytes(path, bytes, &args.format);
    let earlier = earlier.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(reviewed(table, earlier, &args)?.report)
}

/// Reviews, and writes the protected table if asked.
///
/// # Errors
/// When a file cannot be read or written, a column does not exist, a count is no whole number, or
/// the counts contradict each other.
pub fn run(args: &ReviewArgs) -> Result<Answer, FilesError> {
    if let Some(out) = &args.out {
        not_over(out, &[&args.file])?;
    }
    let read = |path: &PathBuf| Source::read(path, &args.format);
    let earlier = args.earlier.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let Reviewed { mut report, table, names, rules } = reviewed(read(&args.file)?, earlier, args)?;
    report.out.clone_from(&args.out);
    if let Some(out) = &args.out {
        write_protected(out, rules, &table, args, &mut report)?;
    }
    let text = text(&report, &names);
    let verdict = if report.passes { Verdict::Passes } else { Verdict::Objected };
    Ok(Answer::new(&report, text)?.with(verdict))
}

struct Reviewed {
    report: ReviewReport,
    table: Counted,
    names: Vec<String>,
    rules: Rules,
}

fn reviewed(table: Source, before: Vec<Source>, args: &ReviewArgs) -> Result<Reviewed, FilesError> {
    let rules = Rules::new(args.least, 2, args.dominance, args.prior)
        .map_err(|e| FilesError::option(e.to_string()))?;
    let table = counted(table, args, None)?;
    let names = dimensions(&table.source, args);
    let mut earlier = Vec::new();
    for source in before {
        let before = counted(source, args, Some(&names))?;
        let shown = |(i, _): &(usize, Cell)| !before.held_back.contains(i);
        earlier.extend(before.cells.into_iter().enumerate().filter(shown).map(|(_, cell)| cell));
    }
    // What is held back already does not go out, whatever its count.
    let lines: Vec<usize> =
        (0..table.cells.len()).filter(|i| !table.held_back.contains(i)).collect();
    let shown: Vec<Cell> = lines.iter().filter_map(|i| table.cells.get(*i).cloned()).collect();
    let first = table.source.first_line();
    let objections = rules
        .review(&shown, &earlier)
        .into_iter()
        .map(|objection| line(objection, &lines, first))
        .collect::<Vec<_>>();
    let given_away = inferred(rules, &table.cells, &table.held_back)?;
    let mut report = ReviewReport {
        cells: table.cells.len() as u64,
        held_back: table.held_back.len() as u64,
        passes: objections.is_empty() && given_away.is_empty(),
        objections,
        inferred: given_away,
        sums: Vec::new(),
        primary: Vec::new(),
        secondary: Vec::new(),
        out: None,
        notes: table.source.notes.clone(),
    };
    report.notes.push(
        "figures, models and text are for a person to review; so is what other tables of the \
         same people tell, but for those given with --earlier"
            .to_owned(),
    );
    Ok(Reviewed { report, table, names, rules })
}

/// The columns that cells are told apart by.
fn dimensions(source: &Source, args: &ReviewArgs) -> Vec<String> {
    let names = source.table.columns().iter().map(|column| column.name().to_owned());
    let sums = [&args.sum, &args.largest, &args.second];
    let told = |name: &String| sums.iter().any(|sum| sum.as_ref() == Some(name));
    names.filter(|name| *name != args.count && !told(name)).collect()
}

/// What the people of each line contribute to its sum, as far as it is told.
fn contributions(
    source: &Source,
    args: &ReviewArgs,
    people: &[u64],
) -> Result<Vec<Vec<f64>>, FilesError> {
    let (Some(sum), Some(largest), Some(second)) = (&args.sum, &args.largest, &args.second) else {
        return Ok(vec![Vec::new(); people.len()]);
    };
    let numbers = |name: &String| -> Result<Vec<Option<f64>>, FilesError> {
        source.require("--sum, --largest, --second", std::slice::from_ref(name))?;
        let column = source.table.column(name)?;
        let parsed = column.numbers_and_gaps().ok_or_else(|| {
            FilesError::option(format!(
                "{}: column '{name}' holds something else than numbers",
                source.path.display()
            ))
        })?;
        Ok(column.codes().iter().filter_map(|&code| parsed.get(code as usize).copied()).collect())
    };
    let told = [numbers(sum)?, numbers(largest)?, numbers(second)?];
    let line = |(row, people): (usize, &u64)| {
        let of = |i: usize| told.get(i).and_then(|column| column.get(row)).copied().flatten();
        let Some(sum) = of(0) else { return Ok(Vec::new()) };
        // Where fewer than two contribute, the others are nothing.
        let (largest, second) = (of(1).unwrap_or(0.0), of(2).unwrap_or(0.0));
        Rules::contributions(*people, sum, largest, second).ok_or_else(|| {
            FilesError::option(format!(
                "{}, line {}: that many people with these largest contributions cannot make up \
                 the sum; contributions are not negative, the largest first",
                source.path.display(),
                row + source.first_line()
            ))
        })
    };
    people.iter().enumerate().map(line).collect()
}

fn counted(
    source: Source,
    args: &ReviewArgs,
    wanted: Option<&Vec<String>>,
) -> Result<Counted, FilesError> {
    let path = source.path.clone();
    source.require("--count", std::slice::from_ref(&args.count))?;
    let names = dimensions(&source, args);
    if let Some(wanted) = wanted.filter(|wanted| **wanted != names) {
        return Err(FilesError::option(format!(
            "--earlier: {} has columns {} where {} are reviewed",
            path.display(),
            names.join(", "),
            wanted.join(", ")
        )));
    }
    let counts = source.table.column(&args.count)?;
    let mut by = Vec::new();
    for name in &names {
        by.push(source.table.column(name)?);
    }
    let (mut cells, mut held_back) = (Vec::new(), BTreeSet::new());
    for row in 0..source.table.rows() {
        let categories = by.iter().map(|column| {
            let category = column.value(row).unwrap_or_default();
            (category != args.total).then(|| category.to_owned())
        });
        let text = counts.value(row).unwrap_or_default();
        let people = if is_missing(text) {
            held_back.insert(row);
            0
        } else {
            text.parse().map_err(|_| {
                FilesError::option(format!(
                    "{}, line {}: the count is no whole number; leave it empty if the cell is \
                     held back",
                    path.display(),
                    row + source.first_line()
                ))
            })?
        };
        let categories = categories.collect();
        cells.push(Cell { categories, count: people, contributions: Vec::new() });
    }
    let people: Vec<u64> = cells.iter().map(|cell| cell.count).collect();
    for (cell, own) in cells.iter_mut().zip(contributions(&source, args, &people)?) {
        cell.contributions = own;
    }
    Ok(Counted { source, cells, held_back })
}

fn line(mut objection: Objection, lines: &[usize], first: usize) -> Line {
    let at = objection.cell_mut();
    // Positions are among the shown cells: the file's own are those of its lines.
    let line = lines.get(*at).copied().unwrap_or_default() + first;
    *at = line;
    Line { line, words: objection.to_string(), objection }
}

fn write_protected(
    out: &Path,
    rules: Rules,
    table: &Counted,
    args: &ReviewArgs,
    report: &mut ReviewReport,
) -> Result<(), FilesError> {
    if !table.held_back.is_empty() {
        return Err(FilesError::option(
            "--out needs every count: which cells to hold back depends on those that are empty",
        ));
    }
    let suppression = protect(rules, &table.cells)?;
    let empty: BTreeSet<usize> =
        suppression.primary.iter().chain(&suppression.secondary).copied().collect();
    let counts = table.source.table.column(&args.count)?;
    let values = (0..table.cells.len())
        .map(|row| if empty.contains(&row) { "" } else { counts.value(row).unwrap_or_default() });
    let column = Column::from_values(args.count.clone(), values)?;
    let mut shown = table.source.table.clone().with_column(column)?;
    if let Some(sum) = &args.sum {
        let telling: BTreeSet<usize> = rules.sums_to_hold_back(&table.cells).into_iter().collect();
        let sums = shown.column(sum)?.clone();
        let hidden = |row: &usize| empty.contains(row) || telling.contains(row);
        let values = (0..table.cells.len())
            .map(|row| if hidden(&row) { "" } else { sums.value(row).unwrap_or_default() });
        report.sums = telling.iter().map(|row| row + table.source.first_line()).collect();
        shown = shown.with_column(Column::from_values(sum.clone(), values)?)?;
        // What single people contribute was for this review alone.
        let single: Vec<&str> =
            [&args.largest, &args.second].into_iter().flatten().map(String::as_str).collect();
        shown = shown.without_columns(&single)?;
    }
    write_table(out, &shown, table.source.format)?;
    let first = table.source.first_line();
    report.primary = suppression.primary.iter().map(|row| row + first).collect();
    report.secondary = suppression.secondary.iter().map(|row| row + first).collect();
    Ok(())
}

fn text(report: &ReviewReport, names: &[String]) -> String {
    let mut text = if report.passes {
        format!("{} cells: nothing here stands against release.\n", count(report.cells))
    } else {
        format!("{} cells: not to be released as they are.\n", count(report.cells))
    };
    if !report.objections.is_empty() {
        let rows: Vec<Vec<String>> = report
            .objections
            .iter()
            .map(|found| vec![found.line.to_string(), found.words.clone()])
            .collect();
        text.push_str(&format!("\n{}", columns(&["line", "objection"], &rows)));
    }
    if !report.inferred.is_empty() {
        let mut head: Vec<&str> = names.iter().map(String::as_str).collect();
        head.push("can be worked out as");
        let rows: Vec<Vec<String>> = report
            .inferred
            .iter()
            .map(|found| {
                let place = found.place.iter();
                let mut row: Vec<String> =
                    place.map(|c| c.clone().unwrap_or_else(|| "(total)".to_owned())).collect();
                row.push(if found.low == found.high {
                    found.low.to_string()
                } else {
                    format!("{} to {}", found.low, found.high)
                });
                row
            })
            .collect();
        text.push_str(&format!(
            "\nNot shown, and given away all the same:\n\n{}",
            columns(&head, &rows)
        ));
    }
    if let Some(out) = &report.out {
        text.push_str(&format!(
            "\n{}: {} small cells left empty, and {} more so that they cannot be worked out.\n",
            out.display(),
            report.primary.len(),
            report.secondary.len()
        ));
    }
    text.push_str(&notes(&report.notes));
    text
}
