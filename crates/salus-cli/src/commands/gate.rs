//! `salus gate`: what wants out without a bound, and the people who decide on it.

mod here;
mod report;

use std::path::{Path, PathBuf};

use salus_ledger::ReviewId;
use salus_ledger::contract::records::Decision;
use salus_ledger::review::{Independence, ReviewRule, ReviewRuleForm, ReviewScore, Verdict};
use salus_model::{Class, DatasetId};
use salus_node::gate::GatePart;
use salus_node::operations::{Call, Reply, ReviewCall};
use salus_node::review::{MAX_REPORT_BYTES, ReviewOutcome, ReviewReport, ReviewStanding};
use salus_node::{HolderLedger, Site};
use serde::Serialize;

use crate::output::{Failure, Output, table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// What waits for reviewers, and how far each is.
    List {
        /// Also what was released or superseded.
        #[arg(long)]
        all: bool,
        /// What was submitted from this site, by its name.
        #[arg(long, conflicts_with = "all")]
        here: bool,
    },
    /// One review: what was submitted, who decided what, what is still needed.
    Show {
        /// The review.
        review: ReviewId,
        /// The automatic checks' report, as the holder gave it out: printed, once it is the one
        /// that was submitted.
        #[arg(long)]
        report: Option<PathBuf>,
        /// The file for the certificate that is in the report, as a page.
        #[arg(long, requires = "report")]
        certificate: Option<PathBuf>,
    },
    /// Approve it, as a reviewer; it may go out once enough of them have.
    Approve {
        /// The review.
        review: ReviewId,
        /// The automatic checks' report, as the holder gave it out: nobody approves what they have
        /// not been given.
        #[arg(long)]
        report: PathBuf,
    },
    /// Refuse it, as a reviewer: it does not go out until you approve it in place of that.
    Refuse {
        /// The review.
        review: ReviewId,
    },
    /// Say how many have to approve what goes out of this site's dataset.
    Rule(RuleArgs),
    /// Put a file that was made at this site before the reviewers: a table of counts, a model, a
    /// plot. Given again, it says how far it is.
    Submit(Box<here::SubmitArgs>),
    /// Write the report of the automatic checks of what was submitted from this site, as the file
    /// that reviewers need.
    Report {
        /// The review.
        review: ReviewId,
        /// The file.
        #[arg(long)]
        out: PathBuf,
    },
    /// Look at what was submitted from this site itself, before it is approved: on these premises,
    /// by the holder's own people, on record.
    Look {
        /// The review.
        review: ReviewId,
        /// The file. It holds what is not released: keep it here, and remove it afterwards.
        #[arg(long)]
        out: PathBuf,
    },
    /// Take out a file that was submitted from this site, once reviewers have approved it.
    Fetch {
        /// The review.
        review: ReviewId,
        /// The file.
        #[arg(long)]
        out: PathBuf,
    },
}

pub(crate) use here::{standing, write_report};

#[derive(clap::Args)]
pub(crate) struct RuleArgs {
    /// The dataset.
    dataset: DatasetId,
    /// How many, at least as the ledger's configuration asks: 1 to 8.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=8))]
    reviewers: Option<u8>,
    /// Count organisations and not keys.
    #[arg(long, requires = "reviewers")]
    of_members: bool,
    /// The least score of the automatic checks that may go out, 0 to 100.
    #[arg(long, requires = "reviewers", value_parser = score)]
    least_score: Option<ReviewScore>,
    /// Take the dataset's own rule away, so that the configuration's alone holds.
    #[arg(long, conflicts_with = "reviewers")]
    none: bool,
}

pub(crate) fn score(text: &str) -> Result<ReviewScore, String> {
    let points: u8 = text.parse().map_err(|_| "a score is a whole number from 0 to 100")?;
    ReviewScore::new(points).map_err(|e| e.to_string())
}

impl RuleArgs {
    fn rule(&self) -> Result<Option<ReviewRule>, Failure> {
        let Some(reviewers) = self.reviewers else {
            let wrong = "state --reviewers, or take the rule away with --none";
            return if self.none { Ok(None) } else { Err(Failure::request(wrong)) };
        };
        let independence = if self.of_members { Independence::Members } else { Independence::Keys };
        let form = ReviewRuleForm { reviewers, independence, least_score: self.least_score };
        Ok(Some(ReviewRule::new(form)?))
    }
}

