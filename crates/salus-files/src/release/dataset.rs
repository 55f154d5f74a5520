//! A plan carried out on a dataset that its caller has in memory, and nothing written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use salus_crypto::Digest;
use salus_deid::{CsvFormat, Table};
use salus_dp::{Delta, Epsilon, rho_from_epsilon};
use salus_model::{Clock, Entropy, MicroRho};
use serde::{Deserialize, Serialize};

use super::check::{check_columns, check_paths, check_size};
use super::plan::{How, Plan};
use super::stages::{self, Chain};
use super::{Readers, ReleaseReport, Worked, certificate, gone_through, too_low, work};
use crate::certificate::CertificatePage;
use crate::error::FilesError;
use crate::file::{Source, table_bytes};
use crate::output::{self, OutputCheck};
use crate::synthesise::{Meter, Stated, SynthesiseArgs};
use crate::unbias::UnbiasArgs;
use crate::watch::{Unwatched, Waiting, Watch};

/// A plan whose dataset, domains and account are a site's.
#[derive(Debug)]
pub struct DatasetPlan {
    plan: Plan,
    how: How,
    unbias: Option<UnbiasArgs>,
    fingerprint: Digest,
    text: String,
}

/// What a plan is carried out on.
pub struct Given {
    /// The name that messages call it.
    pub name: String,
    /// The records, as text.
    pub table: Table,
    /// The column that says whose a record is; it is never published.
    pub person: String,
    /// How many records of a person count.
    pub records_per_person: u32,
    /// What is publicly known of the columns.
    pub stated: BTreeMap<String, Stated>,
    /// The δ of the account that pays.
    pub delta: f64,
}

/// What a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Records of people, made anonymous.
    Anonymised,
    /// Records of nobody.
    Synthetic,
}

/// What carrying a plan out has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// So much, as zCDP: all attempts together.
    Bounded(MicroRho),
    /// It has no bound: somebody has to approve it.
    NotBounded,
}

/// What came of a plan.
pub struct Carried {
    /// What it has cost, whatever came of it.
    pub spent: Spent,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a plan would make, measured.
pub struct Rehearsal {
    /// What was measured, for the steward alone.
    pub report: ReleaseReport,
    /// Why nothing would be published; none when it would.
    pub withheld: Option<String>,
}

/// A release, or why there is none.
pub enum Outcome {
    /// To be published.
    Published(Box<Publication>),
    /// Nothing is: the reason, for the steward alone.
    Withheld(String),
}

/// A release as it is to be published.
pub struct Publication {
    /// What it is.
    pub kind: Kind,
    /// The records as CSV, with the columns' names in the first line.
    pub csv: Vec<u8>,
    /// The columns' names.
    pub columns: Vec<String>,
    /// Records.
    pub records: u64,
    /// The records as FHIR resources, one a line, where the plan wants them.
    pub ndjson: Option<Vec<u8>>,
    /// The certificate.
    pub certificate: CertificatePage,
    /// Automatic checks of the records, where they have no bound and people decide on them.
    pub checks: Vec<OutputCheck>,
    /// What was measured, for the steward and the reviewers alone.
    pub report: ReleaseReport,
}

fn elsewhere(option: &str, place: &str) -> FilesError {
    FilesError::option(format!("plan: '{option}' of a site's dataset is {place}; take it out"))
}

impl DatasetPlan {
    /// Reads a plan's text; paths in it are relative to `folder`.
    ///
    /// # Errors
    /// When it cannot be understood, or says what a site's dataset has elsewhere.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, FilesError> {
        let plan = Plan::parse(text, &folder.join("plan.toml"))?;
        let (name, _) = plan.dataset()?;
        let name = PathBuf::from(name);
        let how = plan.how(&name, &name)?;
        match &how {
            How::Synthesise(args) => check_synthesis(args)?,
            How::Anonymise(args) if args.epsilon.is_some() => {
                return Err(FilesError::option(
                    "plan, [anonymise]: a differentially private generalisation costs a δ that \
                     datasets' accounts do not book; use [synthesise]",
                ));
            }
            How::Anonymise(_) => {}
        }
        let rows = match &how {
            How::Synthesise(args) => args.rows,
            How::Anonymise(_) => None,
        };
        check_size(&plan, rows)?;
        check_paths(&plan, folder)?;
        let unbias = plan.unbias(&name)?;
        let fingerprint = fingerprint(text, &plan.named_files())?;
        Ok(Self { plan, how, unbias, fingerprint, text: text.to_owned() })
    }

