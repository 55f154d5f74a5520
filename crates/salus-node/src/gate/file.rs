//! Files that were made at the site and that somebody wants out: tables of counts, models, plots.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use salus_crypto::Digest;
use salus_files::FilesError;
use salus_files::output::{
    self, Attacked, CheckVerdict, OutputCheck, OutputKind, TrainingPeople, attack_model,
    training_in_dataset,
};
use salus_ledger::review::ReviewScore;
use salus_ledger::{CodeHash, ReviewId};
use salus_model::{
    Class, Classified as _, ColumnPath, DatasetId, Entropy, EntropyFailed, PermitId, PrivacyCharge,
};
use salus_private::{Job, JobFailed, MAX_RESULT_BYTES, read_texts};
use salus_spine::{Checked, Priced};
use salus_store::TableSource;
use serde::{Deserialize, Serialize};

use super::checks::{AttackShown, JobChecks, ReviewChecks};
use super::{GateError, is_unseen};
use crate::releasing::UnderReview;

/// The word for tables of counts.
pub(super) const TABLE: &str = "table";

/// A file that shall come before the reviewers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileWanted {
    /// The file.
    pub file: PathBuf,
    /// What kind of file.
    pub kind: OutputKind,
    /// The dataset that it was made from.
    pub dataset: DatasetId,
    /// Under which permit.
    pub permit: PermitId,
    /// The columns that it was made from; all of the permit's if not given.
    pub columns: Option<BTreeSet<ColumnPath>>,
    /// Tables of the same columns that went out before.
    pub earlier: Vec<PathBuf>,
    /// Of a model: by whose records it is attacked before the reviewers see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<PeopleWanted>,
    /// Why it should go out although a check objects, for the reviewers.
    pub reason: Option<String>,
}

/// Whom a model was fitted to, and whom it was not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeopleWanted {
    /// The records that it was fitted to.
    pub trained_on: PathBuf,
    /// Records of people of the same population who were not among them.
    pub control: PathBuf,
    /// The column of both with the model's loss on each record; for models of other programs.
    pub loss: Option<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileOutcome {
    /// It is before its reviewers.
    UnderReview(Box<UnderReview>),
    /// They approved it; it is fetched by its review.
    Approved {
        /// The review.
        review: ReviewId,
        /// The file's name.
        name: String,
    },
    /// It is out.
    Out {
        /// The review that it went out on.
        review: ReviewId,
        /// The file's name.
        name: String,
        /// Its bytes, in base64.
        content: String,
        /// The receipt's file, in base64.
        receipt: String,
    },
}

/// What is kept of a file beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileItem {
    pub(crate) kind: String,
    pub(crate) columns: BTreeSet<ColumnPath>,
}

/// The code that hands out files which people have reviewed, as permits and receipts name it.
#[must_use]
pub fn output_code() -> CodeHash {
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let digest = Digest::of_parts("salus built-in code v1", &[b"salus-output", version]);
    CodeHash::new(*digest.as_bytes())
}

/// A file with what the checks say of it.
pub(super) struct Read {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) made_of: Digest,
    pub(super) checks: JobChecks,
    pub(super) work: FileWork,
}

/// What is to be done about a file, once it is clear that the result held is not of now.
pub(super) enum FileWork {
    /// To put it before the reviewers as it was checked.
    Submit,
    /// The same, after an attack on the model that it is.
    Attack(Box<ModelAttack>),
    /// To hand out what they approved: it was that of another moment.
    HandOut,
}

/// An attack on a model that is still to be made, once it is clear that it has to be.
pub(super) struct ModelAttack {
    path: PathBuf,
    people: TrainingPeople,
}

impl ModelAttack {
    /// Attacks the model, and puts what was achieved into the checks; `rows` are the dataset's, as
    /// the permit shows them.
    fn run(self, bytes: &[u8], mut job: JobChecks, rows: &Rows) -> Result<JobChecks, JobFailed> {
        let failed = |e: FilesError| JobFailed { message: e.to_string(), class: e.class() };
        let Attacked { checks, attacks, score } =
            attack_model((&self.path, bytes), &self.people, &mut self.lot(bytes))
                .map_err(failed)?;
        let training =
            training_in_dataset(&self.people, &rows.columns, &rows.values).map_err(failed)?;
        job.score = score.and_then(|score| ReviewScore::rounded_down(score).ok());
        let told = &mut job.checks;
        told.attacks = attacks.iter().map(AttackShown::from).collect();
        told.checks.retain(|known| checks.iter().all(|check| check.check != known.check));
        told.checks.extend(checks.into_iter().chain([training]));
        let objects = told.checks.iter().any(|c| c.verdict == CheckVerdict::Objects);
        if objects && told.reason.is_none() {
            let message = objected(&self.path, &told.checks).to_string();
            return Err(JobFailed { message, class: Class::Refused });
        }
        Ok(job)
    }

