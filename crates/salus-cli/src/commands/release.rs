//! `salus release`: a plan carried out, on a plain file or on a dataset of the site.

use std::path::{Path, PathBuf};

use salus_files::release::{Kind, ReleaseArgs};
use salus_ledger::proof::verify_receipt;
use salus_model::{Class, Clock as _, DatasetId, PermitId};
use salus_node::operations::{Call, Reply};
use salus_node::published::PublishedDataset;
use salus_node::releasing::{
    CertificateForm, Charged, ReleaseDone, ReleaseOutcome, ReleaseWanted, UnderReview,
};
use salus_node::{Site, SystemClock, write_private};
use serde::Serialize;

use super::gate;
use super::query::{ReceiptPlace, keep};
use crate::output::{Failure, Output};

/// What an argument names.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    File,
    Dataset(DatasetId, PermitId),
}

/// A path or an existing file is a file, whatever else there is; a bare name with a permit is a
/// dataset of the site; one that is both is refused.
fn named(args: &ReleaseArgs) -> Result<Named, Failure> {
    let text = args.dataset.to_string_lossy();
    let is_path = text.contains(['/', '\\']);
    let Some(permit) = &args.permit else {
        if is_path || args.dataset.is_file() || DatasetId::new(text.as_ref()).is_err() {
            return Ok(Named::File);
        }
        return Err(Failure::request(format!(
            "there is no file {text}. A dataset of the site is released under a permit: give \
             --permit; without one, write the file's path"
        )));
    };
    if is_path {
        return Err(Failure::request(format!(
            "{text} is a file, which needs no permit: leave --permit out"
        )));
    }
    if args.dataset.exists() {
        return Err(Failure::request(format!(
            "{text} may be the file in this folder or the site's dataset: write ./{text} and no \
             --permit for the file, or give the command in another folder for the dataset"
        )));
    }
    let dataset = DatasetId::new(text.as_ref()).map_err(|e| Failure::request(e.to_string()))?;
    let permit = permit.parse().map_err(|e| Failure::request(format!("--permit: {e}")))?;
    Ok(Named::Dataset(dataset, permit))
}

pub(crate) async fn run(args: &ReleaseArgs, folder: &Path, output: &Output) -> Result<(), Failure> {
    let (dataset, permit) = match named(args)? {
        Named::File => {
            return super::files::run(&salus_files::Command::Release(args.clone()), output);
        }
        Named::Dataset(dataset, permit) => (dataset, permit),
    };
    let failed = |e: std::io::Error| Failure::request(format!("{}: {e}", args.plan.display()));
    let plan = std::fs::read_to_string(&args.plan).map_err(failed)?;
    let beside = args.plan.canonicalize().map_err(failed)?;
    let beside = beside.parent().unwrap_or(Path::new("/")).to_owned();
    // Before anything is asked of the site: whether it is a plan, and where its certificate goes.
    let parsed = salus_files::release::DatasetPlan::parse(&plan, &beside)?;
    let certificate = parsed.certificate().map(Path::to_owned);
    let site = crate::site::open(folder).await?;
    let wanted = ReleaseWanted { dataset, permit, plan, folder: beside };
    let done = released(&site, wanted).await?;
    if let (ReleaseOutcome::UnderReview(review), Some(path)) = (&done.outcome, &args.report) {
        gate::write_report(review, path)?;
    }
    show(&site, done, certificate.as_deref(), output).await
}

pub(super) async fn released(site: &Site, wanted: ReleaseWanted) -> Result<ReleaseDone, Failure> {
    match crate::site::ask(site, Call::Release(Box::new(wanted))).await? {
        Reply::Released(done) => Ok(*done),
        _ => Err(crate::site::protocol()),
    }
}

/// What a release answers.
#[derive(Serialize)]
struct Shown {
    /// What the argument was taken for.
    of: &'static str,
    published: Option<PublishedDataset>,
    /// Why nothing is published.
    withheld: Option<String>,
    /// Where it stands before its reviewers.
    under_review: Option<Box<UnderReview>>,
    /// What this command charged.
    charged: Option<Charged>,
    /// The certificate's file.
    certificate: Option<PathBuf>,
    /// The receipt; none while it is under review.
    receipt: Option<ReceiptPlace>,
    /// What was measured; for the steward.
    report: Option<serde_json::Value>,
}

/// Writes certificate and receipt, and says what came of the release.
pub(super) async fn show(
    site: &Site,
    done: ReleaseDone,
    certificate: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let ledger = site.ledger().await?;
    let receipt = match done.receipt_file() {
        Some(receipt) => {
            let verified = verify_receipt(&receipt, ledger.anchor())
                .map_err(|e| Failure::not_proved("the receipt proves nothing".to_owned(), &e))?;
            Some(keep(site, &ledger, (&verified, &receipt), None)?)
        }
        None => None,
    };
    let mut shown = Shown {
        of: "dataset",
        published: None,
        withheld: None,
        under_review: None,
        charged: done.charged,
        certificate: None,
        receipt,
        report: None,
    };
    match &done.outcome {
        ReleaseOutcome::Withheld { words } => shown.withheld = Some(words.clone()),
        ReleaseOutcome::UnderReview(review) => shown.under_review = Some(review.clone()),
        ReleaseOutcome::Published { published, report, .. } => {
            shown.certificate =
                certificate.map(|path| write_certificate(&done, path)).transpose()?;
            shown.published = Some(PublishedDataset::clone(published));
            shown.report.clone_from(report);
        }
    }
    output.print(&shown, text);
    match &shown.published {
        Some(_) => Ok(()),
        None => Err(Failure::answered("nothing was published", Class::Refused)),
    }
}