/// A review, for scripts and people.
#[derive(Debug, Serialize)]
struct ReviewShown {
    review: String,
    /// `waiting`, `approved`, `refused`, `released` or `superseded`.
    state: &'static str,
    permit: String,
    datasets: Vec<String>,
    score: Option<u8>,
    submitted: u64,
    approvals: usize,
    needed: u8,
    of: &'static str,
    least_score: Option<u8>,
    refused_by: Vec<String>,
    /// The receipt of what was released, or the review that took its place.
    led_to: Option<String>,
    supersedes: Vec<String>,
    decisions: Vec<DecisionShown>,
    /// Whether this site's key may decide.
    yours: bool,
    result: String,
    report: String,
    /// What the automatic checks said, where the report was shown.
    checks: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct DecisionShown {
    verdict: &'static str,
    member: String,
    reviewer: String,
    block: u64,
    transaction: String,
}

impl From<&Decision> for DecisionShown {
    fn from(decision: &Decision) -> Self {
        Self {
            verdict: decision.verdict.as_str(),
            member: decision.member.to_string(),
            reviewer: decision.reviewer.to_string(),
            block: decision.at.get(),
            transaction: decision.transaction.to_string(),
        }
    }
}

impl ReviewShown {
    fn of(standing: &ReviewStanding, yours: bool) -> Self {
        let ReviewStanding { id, record, rule, tally, .. } = standing;
        let (state, led_to) = match standing.outcome() {
            ReviewOutcome::Waiting { .. } => ("waiting", None),
            ReviewOutcome::Approved(_) => ("approved", None),
            ReviewOutcome::Refused { .. } => ("refused", None),
            ReviewOutcome::Released(receipt) => ("released", Some(receipt.to_string())),
            ReviewOutcome::Superseded(by) => ("superseded", Some(by.to_string())),
        };
        Self {
            review: id.to_string(),
            state,
            permit: record.permit.to_string(),
            datasets: record.datasets.iter().map(ToString::to_string).collect(),
            score: record.score.map(ReviewScore::get),
            submitted: record.submitted.get(),
            approvals: tally.different,
            needed: rule.reviewers(),
            of: rule.independence().as_str(),
            least_score: rule.least_score().map(ReviewScore::get),
            refused_by: record.refused_by().iter().map(ToString::to_string).collect(),
            led_to,
            supersedes: record.supersedes.iter().map(ToString::to_string).collect(),
            decisions: record.decisions.iter().map(DecisionShown::from).collect(),
            yours,
            result: record.result.to_string(),
            report: record.report.to_string(),
            checks: None,
        }
    }

    /// Whether anybody still decides.
    fn is_open(&self) -> bool {
        matches!(self.state, "waiting" | "approved" | "refused")
    }