    /// The draws of the attacks follow from what is attacked: a submission that failed does not
    /// pass by being made once more.
    fn lot(&self, bytes: &[u8]) -> Lot {
        let people = &self.people;
        let parts = [bytes, &people.trained_on.1, &people.control.1];
        Lot { seed: Digest::of_parts("salus output lot v1", &parts), drawn: 0 }
    }
}

/// Row groups are read beside each other.
const PARTITIONS: usize = 2;

/// Rows of a dataset, column by column.
struct Rows {
    columns: Vec<String>,
    values: Vec<Vec<Option<String>>>,
}

/// Draws that follow from a seed, on which nobody's privacy depends.
struct Lot {
    seed: Digest,
    drawn: u64,
}

impl Entropy for Lot {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        for chunk in buffer.chunks_mut(32) {
            self.drawn += 1;
            let parts: [&[u8]; 2] = [self.seed.as_bytes(), &self.drawn.to_le_bytes()];
            let block = Digest::of_parts("salus output draw v1", &parts);
            chunk.iter_mut().zip(block.as_bytes()).for_each(|(byte, drawn)| *byte = *drawn);
        }
        Ok(())
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, GateError> {
    let failed = |source| GateError::Io { path: path.to_owned(), source };
    let most = MAX_RESULT_BYTES as u64;
    // Looked at before it is opened: a pipe would wait for whoever writes into it.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(GateError::NoRegularFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(GateError::TooLarge { path: path.to_owned(), most: most >> 20 });
    }
    Ok(bytes)
}

/// A name that can be shown in a terminal and on a page, and be read as what it is.
fn name_of(path: &Path) -> Result<String, GateError> {
    let plain = |name: &&str| name.len() <= 200 && !name.chars().any(is_unseen);
    let name = path.file_name().and_then(|name| name.to_str()).filter(plain);
    Ok(name.ok_or_else(|| GateError::Name { path: path.to_owned() })?.to_owned())
}

/// What is new about bytes that were approved for another moment.
fn outdated(name: &str) -> JobFailed {
    let message = format!(
        "{name} was submitted for an earlier version of the dataset, or before somebody opted out, \
         and nothing here can tell whose records are in it: make it anew from what the permit shows \
         now, and submit that with `salus gate submit`"
    );
    JobFailed { message, class: Class::Refused }
}

/// Reads a file once: the bytes that are checked are those that are sealed.
///
/// Tables of the same dataset that went `out` of this site before are looked at beside those that
/// its submitter names.
pub(super) fn read(wanted: &FileWanted, out: &[(PathBuf, Vec<u8>)]) -> Result<Read, GateError> {
    let path = &wanted.file;
    let name = name_of(path)?;
    let bytes = bytes_of(path)?;
    let earlier = wanted
        .earlier
        .iter()
        .map(|path| Ok((path.as_path(), bytes_of(path)?)))
        .collect::<Result<Vec<_>, GateError>>()?;
    let people = wanted.people.as_ref().map(|people| {
        if !matches!(wanted.kind, OutputKind::Model) {
            let words = "--trained-on, --control and --loss are for models";
            return Err(FilesError::Option(words.to_owned()).into());
        }
        let read = |path: &PathBuf| Ok::<_, GateError>((path.clone(), bytes_of(path)?));
        let (trained_on, control) = (read(&people.trained_on)?, read(&people.control)?);
        Ok::<_, GateError>(TrainingPeople { trained_on, control, loss: people.loss.clone() })
    });
    let people = people.transpose()?;
    let known: Vec<(&Path, Vec<u8>)> = earlier
        .iter()
        .cloned()
        .chain(out.iter().map(|(name, bytes)| (name.as_path(), bytes.clone())))
        .collect();
    let mut found = output::check((path, &bytes), &wanted.kind, &known)?;
    found.checks.push(OutputCheck {
        check: "made from".to_owned(),
        verdict: CheckVerdict::NotChecked,
        words: "that it was made from the rows that the receipt will name, without the people who \
                have opted out by then: its submitter says so"
            .to_owned(),
    });
    if found.objects() && wanted.reason.is_none() {
        return Err(objected(path, &found.checks));
    }
    let kind = serde_json::to_vec(&wanted.kind)
        .map_err(|_| FilesError::Option("the kind cannot be written".to_owned()))?;
    let reason = wanted.reason.clone().unwrap_or_default();
    let mut parts: Vec<&[u8]> = vec![name.as_bytes(), &bytes, &kind, reason.as_bytes()];
    parts.extend(earlier.iter().map(|(_, bytes)| bytes.as_slice()));
    if let Some(people) = &people {
        let loss = people.loss.as_deref().unwrap_or_default().as_bytes();
        parts.extend([
            b"people",
            people.trained_on.1.as_slice(),
            people.control.1.as_slice(),
            loss,
        ]);
    }
    let made_of = Digest::of_parts("salus output v1", &parts);
    let about = vec![
        ("Wants out".to_owned(), format!("{name}, a {}", wanted.kind.as_str())),
        ("Made from".to_owned(), wanted.dataset.to_string()),
        ("Size".to_owned(), format!("{} bytes", bytes.len())),
        ("Named by its submitter".to_owned(), listed(earlier.iter().map(|(path, _)| *path))),
        ("Went out before".to_owned(), listed(out.iter().map(|(path, _)| path.as_path()))),
    ];
    let checks = ReviewChecks {
        of: wanted.kind.as_str().to_owned(),
        about,
        checks: found.checks,
        attacks: Vec::new(),
        notes: found.notes,
        reason: wanted.reason.clone(),
        plan: None,
        certificate: None,
        details: found.details,
    };
    let work = people.map_or(FileWork::Submit, |people| {
        FileWork::Attack(Box::new(ModelAttack { path: path.clone(), people }))
    });
    Ok(Read { name, bytes, made_of, checks: JobChecks { score: None, checks }, work })
}