fn write_certificate(done: &ReleaseDone, path: &Path) -> Result<PathBuf, Failure> {
    let pdf = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("pdf"));
    let form = if pdf { CertificateForm::Pdf } else { CertificateForm::Html };
    let bytes = done.certificate(form).ok_or_else(crate::site::protocol)?;
    write_private(path, &bytes)
        .map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))?;
    Ok(path.to_owned())
}

fn text(shown: &Shown) -> String {
    if let Some(review) = &shown.under_review {
        return gate::standing(
            review,
            "Give the same command again to see how far it is; once it \
             is approved, that publishes it.",
        );
    }
    let receipt = shown
        .receipt
        .as_ref()
        .map(|receipt| format!("{} ({})", receipt.says.receipt, receipt.file.display()));
    let Some(published) = &shown.published else {
        let why = shown.withheld.as_deref().unwrap_or_default();
        let Some(receipt) = receipt else {
            return format!(
                "Nothing is published: {why}\n\nNo reviewer was asked, and nothing is booked."
            );
        };
        let charged = charged(shown);
        return format!("Nothing is published: {why}\n\nCharged   {charged}\nReceipt   {receipt}");
    };
    let kind = match published.kind {
        Kind::Anonymised => "anonymised",
        Kind::Synthetic => "synthetic",
    };
    let mut rows = match &published.review {
        None => vec![("Charged", charged(shown))],
        Some(reviewed) => vec![
            ("Booked", format!("as not bounded, on the account of {}", published.source)),
            ("Review", reviewed.review.to_string()),
            ("Approved", format!("by {} reviewers", reviewed.approvals.len())),
        ],
    };
    let artefact = published.artefact.map_or("none yet".to_owned(), |id| id.to_string());
    let certificate =
        shown.certificate.as_ref().map_or("none".to_owned(), |p| p.display().to_string());
    rows.extend([
        ("Receipt", receipt.unwrap_or_default()),
        ("Artefact", artefact),
        ("SHA-256", published.sha256.to_string()),
        ("Certificate", certificate),
    ]);
    let rows: Vec<String> = rows.iter().map(|(word, what)| format!("{word:<12} {what}")).collect();
    format!(
        "The site's dataset {} is released as {}: {} {kind} records.\n\n{}",
        published.source,
        published.dataset,
        published.records,
        rows.join("\n"),
    )
}

fn charged(shown: &Shown) -> String {
    shown.charged.map_or("nothing; an earlier command was charged".to_owned(), |c| {
        format!("ε = {:.4} ({} µρ)", c.epsilon, c.micro_rho.get())
    })
}

/// How long a permit for a twin is applied for: time enough to be granted and used.
pub(super) const TWIN_DAYS: i64 = 30;

pub(super) fn in_days(days: i64) -> salus_model::Timestamp {
    SystemClock.now().saturating_add_micros(days * 24 * 60 * 60 * 1_000_000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn args(dataset: &Path, permit: Option<&str>) -> ReleaseArgs {
        ReleaseArgs {
            dataset: dataset.to_owned(),
            plan: PathBuf::from("plan.toml"),
            permit: permit.map(str::to_owned),
            report: None,
        }
    }

    #[test]
    fn a_name_is_a_file_or_a_dataset_by_a_rule_and_never_by_guessing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("visits");
        std::fs::write(&file, "a,b\n1,2\n").unwrap();
        assert_eq!(named(&args(&file, None)).unwrap(), Named::File);
        // A path that is not there is still a file, and its absence is told by the command.
        assert_eq!(named(&args(&folder.path().join("none"), None)).unwrap(), Named::File);
        let refusal = |path: &Path, permit| match named(&args(path, permit)) {
            Err(failure) => failure.to_string(),
            Ok(found) => panic!("{found:?}"),
        };
        assert!(refusal(&file, Some("permit-1")).contains("leave --permit out"));
        assert!(refusal(Path::new("no-such-thing-here"), None).contains("give --permit"));
        // `Cargo.toml` lies in the folder in which tests run, and could be a dataset's name.
        std::fs::metadata("Cargo.toml").unwrap();
        assert_eq!(named(&args(Path::new("Cargo.toml"), None)).unwrap(), Named::File);
        let found = named(&args(Path::new("visits"), Some("permit-1"))).unwrap();
        assert!(matches!(found, Named::Dataset(dataset, _) if dataset.as_str() == "visits"));
        std::fs::write("target-of-a-test.tmp", "a").unwrap();
        let said = refusal(Path::new("target-of-a-test.tmp"), Some("permit-1"));
        std::fs::remove_file("target-of-a-test.tmp").unwrap();
        assert!(said.contains("may be the file"), "{said}");
    }
}
