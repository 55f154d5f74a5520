//! The plan as a job of the desk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::{DataType, SchemaRef};
use salus_crypto::{Digest, OsEntropy};
use salus_deid::{CsvFormat, Table};
use salus_files::CertificatePage;
use salus_files::FilesError;
use salus_files::release::{DatasetPlan, Given, Kind, Outcome, Publication, Spent};
use salus_files::synthesise::Stated;
use salus_ledger::CodeHash;
use salus_ledger::review::ReviewScore;
use salus_model::{Class, Classified, ColumnPath, DatasetId, MicroRho, PrivacyCharge};
use salus_private::{Job, JobFailed, MAX_RESULT_BYTES, read_texts};
use salus_spine::{Checked, Priced};
use salus_store::TableSource;
use serde::{Deserialize, Serialize};

use crate::SystemClock;
use crate::gate::{AttackShown, JobChecks, ReviewChecks};
use crate::published::{PublishedColumn, as_base64};

/// The code that releases datasets, as permits and receipts name it.
#[must_use]
pub fn release_code() -> CodeHash {
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let digest = Digest::of_parts("salus built-in code v1", &[b"salus-files", version]);
    CodeHash::new(*digest.as_bytes())
}

/// What came of a plan, as it is sealed.
#[derive(Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(super) enum Made {
    Published(Box<MadeTable>),
    Withheld { words: String },
}

#[derive(Serialize, Deserialize)]
pub(super) struct MadeTable {
    pub(super) kind: Kind,
    pub(super) purpose: String,
    pub(super) csv: String,
    pub(super) columns: Vec<PublishedColumn>,
    pub(super) records: u64,
    pub(super) ndjson: Option<String>,
    pub(super) html: String,
    pub(super) pdf: String,
    /// The certificate before it is written, as JSON, so that it can name who approved; not where
    /// nobody has to. As text, since a number with a fraction does not survive the tag around it.
    #[serde(default)]
    certificate: Option<String>,
    pub(super) report: serde_json::Value,
}

impl MadeTable {
    /// The certificate, once, for whoever adds to it.
    pub(super) fn certificate(&mut self) -> Option<CertificatePage> {
        serde_json::from_str(&self.certificate.take()?).ok()
    }
}

pub(super) struct ReleaseJob {
    pub(super) dataset: DatasetId,
    pub(super) target: DatasetId,
    pub(super) columns: Vec<ColumnPath>,
    pub(super) person: ColumnPath,
    pub(super) records_per_person: u32,
    pub(super) stated: BTreeMap<String, Stated>,
    pub(super) delta: f64,
    pub(super) plan: DatasetPlan,
    /// Why it may not be begun, where the budget is too short for all that it may cost.
    pub(super) short: Option<JobFailed>,
    /// Is told once the result is there: from then on it may be charged.
    pub(super) computed: Arc<AtomicBool>,
}

/// The columns as they were read.
struct Read {
    texts: Vec<Vec<Option<String>>>,
    /// Of the version that was read: by it the release's columns are typed.
    schema: SchemaRef,
}

fn failed(message: impl Into<String>, class: Class) -> JobFailed {
    JobFailed { message: message.into(), class }
}

fn plan_failed(error: &FilesError) -> JobFailed {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    failed(message, error.class())
}

#[async_trait::async_trait]
impl Job for ReleaseJob {
    fn code(&self) -> CodeHash {
        release_code()
    }

    fn digest(&self) -> Digest {
        let columns: Vec<&str> = self.columns.iter().map(ColumnPath::as_str).collect();
        let profile = format!("{:?} {} {}", self.stated, self.records_per_person, self.delta);
        Digest::of_parts(
            "salus release job v1",
            &[
                self.dataset.as_str().as_bytes(),
                self.target.as_str().as_bytes(),
                columns.join("\n").as_bytes(),
                self.person.as_str().as_bytes(),
                profile.as_bytes(),
                self.plan.fingerprint().as_bytes(),
            ],
        )
    }

    fn statement(&self) -> String {
        format!("release {} as {}, plan {}", self.dataset, self.target, self.plan.fingerprint())
    }

    fn begin(&self) -> Result<(), JobFailed> {
        self.short.clone().map_or(Ok(()), Err)
    }

    fn wanted(&self) -> BTreeMap<DatasetId, BTreeSet<ColumnPath>> {
        BTreeMap::from([(self.dataset.clone(), self.columns.iter().cloned().collect())])
    }

