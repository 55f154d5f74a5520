//! What the columns of a table of counts are, and what in them does not belong into one.

use salus_deid::{Column, is_missing};
use serde::Serialize;

use super::{ReviewArgs, totals};
use crate::error::FilesError;
use crate::file::{Source, table_bytes};
use crate::output::CheckVerdict;

/// A value longer than this is somebody's words.
const LONG: usize = 64;
/// From so many lines on a column that tells nearly all of them apart is no coincidence.
const MANY: usize = 20;

/// Names of columns as they are listed: some of them, and none at any length.
pub(crate) fn listed(names: &[String]) -> String {
    const MOST: usize = 12;
    const WIDE: usize = 40;
    let short = |name: &String| {
        let mut said: String =
            name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WIDE).collect();
        if name.chars().nth(WIDE).is_some() {
            said.push('…');
        }
        said
    };
    let mut said: Vec<String> = names.iter().take(MOST).map(short).collect();
    if names.len() > MOST {
        said.push(format!("and {} more", names.len() - MOST));
    }
    said.join(", ")
}

/// What is remarkable about the columns and totals of a table of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// Columns beside the count that are no categories.
    Measures,
    /// A column that tells nearly every line apart.
    Identifiers,
    /// Words that somebody wrote.
    FreeText,
    /// Text that a spreadsheet runs.
    Formulas,
    /// More in the file than its cells.
    Writing,
    /// A total that is not written as one.
    HiddenTotal,
    /// A total of which no part is in the table.
    LooseTotal,
}

impl FindingKind {
    /// Whether it is about totals, not about columns.
    #[must_use]
    pub const fn of_totals(self) -> bool {
        matches!(self, Self::HiddenTotal | Self::LooseTotal)
    }
}

/// Something remarkable, without any value of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its kind.
    pub kind: FindingKind,
    /// Whether it stands against release, or a person has to look at it.
    pub verdict: CheckVerdict,
    /// The columns that it is about.
    pub columns: Vec<String>,
    /// In words.
    pub words: String,
}

/// Which columns tell cells apart, and which say something else of them.
pub(super) struct Shape {
    pub(super) categories: Vec<String>,
    pub(super) measures: Vec<String>,
}

impl Shape {
    /// The columns of a table by what is told of them.
    pub(super) fn of(source: &Source, args: &ReviewArgs) -> Result<Self, FilesError> {
        source.require("--count", std::slice::from_ref(&args.count))?;
        source.require("--by", &args.by)?;
        let sums = [&args.sum, &args.largest, &args.second];
        let other = |name: &String| {
            *name == args.count || sums.iter().any(|sum| sum.as_ref() == Some(name))
        };
        if let Some(name) = args.by.iter().find(|name| other(name)) {
            return Err(FilesError::option(format!(
                "--by: column '{name}' holds numbers of people or sums; name columns of categories"
            )));
        }
        let names = source.table.columns().iter().map(|column| column.name().to_owned());
        let by = |name: &String| args.by.is_empty() || args.by.contains(name);
        let (categories, measures) = names.filter(|name| !other(name)).partition(by);
        Ok(Self { categories, measures })
    }
}

/// What a column of numbers beside the count looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// Fractions or shares.
    Fractions,
    /// Whole numbers, nearly every line another.
    Own,
    /// Those of the count again.
    Counts,
}

/// The columns of a table, with how many lines it has and whether cells are held back.
pub(super) struct Columns<'t> {
    pub(super) source: &'t Source,
    pub(super) shape: &'t Shape,
    pub(super) args: &'t ReviewArgs,
    pub(super) held_back: bool,
}

