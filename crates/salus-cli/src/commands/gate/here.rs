//! What was put before reviewers from this site.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use salus_files::output::OutputKind;
use salus_ledger::ReviewId;
use salus_ledger::proof::verify_receipt;
use salus_model::{Class, ColumnPath, DatasetId, PermitId};
use salus_node::gate::{
    FileOutcome, FileWanted, GateCall, GatePart, GateReply, PeopleWanted, shown,
};
use salus_node::operations::{Call, Reply};
use salus_node::releasing::{GateState, Submission, UnderReview};
use salus_node::{Site, write_private};
use serde::Serialize;

use super::report::pairs;
use crate::commands::query::{ReceiptPlace, keep};
use crate::output::{Failure, Output, table};

#[derive(clap::Args)]
pub(crate) struct SubmitArgs {
    /// The file.
    file: PathBuf,
    /// What kind of file.
    #[arg(long, value_enum)]
    kind: KindName,
    /// The dataset of this site that it was made from.
    #[arg(long)]
    dataset: DatasetId,
    /// The permit under which it was made.
    #[arg(long)]
    permit: PermitId,
    /// The columns that it was made from; all of the permit's if not given.
    #[arg(long, value_delimiter = ',')]
    columns: Vec<ColumnPath>,
    /// Of a table: the column with the number of people.
    #[arg(long, default_value = "count")]
    count: String,
    /// Of a table: how a total over a column is written in it.
    #[arg(long, default_value = "total")]
    total: String,
    /// Of a table: the fewest people that a cell may show.
    #[arg(long, default_value_t = 10)]
    least: u64,
    /// Of a table: the columns that say what a cell counts, such as ward,sex; all but the count if
    /// not given.
    #[arg(long, value_delimiter = ',')]
    by: Vec<String>,
    /// Of a table: one that went out before, of the same columns; may be given several times.
    #[arg(long)]
    earlier: Vec<PathBuf>,
    /// Of a model: the records that it was fitted to, by which it is attacked; they stay here.
    #[arg(long, requires = "control")]
    trained_on: Option<PathBuf>,
    /// Of a model: records of people of the same population whom it was not fitted to.
    #[arg(long, requires = "trained_on")]
    control: Option<PathBuf>,
    /// Of a model of another program: the column of both files with its loss on each record.
    #[arg(long, requires = "trained_on")]
    loss: Option<String>,
    /// Why it should go out although a check objects; stands in the report.
    #[arg(long)]
    reason: Option<String>,
    /// The file for the reviewers' report.
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum KindName {
    /// A table of counts: CSV, a line for each cell.
    Table,
    /// A model.
    Model,
    /// A picture: PNG, JPEG or PDF.
    Plot,
}

impl SubmitArgs {
    fn wanted(self) -> Result<FileWanted, Failure> {
        let failed =
            |path: &Path, e: std::io::Error| Failure::request(format!("{}: {e}", path.display()));
        // The node reads it, from a folder of its own.
        let whole = |path: &PathBuf| path.canonicalize().map_err(|e| failed(path, e));
        let kind = match self.kind {
            KindName::Table => {
                let Self { count, total, least, by, .. } = &self;
                let (count, total, by) = (count.clone(), total.clone(), by.clone());
                OutputKind::Table { count, total, least: *least, by }
            }
            KindName::Model => OutputKind::Model,
            KindName::Plot => OutputKind::Plot,
        };
        let columns: BTreeSet<ColumnPath> = self.columns.into_iter().collect();
        let people = match (&self.trained_on, &self.control) {
            (Some(trained_on), Some(control)) => Some(PeopleWanted {
                trained_on: whole(trained_on)?,
                control: whole(control)?,
                loss: self.loss,
            }),
            _ => None,
        };
        Ok(FileWanted {
            file: whole(&self.file)?,
            kind,
            dataset: self.dataset,
            permit: self.permit,
            columns: (!columns.is_empty()).then_some(columns),
            earlier: self.earlier.iter().map(whole).collect::<Result<_, _>>()?,
            people,
            reason: self.reason,
        })
    }
}

fn decoded(content: &str) -> Result<Vec<u8>, Failure> {
    STANDARD.decode(content).map_err(|_| crate::site::protocol())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_private(path, bytes).map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))
}

