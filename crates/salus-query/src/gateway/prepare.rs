//! Plans a statement against what the role may see, and refuses it before any key is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::{ParamValues, TableReference};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::resolve::resolve_table_references;
use salus_model::{Class, Classified, ColumnPath, DatasetId};
use salus_spine::{CareAccess, RowRule};
use salus_store::{LakeError, Manifest, leaves};

use super::{Description, Inner, VisibleColumn, VisibleDataset};
use crate::catalog;
use crate::columns::{self, Named};
use crate::engine::{CATALOG, Engine, LakeTable, SCHEMA, Tables, without_marks};
use crate::error::QueryError;
use crate::policy::{ColumnVerdict, Question, Roles};
use crate::statement::ReadStatement;

/// A dataset that a statement names, with the verdict on each of its columns.
pub(super) struct Known {
    pub(super) manifest: Manifest,
    verdicts: BTreeMap<ColumnPath, ColumnVerdict>,
}

/// A statement planned and allowed.
pub(super) struct Prepared {
    pub(super) engine: Engine,
    pub(super) plan: LogicalPlan,
    pub(super) named: Named,
    pub(super) known: BTreeMap<DatasetId, Known>,
}

impl Known {
    fn leaves_of(field: &Field) -> Vec<ColumnPath> {
        leaves(&Schema::new(vec![field.clone()]))
    }

    /// The verdict on a top-level column: a nested one is seen whole or not at all.
    pub(super) fn verdict(&self, field: &Field) -> ColumnVerdict {
        let verdict = |leaf| self.verdicts.get(leaf).copied().unwrap_or(ColumnVerdict::Denied);
        let leaves = Self::leaves_of(field);
        let verdicts: Vec<ColumnVerdict> = leaves.iter().map(verdict).collect();
        if verdicts.is_empty() || verdicts.contains(&ColumnVerdict::Denied) {
            ColumnVerdict::Denied
        } else if verdicts.contains(&ColumnVerdict::Masked) {
            ColumnVerdict::Masked
        } else {
            ColumnVerdict::Shown
        }
    }