    /// Reads the text of a plan that comes from elsewhere than the disk that it would name files of.
    ///
    /// # Errors
    /// As [`DatasetPlan::parse`], and when it names a file, before that is looked for.
    pub fn parse_alone(text: &str) -> Result<Self, FilesError> {
        let plan = Plan::parse(text, Path::new("plan.toml"))?;
        if let Some(option) = plan.names_a_file() {
            return Err(FilesError::option(format!(
                "plan: '{option}' names a file, and a plan from here brings none with it; use \
                 `salus release` on the site's machine"
            )));
        }
        Self::parse(text, Path::new(""))
    }

    /// Names the plan with the content of the files that it names.
    #[must_use]
    pub const fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// The dataset to be made.
    ///
    /// # Errors
    /// When the plan names none.
    pub fn dataset(&self) -> Result<&str, FilesError> {
        Ok(self.plan.dataset()?.0)
    }

    /// The plan's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns to be read, where the plan names them.
    ///
    /// # Errors
    /// When the plan is for a plain file.
    pub fn columns(&self) -> Result<Option<&[String]>, FilesError> {
        Ok(self.plan.dataset()?.1)
    }

    /// Columns that are left out of the release.
    #[must_use]
    pub fn without(&self) -> &[String] {
        match &self.how {
            How::Synthesise(args) => &args.without,
            How::Anonymise(args) => &args.identifiers,
        }
    }