/// Writes the report for the reviewers.
pub(crate) fn write_report(review: &UnderReview, path: &Path) -> Result<(), Failure> {
    write(path, &review.report_file().ok_or_else(crate::site::protocol)?)
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('-') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Where something stands that is before its reviewers, and what they do about it.
pub(crate) fn standing(review: &UnderReview, then: &str) -> String {
    let id = review.review;
    let name = shown(&review.name);
    let first = match (review.state, review.submission) {
        (GateState::Refused, _) => {
            format!("Refused by a reviewer: {name}, made from {}, does not go out.", review.source)
        }
        (GateState::Waiting, Submission::Now) => {
            format!("Submitted, and not out yet: {name}, made from {}.", review.source)
        }
        (GateState::Waiting, Submission::Earlier) => {
            format!("Under review, and not out yet: {name}, made from {}.", review.source)
        }
    };
    let score = review.score.map_or("none".to_owned(), |score| format!("{score} of 100"));
    let id_text = id.to_string();
    let approvals = format!("{} of {} {}", review.approvals, review.needed, review.of.as_str());
    let mut rows = vec![("Review", id_text.clone()), ("Approvals", approvals), ("Score", score)];
    rows.extend(review.decisions.iter().map(|said| {
        let what = format!(
            "{} by {} (key {}, block {})",
            said.verdict.as_str(),
            said.member,
            said.reviewer,
            said.at
        );
        ("Decision", what)
    }));
    rows.extend(review.supersedes.iter().map(|old| ("Supersedes", old.to_string())));
    let rows: Vec<(&str, &str)> = rows.iter().map(|(word, what)| (*word, what.as_str())).collect();
    let mut said = format!("{first}\n\n{}", pairs(&rows));
    if review.state == GateState::Refused {
        said.push_str(
            "\n\nAsk the reviewer what stands against it, and submit it changed: that takes the \
             place of this review, and the refusal stays on record.",
        );
        return said;
    }
    let file = quoted(&format!("{name}.review"));
    let words = [
        ("for them, from here", format!("salus gate report {id} --out {file}")),
        ("what the checks say", format!("salus gate show {id} --report {file}")),
        ("to let it out", format!("salus gate approve {id} --report {file}")),
        ("or not", format!("salus gate refuse {id}")),
    ];
    let words: Vec<(&str, &str)> = words.iter().map(|(w, what)| (*w, what.as_str())).collect();
    said.push_str(&format!(
        "\n\nReviewers decide by the report of the automatic checks:\n{}\n\nThis site's own people \
         look at the result itself: salus gate look {id} --out FILE\n{then}",
        pairs(&words)
    ));
    said
}

/// What a file has come to.
#[derive(Serialize)]
struct FileShown {
    review: ReviewId,
    /// `waiting`, `refused`, `approved` or `out`.
    state: &'static str,
    name: String,
    under_review: Option<Box<UnderReview>>,
    /// The file written.
    out: Option<PathBuf>,
    receipt: Option<ReceiptPlace>,
}

impl FileShown {
    fn text(&self) -> String {
        if let Some(review) = &self.under_review {
            return standing(
                review,
                &format!("Once it is approved: salus gate fetch {} --out FILE", review.review),
            );
        }
        let Some(out) = &self.out else {
            return format!(
                "{} is approved, and not out yet: salus gate fetch {} --out FILE",
                self.name, self.review
            );
        };
        let receipt = self.receipt.as_ref().map_or(String::new(), |receipt| {
            format!("{} ({})", receipt.says.receipt, receipt.file.display())
        });
        format!(
            "{} is out, on the approvals of review {}.\n\nFile     {}\nReceipt  {receipt}",
            self.name,
            self.review,
            out.display()
        )
    }
}

async fn ask(site: &Site, call: GateCall) -> Result<GateReply, Failure> {
    match crate::site::ask(site, Call::Gate(call)).await? {
        Reply::Gate(reply) => Ok(reply),
        _ => Err(crate::site::protocol()),
    }
}

async fn file(site: &Site, call: GateCall) -> Result<FileOutcome, Failure> {
    match ask(site, call).await? {
        GateReply::File(outcome) => Ok(*outcome),
        _ => Err(crate::site::protocol()),
    }
}

fn waits(review: Box<UnderReview>) -> FileShown {
    let state = match review.state {
        GateState::Waiting => "waiting",
        GateState::Refused => "refused",
    };
    FileShown {
        review: review.review,
        state,
        name: review.name.clone(),
        under_review: Some(review),
        out: None,
        receipt: None,
    }
}

pub(super) async fn submit(site: &Site, args: SubmitArgs, output: &Output) -> Result<(), Failure> {
    let report = args.report.clone();
    let wanted = GateCall::Submit(Box::new(args.wanted()?));
    let shown = match file(site, wanted).await? {
        FileOutcome::UnderReview(review) => {
            if let Some(path) = &report {
                write_report(&review, path)?;
            }
            waits(review)
        }
        FileOutcome::Approved { review, name } => FileShown {
            review,
            state: "approved",
            name,
            under_review: None,
            out: None,
            receipt: None,
        },
        FileOutcome::Out { .. } => return Err(crate::site::protocol()),
    };
    output.print(&shown, FileShown::text);
    match shown.state {
        "refused" => Err(Failure::answered("a reviewer refused it", Class::Refused)),
        _ => Ok(()),
    }
}

pub(super) async fn fetch(
    site: &Site,
    review: ReviewId,
    out: PathBuf,
    output: &Output,
) -> Result<(), Failure> {
    let shown = match file(site, GateCall::Fetch { review }).await? {
        FileOutcome::UnderReview(review) => waits(review),
        FileOutcome::Out { review, name, content, receipt } => {
            let ledger = site.ledger().await?;
            let receipt = decoded(&receipt)?;
            let verified = verify_receipt(&receipt, ledger.anchor())
                .map_err(|e| Failure::not_proved("the receipt proves nothing".to_owned(), &e))?;
            write(&out, &decoded(&content)?)?;
            FileShown {
                review,
                state: "out",
                name,
                under_review: None,
                out: Some(out),
                receipt: Some(keep(site, &ledger, (&verified, &receipt), None)?),
            }
        }
        FileOutcome::Approved { .. } => return Err(crate::site::protocol()),
    };
    output.print(&shown, FileShown::text);
    match shown.state {
        "out" => Ok(()),
        _ => Err(Failure::answered("it is not approved", Class::Refused)),
    }
}

#[derive(Serialize)]
struct Written {
    name: String,
    out: PathBuf,
}

pub(super) async fn part(
    site: &Site,
    (review, part): (ReviewId, GatePart),
    out: PathBuf,
    output: &Output,
) -> Result<(), Failure> {
    let GateReply::Part { name, content } = ask(site, GateCall::Part { review, part }).await?
    else {
        return Err(crate::site::protocol());
    };
    write(&out, &decoded(&content)?)?;
    output.print(&Written { name, out }, |written| match part {
        GatePart::Report => format!(
            "The report of the automatic checks of {} is in {}, for its reviewers. It may tell small \
             counts: give it to nobody else.",
            written.name,
            written.out.display()
        ),
        GatePart::Result => format!(
            "{} is in {}, as it would go out. It is not released: keep it on these premises, and \
             remove it when you have looked. That you looked is in the access log.",
            written.name,
            written.out.display()
        ),
    });
    Ok(())
}

pub(super) async fn list(site: &Site, output: &Output) -> Result<(), Failure> {
    let GateReply::Kept { items, damaged } = ask(site, GateCall::List).await? else {
        return Err(crate::site::protocol());
    };
    for path in damaged {
        Output::warn(&format!(
            "{} does not open: restore it from a backup, or remove it and submit anew",
            path.display()
        ));
    }
    output.print(&items, |all| {
        let rows: Vec<_> = all
            .iter()
            .map(|kept| {
                let review =
                    kept.review.map_or("not submitted yet".to_owned(), |id| id.to_string());
                vec![
                    kept.name.clone(),
                    kept.of.clone(),
                    kept.source.to_string(),
                    kept.permit.to_string(),
                    review,
                ]
            })
            .collect();
        table(&["name", "kind", "made from", "permit", "review"], &rows)
    });
    Ok(())
}
