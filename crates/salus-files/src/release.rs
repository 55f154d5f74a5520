//! `salus release`: a plan carried out from the first look to the certificate.
//!
//! ```text
//! records ──assess──▶ anonymise or synthesise ──attack──▶ published records
//!    ──large and varied enough?──▶ augment ──▶ unbias ──attack again──▶ score ──▶ file, certificate
//! ```
//!
//! # Privacy
//! Augmenting learns from the records as they would be published, and so tells nothing more of
//! anybody. The second attack is on the whole chain: a random half of the people goes through all
//! of it, the other half is the control group.

mod check;
mod dataset;
mod plan;
mod stages;

use std::path::{Path, PathBuf};

use clap::Args;
use salus_deid::Table;
use salus_deid::utility::Volume;
use salus_model::{Clock, Entropy};
use serde::Serialize;

use crate::Answer;
use crate::anonymise::{self, AnonymiseReport};
use crate::certificate::Certificate;
use crate::error::FilesError;
use crate::evidence::Evidence;
use crate::file::{Source, not_over, table_bytes, write_bytes};
use crate::synthesise::{self, Meter, SynthesiseReport};
use crate::text::{count, notes, pairs, percent};
use crate::unbias::UnbiasReport;
use crate::watch::Unwatched;

pub(crate) use dataset::one_record_each;
pub use dataset::{Carried, DatasetPlan, Given, Kind, Outcome, Publication, Rehearsal, Spent};
pub(crate) use plan::anonymise_options;
pub use plan::plan_text;
use plan::{How, Plan};
use stages::{Augmented, Chain};

/// Carries a plan out.
#[derive(Debug, Clone, Args)]
pub struct ReleaseArgs {
    /// A CSV file with column names in the first line and a record of a person in each other; or,
    /// with --permit, a dataset of the site.
    pub dataset: PathBuf,
    /// The plan (TOML); docs/plain-files.md and docs/release.md show some.
    #[arg(long)]
    pub plan: PathBuf,
    /// The permit under which a dataset of the site is released.
    #[arg(long)]
    pub permit: Option<String>,
    /// The file for the reviewers' report, where the release has no bound and reviewers have to
    /// approve it.
    #[arg(long, requires = "permit")]
    pub report: Option<PathBuf>,
}

/// How recognisable the people are in the table as it is.
#[derive(Debug, Clone, Serialize)]
pub struct Assessment {
    /// Records.
    pub records: u64,
    /// The mean over records of 1 / group size.
    pub average_risk: f64,
    /// The share of records that are alone in their group.
    pub sample_unique: f64,
    /// The score of the table released as it is.
    pub score: Option<f64>,
    /// How well the target is learnt from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
}

/// What `salus release` answers.
#[derive(Debug, Clone, Serialize)]
pub struct ReleaseReport {
    /// What was released: a file, or a dataset.
    pub of: &'static str,
    /// What it is for.
    pub purpose: String,
    /// The table as it is.
    pub assessment: Assessment,
    /// How it was made anonymous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymised: Option<AnonymiseReport>,
    /// Or how synthetic records were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthesised: Option<SynthesiseReport>,
    /// How well the target is learnt from what would be published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    /// Whether that is enough for the purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enough: Option<bool>,
    /// What was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augmented: Option<Augmented>,
    /// Bias before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unbiased: Option<UnbiasReport>,
    /// Attacks on the whole chain.
    pub attacks: Vec<crate::AttackLine>,
    /// Their score.
    pub score: Option<f64>,
    /// Records published.
    pub records: u64,
    /// The file.
    pub out: PathBuf,
    /// Its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// What to note; for whoever holds the records.
    pub notes: Vec<String>,
    /// What to note of a private release, for everybody: nothing that was found out from the records
    /// without noise.
    #[serde(skip)]
    open_notes: Vec<String>,
}

