use salus_dp::Query;
use salus_model::{ColumnPath, DatasetId};
use sqlparser::ast::{
    Expr, GroupByExpr, LimitClause, ObjectName, ObjectNamePart, OrderBy, OrderByKind, Query as Sql,
    Select, SelectFlavor, SelectItem, SetExpr, Spanned as _, Statement as Ast, TableFactor,
    TableWithJoins,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::aggregate::{Aggregate, bucket, read as aggregate, together};
use super::condition;
use super::error::{Place, SqlError, SqlFault};
use super::literal::{Scope, folded, whole};
use super::{Ask, Bins, Places, Statement};

/// The longest text.
const MAX_TEXT_BYTES: usize = 256 * 1024;
/// Words and signs, values and commas not counted: what a syntax tree can become deep by.
const MAX_WORDS: usize = 4096;
/// How deep the parser goes: enough for the deepest filter that [`crate::Predicate`] allows.
const MAX_DEPTH: usize = 80;

/// Reads a question.
///
/// # Errors
/// Names the place and what to write instead.
pub fn parse(text: &str) -> Result<Statement, SqlError> {
    let tokens = tokens(text)?;
    let dialect = PostgreSqlDialect {};
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(MAX_DEPTH).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement().map_err(|e| syntax(&parser, e))?;
    while parser.consume_token(&Token::SemiColon) {}
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(SqlError::outside(
            Place::of(next.span, Place::default()),
            format!("'{}' after the end of the question", next.token),
            "write one SELECT of one dataset, with WHERE before GROUP BY, ORDER BY and LIMIT",
        ));
    }
    match statement {
        Ast::Query(query) => question(&query),
        other => Err(SqlError::outside(
            Place::of(other.span(), Place::default()),
            "a statement that is no SELECT",
            "questions begin with SELECT and change nothing",
        )),
    }
}

fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    let long =
        |most, what| SqlError { place: Place::default(), fault: SqlFault::Long { most, what } };
    if text.len() > MAX_TEXT_BYTES {
        return Err(long(MAX_TEXT_BYTES, "bytes"));
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location();
    let tokens = tokens.map_err(|e| SqlError {
        place: Place { line: e.location.line.max(1), column: e.location.column.max(1) },
        fault: SqlFault::Syntax { reason: e.message },
    })?;
    let value = |token: &Token| {
        matches!(
            token,
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Comma | Token::Whitespace(_)
        )
    };
    if tokens.iter().filter(|t| !value(&t.token)).count() > MAX_WORDS {
        return Err(long(MAX_WORDS, "words and signs"));
    }
    Ok(tokens)
}

/// The parser says the place at the end of its sentence; where it does not, it stands there.
fn syntax(parser: &Parser<'_>, error: ParserError) -> SqlError {
    let message = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
    };
    let told = message.rsplit_once(" at Line: ").and_then(|(reason, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        let place = Place { line: line.parse().ok()?, column: column.trim().parse().ok()? };
        Some((reason.to_owned(), place))
    });
    let (reason, place) =
        told.unwrap_or_else(|| (message, Place::of(parser.peek_token().span, Place::default())));
    SqlError { place, fault: SqlFault::Syntax { reason } }
}

/// Refuses every clause of a list that is there.
fn none_of(place: Place, clauses: &[(bool, &str, &str)]) -> Result<(), SqlError> {
    match clauses.iter().find(|(there, ..)| *there) {
        Some((_, found, instead)) => Err(SqlError::outside(place, *found, *instead)),
        None => Ok(()),
    }
}

const LEAVE_OUT: &str = "leave it out";