    /// What it makes.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.how {
            How::Synthesise(_) => Kind::Synthetic,
            How::Anonymise(_) => Kind::Anonymised,
        }
    }

    /// The certificate's file, where the plan wants one.
    #[must_use]
    pub fn certificate(&self) -> Option<&Path> {
        self.plan.publish.certificate.as_deref()
    }

    /// The most that it can cost at the account's δ, all attempts together.
    ///
    /// # Errors
    /// When ε or δ makes no sense.
    pub fn most(&self, delta: f64) -> Result<Spent, FilesError> {
        let How::Synthesise(args) = &self.how else { return Ok(Spent::NotBounded) };
        let each = rho_from_epsilon(Epsilon::new(args.epsilon)?, Delta::new(delta)?);
        let attempts = if args.until_score.is_some() { u64::from(args.most_attempts) } else { 1 };
        Ok(Spent::Bounded(MicroRho::new(each.get().saturating_mul(attempts))))
    }

    /// Goes through the whole chain in memory.
    ///
    /// # Privacy
    /// A synthesis is differentially private for the persons of [`Given::person`], at the cost that
    /// comes back, whatever else comes of it. That the score passed the threshold, and the score and
    /// attacks on the certificate, are found out from the records without noise. All else in
    /// [`Publication::report`] is for the steward, and [`Publication::checks`] for reviewers.
    ///
    /// # Errors
    /// When nothing was spent yet. A failure after that comes back as [`Outcome::Withheld`] with
    /// its cost.
    pub fn carry_out(
        &self,
        given: Given,
        clock: &dyn Clock,
        entropy: &mut dyn Entropy,
    ) -> Result<Carried, FilesError> {
        let how = self.fitted(&given)?;
        let source = self.source(given)?;
        let (plan, unbias, watch) = (&self.plan, self.unbias.as_ref(), &Unwatched);
        let chain = Chain { plan, how: &how, unbias, source: &source, watch, clock };
        let mut meter = Meter::new();
        let worked = work(&chain, &mut meter, entropy);
        let spent = match self.kind() {
            Kind::Synthetic => Spent::Bounded(meter.spent()),
            Kind::Anonymised => Spent::NotBounded,
        };
        match worked.and_then(|worked| self.published(worked, &source, clock)) {
            Ok(published) => {
                Ok(Carried { spent, outcome: Outcome::Published(Box::new(published)) })
            }
            Err(error) if meter.spent() == MicroRho::ZERO => Err(error),
            Err(error) => Ok(Carried { spent, outcome: Outcome::Withheld(sentences(&error)) }),
        }
    }

    /// How long each search may take, in seconds, and how many attempts of each attack are asked
    /// for.
    #[must_use]
    pub fn effort(&self) -> (f64, u32) {
        match &self.how {
            How::Synthesise(args) => (0.0, args.attempts.unwrap_or(0)),
            How::Anonymise(args) => (args.seconds, args.attempts.unwrap_or(0)),
        }
    }

    /// Whether the plan may be tried for nothing, as often as one likes.
    ///
    /// # Errors
    /// When it is private: whatever is measured of a synthesis is paid for. Says what it would
    /// cost, where the account's δ is known.
    pub fn check_rehearsal(&self, delta: Option<f64>) -> Result<(), FilesError> {
        let How::Synthesise(args) = &self.how else { return Ok(()) };
        let attempts = if args.until_score.is_some() { u32::from(args.most_attempts) } else { 1 };
        let at = delta.map_or_else(String::new, |delta| format!(" at δ = {delta:e}"));
        let each = match attempts {
            1 => format!("ε = {}{at}", args.epsilon),
            many => format!("up to {many} times ε = {}{at}", args.epsilon),
        };
        Err(FilesError::Threshold(format!(
            "a synthesis cannot be rehearsed: every attempt of a private method is charged to the \
             dataset's account, whatever comes of it. This one costs {each}: release it under a \
             permit, or try it on a twin"
        )))
    }

    /// Goes through the whole chain in memory and says what it would give, whatever it scores.
    ///
    /// # Privacy
    /// Measured without noise, for the steward alone. Only plans that make no private claim are
    /// taken: what an anonymising plan tells has no bound, rehearsed or not.
    ///
    /// # Errors
    /// When the plan is private, a step cannot be done, or the work is stopped.
    pub fn rehearse(
        &self,
        given: Given,
        watch: &dyn Watch,
        clock: &dyn Clock,
        entropy: &mut dyn Entropy,
    ) -> Result<Rehearsal, FilesError> {
        self.check_rehearsal(Some(given.delta))?;
        let how = self.fitted(&given)?;
        let source = self.source(given)?;
        let (plan, unbias) = (&self.plan, self.unbias.as_ref());
        let clock = &Waiting { clock, watch };
        let chain = Chain { plan, how: &how, unbias, source: &source, watch, clock };
        let Worked { mut report, evidence, .. } = gone_through(&chain, &mut Meter::new(), entropy)?;
        report.of = "dataset";
        report.out = PathBuf::from(self.dataset()?);
        let withheld = too_low(&chain, &report, &evidence);
        Ok(Rehearsal { report, withheld })
    }

    /// The records that the chain works on.
    fn source(&self, given: Given) -> Result<Source, FilesError> {
        let mut source = Source::of_table(&given.name, given.table);
        if self.kind() == Kind::Anonymised {
            one_record_each(&source.table, &given.person)?;
            source.table = source.table.without_columns(&[given.person.as_str()])?;
        }
        Ok(source)
    }

    fn published(
        &self,
        worked: Worked,
        source: &Source,
        clock: &dyn Clock,
    ) -> Result<Publication, FilesError> {
        let Worked { mut report, evidence, table } = worked;
        report.of = "dataset";
        report.out = PathBuf::from(self.dataset()?);
        report.certificate = self.certificate().map(Path::to_owned);
        report.notes.push(
            "score, attacks, quality and balanced accuracy are measured on the records without \
             noise: no ε covers what they tell"
                .to_owned(),
        );
        report.open_notes.push(
            "score and attacks are measured on the records without noise: no ε covers what they \
             tell"
                .to_owned(),
        );
        let csv = table_bytes(&source.path, &table, CsvFormat::with_delimiter(b','))?;
        let fhir = self.plan.publish.fhir.as_deref();
        let ndjson = fhir.map(|resource| crate::fhir::ndjson(resource, &table)).transpose()?;
        // How many people there were is told by no noised release; an anonymised table tells it.
        let evidence = match self.kind() {
            Kind::Synthetic => evidence.without_counts(),
            Kind::Anonymised => evidence,
        };
        let page = certificate(&report, &evidence, &csv, Readers::Everybody, clock).page();
        let certificate = CertificatePage::new(page);
        let checks = match &report.anonymised {
            Some(made) => {
                let quasi = &made.quasi_identifiers;
                let real = stages::not_drawn(&table)?;
                output::of_records(&real, quasi, evidence.published_verbatim)?
            }
            None => Vec::new(),
        };
        let columns = table.columns().iter().map(|c| c.name().to_owned()).collect();
        let (kind, records) = (self.kind(), table.rows() as u64);
        Ok(Publication { kind, csv, columns, records, ndjson, certificate, checks, report })
    }

    /// The plan's options with what the site knows of the dataset.
    fn fitted(&self, given: &Given) -> Result<How, FilesError> {
        // What is left out was not read in the first place.
        let read = |name: &String| given.table.column(name).is_ok();
        let mut args = match self.how.clone() {
            How::Synthesise(args) => args,
            How::Anonymise(mut args) => {
                args.identifiers.retain(read);
                return Ok(How::Anonymise(args));
            }
        };
        args.without.retain(read);
        let kept = given.table.columns().iter().map(salus_deid::Column::name);
        let mut kept = kept.filter(|n| *n != given.person && !args.without.iter().any(|w| w == n));
        if let Some(open) = kept.find(|name| !given.stated.contains_key(*name)) {
            return Err(FilesError::option(format!(
                "column '{open}' of {} has no public domain: finding one would cost a part of δ, \
                 which datasets' accounts do not book. State its domain in the privacy profile, or \
                 leave it out with 'without'",
                given.name
            )));
        }
        args.person = Some(given.person.clone());
        args.records_per_person = given.records_per_person;
        args.delta = given.delta;
        args.stated.clone_from(&given.stated);
        check_columns(&self.plan, &args, self.unbias.as_ref(), given)?;
        Ok(How::Synthesise(args))
    }
}