/// Carries a plan out.
///
/// # Errors
/// When the plan or a file cannot be read, a step cannot be done, or the score of the whole is
/// below what the plan asks for; nothing is written then.
pub fn run(
    args: &ReleaseArgs,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Answer, FilesError> {
    let plan = Plan::read(&args.plan)?;
    let read: [&Path; 2] = [&args.dataset, &args.plan];
    let out = plan.out()?;
    not_over(out, &read)?;
    let source = Source::read(&args.dataset, &plan.format()?)?;
    let how = plan.how(&args.dataset, out)?;
    let unbias = plan.unbias(&args.dataset)?;
    let (unbias, watch) = (unbias.as_ref(), &Unwatched);
    let chain = Chain { plan: &plan, how: &how, unbias, source: &source, watch, clock };
    let Worked { mut report, evidence, table } = work(&chain, &mut Meter::new(), entropy)?;
    report.out = out.to_owned();
    report.certificate.clone_from(&plan.publish.certificate);
    let released = match &plan.publish.fhir {
        Some(resource) => crate::fhir::ndjson(resource, &table)?,
        None => table_bytes(out, &table, source.format)?,
    };
    write_bytes(out, &released)?;
    if let Some(path) = &plan.publish.certificate {
        not_over(path, &[&args.dataset, &args.plan, out])?;
        certificate(&report, &evidence, &released, Readers::Steward, clock).write(path)?;
    }
    let text = text(&report, &evidence);
    Answer::new(&report, text)
}

/// A chain that was gone through, with what would be published.
struct Worked {
    report: ReleaseReport,
    evidence: Evidence,
    table: Table,
}

/// Goes through the whole chain, writes nothing, and fails where its score is too low.
fn work(
    chain: &Chain<'_>,
    meter: &mut Meter,
    entropy: &mut dyn Entropy,
) -> Result<Worked, FilesError> {
    let worked = gone_through(chain, meter, entropy)?;
    match too_low(chain.plan, &worked.evidence) {
        Some(words) => Err(FilesError::Threshold(words)),
        None => Ok(worked),
    }
}

/// Why what went through the chain is not published, in words; none when its score suffices.
fn too_low(plan: &Plan, evidence: &Evidence) -> Option<String> {
    let least = plan.publish.least_score;
    // Where no score is asked for, a table too small to be attacked may go out as well.
    if least <= 0.0 || evidence.score.is_some_and(|score| score >= least) {
        return None;
    }
    Some(format!(
        "the whole chain scores {}, below {least}: nothing was published. {} Lower the volume, or \
         put a higher until-score into the plan",
        evidence.score.map_or("nothing".to_owned(), |s| format!("{s:.1}")),
        evidence.words
    ))
}

/// Goes through the whole chain, whatever it scores.
fn gone_through(
    chain: &Chain<'_>,
    meter: &mut Meter,
    entropy: &mut dyn Entropy,
) -> Result<Worked, FilesError> {
    let (plan, watch) = (chain.plan, chain.watch);
    watch.stage("assessing the records as they are");
    let assessment = chain.assess(entropy)?;
    watch.go_on()?;
    watch.stage("making them publishable, and attacking that");
    let (base, anonymised, synthesised) = chain.base(meter, entropy)?;
    watch.go_on()?;
    watch.stage("asking whether what is left suffices for the purpose, and mending it");
    let volume = chain.volume(&base, entropy)?;
    let enough = volume.as_ref().zip(plan.volume.as_ref()).map(|(volume, wanted)| {
        volume.is_settled(wanted.gain)
            && volume.thin_classes(wanted.least_per_class).next().is_none()
    });
    let (table, augmented) = chain.augment(&base, enough, entropy)?;
    let (table, unbiased) = chain.mend(table)?;
    let made = anonymised.as_ref();
    watch.go_on()?;
    watch.stage("attacking the whole chain");
    let evidence = chain.attack(made, enough, entropy)?;
    let mut report = ReleaseReport {
        of: "file",
        purpose: plan.purpose.clone(),
        assessment,
        anonymised: anonymised.map(|made| made.report),
        synthesised,
        volume,
        enough,
        augmented,
        unbiased,
        attacks: evidence.attacks.clone(),
        score: evidence.score,
        records: table.rows() as u64,
        out: PathBuf::new(),
        certificate: None,
        notes: Vec::new(),
        open_notes: Vec::new(),
    };
    note(&mut report, chain);
    Ok(Worked { report, evidence, table })
}

impl ReleaseReport {
    /// Whether these readers are told nothing but what ε covers, the score and the attacks.
    fn is_private_for(&self, readers: Readers) -> bool {
        readers == Readers::Everybody && self.synthesised.is_some()
    }
}

/// Who gets a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readers {
    /// Whoever holds the file, who knows how it looked before.
    Steward,
    /// Whoever gets the release, who is not told how the records were.
    Everybody,
}

fn note(report: &mut ReleaseReport, chain: &Chain<'_>) {
    let after = noted_of_published(report);
    let mut all = chain.source.notes.clone();
    all.extend(report.anonymised.iter().flat_map(|a| a.notes.clone()));
    all.extend(report.synthesised.iter().flat_map(|s| s.notes.iter().chain(&s.cohort).cloned()));
    all.extend(after.clone());
    report.notes = once(all);
    if let How::Synthesise(args) = chain.how {
        report.open_notes = once([args.notes_for_everybody(), after].concat());
    }
}

/// What is found out from the records as they are published, and tells no more than those.
fn noted_of_published(report: &ReleaseReport) -> Vec<String> {
    let mut noted: Vec<String> = report.unbiased.iter().flat_map(|u| u.notes.clone()).collect();
    if report.enough == Some(false) && report.augmented.is_none() {
        noted.push(
            "the published records are not enough for the purpose, and the plan has no \
                  [augment]"
                .to_owned(),
        );
    }
    if report.augmented.is_some() {
        noted.push(
            "records with synthetic = yes are drawn from what the others have in common: \
                  they add volume, and no information about people"
                .to_owned(),
        );
    }
    noted
}

/// Each note once, at its first place.
fn once(mut notes: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    notes
}

/// How the sentence begins that says how the records were.
const ASSESSED: &str = "Assessed:";

