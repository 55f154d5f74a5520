//! Which columns of which datasets a statement names, anywhere.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{Field, FieldRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use salus_model::DatasetId;

/// The key of the field metadata that says which column of which dataset a field comes from.
///
/// It travels with a column through aliases, joins and subqueries for as long as the column is
/// passed on untouched; as soon as something is computed from it, the computing expression has
/// named it. So every use is seen on the way, whatever it is called by then.
const ORIGIN: &str = "salus.origin";

/// Top-level columns by dataset.
pub(crate) type Named = BTreeMap<DatasetId, BTreeSet<String>>;

/// Marks a dataset's field with where it comes from.
pub(crate) fn mark(dataset: &DatasetId, field: &Field, nullable: bool) -> FieldRef {
    let origin = format!("{dataset}/{}", field.name());
    let mut metadata = field.metadata().clone();
    metadata.insert(ORIGIN.to_owned(), origin);
    field.clone().with_nullable(nullable).with_metadata(metadata).into()
}

/// Takes the mark off, for the answer.
pub(crate) fn unmark(field: &Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.remove(ORIGIN);
    field.clone().with_metadata(metadata)
}

fn note(field: &Field, named: &mut Named) {
    let origin = field.metadata().get(ORIGIN).and_then(|origin| origin.split_once('/'));
    if let Some((dataset, column)) = origin
        && let Ok(dataset) = DatasetId::new(dataset)
    {
        named.entry(dataset).or_default().insert(column.to_owned());
    }
}

fn note_all(schema: &DFSchema, named: &mut Named) {
    for field in schema.fields() {
        note(field, named);
    }
}

/// Every column that the plan, as it was written and before any optimisation, names.
///
/// # Privacy
/// Used before optimisation on purpose: an expression that an optimiser would remove is still a
/// question about the column. Datasets that are scanned without a column, as `count(*)` does,
/// are in the result with no columns.
pub(crate) fn named(plan: &LogicalPlan) -> Result<Named> {
    let mut found = Named::new();
    note_all(plan.schema(), &mut found);
    plan.apply_with_subqueries(|node| {
        visit(node, &mut found)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn visit(node: &LogicalPlan, found: &mut Named) -> Result<()> {
    match node {
        LogicalPlan::TableScan(scan) => {
            if let Ok(dataset) = DatasetId::new(scan.table_name.table())
                && node.schema().fields().iter().any(|f| f.metadata().contains_key(ORIGIN))
            {
                found.entry(dataset).or_default();
            }
        }
        LogicalPlan::Distinct(Distinct::All(input)) => note_all(input.schema(), found),
        LogicalPlan::Union(union) => {
            union.inputs.iter().for_each(|input| note_all(input.schema(), found));
        }
        // It tells names and types of every column that it describes.
        LogicalPlan::DescribeTable(described) => {
            described.schema.fields().iter().for_each(|field| note(field, found));
        }
        LogicalPlan::RecursiveQuery(query) => {
            note_all(query.static_term.schema(), found);
            note_all(query.recursive_term.schema(), found);
        }
        LogicalPlan::Unnest(unnest) => note_all(unnest.input.schema(), found),
        LogicalPlan::Extension(_) => {
            node.inputs().iter().for_each(|input| note_all(input.schema(), found));
        }
        _ => {}
    }
    let inputs = node.inputs();
    node.apply_expressions(|expr| {
        expr.apply(|expr| {
            match expr {
                Expr::Column(column) => {
                    let schemas = inputs.iter().map(|input| input.schema().as_ref());
                    for schema in schemas.chain([node.schema().as_ref()]) {
                        if let Ok((_, field)) = schema.qualified_field_from_column(column) {
                            note(field, found);
                        }
                    }
                }
                Expr::OuterReferenceColumn(field, _) => note(field, found),
                _ => {}
            }
            Ok::<_, DataFusionError>(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}