impl Columns<'_> {
    /// All that is remarkable about them.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let found = [
            self.named_measures(),
            self.numbers(),
            self.identifiers(),
            self.free_text(),
            self.formulas(),
            self.marks(),
        ];
        found.into_iter().flatten().collect()
    }

    fn categories(&self) -> impl Iterator<Item = &Column> {
        let of = move |name: &String| self.source.table.column(name).ok();
        self.shape.categories.iter().filter_map(of)
    }

    fn nearly_all_differ(&self, column: &Column) -> bool {
        column.dictionary().len() * 10 >= self.source.table.rows() * 9
    }

    fn named_measures(&self) -> Option<Finding> {
        let columns = self.shape.measures.clone();
        let (verdict, why) = if self.held_back {
            (
                CheckVerdict::Objects,
                "they may give away the cells that are held back; leave them out",
            )
        } else {
            (CheckVerdict::Look, "nothing here checks what they tell of single people")
        };
        let words = format!("columns beside count and categories: {}; {why}", listed(&columns));
        (!columns.is_empty()).then_some(Finding {
            kind: FindingKind::Measures,
            verdict,
            columns,
            words,
        })
    }

    /// Categories that look like measures: a total beside a share of its own is no total over it.
    fn numbers(&self) -> Option<Finding> {
        let looks = |column: &&Column| self.numbers_of(column).is_some();
        let found: Vec<&Column> = self.categories().filter(looks).collect();
        let columns: Vec<String> = found.iter().map(|column| column.name().to_owned()).collect();
        let certain = found.iter().any(|column| self.numbers_of(column) != Some(Numbers::Own));
        let unnamed = self.args.by.is_empty();
        let verdict = if unnamed || (certain && self.held_back) {
            CheckVerdict::Objects
        } else {
            CheckVerdict::Look
        };
        let remedy = if unnamed { "; name the columns of categories with --by" } else { "" };
        let words = format!(
            "more like measures than categories, and perhaps the counts again: {}{remedy}",
            listed(&columns)
        );
        (!columns.is_empty()).then_some(Finding {
            kind: FindingKind::Measures,
            verdict,
            columns,
            words,
        })
    }

    fn numbers_of(&self, column: &Column) -> Option<Numbers> {
        let lines = self.source.table.rows();
        let told = |text: &&String| {
            !is_missing(text)
                && !totals::is_total(text, &self.args.total)
                && !totals::is_usual(text)
        };
        let values: Vec<&String> = column.dictionary().iter().filter(told).collect();
        let fractions: Vec<bool> = values.iter().filter_map(|text| fraction(text)).collect();
        if fractions.is_empty() || fractions.len() * 2 < values.len() {
            return None;
        }
        if fractions.contains(&true) {
            return Some(Numbers::Fractions);
        }
        if self.repeats_counts(column) {
            return Some(Numbers::Counts);
        }
        // The only column of categories may well be of numbers, and then has each of them once.
        let beside = self.shape.categories.len() > 1 && lines > 2;
        let own = self.nearly_all_differ(column) && (beside || self.held_back);
        own.then_some(Numbers::Own)
    }

    /// Whether a column has the count itself, on every line that shows one.
    fn repeats_counts(&self, column: &Column) -> bool {
        let Ok(counts) = self.source.table.column(&self.args.count) else { return false };
        let both = (0..self.source.table.rows())
            .filter_map(|row| counts.value(row).zip(column.value(row)))
            .filter(|(count, own)| !is_missing(count) && fraction(own).is_some());
        let alike: Vec<bool> = both.map(|(count, own)| count == own).collect();
        alike.len() > 1 && alike.iter().all(|alike| *alike)
    }

    fn identifiers(&self) -> Option<Finding> {
        let own =
            |column: &&Column| self.nearly_all_differ(column) && self.numbers_of(column).is_none();
        let several = self.shape.categories.len() > 1 && self.source.table.rows() >= MANY;
        let found = self.categories().filter(|_| several).filter(own);
        let columns: Vec<String> = found.map(|column| column.name().to_owned()).collect();
        let words = format!(
            "nearly every line has a value of its own, as people have, in: {}; name the columns of \
             categories with --by, or leave it out",
            listed(&columns)
        );
        let verdict = CheckVerdict::Objects;
        let kind = FindingKind::Identifiers;
        (!columns.is_empty()).then_some(Finding { kind, verdict, columns, words })
    }

    fn free_text(&self) -> Option<Finding> {
        let long =
            |column: &&Column| column.dictionary().iter().any(|value| value.chars().count() > LONG);
        let found: Vec<&Column> = self.source.table.columns().iter().filter(long).collect();
        let lines = self.source.table.rows();
        let own = |column: &&Column| lines >= MANY && self.nearly_all_differ(column);
        let verdict =
            if found.iter().any(own) { CheckVerdict::Objects } else { CheckVerdict::Look };
        let columns: Vec<String> = found.iter().map(|column| column.name().to_owned()).collect();
        let words = format!("values longer than {LONG} characters, in: {}", listed(&columns));
        (!columns.is_empty()).then_some(Finding {
            kind: FindingKind::FreeText,
            verdict,
            columns,
            words,
        })
    }

    fn formulas(&self) -> Option<Finding> {
        let runs = |column: &&Column| {
            runs(column.name()) || column.dictionary().iter().any(|value| runs(value))
        };
        let found = self.source.table.columns().iter().filter(runs);
        let columns: Vec<String> = found.map(|column| column.name().to_owned()).collect();
        let words = format!(
            "text that starts with = + - or @, which a spreadsheet runs, in: {}",
            listed(&columns)
        );
        let verdict = CheckVerdict::Objects;
        let kind = FindingKind::Formulas;
        (!columns.is_empty()).then_some(Finding { kind, verdict, columns, words })
    }

    /// Ways of writing a count that could say more than the count.
    fn marks(&self) -> Option<Finding> {
        let column = self.source.table.column(&self.args.count).ok()?;
        let (gaps, counts): (Vec<&String>, Vec<&String>) =
            column.dictionary().iter().partition(|text| is_missing(text));
        let plain =
            |text: &&String| text.parse::<u64>().is_ok_and(|count| count.to_string() == ***text);
        if gaps.len() < 2 && counts.iter().all(plain) {
            return None;
        }
        Some(Finding {
            kind: FindingKind::Writing,
            verdict: CheckVerdict::Objects,
            columns: vec![self.args.count.clone()],
            words: "counts, or cells that are held back, are not all written alike; leave every \
                    cell that is held back empty, and no sign or zero before a count"
                .to_owned(),
        })
    }
}