fn question(sql: &Sql) -> Result<Statement, SqlError> {
    let place = Place::of(sql.span(), Place::default());
    // Every clause is named here, so that one that a newer parser brings does not slip through.
    let Sql {
        with,
        body,
        order_by,
        limit_clause,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = sql;
    none_of(
        place,
        &[
            (with.is_some(), "WITH", "ask the question directly"),
            (fetch.is_some(), "FETCH", "write LIMIT"),
            (!locks.is_empty(), "FOR UPDATE", LEAVE_OUT),
            (for_clause.is_some(), "FOR", LEAVE_OUT),
            (settings.is_some(), "SETTINGS", LEAVE_OUT),
            (format_clause.is_some(), "FORMAT", LEAVE_OUT),
            (!pipe_operators.is_empty(), "|>", "write WHERE and GROUP BY"),
        ],
    )?;
    match body.as_ref() {
        SetExpr::Select(select) => selected(select, order_by.as_ref(), limit_clause.as_ref()),
        SetExpr::SetOperation { op, .. } => Err(SqlError::outside(
            place,
            op.to_string(),
            "ask each question by itself; several values of a column go with IN",
        )),
        _ => Err(SqlError::outside(place, "this", "write one SELECT without parentheses")),
    }
}

fn selected(
    select: &Select,
    order_by: Option<&OrderBy>,
    limit: Option<&LimitClause>,
) -> Result<Statement, SqlError> {
    let place = Place::of(select.select_token.0.span, Place::default());
    let Select {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    none_of(
        place,
        &[
            (distinct.is_some(), "SELECT DISTINCT", "write count(DISTINCT column), or GROUP BY"),
            (top.is_some(), "TOP", "write ORDER BY count(*) DESC LIMIT 5"),
            (into.is_some(), "INTO", LEAVE_OUT),
            (having.is_some(), "HAVING", "pick rows of the answer afterwards: it costs nothing"),
            (qualify.is_some(), "QUALIFY", LEAVE_OUT),
            (!named_window.is_empty(), "WINDOW", LEAVE_OUT),
            (*flavor != SelectFlavor::Standard, "FROM before SELECT", "begin with SELECT"),
            (!lateral_views.is_empty(), "LATERAL VIEW", LEAVE_OUT),
            (prewhere.is_some(), "PREWHERE", "write WHERE"),
            (!connect_by.is_empty(), "CONNECT BY", LEAVE_OUT),
            (!cluster_by.is_empty(), "CLUSTER BY", LEAVE_OUT),
            (!distribute_by.is_empty(), "DISTRIBUTE BY", LEAVE_OUT),
            (!sort_by.is_empty(), "SORT BY", LEAVE_OUT),
            (exclude.is_some(), "EXCLUDE", LEAVE_OUT),
            (select_modifiers.is_some(), "a modifier of SELECT", LEAVE_OUT),
            (value_table_mode.is_some(), "SELECT AS", LEAVE_OUT),
            (!optimizer_hints.is_empty(), "a hint", LEAVE_OUT),
        ],
    )?;
    let (dataset, tables) = table(from, place)?;
    let mut scope = Scope { tables, places: Places { ask: place, ..Places::default() } };
    let filter = selection.as_ref().map(|w| condition::read(&mut scope, w)).transpose()?;
    let items = items(&mut scope, projection)?;
    let grouped = groups(&mut scope, group_by, &items)?;
    let ask = match grouped {
        false => {
            in_order_without_groups(&scope, order_by, limit)?;
            let numbers = |item: Item| match item.what {
                What::Number(aggregate) => Some((aggregate, item.place)),
                What::Key(_) => None,
            };
            together(items.into_iter().filter_map(numbers).collect())?
        }
        true => of_groups(&mut scope, items, order_by, limit)?,
    };
    Ok(Statement { dataset, ask, filter, places: scope.places })
}

fn name(name: &ObjectName) -> Option<String> {
    let parts: Option<Vec<String>> = name
        .0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(folded(ident)),
            ObjectNamePart::Function(_) => None,
        })
        .collect();
    parts.map(|parts| parts.join("."))
}

fn table(from: &[TableWithJoins], place: Place) -> Result<(DatasetId, Vec<String>), SqlError> {
    let refuse = |at: Place, found: &str| {
        Err(SqlError::outside(at, found, "write FROM and the name of one dataset"))
    };
    let [TableWithJoins { relation, joins }] = from else {
        return match from {
            [] => refuse(place, "a question of no dataset"),
            [_, second, ..] => {
                refuse(Place::of(second.span(), place), "a question of several datasets")
            }
            [_] => refuse(place, "this"),
        };
    };
    let at = Place::of(relation.span(), place);
    if let Some(join) = joins.first() {
        return refuse(Place::of(join.span(), at), "a join");
    }
    // In the parser's own words it is this and nothing else, or there is more to it.
    let TableFactor::Table { name: table, alias, .. } = relation else {
        return refuse(at, "this after FROM");
    };
    let Some(name) = name(table) else { return refuse(at, "this after FROM") };
    let mut plain = table.to_string();
    let mut names = vec![name.clone()];
    if let Some(alias) = alias {
        if !alias.columns.is_empty() || alias.at.is_some() {
            return refuse(at, "an alias with columns");
        }
        plain = format!("{plain} {}{}", if alias.explicit { "AS " } else { "" }, alias.name);
        names.push(folded(&alias.name));
    }
    if relation.to_string() != plain {
        return refuse(at, "more than a name after FROM");
    }
    let dataset = DatasetId::new(name).map_err(|e| SqlError { place: at, fault: e.into() })?;
    Ok((dataset, names))
}