/// What was done, a sentence each.
fn steps(report: &ReleaseReport, readers: Readers) -> Vec<String> {
    let everybody = report.is_private_for(readers);
    let score = |s: Option<f64>| match s {
        None => "no score".to_owned(),
        Some(s) if everybody => format!("{:.0} of 100", s.floor()),
        Some(s) => format!("{s:.1} of 100"),
    };
    let mut said = vec![
        format!("Purpose: {}", report.purpose),
        format!(
            "{ASSESSED} {} records, average risk {}, {} unique, {} as they are",
            count(report.assessment.records),
            percent(report.assessment.average_risk),
            percent(report.assessment.sample_unique),
            score(report.assessment.score)
        ),
    ];
    if let Some(a) = &report.anonymised {
        said.push(format!(
            "Anonymised: {}, granularity {:.4}, {} records suppressed, {} by itself",
            a.models.join(", "),
            a.granularity,
            count(a.suppressed),
            score(a.score)
        ));
    }
    if let Some(s) = &report.synthesised {
        // Measured on the records without noise, and of a cohort perhaps on few.
        let quality = if everybody { String::new() } else { format!(", quality {:.4}", s.quality) };
        said.push(format!("Synthesised: ε = {:.4} at δ = {:e}{quality}", s.epsilon_spent, s.delta));
    }
    if let (Some(v), Some(enough)) = (&report.volume, report.enough) {
        let last = v.curve.last().map_or(0.0, |p| p.accuracy);
        said.push(format!(
            "Volume assessed: balanced accuracy {last:.4}, of which the last doubling of the \
             records gained {:.4} ± {:.4}; rarest class {} records: {}",
            v.gain,
            2.0 * v.gain_error,
            count(v.classes.first().map_or(0, |c| c.records)),
            if enough { "enough" } else { "not enough" }
        ));
    }
    if let Some(a) = &report.augmented {
        said.push(format!(
            "Augmented: {} synthetic records from a model of the published ones, {} in all",
            count(a.added),
            count(a.records)
        ));
    }
    if let Some(u) = &report.unbiased {
        said.push(format!(
            "Unbiased: disparate impact from {:.4} to {:.4}",
            u.before.disparate_impact, u.after.disparate_impact
        ));
    }
    said.push(format!("Attacked again, the whole chain: {}", score(report.score)));
    said
}

fn certificate<'a>(
    report: &'a ReleaseReport,
    evidence: &'a Evidence,
    released: &'a [u8],
    readers: Readers,
    clock: &dyn Clock,
) -> Certificate<'a> {
    let mut steps = steps(report, readers);
    if readers == Readers::Everybody {
        steps.retain(|step| !step.starts_with(ASSESSED));
    }
    let mut holds: Vec<String> = report.anonymised.iter().flat_map(|a| a.models.clone()).collect();
    holds.extend(report.synthesised.iter().map(|s| {
        format!(
            "({:.4}, {:e})-differential privacy of each person's records",
            s.epsilon_spent, s.delta
        )
    }));
    if report.augmented.is_some() && report.anonymised.is_some() {
        holds.push("The models hold for the records marked synthetic = no".to_owned());
    }
    let mut utility = vec![("Records", count(report.records))];
    if let Some(a) = &report.anonymised {
        utility.push(("Granularity", format!("{:.4} (1 is untouched)", a.granularity)));
    }
    let everybody = report.is_private_for(readers);
    if let Some(s) = report.synthesised.as_ref().filter(|_| !everybody) {
        utility.push(("Quality", format!("{:.4} (1 is alike)", s.quality)));
    }
    if let Some(last) = report.volume.as_ref().and_then(|v| v.curve.last()) {
        utility.push(("Balanced accuracy of the target", format!("{:.4}", last.accuracy)));
    }
    Certificate {
        title: "Released table",
        made: clock.now(),
        file: &report.out,
        released,
        holds,
        parameters: vec![("Purpose", report.purpose.clone())],
        utility,
        steps,
        columns: None,
        evidence: Some(evidence),
        setting: "A random half of the people went through the whole chain and was attacked; the \
                  other half, who are not in it, is the control group.",
        notes: if everybody { &report.open_notes } else { &report.notes },
    }
}

fn text(report: &ReleaseReport, evidence: &Evidence) -> String {
    let mut said = "Released, from a plain file\n".to_owned();
    for (i, step) in steps(report, Readers::Steward).iter().enumerate() {
        said.push_str(&format!("  {}. {step}\n", i + 1));
    }
    let rows = [
        ("records", count(report.records)),
        ("score", report.score.map_or("none".to_owned(), |s| format!("{s:.1} of 100"))),
        ("written to", report.out.display().to_string()),
        (
            "certificate",
            report.certificate.as_ref().map_or("none".to_owned(), |p| p.display().to_string()),
        ),
    ];
    said.push_str(&format!("\n{}\n\nAttacks\n{}", pairs(&rows), evidence.text()));
    said.push_str(&notes(&report.notes));
    said
}