/// Whether a number is a fraction or a share; none where it is no number.
fn fraction(text: &str) -> Option<bool> {
    const BEFORE: [char; 7] = ['<', '>', '~', '≈', '≤', '≥', ' '];
    const AFTER: [char; 3] = ['%', '‰', ' '];
    let bare = text.trim_start_matches(BEFORE).trim_end_matches(AFTER);
    let number = |text: String| text.parse::<f64>().is_ok_and(f64::is_finite);
    let read = number(bare.replace(',', ".")) || number(bare.replace([',', '\'', ' '], ""));
    read.then(|| text.contains(['.', ',', '%', '‰']))
}

fn runs(text: &str) -> bool {
    let number = text.replace(',', ".").parse::<f64>().is_ok();
    text.trim_start().starts_with(['=', '+', '-', '@']) && !number && !is_missing(text)
}

/// Whether the file holds more than its cells: white space, empty lines, quotes by lot.
pub(super) fn writing(bytes: &[u8], source: &Source) -> Option<Finding> {
    let written = table_bytes(&source.path, &source.table, source.format).ok()?;
    let (own, plain) = (without_quotes(bytes), without_quotes(&written));
    if own == plain {
        return None;
    }
    let more = own.len().abs_diff(plain.len());
    Some(Finding {
        kind: FindingKind::Writing,
        verdict: CheckVerdict::Look,
        columns: Vec::new(),
        words: format!(
            "the file is not its cells alone: {more} bytes of white space, empty lines, or another \
             encoding than UTF-8"
        ),
    })
}

/// Programs quote all texts or those that need it, and end lines in two ways.
fn without_quotes(bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut kept: Vec<u8> =
        bytes.iter().copied().filter(|byte| !matches!(byte, b'"' | b'\r')).collect();
    if kept.last() == Some(&b'\n') {
        kept.pop();
    }
    kept
}