/// What one item of the select list is.
enum What {
    Key(Key),
    Number(Aggregate),
}

#[derive(Debug, Clone, PartialEq)]
enum Key {
    Column(ColumnPath),
    Bucket(ColumnPath, Bins),
}

struct Item {
    what: What,
    alias: Option<String>,
    place: Place,
}

fn items(scope: &mut Scope, projection: &[SelectItem]) -> Result<Vec<Item>, SqlError> {
    projection
        .iter()
        .map(|item| {
            let (expr, alias) = match item {
                SelectItem::UnnamedExpr(expr) => (expr, None),
                SelectItem::ExprWithAlias { expr, alias } => (expr, Some(folded(alias))),
                other => {
                    return Err(SqlError::outside(
                        Place::of(other.span(), scope.places.ask),
                        "rows themselves",
                        "ask for a number over them, such as count(*)",
                    ));
                }
            };
            let place = scope.place(expr);
            Ok(Item { what: what(scope, expr)?, alias, place })
        })
        .collect()
}

fn key(scope: &mut Scope, expr: &Expr) -> Option<Result<Key, SqlError>> {
    match expr {
        Expr::Nested(inner) => key(scope, inner),
        Expr::Function(function) => {
            Some(bucket(scope, function)?.map(|(column, bins)| Key::Bucket(column, bins)))
        }
        other => Some(scope.column(other)?.map(Key::Column)),
    }
}

fn what(scope: &mut Scope, expr: &Expr) -> Result<What, SqlError> {
    if let Some(key) = key(scope, expr) {
        return key.map(What::Key);
    }
    match expr {
        Expr::Nested(inner) => what(scope, inner),
        Expr::Function(function) => aggregate(scope, function).map(What::Number),
        Expr::Subquery(_) => Err(super::literal::subquery(scope.place(expr))),
        other => Err(SqlError::outside(
            scope.place(other),
            "an expression in the select list",
            "ask for the numbers themselves and work with the answer: that costs nothing",
        )),
    }
}

/// Whether there are groups, and that they are those of the select list.
fn groups(scope: &mut Scope, group_by: &GroupByExpr, items: &[Item]) -> Result<bool, SqlError> {
    let place = Place::of(group_by.span(), scope.places.ask);
    let refuse = |at, found: &str, instead: &str| Err(SqlError::outside(at, found, instead));
    let GroupByExpr::Expressions(exprs, modifiers) = group_by else {
        return refuse(place, "GROUP BY ALL", "name the columns");
    };
    if !modifiers.is_empty() {
        return refuse(place, "a modifier of GROUP BY", "name one or two columns");
    }
    let mut open: Vec<(&Key, Place)> = items
        .iter()
        .filter_map(|item| match &item.what {
            What::Key(key) => Some((key, item.place)),
            What::Number(_) => None,
        })
        .collect();
    let grouped = !exprs.is_empty();
    for expr in exprs {
        let at = Place::of(expr.span(), place);
        let named = group_key(scope, expr, items)?;
        match open.iter().position(|(key, _)| named.as_ref() == Some(*key)) {
            Some(found) => drop(open.remove(found)),
            None => {
                return refuse(
                    at,
                    "a group that the select list does not show",
                    "name each group column once in SELECT and once in GROUP BY",
                );
            }
        }
    }
    match open.first() {
        Some((_, at)) => refuse(
            *at,
            "a column's values themselves",
            "group by it: SELECT column, count(*) … GROUP BY column",
        ),
        None => Ok(grouped),
    }
}

/// What an entry of `GROUP BY` names: an item's number or alias, or its expression.
fn group_key(scope: &mut Scope, expr: &Expr, items: &[Item]) -> Result<Option<Key>, SqlError> {
    let key_of = |item: &Item| match &item.what {
        What::Key(key) => Some(key.clone()),
        What::Number(_) => None,
    };
    if let Some(number) = whole(expr) {
        let item = (number as usize).checked_sub(1).and_then(|at| items.get(at));
        return Ok(item.and_then(key_of));
    }
    if let Expr::Identifier(ident) = expr {
        let alias = Some(folded(ident));
        if let Some(item) = items.iter().find(|item| item.alias == alias) {
            return Ok(key_of(item));
        }
    }
    key(scope, expr).transpose()
}

