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

use std::path::PathBuf;

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
use crate::file::{Source, Staged, check_outputs, given, table_bytes};
use crate::hierarchies;
use crate::synthesise::{self, Meter, SynthesiseReport};
use crate::text::{bound, count, epsilon, notes, pairs, percent};
use crate::unbias::UnbiasReport;
use crate::watch::Unwatched;

use check::{check_names, check_size};
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
    let out = plan.out()?;
    let beside = plan.named_files();
    let named = beside.iter().map(|path| Some(("the plan names it", path.as_path())));
    let own = [("the table", args.dataset.as_path()), ("--plan", args.plan.as_path())];
    let read: Vec<_> = named.chain(own.map(Some)).collect();
    let certificate_file = plan.publish.certificate.as_deref();
    let written = [Some(("[publish] out", out)), given("[publish] certificate", certificate_file)];
    check_outputs(&read, &written)?;
    let source = Source::read(&args.dataset, &plan.format()?)?;
    let how = plan.how(&args.dataset, out)?;
    if let How::Synthesise(own) = &how {
        synthesise::check_delta(own, &source)?;
    }
    let unbias = plan.unbias(&args.dataset)?;
    let (folder, rows) = match &how {
        How::Anonymise(own) => (own.hierarchies.as_deref(), None),
        How::Synthesise(own) => (own.hierarchies.as_deref(), own.rows),
    };
    check_size(&plan, rows)?;
    hierarchies::not_over(folder, &source, &written)?;
    check_names(&plan, &how, unbias.as_ref(), &source)?;
    let (unbias, watch) = (unbias.as_ref(), &Unwatched);
    let chain = Chain { plan: &plan, how: &how, unbias, source: &source, watch, clock };
    let Worked { mut report, evidence, table } = work(&chain, &mut Meter::new(), entropy)?;
    report.out = out.to_owned();
    report.certificate.clone_from(&plan.publish.certificate);
    let released = match (&plan.publish.fhir, &how) {
        (Some(resource), How::Synthesise(_)) => {
            crate::fhir::of_drawn(resource, &table, clock.now())?
        }
        (Some(resource), How::Anonymise(_)) => crate::fhir::ndjson(resource, &table)?,
        (None, _) => table_bytes(out, &table, source.format)?,
    };
    let mut staged = Staged::default();
    staged.add(out, &released)?;
    if let Some(path) = certificate_file {
        let certificate = certificate(&report, &evidence, &released, Readers::Steward, clock);
        staged.add(path, &certificate.bytes(path)?)?;
    }
    staged.persist()?;
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
    match too_low(chain, &worked.report, &worked.evidence) {
        Some(words) => Err(FilesError::Threshold(words)),
        None => Ok(worked),
    }
}

/// Why what went through the chain is not published, in words; none when its score suffices.
fn too_low(chain: &Chain<'_>, report: &ReleaseReport, evidence: &Evidence) -> Option<String> {
    let least = chain.plan.publish.least_score;
    // Where no score is asked for, a table too small to be attacked may go out as well.
    if least <= 0.0 || evidence.score.is_some_and(|score| score >= least) {
        return None;
    }
    let spent = report.synthesised.as_ref().map_or_else(String::new, |s| {
        format!(", and {} is charged all the same", bound(s.epsilon_spent, s.delta))
    });
    Some(format!(
        "the whole chain scores {}, below {least}: nothing was published{spent}. {} {}",
        evidence.score.map_or("nothing".to_owned(), |s| format!("{s:.1}")),
        evidence.words,
        remedy(chain.how, report)
    ))
}

/// What may raise the score, of what the plan has.
fn remedy(how: &How, report: &ReleaseReport) -> String {
    let (part, until_score) = match how {
        How::Anonymise(args) => ("[anonymise]", args.until_score),
        How::Synthesise(args) => ("[synthesise]", args.until_score),
    };
    let way = match (until_score, how) {
        (Some(_), _) => "a higher until-score",
        (None, How::Anonymise(_)) => "an until-score",
        (None, How::Synthesise(_)) => "a smaller epsilon, or an until-score,",
    };
    let fewer = if report.has_grown() { ", or lower 'to' in [augment]" } else { "" };
    format!("Put {way} into {part}{fewer}")
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
    let grown = augmented.as_ref().is_some_and(Augmented::any);
    let evidence = chain.attack(made, grown, entropy)?;
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
    /// Whether synthetic records were added to those of people.
    fn has_grown(&self) -> bool {
        self.augmented.as_ref().is_some_and(Augmented::any)
    }

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
    if let Some(none) = report.augmented.as_ref().filter(|a| !a.any()) {
        noted.push(format!(
            "[augment] to is {}, and there are {} published records without it: nothing was added; \
             put a larger number there for more",
            count(none.to),
            count(none.records)
        ));
    }
    if report.has_grown() {
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
        said.push(format!("Synthesised: {}{quality}", bound(s.epsilon_spent, s.delta)));
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
        said.push(if a.any() {
            format!(
                "Augmented: {} synthetic records from a model of the published ones, {} in all",
                count(a.added),
                count(a.records)
            )
        } else {
            format!(
                "Not augmented: there are {} records already, and [augment] to is {}",
                count(a.records),
                count(a.to)
            )
        });
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
            "({}, {:e})-differential privacy of each person's records",
            epsilon(s.epsilon_spent),
            s.delta
        )
    }));
    if report.has_grown() && report.anonymised.is_some() {
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