    async fn compute(
        self: Box<Self>,
        mut tables: BTreeMap<DatasetId, TableSource>,
    ) -> Result<Checked, JobFailed> {
        let source = tables
            .remove(&self.dataset)
            .ok_or_else(|| failed(format!("dataset {} is not open", self.dataset), Class::Bug))?;
        let partitions = std::thread::available_parallelism().map_or(1, usize::from);
        let texts = read_texts(&self.dataset, &source, &self.columns, partitions).await?;
        let read = Read { texts, schema: source.schema() };
        let (dataset, most) = (self.dataset.clone(), self.plan.most(self.delta));
        let computed = Arc::clone(&self.computed);
        let done = match tokio::task::spawn_blocking(move || self.carry_out(&read)).await {
            Ok(carried) => carried,
            // Nobody knows how much was spent before the fault, so it is as much as may be.
            Err(_) => match most.map_err(|e| plan_failed(&e))? {
                Spent::Bounded(most) => withheld(dataset, most, UNFINISHED.to_owned()),
                Spent::NotBounded => Err(failed(UNFINISHED, Class::Bug)),
            },
        };
        computed.store(done.is_ok(), Ordering::SeqCst);
        done
    }
}

const UNFINISHED: &str =
    "the release was not finished: a fault in Salus, of which the log tells more";

/// Nothing is published, and what was spent is charged.
fn withheld(dataset: DatasetId, spent: MicroRho, words: String) -> Result<Checked, JobFailed> {
    let value = written(&Made::Withheld { words })?;
    let charges = BTreeMap::from([(dataset, PrivacyCharge::Bounded(spent))]);
    Ok(Checked { result: Priced { value, charges }, checks: Vec::new() })
}

fn written(made: &Made) -> Result<Vec<u8>, JobFailed> {
    let value = serde_json::to_vec(made)
        .map_err(|_| failed("the release cannot be written", Class::Bug))?;
    // Its length is not said: that of a noised release was drawn from the records.
    if value.len() > MAX_RESULT_BYTES {
        return Err(failed(
            format!(
                "the release has more than {} MB with its certificate: ask for fewer records or \
                 columns",
                MAX_RESULT_BYTES >> 20
            ),
            Class::BadRequest,
        ));
    }
    Ok(value)
}

impl ReleaseJob {
    fn carry_out(&self, read: &Read) -> Result<Checked, JobFailed> {
        let given = Given {
            name: self.dataset.to_string(),
            table: self.table(&read.texts)?,
            person: self.person.as_str().to_owned(),
            records_per_person: self.records_per_person,
            stated: self.stated.clone(),
            delta: self.delta,
        };
        let carried = self
            .plan
            .carry_out(given, &SystemClock, &mut OsEntropy)
            .map_err(|e| plan_failed(&e))?;
        let made = match carried.outcome {
            Outcome::Withheld(words) => Ok((Made::Withheld { words }, Vec::new())),
            Outcome::Published(published) => {
                self.published(*published, carried.spent, &read.schema)
            }
        };
        let made = made.and_then(|(made, checks)| Ok((written(&made)?, checks)));
        match (made, carried.spent) {
            // Spent, whatever became of it: were it for nothing, it could be tried without end.
            (Err(error), Spent::Bounded(rho)) => withheld(self.dataset.clone(), rho, error.message),
            (Err(error), Spent::NotBounded) => Err(error),
            (Ok((value, checks)), spent) => {
                let charge = match spent {
                    Spent::Bounded(rho) => PrivacyCharge::Bounded(rho),
                    Spent::NotBounded => PrivacyCharge::NotBounded,
                };
                let charges = BTreeMap::from([(self.dataset.clone(), charge)]);
                Ok(Checked { result: Priced { value, charges }, checks })
            }
        }
    }

    fn published(
        &self,
        published: Publication,
        spent: Spent,
        schema: &SchemaRef,
    ) -> Result<(Made, Vec<u8>), JobFailed> {
        let checks = match spent {
            Spent::Bounded(_) => Vec::new(),
            Spent::NotBounded => self.checks(&published)?,
        };
        Ok((Made::Published(Box::new(made_table(published, schema)?)), checks))
    }

    /// What reviewers are told: parameters, scores, attacks and checks, and no record.
    fn checks(&self, published: &Publication) -> Result<Vec<u8>, JobFailed> {
        let report = &published.report;
        let score = report.score.and_then(|score| ReviewScore::rounded_down(score).ok());
        let models = report.anonymised.as_ref().map(|made| made.models.join(", "));
        let number = |n: u64| n.to_string();
        let mut about = vec![
            ("Publishes".to_owned(), format!("{} of {}", self.target, self.dataset)),
            ("Purpose".to_owned(), report.purpose.clone()),
            ("Plan".to_owned(), self.plan.fingerprint().to_string()),
            ("Models".to_owned(), models.unwrap_or_default()),
            ("Records".to_owned(), number(published.records)),
            ("Columns".to_owned(), published.columns.join(", ")),
        ];
        if let Some(made) = &report.anonymised {
            about.extend([
                ("Suppressed".to_owned(), number(made.suppressed)),
                ("Granularity".to_owned(), format!("{:.4} (1 is untouched)", made.granularity)),
                ("Loss".to_owned(), format!("{:.5} (0 is untouched)", made.loss)),
            ]);
        }
        let details = serde_json::to_value(report)
            .map_err(|_| failed("the report cannot be written", Class::Bug))?;
        let checks = ReviewChecks {
            of: "dataset".to_owned(),
            about,
            checks: published.checks.clone(),
            attacks: report.attacks.iter().map(AttackShown::from).collect(),
            notes: report.notes.clone(),
            reason: None,
            plan: Some(self.plan.text().to_owned()),
            certificate: Some(published.certificate.html()),
            details,
        };
        JobChecks { score, checks }.to_bytes()
    }

