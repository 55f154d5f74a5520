//! Automatic checks of what wants out and has no bound, for the people who decide on it.
//!
//! # Privacy
//! A check tells how many, and never which: no value of a record stands in its words. Column names,
//! counts and scores do, and are for reviewers.
//!
//! # Source
//! Bond, Brandt and de Wolf 2015, "Guidelines for output checking" (DwB), chapters 3 and 4: small
//! counts, class disclosure, identifiers, free text; and that what no program can check is named.

use std::path::Path;

use salus_deid::Table;
use salus_deid::risk::ClassSizes;
use serde::{Deserialize, Serialize};

use crate::error::FilesError;
use crate::generator::Stored;
use crate::review::{self, TableRules};
use crate::text::count;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckVerdict {
    /// Nothing stands against release.
    Passes,
    /// A person has to look at it.
    Look,
    /// It stands against release.
    Objects,
    /// No program can check it.
    NotChecked,
}

impl CheckVerdict {
    /// The word that people see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passes => "passes",
            Self::Look => "look",
            Self::Objects => "objects",
            Self::NotChecked => "not checked",
        }
    }
}

/// One check of what wants out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputCheck {
    /// What was checked.
    pub check: String,
    /// What it came to.
    pub verdict: CheckVerdict,
    /// In words.
    pub words: String,
}

impl OutputCheck {
    fn new(check: &str, verdict: CheckVerdict, words: impl Into<String>) -> Self {
        Self { check: check.to_owned(), verdict, words: words.into() }
    }
}

/// A value that fewer published records have is rare.
const RARE: u64 = 10;
/// A value longer than this is somebody's words.
const LONG: usize = 64;

/// Checks of a table of records, one of a person each, that shall be published.
///
/// # Errors
/// When a quasi-identifier is no column of it.
pub(crate) fn of_records(
    table: &Table,
    quasi: &[String],
    verbatim: u64,
) -> Result<Vec<OutputCheck>, FilesError> {
    let mut checks = Vec::new();
    let known: Vec<&str> =
        quasi.iter().map(String::as_str).filter(|name| table.column(name).is_ok()).collect();
    if !known.is_empty() {
        checks.push(groups(&ClassSizes::of_table(table, &known)?));
    }
    checks.push(match verbatim {
        0 => OutputCheck::new(
            "whole records",
            CheckVerdict::Passes,
            "no record that stands out in the original is published as it was",
        ),
        n => OutputCheck::new(
            "whole records",
            CheckVerdict::Objects,
            format!("{} records that stand out are published as they were", count(n)),
        ),
    });
    checks.push(identifiers(table));
    checks.push(rare_values(table));
    checks.push(long_texts(table));
    checks.push(OutputCheck::new(
        "other releases",
        CheckVerdict::NotChecked,
        "what this table tells together with earlier releases of the same people",
    ));
    Ok(checks)
}

fn groups(sizes: &ClassSizes) -> OutputCheck {
    let smallest = sizes.smallest().unwrap_or(0);
    let small: u64 = sizes.iter().filter(|(size, _)| *size < RARE).map(|(_, groups)| groups).sum();
    let words = format!(
        "the smallest group of records alike in the quasi-identifiers has {}; {} groups have fewer \
         than {RARE}",
        count(smallest),
        count(small)
    );
    let verdict = match (smallest, small) {
        (0 | 1, _) => CheckVerdict::Objects,
        (_, 0) => CheckVerdict::Passes,
        _ => CheckVerdict::Look,
    };
    OutputCheck::new("groups", verdict, words)
}

/// Distinct values that occur, and how many records have the rarest of them.
fn values(column: &salus_deid::Column) -> impl Iterator<Item = (&str, u64)> {
    let counted = column.dictionary().iter().zip(column.counts());
    counted.filter(|(_, n)| *n > 0).map(|(value, n)| (value.as_str(), n))
}

fn identifiers(table: &Table) -> OutputCheck {
    let rows = table.rows();
    let tells_apart = |c: &&salus_deid::Column| rows >= 20 && values(c).count() * 10 >= rows * 9;
    let named: Vec<&str> = table.columns().iter().filter(tells_apart).map(|c| c.name()).collect();
    if named.is_empty() {
        let words = "no column has nearly as many values as there are records";
        return OutputCheck::new("identifiers", CheckVerdict::Passes, words);
    }
    let words = format!("nearly every record has a value of its own in: {}", named.join(", "));
    OutputCheck::new("identifiers", CheckVerdict::Objects, words)
}

