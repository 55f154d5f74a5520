//! A dataset as a table: its schema at once, its rows when the store has opened it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use salus_model::DatasetId;
use salus_store::{ScanFilter, TableSource};

use super::filter::PushedFilter;
use super::scan::LakeScan;

/// A dataset in a statement's catalogue.
///
/// It is planned against with the dataset's whole schema, so that a column that is denied can be
/// named in the refusal; the rows come from a [`TableSource`] that knows the granted columns only.
#[derive(Clone)]
pub(crate) struct LakeTable {
    dataset: DatasetId,
    schema: SchemaRef,
    source: Arc<OnceLock<TableSource>>,
}

impl fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LakeTable({})", self.dataset)
    }
}

impl LakeTable {
    /// A table of this schema, whose fields carry their origin.
    pub(crate) fn new(dataset: DatasetId, schema: SchemaRef) -> Self {
        Self { dataset, schema, source: Arc::default() }
    }

    pub(crate) const fn dataset(&self) -> &DatasetId {
        &self.dataset
    }

    /// Gives the table its rows.
    pub(super) fn fill(&self, source: TableSource) {
        // Tables are made for one statement and filled once.
        let _ = self.source.set(source);
    }

    fn filters(
        &self,
        state: &dyn Session,
        source: &TableSource,
        filters: &[Expr],
    ) -> Vec<Arc<dyn ScanFilter>> {
        let Ok(named) = DFSchema::try_from(Arc::clone(&self.schema)) else { return Vec::new() };
        filters
            .iter()
            .filter_map(|filter| {
                let expr = state.create_physical_expr(filter.clone(), &named).ok()?;
                PushedFilter::new(&expr, &self.schema, &source.schema())
            })
            .map(|filter| Arc::new(filter) as Arc<dyn ScanFilter>)
            .collect()
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters only help the scan to read less; the engine applies each of them itself.
    ///
    /// Rows that are not in files yet are not filtered by the store, so no filter is exact.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let pushed = |filter: &&Expr| {
            if filter.is_volatile() {
                TableProviderFilterPushDown::Unsupported
            } else {
                TableProviderFilterPushDown::Inexact
            }
        };
        Ok(filters.iter().map(pushed).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let not_open = || DataFusionError::Plan(format!("dataset {} is not open", self.dataset));
        let source = self.source.get().ok_or_else(not_open)?;
        let visible = source.schema();
        let wanted: Vec<usize> =
            projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let fields = wanted
            .iter()
            .map(|&column| self.schema.fields().get(column).cloned())
            .collect::<Option<Vec<_>>>()
            .ok_or_else(not_open)?;
        let projection = fields
            .iter()
            .map(|field| {
                let place = visible.index_of(field.name()).ok();
                // Type and place were planned on an earlier look at the manifest.
                place.filter(|&p| visible.field(p).data_type() == field.data_type()).ok_or_else(
                    || DataFusionError::Plan(format!("column {} is not granted", field.name())),
                )
            })
            .collect::<Result<Vec<usize>>>()?;
        let filters = self.filters(state, source, filters);
        // A limit below a filter that is applied later would cut rows that pass.
        let limit = limit.filter(|_| filters.is_empty());
        let wanted = state.config().target_partitions();
        let schema = Arc::new(Schema::new(fields));
        Ok(Arc::new(LakeScan::new(
            &self.dataset,
            source.clone(),
            schema,
            projection,
            filters,
            limit,
            wanted,
        )))
    }
}