fn in_order_without_groups(
    scope: &Scope,
    order_by: Option<&OrderBy>,
    limit: Option<&LimitClause>,
) -> Result<(), SqlError> {
    let at = |span| Place::of(span, scope.places.ask);
    if let Some(order) = order_by {
        return Err(SqlError::outside(at(order.span()), "ORDER BY without groups", LEAVE_OUT));
    }
    match limit {
        Some(limit) => Err(SqlError::outside(at(limit.span()), "LIMIT without groups", LEAVE_OUT)),
        None => Ok(()),
    }
}

/// The question that a select list with groups asks.
fn of_groups(
    scope: &mut Scope,
    items: Vec<Item>,
    order_by: Option<&OrderBy>,
    limit: Option<&LimitClause>,
) -> Result<Ask, SqlError> {
    let top = top(scope, &items, order_by, limit)?;
    let mut keys = Vec::new();
    let mut buckets = Vec::new();
    let mut counts = 0;
    let ask = scope.places.ask;
    for Item { what, place, .. } in items {
        match what {
            What::Key(Key::Column(column)) => keys.push(column),
            What::Key(Key::Bucket(column, bins)) => buckets.push((column, bins, place)),
            What::Number(Aggregate::Rows) if counts == 0 => counts += 1,
            What::Number(_) => {
                return Err(SqlError::outside(
                    place,
                    "anything but one count(*) of groups",
                    "count the groups; for another number of a group, ask with WHERE for it",
                ));
            }
        }
    }
    if counts == 0 {
        return Err(SqlError::outside(ask, "groups without count(*)", "add count(*)"));
    }
    let Some((column, bins, place)) = buckets.pop() else {
        return Ok(Ask::Query(match top {
            None => Query::GroupedCount { keys, threshold_delta: None },
            Some(k) => Query::TopK { keys, k, threshold_delta: None },
        }));
    };
    if !keys.is_empty() || !buckets.is_empty() || top.is_some() {
        return Err(SqlError::outside(
            place,
            "bins beside other groups or in an order",
            "group by the bins alone; they come in the order of their edges",
        ));
    }
    Ok(Ask::Histogram { column, bins })
}

/// How many groups are wanted, the largest first.
fn top(
    scope: &mut Scope,
    items: &[Item],
    order_by: Option<&OrderBy>,
    limit: Option<&LimitClause>,
) -> Result<Option<u32>, SqlError> {
    let or = scope.places.ask;
    let refuse = |at: Place, found: &str| {
        Err(SqlError::outside(
            at,
            found,
            "for the largest groups write ORDER BY count(*) DESC LIMIT 5; otherwise leave it out: \
             groups come in the order of the column's domain",
        ))
    };
    let limit = match limit {
        None => None,
        Some(limit) => {
            let LimitClause::LimitOffset { limit: Some(number), offset: None, limit_by } = limit
            else {
                return refuse(Place::of(limit.span(), or), "this LIMIT");
            };
            match whole(number).filter(|k| *k > 0 && limit_by.is_empty()) {
                Some(k) => Some((k, Place::of(number.span(), or))),
                None => return refuse(Place::of(number.span(), or), "this LIMIT"),
            }
        }
    };
    match (order_by, limit) {
        (None, None) => Ok(None),
        (Some(order), None) => refuse(Place::of(order.span(), or), "ORDER BY without LIMIT"),
        (None, Some((_, at))) => refuse(at, "LIMIT without ORDER BY"),
        (Some(order), Some((k, _))) => {
            let at = Place::of(order.span(), or);
            if by_count_descending(scope, items, order) {
                Ok(Some(k))
            } else {
                refuse(at, "this order")
            }
        }
    }
}

fn by_count_descending(scope: &mut Scope, items: &[Item], order: &OrderBy) -> bool {
    let OrderByKind::Expressions(exprs) = &order.kind else { return false };
    let [one] = exprs.as_slice() else { return false };
    let descending = one.options.asc == Some(false) && one.options.nulls_first.is_none();
    if !descending || one.with_fill.is_some() || order.interpolate.is_some() {
        return false;
    }
    let is_count = |item: &Item| matches!(item.what, What::Number(Aggregate::Rows));
    match &one.expr {
        Expr::Identifier(ident) => {
            let named = folded(ident);
            let aliased = items.iter().find(|i| i.alias.as_deref() == Some(named.as_str()));
            aliased.map_or_else(
                || named == "count" && items.iter().any(|i| is_count(i) && i.alias.is_none()),
                is_count,
            )
        }
        Expr::Function(function) => aggregate(scope, function).is_ok_and(|a| a == Aggregate::Rows),
        other => {
            let item = whole(other).and_then(|n| items.get((n as usize).checked_sub(1)?));
            item.is_some_and(is_count)
        }
    }
}