/// Names of files, without where they lie.
fn listed<'p>(paths: impl Iterator<Item = &'p Path>) -> String {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let names: Vec<String> = paths.filter_map(name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn objected(path: &Path, checks: &[OutputCheck]) -> GateError {
    let against = checks.iter().filter(|check| check.verdict == CheckVerdict::Objects);
    let words: Vec<String> = against.map(|c| format!("{}: {}", c.check, c.words)).collect();
    GateError::Objected { path: path.to_owned(), words: words.join("; ") }
}

/// The file as a job: it is made already, so no row is read; but what was made of rows goes their
/// way, under the permit, with the opt-outs of the moment.
pub(super) struct FileJob {
    pub(super) dataset: DatasetId,
    pub(super) columns: BTreeSet<ColumnPath>,
    pub(super) name: String,
    pub(super) made_of: Digest,
    pub(super) bytes: Vec<u8>,
    pub(super) checks: JobChecks,
    pub(super) work: FileWork,
}

#[async_trait::async_trait]
impl Job for FileJob {
    fn code(&self) -> CodeHash {
        output_code()
    }

    fn digest(&self) -> Digest {
        let columns: Vec<&str> = self.columns.iter().map(ColumnPath::as_str).collect();
        let parts: [&[u8]; 3] = [
            self.dataset.as_str().as_bytes(),
            &columns.join("\n").into_bytes(),
            self.made_of.as_bytes(),
        ];
        Digest::of_parts("salus output job v1", &parts)
    }

    fn statement(&self) -> String {
        format!("put {} of {} before the reviewers", self.name, self.dataset)
    }

    fn wanted(&self) -> BTreeMap<DatasetId, BTreeSet<ColumnPath>> {
        BTreeMap::from([(self.dataset.clone(), self.columns.clone())])
    }

    async fn compute(
        self: Box<Self>,
        mut tables: BTreeMap<DatasetId, TableSource>,
    ) -> Result<Checked, JobFailed> {
        let Self { dataset, columns, bytes, checks, work, name, .. } = *self;
        let rows = match (&work, tables.remove(&dataset)) {
            (FileWork::Attack(_), Some(source)) => {
                let columns: Vec<ColumnPath> = columns.into_iter().collect();
                let values = read_texts(&dataset, &source, &columns, PARTITIONS).await?;
                Rows { columns: columns.iter().map(ToString::to_string).collect(), values }
            }
            _ => Rows { columns: Vec::new(), values: Vec::new() },
        };
        let attacked = move || match work {
            FileWork::Attack(attack) => Ok((attack.run(&bytes, checks, &rows)?, bytes)),
            FileWork::Submit => Ok((checks, bytes)),
            FileWork::HandOut => Err(outdated(&name)),
        };
        let attacked = tokio::task::spawn_blocking(attacked).await;
        let (checks, value) = attacked.map_err(|_| JobFailed {
            message: "the attacks on the model broke off".to_owned(),
            class: Class::Bug,
        })??;
        let charges = BTreeMap::from([(dataset, PrivacyCharge::NotBounded)]);
        Ok(Checked { result: Priced { value, charges }, checks: checks.to_bytes()? })
    }
}
