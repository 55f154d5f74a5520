//! DataFusion, once per statement.

mod filter;
mod scan;
mod table;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::common::{DataFusionError, ParamValues};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use futures::TryStreamExt;
use salus_model::DatasetId;
use salus_store::TableSource;

use crate::answer::Answer;
use crate::columns::unmark;
use crate::error::QueryError;
use crate::statement::ReadStatement;

pub(crate) use table::LakeTable;

/// The name of the one catalogue, which PostgreSQL clients call the database.
pub(crate) const CATALOG: &str = "salus";
/// The schema that the datasets are in.
pub(crate) const SCHEMA: &str = "public";

/// What one statement may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Memory for operators and the answer together, in bytes; nothing spills to disk.
    pub memory_bytes: usize,
    /// From the first look at the text to the answer.
    pub time: Duration,
    /// Rows of the answer.
    pub rows: usize,
    /// Length of the SQL text, in bytes.
    pub statement_bytes: usize,
    /// How deep expressions and queries may nest.
    pub nesting: usize,
    /// Parts of a scan that run beside each other.
    pub partitions: NonZeroUsize,
    /// Statements that run at the same time; more wait, within their time.
    pub at_once: NonZeroUsize,
}

/// One statement's engine: its own runtime, catalogue and memory, and nothing that outlives it.
pub(crate) struct Engine {
    state: SessionState,
    pool: Arc<dyn MemoryPool>,
    limits: Limits,
    tables: BTreeMap<DatasetId, LakeTable>,
}

/// The tables that a statement can name, by schema and name.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) datasets: Vec<LakeTable>,
    pub(crate) others: Vec<(String, String, Arc<dyn TableProvider>)>,
}

impl Engine {
    /// An engine that knows these tables and no other.
    pub(crate) fn new(limits: Limits, tables: Tables) -> Result<Self, QueryError> {
        let build = || -> Result<_, DataFusionError> {
            let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(limits.memory_bytes));
            let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
            let runtime = RuntimeEnvBuilder::new()
                .with_memory_pool(Arc::clone(&pool))
                .with_disk_manager_builder(no_disk)
                .build_arc()?;
            let mut lake = BTreeMap::new();
            let catalog = catalogue(tables, &mut lake)?;
            let mut state = SessionStateBuilder::new()
                .with_config(config(&limits))
                .with_runtime_env(runtime)
                .with_catalog_list(catalog)
                .with_default_features()
                .build();
            for function in crate::catalog::functions() {
                state.register_udf(Arc::new(function))?;
            }
            Ok(Self { state, pool, limits, tables: lake })
        };
        build().map_err(|_| QueryError::Bug("session"))
    }

    /// Plans a statement; no row is read.
    pub(crate) async fn plan(
        &self,
        statement: &ReadStatement,
        parameters: Option<ParamValues>,
    ) -> Result<LogicalPlan, QueryError> {
        let wrong = |e: DataFusionError| QueryError::planning(&e);
        let plan = self.state.statement_to_plan(statement.parsed.clone()).await.map_err(wrong)?;
        let reading = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        reading.verify_plan(&plan).map_err(|_| QueryError::NotReading {
            statement: "a statement that changes data or settings".to_owned(),
        })?;
        match parameters {
            Some(values) => plan.with_param_values(values).map_err(wrong),
            None => Ok(plan),
        }
    }

    /// Runs a plan over what the store shows of the datasets.
    ///
    /// Called inside [`salus_store::ReadSession::compute`] and nowhere else.
    pub(crate) async fn run(
        &self,
        plan: &LogicalPlan,
        sources: BTreeMap<DatasetId, TableSource>,
    ) -> Result<Answer, QueryError> {
        for (dataset, source) in sources {
            if let Some(table) = self.tables.get(&dataset) {
                table.fill(source);
            }
        }
        let memory = self.limits.memory_bytes;
        let failed = |e: DataFusionError| QueryError::running(&e, memory);
        let physical = self.state.create_physical_plan(plan).await.map_err(failed)?;
        let physical = giving_way(physical).map_err(failed)?;
        let schema = without_marks(&physical.schema());
        let mut stream = execute_stream(physical, self.state.task_ctx()).map_err(failed)?;
        let kept = MemoryConsumer::new("answer").register(&self.pool);
        let (mut batches, mut rows) = (Vec::new(), 0_usize);
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            rows = rows.saturating_add(batch.num_rows());
            if rows > self.limits.rows {
                return Err(QueryError::TooManyRows { limit: self.limits.rows });
            }
            kept.try_grow(batch.get_array_memory_size()).map_err(failed)?;
            let batch = RecordBatch::try_new_with_options(
                Arc::clone(&schema),
                batch.columns().to_vec(),
                &arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
            );
            batches.push(batch.map_err(|_| QueryError::Bug("answer schema"))?);
        }
        Ok(Answer::new(schema, batches))
    }
}

/// Lets every operator that reads others give way now and then.
///
/// A join makes any number of rows from what it holds already and then never waits for anything,
/// so that neither a limit on time nor a cancellation would be heeded before its end.
fn giving_way(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let wrapped = plan.transform_up(|node| {
        if node.children().is_empty() {
            return Ok(Transformed::no(node));
        }
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>))
    });
    wrapped.map(|done| done.data)
}

/// An answer's schema, without what only the engine needs.
pub(crate) fn without_marks(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().map(|field| unmark(field)).collect();
    Arc::new(Schema::new(fields))
}

fn catalogue(
    tables: Tables,
    lake: &mut BTreeMap<DatasetId, LakeTable>,
) -> Result<Arc<dyn CatalogProviderList>, DataFusionError> {
    let catalog = MemoryCatalogProvider::new();
    let mut schemas: BTreeMap<String, Arc<MemorySchemaProvider>> = BTreeMap::new();
    let public = schemas.entry(SCHEMA.to_owned()).or_default();
    for table in tables.datasets {
        public.register_table(table.dataset().to_string(), Arc::new(table.clone()))?;
        lake.insert(table.dataset().clone(), table);
    }
    for (schema, name, table) in tables.others {
        schemas.entry(schema).or_default().register_table(name, table)?;
    }
    for (name, schema) in schemas {
        catalog.register_schema(&name, schema)?;
    }
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Ok(Arc::new(list))
}

fn config(limits: &Limits) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_target_partitions(limits.partitions.get());
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
    config
}