    fn text(&self) -> String {
        let score = self.score.map_or_else(|| "none".to_owned(), |score| score.to_string());
        let least = self.least_score.map_or(String::new(), |least| format!(", at least {least}"));
        let led_to = self.led_to.as_ref().map_or(String::new(), |id| format!(" as {id}"));
        let mut lines = vec![
            format!("Review      {}", self.review),
            format!("State       {}{led_to}", self.state),
            format!("Permit      {}", self.permit),
            format!("Datasets    {}", self.datasets.join(", ")),
            format!("Score       {score} of 100{least}"),
            format!("Approvals   {} of {} {}", self.approvals, self.needed, self.of),
            format!("Submitted   in block {}", self.submitted),
            format!("Result      {} (salted hash)", self.result),
            format!("Report      {} (salted digest)", self.report),
        ];
        lines.extend(self.supersedes.iter().map(|id| format!("Supersedes  {id}")));
        for said in &self.decisions {
            lines.push(format!(
                "Decision    {} by {} of {} in block {}",
                said.verdict, said.reviewer, said.member, said.block
            ));
        }
        lines.extend(self.checks.as_ref().map(|checks| format!("\n{}", report::text(checks))));
        lines.join("\n")
    }
}

async fn shown(ledger: &HolderLedger, review: &ReviewId) -> Result<ReviewShown, Failure> {
    let standing = ledger.review(review).await?;
    let yours = ledger.may_review(&standing).await?;
    Ok(ReviewShown::of(&standing, yours))
}

async fn list(site: &Site, all: bool, output: &Output) -> Result<(), Failure> {
    let ledger = site.ledger().await?;
    let mut found = Vec::new();
    for review in ledger.reviews().await? {
        match shown(&ledger, &review).await {
            Ok(shown) if all || shown.is_open() => found.push(shown),
            Ok(_) => {}
            // A submission that a rule refused is in a block and makes no review.
            Err(none) if none.class() == Class::BadRequest => {}
            Err(error) => return Err(error),
        }
    }
    output.print(&found, |found| {
        let row = |r: &ReviewShown| {
            let score = r.score.map_or_else(|| "·".to_owned(), |score| score.to_string());
            vec![
                r.review.clone(),
                r.state.to_owned(),
                r.datasets.join(", "),
                score,
                format!("{} of {}", r.approvals, r.needed),
                if r.yours { "you may decide" } else { "" }.to_owned(),
            ]
        };
        let rows: Vec<_> = found.iter().map(row).collect();
        table(&["review", "state", "datasets", "score", "approvals", ""], &rows)
    });
    Ok(())
}

/// The report, once it is the one that the holder submitted.
fn report_of(review: &ReviewShown, path: &Path) -> Result<ReviewReport, Failure> {
    let unread = |e| Failure::request(format!("{}: {e}", path.display()));
    let length = std::fs::metadata(path).map_err(unread)?.len();
    if length > MAX_REPORT_BYTES as u64 {
        return Err(Failure::request(format!("{} is too large for a report", path.display())));
    }
    let report = ReviewReport::from_bytes(&std::fs::read(path).map_err(unread)?)?;
    if report.digest().to_string() != review.report {
        return Err(Failure::refused(format!(
            "{} is not the report that was submitted: its digest is {}, that of the review is {}",
            path.display(),
            report.digest(),
            review.report
        )));
    }
    if report.score().map(ReviewScore::get) != review.score {
        return Err(Failure::refused(format!(
            "the score in {} is not the one that was submitted; refuse it",
            path.display()
        )));
    }
    Ok(report)
}

#[derive(Serialize)]
struct Decided {
    review: String,
    verdict: &'static str,
    transaction: String,
    /// What became of it.
    state: &'static str,
    approvals: usize,
    needed: u8,
}

async fn decide(
    site: &Site,
    (review, verdict): (ReviewId, Verdict),
    report: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let ledger = site.ledger().await?;
    if let Some(path) = report {
        report_of(&shown(&ledger, &review).await?, path)?;
    }
    let transaction = done(site, ReviewCall::Decide { review, verdict }).await?;
    let after = shown(&ledger, &review).await?;
    let decided = Decided {
        review: review.to_string(),
        verdict: verdict.as_str(),
        transaction,
        state: after.state,
        approvals: after.approvals,
        needed: after.needed,
    };
    output.print(&decided, |d| {
        format!(
            "On record: {} review {}.\nIt is {}; {} approvals of {} count.",
            d.verdict, d.review, d.state, d.approvals, d.needed
        )
    });
    Ok(())
}

async fn done(site: &Site, call: ReviewCall) -> Result<String, Failure> {
    match crate::site::ask(site, Call::Review(call)).await? {
        Reply::Reviewed(transaction) => Ok(transaction.to_string()),
        _ => Err(crate::site::protocol()),
    }
}

#[derive(Serialize)]
struct RuleSet {
    dataset: String,
    reviewers: Option<u8>,
    of: Option<&'static str>,
    least_score: Option<u8>,
    transaction: String,
}

async fn rule(site: &Site, args: RuleArgs, output: &Output) -> Result<(), Failure> {
    let rule = args.rule()?;
    let dataset = args.dataset;
    let call = ReviewCall::Rule { dataset: dataset.clone(), rule };
    let set = RuleSet {
        transaction: done(site, call).await?,
        dataset: dataset.to_string(),
        reviewers: rule.map(|rule| rule.reviewers()),
        of: rule.map(|rule| rule.independence().as_str()),
        least_score: rule.and_then(|rule| rule.least_score()).map(ReviewScore::get),
    };
    output.print(&set, |s| match (s.reviewers, s.of) {
        (Some(reviewers), Some(of)) => {
            format!("What goes out of {} without a bound needs {reviewers} {of}.", s.dataset)
        }
        _ => format!("{} has no rule of its own; the configuration's holds.", s.dataset),
    });
    Ok(())
}

pub(crate) async fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    match command {
        Command::List { here: true, .. } => here::list(&site, output).await,
        Command::List { all, .. } => list(&site, all, output).await,
        Command::Show { review, report, certificate } => {
            let ledger = site.ledger().await?;
            let mut found = shown(&ledger, &review).await?;
            if let Some(path) = report {
                found.checks = Some(report_of(&found, &path)?.checks().clone());
            }
            if let (Some(path), Some(checks)) = (certificate, &found.checks) {
                report::write_certificate(checks, &path)?;
            }
            output.print(&found, ReviewShown::text);
            Ok(())
        }
        Command::Approve { review, report } => {
            decide(&site, (review, Verdict::Approve), Some(&report), output).await
        }
        Command::Refuse { review } => decide(&site, (review, Verdict::Refuse), None, output).await,
        Command::Rule(args) => rule(&site, args, output).await,
        Command::Submit(args) => here::submit(&site, *args, output).await,
        Command::Report { review, out } => {
            here::part(&site, (review, GatePart::Report), out, output).await
        }
        Command::Look { review, out } => {
            here::part(&site, (review, GatePart::Result), out, output).await
        }
        Command::Fetch { review, out } => here::fetch(&site, review, out, output).await,
    }
}
