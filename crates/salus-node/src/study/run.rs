//! From what is wanted to what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use salus_crypto::OsEntropy;
use salus_deid::Table;
use salus_files::FilesError;
use salus_files::release::{DatasetPlan, Given};
use salus_files::study::{
    Advice, AdviseWanted, AssessWanted, Assessed, Holds, Subject, SubjectColumn, advise, assess,
};
use salus_files::watch::Watch as _;
use salus_model::{ColumnPath, DatasetId, DatasetVersion, PermitId, StaffId};

use super::read::{Known, RowsRead, ToRead, is_closed, is_plain};
use super::told::Labels;
use super::{PlanRead, Studies, Study, StudyError, StudyWanted};
use crate::SystemClock;
use crate::operations::{Call, Operations, Reply};
use crate::releasing::{ReleaseDone, ReleaseWanted};

/// What a study found, for the steward alone.
#[derive(Debug)]
pub enum Finding {
    /// The dataset as it is.
    Assessed(Box<Assessed>),
    /// Which release is recommended.
    Advised(Box<Advice>),
    /// What a plan would make.
    Rehearsed {
        /// Why nothing would be published; none when it would.
        withheld: Option<String>,
        /// What was measured, as `salus release --json` has it; classes and groups that are not
        /// public are numbered.
        report: serde_json::Value,
    },
    /// What became of a release; its report is told as a rehearsal's.
    Released(Box<ReleaseDone>),
}

/// What is to be done, with everything that could be refused before a row is read.
pub(super) enum Work {
    Assess { read: ToRead, columns: Vec<SubjectColumn>, wanted: AssessWanted },
    Advise { read: ToRead, columns: Vec<SubjectColumn>, wanted: AdviseWanted },
    Rehearse { read: ToRead, plan: Box<DatasetPlan>, known: PlanRead, labels: Labels },
    Release { dataset: DatasetId, permit: PermitId, known: PlanRead, labels: Labels },
}

fn holds(kind: &arrow::datatypes::DataType) -> Holds {
    use arrow::datatypes::DataType;
    match kind {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Holds::Moments,
        kind if kind.is_numeric() => Holds::Numbers,
        _ => Holds::Words,
    }
}

fn described(known: &Known) -> Vec<SubjectColumn> {
    let column = |(name, kind): (&str, &arrow::datatypes::DataType)| SubjectColumn {
        name: name.to_owned(),
        class: known.class(name),
        holds: holds(kind),
    };
    known.columns().filter(|(_, kind)| is_plain(kind)).map(column).collect()
}

impl Studies {
    /// Everything that can be refused is refused here.
    pub(super) async fn prepared(
        &self,
        by: &StaffId,
        dataset: &DatasetId,
        wanted: StudyWanted,
    ) -> Result<Work, StudyError> {
        match wanted {
            StudyWanted::Assess(wanted) => {
                let known = self.known(by, dataset).await?;
                let named = wanted.quasi_identifiers.iter().flatten();
                let person = known.person().map(ColumnPath::as_str);
                if let Some(own) = named.map(String::as_str).find(|name| Some(*name) == person) {
                    return Err(FilesError::Option(format!(
                        "quasi_identifiers: column '{own}' names the person, whom others look for"
                    ))
                    .into());
                }
                let read = known.to_read(assessed_columns(&known, &wanted))?;
                Ok(Work::Assess { read, columns: described(&known), wanted })
            }
            StudyWanted::Advise(wanted) => {
                let known = self.known(by, dataset).await?;
                let columns = wanted.columns(known.person().map(ColumnPath::as_str))?;
                let read = known.to_read(columns)?;
                Ok(Work::Advise { read, columns: described(&known), wanted })
            }
            StudyWanted::Rehearse(plan) => {
                let known = self.known(by, dataset).await?;
                let labels = self.labels(dataset, &plan)?;
                let (plan, read) = self.understood(dataset, &plan).await?;
                let delta = self.delta(dataset).await?.map(salus_dp::Delta::probability);
                plan.check_rehearsal(delta).map_err(StudyError::Private)?;
                let to_read = known.to_read(rehearsed_columns(&known, &plan)?)?;
                self.check_committed(&known).await?;
                Ok(Work::Rehearse { read: to_read, plan: Box::new(plan), known: read, labels })
            }
            StudyWanted::Release { plan, permit } => {
                self.dataset(dataset).await?;
                let labels = self.labels(dataset, &plan)?;
                let (_, known) = self.understood(dataset, &plan).await?;
                Ok(Work::Release { dataset: dataset.clone(), permit, known, labels })
            }
        }
    }

    fn labels(&self, dataset: &DatasetId, plan: &serde_json::Value) -> Result<Labels, StudyError> {
        let profiles = self.operations.site().profiles()?;
        Ok(Labels::of(plan, profiles.of(dataset).ok()))
    }
}