fn check_synthesis(args: &SynthesiseArgs) -> Result<(), FilesError> {
    let profile = "in its privacy profile";
    let said = [
        ("person", args.person.is_some(), profile),
        ("bounds", !args.bounds.is_empty(), profile),
        ("hierarchies", args.hierarchies.is_some(), profile),
        ("domains-are-public", args.domains_are_public, profile),
        ("delta", args.delta.to_bits() != 1e-6_f64.to_bits(), "that of its account"),
    ];
    match said.into_iter().find(|(_, said, _)| *said) {
        Some((option, _, place)) => Err(elsewhere(option, place)),
        None => Ok(()),
    }
}

/// Group sizes count records: they bound what is known of people where each has one.
pub(crate) fn one_record_each(table: &Table, person: &str) -> Result<(), FilesError> {
    if table.column(person)?.counts().iter().all(|n| *n <= 1) {
        return Ok(());
    }
    Err(FilesError::option(format!(
        "some people have several records (column '{person}'), and k counts records: keep one of \
         each in a dataset of its own, or use [synthesise]"
    )))
}

/// Text and content of the files, so that a change in either is another plan.
fn fingerprint(text: &str, named: &[PathBuf]) -> Result<Digest, FilesError> {
    let mut parts = vec![text.as_bytes().to_vec()];
    for path in named {
        let failed = || FilesError::file(path, "a file that the plan names cannot be read");
        let mut files = vec![path.clone()];
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(failed())?;
            files = entries
                .map(|entry| entry.map(|e| e.path()))
                .collect::<std::io::Result<_>>()
                .map_err(failed())?;
            files.retain(|file| file.is_file());
            files.sort();
        }
        for file in files {
            let name = file.file_name().map(|n| n.to_string_lossy().into_owned());
            parts.push(name.unwrap_or_default().into_bytes());
            parts.push(std::fs::read(&file).map_err(failed())?);
        }
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(Digest::of_parts("salus release plan v1", &parts))
}

fn sentences(error: &FilesError) -> String {
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
