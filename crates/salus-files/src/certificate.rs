//! A certificate of a release: what was done to it, what holds, what attacks achieved.

use std::path::Path;

use salus_crypto::Digest;
use salus_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::FilesError;
use crate::evidence::{AttackLine, AttackResult, Evidence};
use crate::page::{Block, IntervalRow, Measured, Page};
use crate::text::count;

/// A certificate that is kept until what it certifies goes out: who approved that stands in it then.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CertificatePage(Page);

impl CertificatePage {
    pub(crate) const fn new(page: Page) -> Self {
        Self(page)
    }

    /// The certificate as a page that needs nothing else.
    #[must_use]
    pub fn html(&self) -> String {
        self.0.html()
    }

    /// The certificate as a tagged PDF.
    ///
    /// # Errors
    /// When it cannot be set.
    pub fn pdf(&self) -> Result<Vec<u8>, FilesError> {
        self.0.pdf()
    }

    /// The same with a section before what was done: words and what they are, and a sentence.
    #[must_use]
    pub fn with_section(mut self, title: &str, pairs: Vec<(String, String)>, says: &str) -> Self {
        let blocks = &mut self.0.blocks;
        // After file and score, which are before the first heading.
        let first = blocks.iter().position(|block| matches!(block, Block::Heading(_)));
        let section = [
            Block::Heading(title.to_owned()),
            Block::Pairs(pairs),
            Block::Paragraph(says.to_owned()),
        ];
        let at = first.unwrap_or(blocks.len());
        blocks.splice(at..at, section);
        self
    }
}

/// What a certificate says.
pub(crate) struct Certificate<'a> {
    /// `Anonymised table`, `Synthetic table`.
    pub(crate) title: &'a str,
    /// When it was made.
    pub(crate) made: Timestamp,
    /// The released file's name.
    pub(crate) file: &'a Path,
    /// The released file's bytes.
    pub(crate) released: &'a [u8],
    /// What holds: privacy models, or ε and δ.
    pub(crate) holds: Vec<String>,
    /// Parameters, as pairs.
    pub(crate) parameters: Vec<(&'static str, String)>,
    /// What the release is still good for, as pairs.
    pub(crate) utility: Vec<(&'static str, String)>,
    /// What was done, step by step, where there were several.
    pub(crate) steps: Vec<String>,
    /// A header and rows about columns, if there is something to say.
    pub(crate) columns: Option<(Vec<&'static str>, Vec<Vec<String>>)>,
    /// The attacks, if any were run.
    pub(crate) evidence: Option<&'a Evidence>,
    /// How the attacks were set up.
    pub(crate) setting: &'a str,
    /// What to note.
    pub(crate) notes: &'a [String],
}

impl Certificate<'_> {
    /// The certificate as the file at `path` is to hold it: PDF where its name ends in `.pdf`, else
    /// HTML.
    pub(crate) fn bytes(&self, path: &Path) -> Result<Vec<u8>, FilesError> {
        self.page().bytes(path)
    }

    /// The certificate's content, the same however it is written.
    pub(crate) fn page(&self) -> Page {
        let file = self.file.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
        let made = self.made.to_string();
        let day = made.get(..10).unwrap_or(&made).to_owned();
        let mut blocks = vec![
            Block::Pairs(vec![
                ("File".to_owned(), file.into_owned()),
                ("SHA-256".to_owned(), fingerprint(self.released)),
                ("Made".to_owned(), day),
            ]),
            self.score(),
        ];
        let mut section = |title: &str, content: Block| {
            blocks.push(Block::Heading(title.to_owned()));
            blocks.push(content);
        };
        section("What holds", Block::List(self.holds.clone()));
        if !self.steps.is_empty() {
            section("What was done", Block::List(self.steps.clone()));
        }
        section("Parameters", pairs(&self.parameters));
        section("What the data are still good for", pairs(&self.utility));
        if let Some((header, rows)) = &self.columns {
            let header = header.iter().map(|h| (*h).to_owned()).collect();
            section("Columns", Block::Table { header, rows: rows.clone() });
        }
        if let Some(evidence) = self.evidence {
            section("Attacks", Block::Paragraph(self.setting.to_owned()));
            blocks.push(Block::Intervals(evidence.attacks.iter().map(interval).collect()));
        }
        let mut section = |title: &str, content: Block| {
            blocks.push(Block::Heading(title.to_owned()));
            blocks.push(content);
        };
        if !self.notes.is_empty() {
            section("To note", Block::List(self.notes.to_vec()));
        }
        section("What this does not say", Block::Paragraph(LIMITS.to_owned()));
        Page {
            title: self.title.to_owned(),
            kind: "Certificate of release".to_owned(),
            made: self.made,
            blocks,
        }
    }

    fn score(&self) -> Block {
        let (number, words) = match self.evidence {
            Some(Evidence { score: Some(score), words, .. }) => {
                (format!("{score:.1}"), words.as_str())
            }
            Some(evidence) => ("–".to_owned(), evidence.words.as_str()),
            None => ("–".to_owned(), "No attack was run on this release."),
        };
        Block::Score { number, words: words.to_owned() }
    }
}

const LIMITS: &str = "The score is evidence and no proof: it says what the listed attacks achieved, \
and another attack may achieve more. Models such as k-anonymity bound what this one release says \
to somebody who knows the quasi-identifiers; they do not add up over several releases of the same \
people. A bound that does is ε of differential privacy, where it is stated above. Whoever links \
the release with other data is responsible for what comes of it.";

fn interval(line: &AttackLine) -> IntervalRow {
    let name = match &line.secret {
        Some(secret) => format!("{} of {secret}", line.attack.name()),
        None => line.attack.name().to_owned(),
    };
    let measured = match &line.result {
        AttackResult::Ran {
            risk,
            interval: [low, high],
            attempts,
            successes,
            control_successes,
            leak,
        } => Ok(Measured {
            risk: *risk,
            low: *low,
            high: *high,
            leak: *leak,
            counts: match attempts {
                0 => "not told".to_owned(),
                _ => format!(
                    "{} / {} of {}",
                    count(*successes),
                    count(*control_successes),
                    count(*attempts)
                ),
            },
        }),
        AttackResult::NotRun { not_run } => Err(not_run.clone()),
    };
    IntervalRow { name, measured }
}

fn pairs(rows: &[(&str, String)]) -> Block {
    Block::Pairs(rows.iter().map(|(word, what)| ((*word).to_owned(), what.clone())).collect())
}

fn fingerprint(bytes: &[u8]) -> String {
    let hex = Digest::of(bytes).to_string();
    let mut said = String::new();
    for (i, part) in hex.as_bytes().chunks(8).enumerate() {
        if i > 0 {
            said.push(' ');
        }
        said.push_str(&String::from_utf8_lossy(part));
    }
    said
}
