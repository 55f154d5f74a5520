//! The one leaf of every plan that yields rows of a dataset.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::StreamExt;
use salus_model::DatasetId;
use salus_store::{Partition, ScanFilter, TableSource};

/// Scans a dataset as the store shows it.
pub(super) struct LakeScan {
    dataset: DatasetId,
    source: TableSource,
    schema: SchemaRef,
    projection: Vec<usize>,
    filters: Vec<Arc<dyn ScanFilter>>,
    limit: Option<usize>,
    partitions: Vec<Partition>,
    properties: Arc<PlanProperties>,
}

impl LakeScan {
    pub(super) fn new(
        dataset: &DatasetId,
        source: TableSource,
        schema: SchemaRef,
        projection: Vec<usize>,
        filters: Vec<Arc<dyn ScanFilter>>,
        limit: Option<usize>,
        wanted: usize,
    ) -> Self {
        let partitions = source.partitions(wanted);
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        let dataset = dataset.clone();
        Self { dataset, source, schema, projection, filters, limit, partitions, properties }
    }
}

impl fmt::Debug for LakeScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LakeScan({})", self.dataset)
    }
}

impl DisplayAs for LakeScan {
    /// # Privacy
    /// Says nothing that depends on rows, neither counts nor what statistics ruled out.
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
        write!(f, "LakeScan: dataset={}, columns=[{}]", self.dataset, columns.join(", "))
    }
}

impl ExecutionPlan for LakeScan {
    fn name(&self) -> &str {
        "LakeScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let part = self.partitions.get(partition).cloned().ok_or_else(|| {
            DataFusionError::Internal(format!("there is no partition {partition}"))
        })?;
        let batches =
            self.source.scan(part, self.projection.clone(), self.filters.clone(), self.limit);
        let schema = Arc::clone(&self.schema);
        let batches = batches.map(move |batch| {
            let batch = batch.map_err(|e| DataFusionError::External(Box::new(e)))?;
            let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &rows)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }

    /// The number of rows where every row may be seen, and nothing about any column.
    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let whole = partition.is_none() && self.filters.is_empty() && self.limit.is_none();
        let rows = self.source.rows_if_open().filter(|_| whole);
        let rows = rows.and_then(|rows| usize::try_from(rows).ok());
        let rows = rows.map_or(Precision::Absent, Precision::Exact);
        Ok(Arc::new(Statistics::new_unknown(&self.schema).with_num_rows(rows)))
    }
}
