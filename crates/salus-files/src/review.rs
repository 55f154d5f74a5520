//! `salus review`: a table of counts that wants out of a secure environment, looked at.

mod before;
mod columns;
mod totals;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use salus_deid::review::inference::{Inferred, MOST_CELLS, inferred, protect};
use salus_deid::review::{Cell, Objection, Rules};
use salus_deid::{Column, is_missing};
use serde::Serialize;

use crate::error::FilesError;
use crate::file::{Format, Source, check_outputs, given, write_table};
use crate::output::CheckVerdict;
use crate::text::{columns as aligned, count, counted as how_many, notes};
use crate::{Answer, Verdict};

use self::columns::{Columns, Shape};

pub use before::Compared;
pub(crate) use columns::listed;
pub use columns::{Finding, FindingKind};

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
    /// How a total over a column is written in it, whatever its case.
    #[arg(long, default_value = "total")]
    pub total: String,
    /// The columns of categories, which tell cells apart; all but the count if not given. What
    /// other columns say of a cell nothing here can check.
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name)]
    pub by: Vec<String>,
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
    /// What is remarkable about columns and totals.
    pub findings: Vec<Finding>,
    /// What became of each table that went out before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Compared>,
    /// The columns of categories.
    pub by: Vec<String>,
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
    shape: Shape,
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
    /// The columns of categories; all but the count if there are none.
    pub by: Vec<String>,
}

/// The most lines of a table of counts.
const LINES: usize = 10_000;
/// The most columns of a table of counts.
const COLUMNS: usize = 32;
/// The most bytes of a table of counts.
const BYTES: usize = 4 << 20;
/// More people than there are.
const PEOPLE: u64 = 100_000_000_000;

/// Checks a table of counts, and those that went out before, whose bytes the caller has. Of these
/// any may have other columns, or be no table: then it is not compared.
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
        by: rules.by.clone(),
        sum: None,
        largest: None,
        second: None,
        dominance: 0.9,
        prior: 0.1,
        earlier: Vec::new(),
        out: None,
        format: Format::default(),
    };
    let (path, bytes) = table;
    if bytes.len() > BYTES {
        return Err(FilesError::option(format!(
            "{}: a table of counts has at most {BYTES} bytes, and this has {}; it should hold a \
             line for each cell and no records",
            path.display(),
            bytes.len()
        )));
    }
    let source = Source::of_bytes(path, bytes, &args.format)?;
    let writing = columns::writing(bytes, &source);
    let read = |(path, bytes): &(&Path, Vec<u8>)| {
        let source = Some(bytes).filter(|bytes| bytes.len() <= BYTES);
        source.and_then(|bytes| Source::of_bytes(path, bytes, &args.format).ok())
    };
    let mut report = reviewed(source, earlier.iter().map(read).collect(), &args)?.report;
    report.findings.extend(writing);
    Ok(report)
}

/// Reviews, and writes the protected table if asked.
///
/// # Errors
/// When a file cannot be read or written, a column does not exist, a count is no whole number, two
/// lines have the same categories, the table is too large, the counts contradict each other, or a
/// table of `--earlier` has other columns.
pub fn run(args: &ReviewArgs) -> Result<Answer, FilesError> {
    let earlier = args.earlier.iter().map(|path| Some(("--earlier", path.as_path())));
    let tables: Vec<_> = earlier.chain([Some(("the table", args.file.as_path()))]).collect();
    check_outputs(&tables, &[given("--out", args.out.as_deref())])?;
    let read = |path: &PathBuf| Source::read(path, &args.format);
    let earlier = args.earlier.iter().map(|path| read(path).map(Some));
    let earlier = earlier.collect::<Result<Vec<_>, _>>()?;
    let Reviewed { mut report, table, rules } = reviewed(read(&args.file)?, earlier, args)?;
    for (path, compared) in args.earlier.iter().zip(&report.earlier) {
        if let Compared::NotCompared { why } = compared {
            let place = path.display();
            return Err(FilesError::option(format!(
                "--earlier: {place} cannot be subtracted: {why}; the columns of categories are {}",
                listed(&report.by)
            )));
        }
    }
    report.out.clone_from(&args.out);
    if let Some(out) = &args.out {
        write_protected(out, rules, &table, args, &mut report)?;
    }
    let text = text(&report);
    let verdict = if report.passes { Verdict::Passes } else { Verdict::Objected };
    Ok(Answer::new(&report, text)?.with(verdict))
}

