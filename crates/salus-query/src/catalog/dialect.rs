//! Puts PostgreSQL's way of asking its catalogue into SQL that DataFusion plans.
//!
//! Only for statements that ask the catalogue: a statement on datasets is never rewritten.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Ident, ObjectName, Query, Select, SelectItem, SetExpr,
    Statement, TableFactor, Value, VisitMut, VisitorMut,
};

use super::pg::is_empty;

/// Rewrites in place; whatever is not known stays as it was.
pub(crate) fn rewrite(statement: &mut Statement) {
    let _ = statement.visit(&mut Rewrite);
}

struct Rewrite;

fn last(name: &ObjectName) -> Option<String> {
    Some(name.0.last()?.as_ident()?.value.to_lowercase())
}

fn null() -> Expr {
    Expr::value(Value::Null)
}

/// Whether a select reads a table that never has a row, other than on the right of a join.
fn yields_nothing(select: &Select) -> bool {
    select.from.iter().any(|from| reads_empty(&from.relation))
}

fn reads_empty(relation: &TableFactor) -> bool {
    let TableFactor::Table { name, .. } = relation else { return false };
    last(name).is_some_and(|name| is_empty(&name))
}

/// The same columns, and no row.
fn nothing(select: &mut Select) {
    for (place, item) in select.projection.iter_mut().enumerate() {
        let alias = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => name.clone(),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                parts.last().cloned().unwrap_or_else(|| Ident::new("column"))
            }
            _ => Ident::new(format!("column{}", place + 1)),
        };
        *item = SelectItem::ExprWithAlias { expr: null(), alias };
    }
    select.from.clear();
    select.selection = Some(Expr::value(Value::Boolean(false)));
}

fn empty_branches(body: &mut SetExpr) -> bool {
    match body {
        SetExpr::Select(select) if yields_nothing(select) => {
            nothing(select);
            true
        }
        SetExpr::SetOperation { left, right, .. } => {
            // Both, so that no branch is skipped.
            let (left, right) = (empty_branches(left), empty_branches(right));
            left || right
        }
        SetExpr::Query(query) => empty_branches(&mut query.body),
        _ => false,
    }
}

impl VisitorMut for Rewrite {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if empty_branches(&mut query.body) {
            query.order_by = None;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        // A scalar subquery on a table without rows is null; left alone, DataFusion would refuse
        // to correlate it.
        if let Expr::Subquery(query) = expr
            && let SetExpr::Select(select) = query.body.as_ref()
            && yields_nothing(select)
        {
            *expr = null();
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { op, .. } => {
                if let BinaryOperator::PGCustomBinaryOperator(parts) = op {
                    match parts.last().map(String::as_str) {
                        Some("~") => *op = BinaryOperator::PGRegexMatch,
                        Some("!~") => *op = BinaryOperator::PGRegexNotMatch,
                        Some("=") => *op = BinaryOperator::Eq,
                        _ => {}
                    }
                }
            }
            Expr::Collate { expr: inner, .. } => {
                let inner = std::mem::replace(inner.as_mut(), null());
                *expr = inner;
            }
            Expr::Cast { data_type, .. } => {
                let text = ["regclass", "regtype", "regproc", "text", "name", "char"];
                let named = match data_type {
                    DataType::Custom(name, _) => last(name),
                    DataType::Regclass => Some("regclass".to_owned()),
                    _ => None,
                };
                match named.as_deref() {
                    Some(name) if text.contains(&name) => *data_type = DataType::Text,
                    Some("oid") => *data_type = DataType::Int(None),
                    _ => {}
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