fn rare_values(table: &Table) -> OutputCheck {
    let rare = |c: &salus_deid::Column| values(c).filter(|(_, n)| *n < RARE).count() as u64;
    let found: Vec<String> = table
        .columns()
        .iter()
        .map(|c| (c.name(), rare(c)))
        .filter(|(_, n)| *n > 0)
        .map(|(name, n)| format!("{name} ({})", count(n)))
        .collect();
    if found.is_empty() {
        let words = format!("every published value is shared by {RARE} records or more");
        return OutputCheck::new("rare values", CheckVerdict::Passes, words);
    }
    let words = format!("values that fewer than {RARE} records share, in: {}", found.join(", "));
    OutputCheck::new("rare values", CheckVerdict::Look, words)
}

fn long_texts(table: &Table) -> OutputCheck {
    let long = |c: &&salus_deid::Column| values(c).any(|(v, _)| v.chars().count() > LONG);
    let named: Vec<&str> = table.columns().iter().filter(long).map(|c| c.name()).collect();
    if named.is_empty() {
        let words = format!("no published value is longer than {LONG} characters");
        return OutputCheck::new("free text", CheckVerdict::Passes, words);
    }
    let words = format!("values longer than {LONG} characters, in: {}", named.join(", "));
    OutputCheck::new("free text", CheckVerdict::Objects, words)
}

/// What kind of file wants out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum OutputKind {
    /// A table of counts: CSV, a line for each cell.
    Table {
        /// The column with the number of people.
        count: String,
        /// How a total over a column is written in it.
        total: String,
        /// The fewest people that a cell may show.
        least: u64,
    },
    /// A model, as `salus synthesise --model` or another program wrote it.
    Model,
    /// A picture of results.
    Plot,
}

impl OutputKind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Table { .. } => "table",
            Self::Model => "model",
            Self::Plot => "plot",
        }
    }
}

/// What the checks say of a file.
#[derive(Debug, Clone)]
pub struct OutputChecks {
    /// Each check.
    pub checks: Vec<OutputCheck>,
    /// All that was found, for whoever wants it exactly.
    pub details: serde_json::Value,
}

impl OutputChecks {
    /// Whether something stands against release.
    #[must_use]
    pub fn objects(&self) -> bool {
        self.checks.iter().any(|check| check.verdict == CheckVerdict::Objects)
    }
}

/// Checks a file that wants out as far as its kind can be, and says what could not be checked.
///
/// # Errors
/// When it is not of the kind that it is said to be.
pub fn check(
    file: (&Path, &[u8]),
    kind: &OutputKind,
    earlier: &[(&Path, Vec<u8>)],
) -> Result<OutputChecks, FilesError> {
    match kind {
        OutputKind::Table { count, total, least } => {
            let rules = TableRules { count: count.clone(), total: total.clone(), least: *least };
            of_counts(&review::check(file, earlier, &rules)?, earlier.len(), *least)
        }
        OutputKind::Model => Ok(of_model(file)),
        OutputKind::Plot => of_plot(file),
    }
}

fn of_counts(
    report: &review::ReviewReport,
    earlier: usize,
    least: u64,
) -> Result<OutputChecks, FilesError> {
    let verdict = |against: usize| {
        if against == 0 { CheckVerdict::Passes } else { CheckVerdict::Objects }
    };
    let (objections, inferred) = (report.objections.len(), report.inferred.len());
    let checks = vec![
        OutputCheck::new(
            "cells",
            verdict(objections),
            format!(
                "{} cells shown, {} held back; fewest people {least}; objections: {objections}",
                count(report.cells.saturating_sub(report.held_back)),
                count(report.held_back)
            ),
        ),
        OutputCheck::new(
            "worked out",
            verdict(inferred),
            format!("cells held back that follow from those shown: {inferred}"),
        ),
        OutputCheck::new(
            "earlier tables",
            if earlier > 0 { verdict(0) } else { CheckVerdict::NotChecked },
            match earlier {
                0 => "what it tells together with tables that went out before; none was named"
                    .to_owned(),
                n => format!("subtracted from {n} tables that went out before"),
            },
        ),
    ];
    let details = serde_json::to_value(report)
        .map_err(|_| FilesError::option("the checks cannot be written as JSON"))?;
    Ok(OutputChecks { checks, details })
}

fn of_model((_, bytes): (&Path, &[u8])) -> OutputChecks {
    let size = OutputCheck::new(
        "size",
        CheckVerdict::Look,
        format!("{} bytes: a model may hold as many bytes of records", count(bytes.len() as u64)),
    );
    let stated = match Stored::of_bytes(bytes) {
        Some(model) => {
            let (epsilon, delta) = model.spent();
            OutputCheck::new(
                "stated loss",
                CheckVerdict::Look,
                format!(
                    "a model of `salus synthesise`, which says that fitting it cost ε = \
                     {epsilon:.4} at δ = {delta:e}; nothing here proves that"
                ),
            )
        }
        None => OutputCheck::new(
            "stated loss",
            CheckVerdict::NotChecked,
            "no model of `salus synthesise`: it states no privacy loss, and may hold anything",
        ),
    };
    let members = OutputCheck::new(
        "membership",
        CheckVerdict::NotChecked,
        "who was in the training data: that takes people who were not. `salus attack --generator` \
         does it where both are at hand",
    );
    OutputChecks { checks: vec![size, stated, members], details: serde_json::Value::Null }
}

