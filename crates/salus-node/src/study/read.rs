//! A dataset's rows as the site's staff read them, without those who opted out.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, StringArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use salus_deid::{Column, Table};
use salus_ledger::DatasetRef;
use salus_ledger::proof::Fact;
use salus_model::{ColumnPath, DatasetId, DatasetVersion, KeyClass, Purpose, RoleName, StaffId};
use salus_private::texts_of;
use salus_query::VisibleDataset;
use salus_spine::{NoSubject, OptOutList};
use salus_store::{KeyChoice, LakeError, Manifest};

use super::{MOST_ROWS, MOST_VALUES, Studies, StudyError};
use crate::operations::{Call, Operations, Reply, SqlCall};

const ROLE: &str = "steward";
const MEMORY_BYTES: usize = 2 << 30;
const SECONDS: u64 = 300;

/// How many rows were read, and how many of them are studied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsRead {
    /// Rows that the role sees.
    pub read: u64,
    /// Rows of people who opted out.
    pub opted_out: u64,
    /// Rows without a value in the column that says whose they are.
    pub of_nobody: u64,
    /// The others.
    pub studied: u64,
}

/// A dataset as it is now, and as the role `steward` sees it.
pub(super) struct Known {
    pub(super) manifest: Manifest,
    /// What the role sees; none when the site's policies show nothing.
    pub(super) visible: Option<VisibleDataset>,
    /// The column that says whose opt-out a row falls under.
    pub(super) subject: Option<ColumnPath>,
    /// The column by which a release bounds what a person gives.
    pub(super) unit: Option<ColumnPath>,
}

/// What is to be read.
pub(super) struct ToRead {
    pub(super) dataset: DatasetId,
    /// Its newest version when it was looked at.
    pub(super) version: DatasetVersion,
    /// The columns that are studied, without the person's.
    pub(super) columns: Vec<String>,
    /// Whose a record is.
    pub(super) person: String,
    /// Whose opt-out it falls under.
    pub(super) subject: String,
}

/// Whether a study can take a column of this kind.
pub(super) fn is_plain(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Boolean
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Date32
            | DataType::Date64
            | DataType::Timestamp(..)
    ) || kind.is_numeric()
}

/// Classes of columns that no study reads: they name people, or may.
pub(super) const fn is_closed(class: Option<KeyClass>) -> bool {
    matches!(
        class,
        Some(KeyClass::Identifiers | KeyClass::Freetext | KeyClass::Signal | KeyClass::Footer)
    )
}

impl Known {
    /// The person's column: of the privacy profile, as a release has it, else the dataset's own.
    pub(super) fn person(&self) -> Option<&ColumnPath> {
        self.unit.as_ref().or(self.subject.as_ref())
    }

    /// Whether the role gets the values of a column.
    pub(super) fn is_readable(&self, column: &str) -> bool {
        self.visible.as_ref().is_some_and(|visible| {
            visible.columns.iter().any(|c| c.name == column && !c.masked && is_plain(&c.data_type))
        })
    }