struct Reviewed {
    report: ReviewReport,
    table: Counted,
    rules: Rules,
}

fn reviewed(
    source: Source,
    before: Vec<Option<Source>>,
    args: &ReviewArgs,
) -> Result<Reviewed, FilesError> {
    let rules = Rules::new(args.least, 2, args.dominance, args.prior)
        .map_err(|e| FilesError::option(e.to_string()))?;
    let table = counted(source, args)?;
    // What is held back already does not go out, whatever its count.
    let lines: Vec<usize> =
        (0..table.cells.len()).filter(|i| !table.held_back.contains(i)).collect();
    let shown: Vec<Cell> = lines.iter().filter_map(|i| table.cells.get(*i).cloned()).collect();
    let shown = before::folded(&shown);
    let (earlier, compared) = compare(&table, &shown, &before, args);
    let first = table.source.first_line();
    let objections = rules
        .review(&shown, &earlier)
        .into_iter()
        .map(|objection| line(objection, &lines, first))
        .collect::<Vec<_>>();
    let given_away = inferred(rules, &table.cells, &table.held_back)?;
    let held_back = !table.held_back.is_empty();
    let columns = Columns { source: &table.source, shape: &table.shape, args, held_back };
    let mut findings = columns.findings();
    findings.extend(totals::findings(&table, args));
    let against = findings.iter().any(|found| found.verdict == CheckVerdict::Objects);
    let mut report = ReviewReport {
        cells: table.cells.len() as u64,
        held_back: table.held_back.len() as u64,
        passes: objections.is_empty() && given_away.is_empty() && !against,
        objections,
        findings,
        earlier: compared,
        by: table.shape.categories.clone(),
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
    Ok(Reviewed { report, table, rules })
}

/// The cells of tables that went out before, as far as they can be compared with those shown.
fn compare(
    table: &Counted,
    shown: &[Cell],
    before: &[Option<Source>],
    args: &ReviewArgs,
) -> (Vec<Cell>, Vec<Compared>) {
    let (mut all, mut compared) = (Vec::new(), Vec::new());
    for source in before {
        let cells = match source {
            Some(source) => before::cells(source, args, &table.shape),
            None => Err("it is no table that can be read here"),
        };
        match cells {
            Ok(cells) => {
                compared.push(before::subtracted(shown, &cells));
                all.extend(cells);
            }
            Err(why) => compared.push(Compared::NotCompared { why: why.to_owned() }),
        }
    }
    (all, compared)
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

fn counted(source: Source, args: &ReviewArgs) -> Result<Counted, FilesError> {
    let shape = Shape::of(&source, args)?;
    within_limits(&source, &shape, args)?;
    let total = |category: &str| totals::is_total(category, &args.total);
    let (mut cells, held_back) = cells_of(&source, &args.count, &shape.categories, total)?;
    all_differ(&source, &cells)?;
    let people: Vec<u64> = cells.iter().map(|cell| cell.count).collect();
    for (cell, own) in cells.iter_mut().zip(contributions(&source, args, &people)?) {
        cell.contributions = own;
    }
    Ok(Counted { source, shape, cells, held_back })
}

/// Refuses a table that would take long to check, before it is checked.
fn within_limits(source: &Source, shape: &Shape, args: &ReviewArgs) -> Result<(), FilesError> {
    let path = source.path.display();
    let (lines, columns) = (source.table.rows(), source.table.columns().len());
    if lines > LINES || columns > COLUMNS {
        return Err(FilesError::option(format!(
            "{path}: {lines} lines of {columns} columns, where a table of counts has at most \
             {LINES} and {COLUMNS}; split it, or take categories together"
        )));
    }
    let mut product = 1_usize;
    for name in &shape.categories {
        let column = source.table.column(name)?;
        let values = column.dictionary().iter();
        let own = values.filter(|value| !totals::is_total(value, &args.total)).count();
        product = product.saturating_mul(own.max(1));
    }
    if product > MOST_CELLS {
        return Err(FilesError::option(format!(
            "{path}: {product} combinations of categories, where at most {MOST_CELLS} are checked \
             together; split the table, take categories together, or name the columns of \
             categories with --by if others are among them"
        )));
    }
    Ok(())
}

/// The cells of a table, and the positions of those that are held back.
fn cells_of(
    source: &Source,
    count: &str,
    names: &[String],
    is_total: impl Fn(&str) -> bool,
) -> Result<(Vec<Cell>, BTreeSet<usize>), FilesError> {
    let counts = source.table.column(count)?;
    let mut by = Vec::new();
    for name in names {
        by.push(source.table.column(name)?);
    }
    let (mut cells, mut held_back) = (Vec::new(), BTreeSet::new());
    for row in 0..source.table.rows() {
        let categories = by.iter().map(|column| {
            let category = column.value(row).unwrap_or_default();
            (!is_total(category)).then(|| category.to_owned())
        });
        let categories = categories.collect();
        let text = counts.value(row).unwrap_or_default();
        let people = if is_missing(text) {
            held_back.insert(row);
            0
        } else {
            let parsed = text.parse::<u64>().ok().filter(|people| *people <= PEOPLE);
            parsed.ok_or_else(|| not_whole(source, row))?
        };
        cells.push(Cell { categories, count: people, contributions: Vec::new() });
    }
    Ok((cells, held_back))
}

fn not_whole(source: &Source, row: usize) -> FilesError {
    FilesError::option(format!(
        "{}, line {}: the count is no whole number of people; leave it empty if the cell is held \
         back",
        source.path.display(),
        row + source.first_line()
    ))
}

/// Refuses lines with the same categories: neither could be told from the other.
fn all_differ(source: &Source, cells: &[Cell]) -> Result<(), FilesError> {
    let mut known: BTreeMap<Vec<Option<String>>, usize> = BTreeMap::new();
    for (row, cell) in before::folded(cells).into_iter().enumerate() {
        if let Some(first) = known.insert(cell.categories, row) {
            return Err(FilesError::option(format!(
                "{}: lines {} and {} have the same categories; write one line for each cell, and \
                 with --by name every column that tells cells apart",
                source.path.display(),
                first + source.first_line(),
                row + source.first_line()
            )));
        }
    }
    Ok(())
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
    if !empty.is_empty() {
        // What else is said of cells may give away those that are held back.
        let measures: Vec<&str> = table.shape.measures.iter().map(String::as_str).collect();
        shown = shown.without_columns(&measures)?;
    }
    write_table(out, &shown, table.source.format)?;
    let first = table.source.first_line();
    report.primary = suppression.primary.iter().map(|row| row + first).collect();
    report.secondary = suppression.secondary.iter().map(|row| row + first).collect();
    Ok(())
}

fn text(report: &ReviewReport) -> String {
    let verdict = match (report.passes, report.cells) {
        (true, _) => "nothing here stands against release",
        (false, 1) => "not to be released as it is",
        (false, _) => "not to be released as they are",
    };
    let mut parts = vec![format!("{}: {verdict}.", how_many(report.cells, "cell", "cells"))];
    if !report.objections.is_empty() {
        let row = |found: &Line| vec![found.line.to_string(), found.words.clone()];
        let rows: Vec<Vec<String>> = report.objections.iter().map(row).collect();
        parts.push(aligned(&["line", "objection"], &rows));
    }
    if !report.findings.is_empty() {
        let row = |found: &Finding| vec![found.verdict.as_str().to_owned(), found.words.clone()];
        let rows: Vec<Vec<String>> = report.findings.iter().map(row).collect();
        parts.push(aligned(&["verdict", "columns and totals"], &rows));
    }
    if !report.inferred.is_empty() {
        parts.push(given_away(report));
    }
    if let Some(out) = &report.out {
        parts.push(format!(
            "{}: {} left empty, and {} more so that nothing left empty can be worked out.",
            out.display(),
            how_many(report.primary.len() as u64, "small cell", "small cells"),
            count(report.secondary.len() as u64)
        ));
    }
    parts.join("\n\n") + &notes(&report.notes)
}

fn given_away(report: &ReviewReport) -> String {
    let mut head: Vec<&str> = report.by.iter().map(String::as_str).collect();
    head.push("can be worked out as");
    let row = |found: &Inferred| {
        let place = found.place.iter();
        let mut row: Vec<String> =
            place.map(|c| c.clone().unwrap_or_else(|| "(total)".to_owned())).collect();
        row.push(if found.low == found.high {
            found.low.to_string()
        } else {
            format!("{}–{}", found.low, found.high)
        });
        row
    };
    let rows: Vec<Vec<String>> = report.inferred.iter().map(row).collect();
    format!("Not shown, and given away all the same\n{}", aligned(&head, &rows))
}