/// As much as a program writes of itself into a picture.
const SIGNED: usize = 1024;

fn of_plot((path, bytes): (&Path, &[u8])) -> Result<OutputChecks, FilesError> {
    let form = if bytes.starts_with(PNG) {
        pixels("PNG", unseen_in_png(bytes))
    } else if bytes.starts_with(JPEG) {
        pixels("JPEG", unseen_in_jpeg(bytes))
    } else if bytes.starts_with(b"%PDF-") {
        let words = "PDF: it may hold every point that it was drawn from, beside what is seen";
        OutputCheck::new("form", CheckVerdict::Look, words)
    } else {
        return Err(FilesError::option(format!(
            "{}: a plot is taken as PNG, JPEG or PDF; a drawing that is text (SVG) holds every \
             point it was drawn from",
            path.display()
        )));
    };
    let shown = OutputCheck::new(
        "what is seen",
        CheckVerdict::NotChecked,
        "single people among points, outliers, extremes of axes: look at it",
    );
    Ok(OutputChecks { checks: vec![form, shown], details: serde_json::Value::Null })
}

/// What a picture carries beside its pixels.
fn pixels(form: &str, unseen: Option<usize>) -> OutputCheck {
    let (verdict, words) = match unseen {
        None => (CheckVerdict::Objects, format!("{form}: it is damaged, or hides its structure")),
        Some(0) => (CheckVerdict::Passes, format!("{form}: pixels and nothing else")),
        Some(n) if n <= SIGNED => (
            CheckVerdict::Look,
            format!("{form}: {} bytes of text or metadata beside the pixels", count(n as u64)),
        ),
        Some(n) => (
            CheckVerdict::Objects,
            format!("{form}: {} bytes that nobody sees beside the pixels", count(n as u64)),
        ),
    };
    OutputCheck::new("form", verdict, words)
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8\xff";

/// Bytes of a PNG that are no pixels and not how they are shown; none where it is damaged.
///
/// # Source
/// Portable Network Graphics (third edition), sections 5 and 11.
fn unseen_in_png(bytes: &[u8]) -> Option<usize> {
    const SEEN: [&[u8; 4]; 14] = [
        b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"sBIT", b"sRGB", b"cICP",
        b"bKGD", b"pHYs", b"mDCV", b"cLLI",
    ];
    let (mut rest, mut unseen) = (bytes.strip_prefix(PNG)?, 0);
    loop {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        rest = after.get(length.checked_add(4)?..)?;
        if !SEEN.contains(&kind) {
            unseen += length;
        }
        if kind == b"IEND" {
            return Some(unseen + rest.len());
        }
    }
}

/// Bytes of a JPEG in comments, in segments of applications and after its end; none where it is
/// damaged.
///
/// # Source
/// ITU-T T.81, annex B.
fn unseen_in_jpeg(bytes: &[u8]) -> Option<usize> {
    let (mut rest, mut unseen) = (bytes.get(2..)?, 0);
    loop {
        let [0xff, marker, after @ ..] = rest else { return None };
        match *marker {
            // Fill bytes, before a marker.
            0xff => rest = rest.get(1..)?,
            // End of image.
            0xd9 => return Some(unseen + after.len()),
            0x01 | 0xd0..=0xd7 => rest = after,
            marker => {
                let (length, _) = after.split_first_chunk::<2>()?;
                let length = usize::from(u16::from_be_bytes(*length));
                let segment = after.get(2..length)?;
                // What says how wide a pixel is, and which colours: JFIF and Adobe.
                let shown = (marker == 0xe0 && segment.len() == 14)
                    || (marker == 0xee && segment.len() == 12);
                if matches!(marker, 0xe0..=0xef | 0xfe) && !shown {
                    unseen += segment.len();
                }
                rest = after.get(length..)?;
                if marker == 0xda {
                    rest = after_scan(rest)?;
                }
            }
        }
    }
}

/// What follows the coded pixels: from the next marker on that is none of theirs.
fn after_scan(bytes: &[u8]) -> Option<&[u8]> {
    let ends =
        |pair: &[u8]| matches!(pair, [0xff, next] if !matches!(next, 0 | 0xd0..=0xd7 | 0xff));
    let at = bytes.windows(2).position(ends)?;
    bytes.get(at..)
}

#[cfg(test)]
mod tests;