    /// The columns that a dataset's people gave, with what each holds; not the one that orders
    /// versions of a row.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&str, &DataType)> {
        let order = self.manifest.identity.as_ref().map(|identity| identity.sequence.as_str());
        let fields = self.manifest.schema.fields().iter();
        fields
            .map(|field| (field.name().as_str(), field.data_type()))
            .filter(move |(name, _)| Some(*name) != order)
    }

    /// How sensitive a column was declared.
    pub(super) fn class(&self, column: &str) -> Option<KeyClass> {
        let path = ColumnPath::new(column).ok()?;
        match self.manifest.keys.get(&path) {
            Some(KeyChoice::Class(class)) => Some(*class),
            Some(KeyChoice::Key(_)) | None => None,
        }
    }

    /// Refuses a column of a closed class, but for those that say whose a row is: their values are
    /// read to tell people apart, and looked at for nothing else.
    fn refuse_closed(&self, column: &str) -> Result<(), StudyError> {
        let own = [self.person(), self.subject.as_ref()];
        let is_own = own.iter().flatten().any(|own| own.as_str() == column);
        match self.class(column) {
            Some(class) if is_closed(Some(class)) && !is_own => Err(StudyError::Closed {
                dataset: self.manifest.dataset.clone(),
                column: column.to_owned(),
                class,
            }),
            _ => Ok(()),
        }
    }

    /// Checks that these columns can be read, with those that say whose a row is. Of a closed class
    /// none can, named or not.
    pub(super) fn to_read(&self, columns: Vec<String>) -> Result<ToRead, StudyError> {
        let dataset = self.manifest.dataset.clone();
        // As for a release: an empty list of opt-outs is no reason to go on without.
        let subject = self.subject.as_ref().ok_or(NoSubject)?.as_str().to_owned();
        let person = self.unit.as_ref().map_or_else(|| subject.clone(), |u| u.as_str().to_owned());
        for column in &columns {
            if !self.columns().any(|(name, kind)| name == column && is_plain(kind)) {
                return Err(StudyError::NoColumn { dataset, column: column.clone() });
            }
            self.refuse_closed(column)?;
        }
        let mut withheld: Vec<&str> =
            columns.iter().map(String::as_str).filter(|c| !self.is_readable(c)).collect();
        withheld
            .extend([person.as_str(), subject.as_str()].iter().filter(|c| !self.is_readable(c)));
        withheld.dedup();
        if !withheld.is_empty() {
            let what = match self.visible {
                None => "anything".to_owned(),
                Some(_) => withheld.join(", "),
            };
            return Err(StudyError::Withheld { dataset, what });
        }
        let width = columns.len() as u64 + 2;
        let rows = self.manifest.rows();
        if rows > MOST_ROWS || rows.saturating_mul(width) > MOST_VALUES {
            return Err(StudyError::TooLarge { dataset, rows });
        }
        let version = self.manifest.version;
        Ok(ToRead { dataset, version, columns, person, subject })
    }
}

