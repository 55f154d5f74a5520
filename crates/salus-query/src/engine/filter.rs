//! A predicate of the engine, pushed into the store's scan.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use salus_store::{ColumnStatistics, RowGroupStatistics, ScanFilter};

/// A predicate on columns that the reader may see.
pub(super) struct PushedFilter {
    columns: Vec<usize>,
    schema: SchemaRef,
    expr: Arc<dyn PhysicalExpr>,
    pruning: Option<PruningPredicate>,
}

impl PushedFilter {
    /// The predicate over the visible schema; none when it cannot be pushed.
    pub(super) fn new(
        expr: &Arc<dyn PhysicalExpr>,
        planned: &Schema,
        visible: &Schema,
    ) -> Option<Self> {
        let named: Vec<String> =
            collect_columns(expr).iter().map(|c| c.name().to_owned()).collect();
        let mut columns =
            named.iter().map(|name| visible.index_of(name).ok()).collect::<Option<Vec<_>>>()?;
        columns.sort_unstable();
        columns.dedup();
        if columns.is_empty() {
            return None;
        }
        let fields: Option<Vec<_>> = columns
            .iter()
            .map(|&c| planned.field_with_name(visible.field(c).name()).ok().cloned())
            .collect();
        let schema = Arc::new(Schema::new(fields?));
        let expr = reassign_expr_columns(Arc::clone(expr), &schema).ok()?;
        let pruning = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(&schema))
            .try_build(Arc::clone(&expr))
            .ok();
        let pruning = pruning.filter(|p| !p.always_true());
        Some(Self { columns, schema, expr, pruning })
    }
}

impl ScanFilter for PushedFilter {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn passes(&self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        let rows = batch.num_rows();
        let evaluate = || {
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())?;
            let verdict = self.expr.evaluate(&batch)?.into_array(rows)?;
            Ok::<_, datafusion::error::DataFusionError>(verdict)
        };
        match evaluate() {
            Ok(verdict) if verdict.data_type() == &DataType::Boolean => {
                Ok(verdict.as_boolean().clone())
            }
            // The engine applies the filter again, in the order that the statement asks for. What
            // fails there is told there; what another condition guards against must not fail here.
            _ => Ok(BooleanArray::from(vec![true; rows])),
        }
    }

    fn may_pass(&self, statistics: &RowGroupStatistics) -> Vec<bool> {
        let all = || vec![true; statistics.row_groups];
        let Some(pruning) = &self.pruning else { return all() };
        let adapter = Adapter { filter: self, statistics };
        pruning
            .prune(&adapter)
            .ok()
            .filter(|v| v.len() == statistics.row_groups)
            .unwrap_or_else(all)
    }
}

struct Adapter<'a> {
    filter: &'a PushedFilter,
    statistics: &'a RowGroupStatistics,
}

impl Adapter<'_> {
    fn column(&self, column: &Column) -> Option<(&ColumnStatistics, &DataType)> {
        let place = self.filter.schema.index_of(&column.name).ok()?;
        let kind = self.filter.schema.field(place).data_type();
        let statistics = self.statistics.column(*self.filter.columns.get(place)?)?;
        Some((statistics, kind))
    }

    fn bounds(&self, column: &Column) -> Option<&ColumnStatistics> {
        let (statistics, kind) = self.column(column)?;
        // NaN is left out of Parquet's bounds, yet is greater than every number in SQL.
        (!kind.is_floating()).then_some(statistics)
    }
}

impl PruningStatistics for Adapter<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column).map(|s| Arc::clone(&s.min))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column).map(|s| Arc::clone(&s.max))
    }

    fn num_containers(&self) -> usize {
        self.statistics.row_groups
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column).map(|(s, _)| Arc::clone(&s.nulls))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from(self.statistics.rows.clone())))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