    /// The rows of people: one of nobody can neither be bounded nor be asked to opt out.
    fn table(&self, texts: &[Vec<Option<String>>]) -> Result<Table, JobFailed> {
        let place = self.columns.iter().position(|column| *column == self.person);
        let people = place.and_then(|place| texts.get(place)).map(Vec::as_slice).unwrap_or(&[]);
        let columns = self
            .columns
            .iter()
            .zip(texts)
            .map(|(name, texts)| {
                let kept = texts.iter().zip(people).filter(|(_, person)| person.is_some());
                let values = kept.map(|(text, _)| text.as_deref().unwrap_or_default());
                salus_deid::Column::from_values(name.as_str(), values)
            })
            .collect::<Result<Vec<_>, _>>();
        columns.and_then(Table::from_columns).map_err(|e| plan_failed(&e.into()))
    }
}

fn made_table(published: Publication, schema: &SchemaRef) -> Result<MadeTable, JobFailed> {
    let Publication { kind, csv, columns, records, ndjson, certificate, report, .. } = published;
    let pdf = certificate.pdf().map_err(|e| plan_failed(&e))?;
    let format = CsvFormat::with_delimiter(b',');
    let table = Table::read_csv(csv.as_slice(), format).map_err(|e| plan_failed(&e.into()))?;
    let typed = |name: &String| {
        let before = schema.field_with_name(name).ok().map(|f| f.data_type().clone());
        let holds = table.column(name).map_or("text", |column| {
            let values = column.dictionary();
            let values: Vec<&str> =
                values.iter().map(String::as_str).filter(|v| !v.is_empty()).collect();
            holds(before.as_ref(), &values)
        });
        PublishedColumn { name: name.clone(), holds: holds.to_owned() }
    };
    Ok(MadeTable {
        kind,
        purpose: report.purpose.clone(),
        columns: columns.iter().map(typed).collect(),
        csv: text(csv)?,
        records,
        ndjson: ndjson.map(text).transpose()?,
        html: certificate.html(),
        pdf: as_base64(&pdf),
        certificate: match kind {
            Kind::Anonymised => Some(
                serde_json::to_string(&certificate)
                    .map_err(|_| failed("the certificate cannot be written", Class::Bug))?,
            ),
            Kind::Synthetic => None,
        },
        report: serde_json::to_value(&report)
            .map_err(|_| failed("the report cannot be written", Class::Bug))?,
    })
}

fn text(bytes: Vec<u8>) -> Result<String, JobFailed> {
    String::from_utf8(bytes).map_err(|_| failed("the released table is no text", Class::Bug))
}

/// What a released column holds: as before, where every value still is of that kind.
fn holds(before: Option<&DataType>, values: &[&str]) -> &'static str {
    let all = |fits: &dyn Fn(&str) -> bool| !values.is_empty() && values.iter().all(|v| fits(v));
    let whole = |v: &str| v.parse::<i64>().is_ok();
    let number = |v: &str| v.parse::<f64>().is_ok_and(f64::is_finite);
    let date = |v: &str| v.len() == 10 && chrono::NaiveDate::parse_from_str(v, "%Y-%m-%d").is_ok();
    match before {
        Some(kind) if kind.is_integer() && all(&whole) => "integer",
        Some(kind) if kind.is_numeric() && all(&number) => "number",
        Some(DataType::Boolean) if all(&|v| matches!(v, "true" | "false")) => "boolean",
        Some(DataType::Date32 | DataType::Timestamp(..)) if all(&date) => "date",
        // A column that the plan added, such as weights.
        None if all(&number) => "number",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_column_holds_what_it_held_as_far_as_its_values_still_do() {
        let of = |before: Option<DataType>, values: &[&str]| holds(before.as_ref(), values);
        assert_eq!(of(Some(DataType::Int64), &["1", "22"]), "integer");
        assert_eq!(of(Some(DataType::Int64), &["1.5"]), "number");
        assert_eq!(of(Some(DataType::Int64), &["[20, 30)"]), "text");
        assert_eq!(of(Some(DataType::Utf8), &["0123"]), "text");
        assert_eq!(of(Some(DataType::Date32), &["2026-02-28"]), "date");
        assert_eq!(of(Some(DataType::Date32), &["2026"]), "text");
        assert_eq!(of(None, &["0.79316"]), "number");
        assert_eq!(of(None, &["yes", "no"]), "text");
        assert_eq!(of(Some(DataType::Float64), &[]), "text");
    }
}