impl Studies {
    /// A dataset's newest version; nothing of its rows is touched.
    pub(super) async fn dataset(&self, dataset: &DatasetId) -> Result<Manifest, StudyError> {
        match self.operations.site().lake.snapshot(dataset, None).await {
            Ok(snapshot) => Ok(snapshot.manifest().clone()),
            Err(LakeError::NoDataset { .. }) => {
                Err(StudyError::NoDataset { dataset: dataset.clone() })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn known(
        &self,
        by: &StaffId,
        dataset: &DatasetId,
    ) -> Result<Known, StudyError> {
        let manifest = self.dataset(dataset).await?;
        let site = self.operations.site();
        let unit = site.profiles()?.of(dataset).ok().map(|profile| profile.unit_column.clone());
        let role = RoleName::new(ROLE)?;
        let visible = self.operations.visible(by, &role, Purpose::Operations, dataset).await?;
        Ok(Known { subject: manifest.subject.clone(), manifest, visible, unit })
    }

    /// The version that a release reads; none where the dataset is on no ledger.
    pub(super) async fn committed(
        &self,
        dataset: &DatasetId,
    ) -> Result<Option<DatasetVersion>, StudyError> {
        let Some(on) = self.operations.on() else { return Ok(None) };
        let ledger = on.ledger();
        let reference = DatasetRef { holder: ledger.member().clone(), dataset: dataset.clone() };
        let state = ledger.state(&[Fact::Dataset(reference.clone())]).await?;
        Ok(state.dataset(&reference)?.map(|record| record.version))
    }

    /// Refuses to rehearse on other rows than a release would read: rows of staff are those of the
    /// newest version, and a release's those of the one on the ledger.
    pub(super) async fn check_committed(&self, known: &Known) -> Result<(), StudyError> {
        let (dataset, newest) = (&known.manifest.dataset, known.manifest.version);
        match self.committed(dataset).await? {
            Some(committed) if committed != newest => {
                Err(StudyError::NotCommitted { dataset: dataset.clone(), committed, newest })
            }
            _ => Ok(()),
        }
    }
}

impl ToRead {
    /// Whether the version that was looked at is the one that was read.
    pub(super) async fn check_unmoved(&self, operations: &Operations) -> Result<(), StudyError> {
        let now = operations.site().lake.snapshot(&self.dataset, None).await?;
        if now.manifest().version == self.version {
            return Ok(());
        }
        Err(StudyError::Moved { dataset: self.dataset.clone() })
    }

    /// Reads, in the name of an account, and leaves out whoever a release would leave out.
    pub(super) async fn read(
        &self,
        operations: &Operations,
        by: &StaffId,
    ) -> Result<(Table, RowsRead), StudyError> {
        let mut wanted: BTreeSet<&str> = self.columns.iter().map(String::as_str).collect();
        wanted.extend([self.person.as_str(), self.subject.as_str()]);
        let named: Vec<String> = wanted.iter().map(|name| quoted(name)).collect();
        let call = Call::Sql(SqlCall {
            statement: format!(
                "SELECT {} FROM {}",
                named.join(", "),
                quoted(self.dataset.as_str())
            ),
            role: RoleName::new(ROLE)?,
            purpose: Purpose::Operations,
            rows: MOST_ROWS as usize,
            memory_bytes: MEMORY_BYTES,
            seconds: SECONDS,
        });
        let Reply::Answer(answer) = operations.perform(by, call).await? else {
            return Err(StudyError::Ended);
        };
        let opted_out = operations.site().opt_outs().await?;
        let mut columns = self.columns.clone();
        if !columns.contains(&self.person) {
            columns.push(self.person.clone());
        }
        let (person, subject) = (self.person.clone(), self.subject.clone());
        let work = tokio::task::spawn_blocking(move || {
            let left = Left::of(answer.batches(), &person, &subject, &opted_out)?;
            Ok((left.table(answer.batches(), &columns)?, left.rows))
        });
        work.await.map_err(|_| StudyError::Ended)?
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The rows that are left, batch by batch.
struct Left {
    kept: Vec<Vec<bool>>,
    rows: RowsRead,
}

fn texts(batch: &RecordBatch, column: &str) -> Result<StringArray, StudyError> {
    let at = batch.schema().index_of(column)?;
    Ok(texts_of(Arc::clone(batch.column(at)))?.as_string::<i32>().clone())
}

impl Left {
    fn of(
        batches: &[RecordBatch],
        person: &str,
        subject: &str,
        opted_out: &OptOutList,
    ) -> Result<Self, StudyError> {
        let mut rows = RowsRead { read: 0, opted_out: 0, of_nobody: 0, studied: 0 };
        let mut kept = Vec::with_capacity(batches.len());
        for batch in batches {
            let (people, subjects) = (texts(batch, person)?, texts(batch, subject)?);
            let mut own = Vec::with_capacity(batch.num_rows());
            for row in 0..batch.num_rows() {
                rows.read += 1;
                let out = subjects.is_valid(row) && opted_out.contains(subjects.value(row));
                let nobody = people.is_null(row);
                rows.opted_out += u64::from(out);
                rows.of_nobody += u64::from(nobody && !out);
                rows.studied += u64::from(!out && !nobody);
                own.push(!out && !nobody);
            }
            kept.push(own);
        }
        Ok(Self { kept, rows })
    }

    fn table(&self, batches: &[RecordBatch], columns: &[String]) -> Result<Table, StudyError> {
        if self.rows.studied == 0 {
            return Err(StudyError::Empty);
        }
        let columns = columns
            .iter()
            .map(|name| {
                let parts = batches
                    .iter()
                    .map(|batch| texts(batch, name))
                    .collect::<Result<Vec<_>, _>>()?;
                let rows = parts.iter().zip(&self.kept);
                let values = rows.flat_map(|(part, kept)| {
                    let own = (0..part.len()).filter(|row| kept.get(*row) == Some(&true));
                    own.map(|row| if part.is_valid(row) { part.value(row) } else { "" })
                });
                Ok(Column::from_values(name.as_str(), values)
                    .map_err(salus_files::FilesError::from)?)
            })
            .collect::<Result<Vec<_>, StudyError>>()?;
        Ok(Table::from_columns(columns).map_err(salus_files::FilesError::from)?)
    }
}