/// What is named, and all that names nobody and can be read.
fn assessed_columns(known: &Known, wanted: &AssessWanted) -> Vec<String> {
    let own = [known.person(), known.subject.as_ref()];
    let others = known.columns().map(|(name, _)| name).filter(|name| {
        known.is_readable(name)
            && !is_closed(known.class(name))
            && !own.iter().flatten().any(|own| own.as_str() == *name)
    });
    let named = wanted.quasi_identifiers.iter().flatten().map(String::as_str);
    let all: BTreeSet<&str> = others.chain(named).collect();
    // In the dataset's own order, and what is not there at the end, to be refused by its name.
    let mut columns: Vec<String> = known
        .columns()
        .map(|(name, _)| name)
        .filter(|n| all.contains(n))
        .map(str::to_owned)
        .collect();
    columns.extend(
        all.iter()
            .filter(|n| !columns.iter().any(|c| c == *n))
            .map(|n| (*n).to_owned())
            .collect::<Vec<_>>(),
    );
    columns
}

fn rehearsed_columns(known: &Known, plan: &DatasetPlan) -> Result<Vec<String>, StudyError> {
    let refused = |words: String| StudyError::Files(FilesError::Option(words));
    let named = plan.columns()?.ok_or_else(|| {
        refused(
            "plan: name its 'columns'; a release takes those of its permit, and a rehearsal has \
             none"
                .to_owned(),
        )
    })?;
    let mut columns: Vec<String> = named.to_vec();
    for gone in plan.without() {
        // What is left out of the release is not read either.
        let at = columns.iter().position(|column| column == gone).ok_or_else(|| {
            refused(format!("plan: it leaves out {gone}, which is not among its 'columns'"))
        })?;
        columns.remove(at);
    }
    let person = known.person().map(|person| person.as_str().to_owned());
    columns.retain(|column| Some(column) != person.as_ref());
    Ok(columns)
}

impl Work {
    pub(super) const fn plan(&self) -> Option<&PlanRead> {
        match self {
            Self::Assess { .. } | Self::Advise { .. } => None,
            Self::Rehearse { known, .. } | Self::Release { known, .. } => Some(known),
        }
    }

    /// Reads and computes; releases go the way of `salus release`.
    pub(super) async fn carried_out(
        self,
        operations: Operations,
        study: Arc<Study>,
    ) -> Result<Finding, StudyError> {
        let read = match &self {
            Self::Assess { read, .. } | Self::Advise { read, .. } | Self::Rehearse { read, .. } => {
                Some(read.read(&operations, &study.by).await?)
            }
            Self::Release { .. } => None,
        };
        match (self, read) {
            (Self::Release { dataset, permit, known, labels }, _) => {
                study
                    .stage("reading under the permit, carrying the plan out, charging, publishing");
                let (plan, folder) = (known.text, PathBuf::new());
                let wanted = ReleaseWanted { dataset, permit, plan, folder };
                let call = Call::Release(Box::new(wanted));
                match operations.perform(&study.by, call).await? {
                    Reply::Released(mut done) => {
                        labels.hide_in_release(&mut done);
                        Ok(Finding::Released(done))
                    }
                    _ => Err(StudyError::Ended),
                }
            }
            (work, Some((table, rows))) => {
                if let Self::Rehearse { read, .. } = &work {
                    read.check_unmoved(&operations).await?;
                }
                study.progress.lock().rows = Some(rows);
                if !study.is_wanted() {
                    return Err(FilesError::Stopped.into());
                }
                let computed =
                    tokio::task::spawn_blocking(move || work.computed(table, rows, &study));
                computed.await.map_err(|_| StudyError::Ended)?
            }
            (_, None) => Err(StudyError::Ended),
        }
    }

    fn computed(self, table: Table, _: RowsRead, study: &Study) -> Result<Finding, StudyError> {
        let entropy = &mut OsEntropy;
        match self {
            Self::Assess { read, columns, wanted } => {
                let subject = subject(read, table, columns);
                let found = assess(&subject, &wanted, study, entropy)?;
                Ok(Finding::Assessed(Box::new(found)))
            }
            Self::Advise { read, columns, wanted } => {
                let subject = subject(read, table, columns);
                let advice = advise(&subject, &wanted, study, &SystemClock, entropy)?;
                Ok(Finding::Advised(Box::new(advice)))
            }
            Self::Rehearse { read, plan, labels, .. } => {
                let given = Given {
                    name: read.dataset.to_string(),
                    table,
                    person: read.person,
                    // A rehearsed plan makes no private claim, so nothing of these is used.
                    records_per_person: 1,
                    stated: BTreeMap::new(),
                    delta: 0.0,
                };
                let mut done = plan.rehearse(given, study, &SystemClock, entropy)?;
                done.report.notes.push(measured_on(read.version));
                let mut report =
                    serde_json::to_value(&done.report).map_err(|_| StudyError::Ended)?;
                labels.hide(&mut report);
                Ok(Finding::Rehearsed { withheld: done.withheld, report })
            }
            Self::Release { .. } => Err(StudyError::Ended),
        }
    }
}

/// Which rows a rehearsal was of.
fn measured_on(version: DatasetVersion) -> String {
    format!(
        "measured on version {version} of the dataset: the one that a release reads, as long as the \
         ledger has a commitment to no other"
    )
}

fn subject(read: ToRead, table: Table, columns: Vec<SubjectColumn>) -> Subject {
    Subject { name: read.dataset.to_string(), table, person: Some(read.person), columns }
}
