//! Documents for people: one content, written as HTML or as PDF.

mod face;
mod html;
mod pdf;
mod sheet;

use std::path::Path;

use salus_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::FilesError;

pub(crate) use html::escape;

/// A document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Page {
    /// What it is called, also by programs that read it aloud.
    pub(crate) title: String,
    /// What kind of document, above the title.
    pub(crate) kind: String,
    /// When it was made.
    pub(crate) made: Timestamp,
    pub(crate) blocks: Vec<Block>,
}

/// A part of a document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Block {
    /// A section's title.
    Heading(String),
    Paragraph(String),
    /// A number that stands out, with its words.
    Score {
        number: String,
        words: String,
    },
    List(Vec<String>),
    /// Answers to choose from, lettered.
    Choices(Vec<String>),
    /// Words and what they are.
    Pairs(Vec<(String, String)>),
    Table {
        header: Vec<String>,
        rows: Vec<Vec<String>>,
    },
    /// Rates with their intervals drawn from 0 to 100 %.
    Intervals(Vec<IntervalRow>),
    /// What follows starts on a new sheet.
    Break,
}

/// One line of a table of intervals.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IntervalRow {
    pub(crate) name: String,
    /// What was measured; none with the reason why not.
    pub(crate) measured: Result<Measured, String>,
}

/// A rate with its interval, as shares.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) risk: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) leak: bool,
    /// Hits, hits on control people, attempts.
    pub(crate) counts: String,
}

/// The titles of a table of intervals.
pub(crate) const INTERVAL_HEADER: [&str; 4] =
    ["Attack", "Risk", "Interval, 95 % over all attacks", "Hits / on control"];

impl Page {
    /// A PDF where the file's name ends in `.pdf`, else a page that needs nothing else.
    pub(crate) fn bytes(&self, path: &Path) -> Result<Vec<u8>, FilesError> {
        let pdf = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("pdf"));
        if pdf { self.pdf() } else { Ok(self.html().into_bytes()) }
    }

    /// The document as a tagged PDF with its fonts in it.
    pub(crate) fn pdf(&self) -> Result<Vec<u8>, FilesError> {
        pdf::document(self)
    }

    /// The day on which it was made.
    fn day(&self) -> String {
        let made = self.made.to_string();
        made.get(..10).unwrap_or(&made).to_owned()
    }
}

/// The letter of an answer: A, B, C.
pub(crate) fn letter(position: usize) -> char {
    char::from(b'A' + (position % 26) as u8)
}
