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

/// Reviews, and writes the protected table if asked.
///
/// # Errors
/// When a file cannot be read or written, a column does not exist, a count is no whole number, or
/// the counts contradict each other.
pub fn run(args: &ReviewArgs) -> Result<Answer, FilesError> {
    let rules =
        Rules::new(args.least, 2, 0.9, 0.1).map_err(|e| FilesError::option(e.to_string()))?;
    if let Some(out) = &args.out {
        not_over(out, &[&args.file])?;
    }
    let table = counted(&args.file, args, None)?;
    let names = dimensions(&table.source, args);
    let mut earlier = Vec::new();
    for path in &args.earlier {
        let before = counted(path, args, Some(&names))?;
        let shown = |(i, _): &(usize, Cell)| !before.held_back.contains(i);
        earlier.extend(before.cells.into_iter().enumerate().filter(shown).map(|(_, cell)| cell));
    }
    // What is held back already does not go out, whatever its count.
    let lines: Vec<usize> =
        (0..table.cells.len()).filter(|i| !table.held_back.contains(i)).collect();
    let shown: Vec<Cell> = lines.iter().map(|i| table.cells[*i].clone()).collect();
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
        primary: Vec::new(),
        secondary: Vec::new(),
        out: args.out.clone(),
        notes: table.source.notes.clone(),
    };
    if let Some(out) = &args.out {
        write_protected(out, rules, &table, args, &mut report)?;
    }
    report.notes.push(
        "figures, models and text are for a person to review; so is what other tables of the \
         same people tell, but for those given with --earlier"
            .to_owned(),
    );
    let text = text(&report, &names);
    let verdict = if report.passes { Verdict::Passes } else { Verdict::Objected };
    Ok(Answer::new(&report, text)?.with(verdict))
}

/// The columns that cells are told apart by.
fn dimensions(source: &Source, args: &ReviewArgs) -> Vec<String> {
    let names = source.table.columns().iter().map(|column| column.name().to_owned());
    names.filter(|name| *name != args.count).collect()
}

fn counted(
    path: &Path,
    args: &ReviewArgs,
    wanted: Option<&Vec<String>>,
) -> Result<Counted, FilesError> {
    let source = Source::read(path, &args.format)?;
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
    let rest = table.source.table.clone().without_columns(&[&args.count])?;
    write_table(out, &rest.with_column(column)?, table.source.format)?;
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