    fn table(&self) -> LakeTable {
        let dataset = &self.manifest.dataset;
        let fields = self.manifest.schema.fields().iter().map(|field| {
            let masked = self.verdict(field) == ColumnVerdict::Masked;
            columns::mark(dataset, field, field.is_nullable() || masked)
        });
        LakeTable::new(dataset.clone(), Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    fn visible(&self) -> VisibleDataset {
        let columns = self.manifest.schema.fields().iter().filter_map(|field| {
            let verdict = self.verdict(field);
            let masked = verdict == ColumnVerdict::Masked;
            (verdict != ColumnVerdict::Denied).then(|| VisibleColumn {
                name: field.name().clone(),
                data_type: field.data_type().clone(),
                nullable: field.is_nullable() || masked,
                masked,
            })
        });
        VisibleDataset { dataset: self.manifest.dataset.clone(), columns: columns.collect() }
    }

    /// What a grant for these columns says.
    pub(super) fn access(&self, named: &BTreeSet<String>, rules: Vec<RowRule>) -> CareAccess {
        let (mut columns, mut masked) = (BTreeSet::new(), BTreeSet::new());
        let fields = self.manifest.schema.fields().iter();
        for leaf in fields.filter(|f| named.contains(f.name())).flat_map(|f| Self::leaves_of(f)) {
            match self.verdicts.get(&leaf) {
                Some(ColumnVerdict::Shown) => columns.insert(leaf),
                Some(ColumnVerdict::Masked) => masked.insert(leaf),
                Some(ColumnVerdict::Denied) | None => false,
            };
        }
        CareAccess { columns, masked, rules }
    }
}

/// Where a table reference points.
enum Target {
    Dataset(DatasetId),
    Catalogue,
    Nowhere,
}

fn target(reference: &TableReference) -> Target {
    if reference.catalog().is_some_and(|c| c != CATALOG) {
        return Target::Nowhere;
    }
    match (reference.schema(), reference.table()) {
        (Some(catalog::INFORMATION_SCHEMA | catalog::PG_CATALOG), _) => Target::Catalogue,
        (None, table) if catalog::is_pg_table(table) => Target::Catalogue,
        (None | Some(SCHEMA), table) => {
            DatasetId::new(table).map_or(Target::Nowhere, Target::Dataset)
        }
        _ => Target::Nowhere,
    }
}

impl Inner {
    /// What the role may know of a dataset; none when that is nothing.
    pub(super) async fn known(
        &self,
        roles: &Roles,
        question: &Question,
        dataset: &DatasetId,
    ) -> Result<Option<Known>, QueryError> {
        let lake = self.lake.seen_by(&question.staff, &question.role);
        let manifest = match lake.snapshot(dataset, None).await {
            Ok(snapshot) => snapshot.manifest().clone(),
            Err(LakeError::NoDataset { .. }) => return Ok(None),
            Err(e) => return Err(QueryError::lake(&e)),
        };
        let verdicts = roles.verdicts(question, &manifest)?;
        Ok(verdicts.map(|verdicts| Known { manifest, verdicts }))
    }

    /// Every dataset of which the role may read something.
    pub(super) async fn visible(
        &self,
        roles: &Roles,
        question: &Question,
    ) -> Result<Vec<VisibleDataset>, QueryError> {
        let datasets = self.lake.datasets().await.map_err(|e| QueryError::lake(&e))?;
        let mut visible = Vec::new();
        for dataset in datasets {
            match self.known(roles, question, &dataset).await {
                Ok(Some(known)) => visible.push(known.visible()),
                Ok(None) => {}
                // One dataset whose keys are away must not hide the others.
                Err(e) if matches!(e.class(), Class::Refused | Class::Unavailable) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(visible)
    }

    /// Plans a statement and decides on every column that it names.
    ///
    /// `noted` is told the columns as soon as they are known, for the audit record of a refusal.
    pub(super) async fn prepare(
        &self,
        roles: &Roles,
        question: &Question,
        statement: &ReadStatement,
        parameters: Option<ParamValues>,
        noted: impl FnOnce(&Named),
    ) -> Result<Prepared, QueryError> {
        let (references, _) = resolve_table_references(&statement.parsed, true)
            .map_err(|e| QueryError::planning(&e))?;
        let mut known = BTreeMap::new();
        let mut tables = Tables::default();
        let mut catalogue = false;
        for reference in references {
            let dataset = match target(&reference) {
                Target::Catalogue => {
                    catalogue = true;
                    continue;
                }
                Target::Dataset(dataset) => dataset,
                Target::Nowhere => return Err(no_dataset(question, statement, reference.table())),
            };
            if known.contains_key(&dataset) {
                continue;
            }
            let found = self.known(roles, question, &dataset).await?;
            let found = found.ok_or_else(|| no_dataset(question, statement, reference.table()))?;
            tables.datasets.push(found.table());
            known.insert(dataset, found);
        }
        if catalogue {
            tables.others = catalog::tables(&self.visible(roles, question).await?)?;
        }
        let asks_catalogue_only = catalogue && known.is_empty();
        let engine = Engine::new(self.limits, tables)?;
        let plan = if asks_catalogue_only {
            engine.plan(&statement.for_catalogue(), parameters).await?
        } else {
            engine.plan(statement, parameters).await?
        };
        let named = columns::named(&plan).map_err(|e| QueryError::planning(&e))?;
        noted(&named);
        refuse_denied(question, statement, &named, &known)?;
        Ok(Prepared { engine, plan, named, known })
    }

    pub(super) async fn describe(
        &self,
        question: &Question,
        sql: &str,
    ) -> Result<Description, QueryError> {
        let statement = ReadStatement::parse(sql, &self.limits)?;
        let roles = Arc::clone(&self.roles.read());
        let prepared = self.prepare(&roles, question, &statement, None, |_| {}).await?;
        let fields = prepared.plan.get_parameter_types().map_err(|e| QueryError::planning(&e))?;
        let last = fields.keys().filter_map(|k| k.strip_prefix('$')?.parse::<usize>().ok()).max();
        let parameters = (1..=last.unwrap_or(0))
            .map(|n| fields.get(&format!("${n}")).cloned().flatten())
            .collect();
        let schema = without_marks(prepared.plan.schema().as_arrow());
        Ok(Description { schema, parameters })
    }
}

fn no_dataset(question: &Question, statement: &ReadStatement, table: &str) -> QueryError {
    QueryError::NoDataset {
        dataset: table.to_owned(),
        role: question.role.clone(),
        place: statement.place_of(table),
    }
}

fn refuse_denied(
    question: &Question,
    statement: &ReadStatement,
    named: &Named,
    known: &BTreeMap<DatasetId, Known>,
) -> Result<(), QueryError> {
    for (dataset, columns) in named {
        let known = known.get(dataset).ok_or(QueryError::Bug("unknown dataset"))?;
        for column in columns {
            let field = known.manifest.schema.field_with_name(column);
            let field = field.map_err(|_| QueryError::Bug("unknown column"))?;
            if known.verdict(field) == ColumnVerdict::Denied {
                let place = statement.place_of(column);
                let remedy = if place.is_none() && statement.has_wildcard() {
                    "'*' stands for it here: name the columns that you need (SHOW COLUMNS lists \
                     those you may), or ask the holder for mask = true in the role"
                } else {
                    "leave it out, or ask the holder for it (with mask = true in the role it \
                     would be null)"
                };
                return Err(QueryError::ColumnDenied {
                    dataset: dataset.to_string(),
                    column: column.clone(),
                    role: question.role.clone(),
                    remedy,
                    place,
                });
            }
        }
    }
    Ok(())
}
