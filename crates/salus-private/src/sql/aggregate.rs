use salus_dp::{Query, Rank};
use salus_model::ColumnPath;
use sqlparser::ast::{
    Array, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Spanned as _, Value,
};

use super::error::{Place, SqlError};
use super::literal::{Scope, edge, fraction, whole};
use super::{Ask, Bins, Period};

/// What one aggregate function asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Aggregate {
    Rows,
    Distinct(ColumnPath),
    Sum(ColumnPath),
    Mean(ColumnPath),
    Spread(ColumnPath),
    Minimum(ColumnPath),
    Maximum(ColumnPath),
    Quantile(ColumnPath, Rank),
    Histogram(ColumnPath, Bins),
    Line { x: ColumnPath, y: ColumnPath },
}

const LIST: &str = "the functions are count(*), count(DISTINCT c), sum, avg, var_pop, stddev_pop, \
                    min, max, median, quantile(c, 0.9), histogram(c, 20), regr_slope(y, x) and \
                    regr_intercept(y, x)";

/// A call without what calls may have in other places, and where it stands.
struct Call<'e> {
    name: String,
    place: Place,
    distinct: bool,
    args: Vec<&'e FunctionArgExpr>,
    within: Option<&'e Expr>,
}

fn call<'e>(scope: &Scope, function: &'e Function) -> Result<Call<'e>, SqlError> {
    let place = Place::of(function.span(), scope.places.ask);
    let name = function.name.to_string().to_lowercase();
    let Function {
        name: _,
        uses_odbc_syntax,
        parameters,
        args,
        filter,
        null_treatment,
        over,
        within_group,
    } = function;
    let refuse = |found: &str, instead: &str| Err(SqlError::outside(place, found, instead));
    if filter.is_some() {
        return refuse("FILTER", "put the condition into WHERE");
    }
    if over.is_some() {
        return refuse("a window", "ask for one number, or groups with GROUP BY");
    }
    let plain = !uses_odbc_syntax
        && null_treatment.is_none()
        && matches!(parameters, FunctionArguments::None);
    let FunctionArguments::List(list) = args else {
        return refuse(&format!("{name} in this form"), LIST);
    };
    if !plain || !list.clauses.is_empty() {
        return refuse(&format!("{name} in this form"), LIST);
    }
    let args: Option<Vec<&FunctionArgExpr>> = list
        .args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(arg) => Some(arg),
            FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => None,
        })
        .collect();
    let Some(args) = args else {
        return refuse("named arguments", "give them in order, without names");
    };
    let within = match within_group.as_slice() {
        [] => None,
        [one] if one.options.asc != Some(false) && one.with_fill.is_none() => Some(&one.expr),
        _ => return refuse("this order within the group", "write WITHIN GROUP (ORDER BY column)"),
    };
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    Ok(Call { name, place, distinct, args, within })
}

impl Call<'_> {
    fn refused(&self, instead: &str) -> SqlError {
        SqlError::outside(self.place, format!("{} in this form", self.name), instead)
    }

    /// The expressions given, when there are as many as wanted.
    fn given<const N: usize>(&self, form: &str) -> Result<[&Expr; N], SqlError> {
        let exprs: Vec<&Expr> = self
            .args
            .iter()
            .filter_map(|arg| match arg {
                FunctionArgExpr::Expr(expr) => Some(expr),
                _ => None,
            })
            .collect();
        let complete = exprs.len() == self.args.len() && !self.distinct;
        <[&Expr; N]>::try_from(exprs)
            .ok()
            .filter(|_| complete)
            .ok_or_else(|| self.refused(&format!("write {form}")))
    }
}

/// Reads one function of the select list.
pub(super) fn read(scope: &mut Scope, function: &Function) -> Result<Aggregate, SqlError> {
    let call = call(scope, function)?;
    if call.within.is_some() != matches!(call.name.as_str(), "percentile_cont" | "percentile_disc")
    {
        return Err(call.refused("WITHIN GROUP (ORDER BY column) belongs to percentile_cont(0.9)"));
    }
    let of_column = |scope: &mut Scope, make: fn(ColumnPath) -> Aggregate| {
        let [column] = call.given(&format!("{}(column)", call.name))?;
        scope.wanted_column(column).map(make)
    };
    match call.name.as_str() {
        "count" => count(scope, &call),
        "sum" => of_column(scope, Aggregate::Sum),
        "avg" | "mean" => of_column(scope, Aggregate::Mean),
        "var_pop" | "stddev_pop" | "variance" | "stddev" => of_column(scope, Aggregate::Spread),
        "var_samp" | "stddev_samp" | "var_sample" => {
            Err(call.refused("write var_pop(column) or stddev_pop(column)"))
        }
        "min" => of_column(scope, Aggregate::Minimum),
        "max" => of_column(scope, Aggregate::Maximum),
        "median" => {
            let [column] = call.given("median(column)")?;
            let column = scope.wanted_column(column)?;
            rank(&call, Some(0.5)).map(|rank| Aggregate::Quantile(column, rank))
        }
        "quantile" => {
            let [column, of] = call.given("quantile(column, 0.9)")?;
            let column = scope.wanted_column(column)?;
            rank(&call, fraction(of)).map(|rank| Aggregate::Quantile(column, rank))
        }
        "percentile_cont" | "percentile_disc" => {
            let form = "percentile_cont(0.9) WITHIN GROUP (ORDER BY column)";
            let [of] = call.given(form)?;
            let within = call.within.ok_or_else(|| call.refused(form))?;
            let column = scope.wanted_column(within)?;
            rank(&call, fraction(of)).map(|rank| Aggregate::Quantile(column, rank))
        }
        "histogram" => {
            let [column, bins] =
                call.given("histogram(column, 20) or histogram(column, ARRAY[…])")?;
            let column = scope.wanted_column(column)?;
            Ok(Aggregate::Histogram(column, equal_or_at(&call, bins)?))
        }
        "regr_slope" | "regr_intercept" => {
            let [y, x] = call.given(&format!("{}(y, x)", call.name))?;
            let (y, x) = (scope.wanted_column(y)?, scope.wanted_column(x)?);
            Ok(Aggregate::Line { x, y })
        }
        "width_bucket" | "date_trunc" => Err(call.refused(
            "select it beside count(*) and group by it: SELECT width_bucket(c, 0, 100, 20), \
             count(*) … GROUP BY 1",
        )),
        name => Err(SqlError::outside(call.place, format!("the function {name}"), LIST)),
    }
}

fn count(scope: &mut Scope, call: &Call<'_>) -> Result<Aggregate, SqlError> {
    match (call.distinct, call.args.as_slice()) {
        (false, [FunctionArgExpr::Wildcard]) => Ok(Aggregate::Rows),
        (true, [FunctionArgExpr::Expr(column)]) => {
            scope.wanted_column(column).map(Aggregate::Distinct)
        }
        (false, [FunctionArgExpr::Expr(Expr::Value(_))]) => Err(call.refused("write count(*)")),
        (false, [FunctionArgExpr::Expr(_)]) => {
            Err(call.refused("write count(*) with WHERE column IS NOT NULL"))
        }
        _ => Err(call.refused("write count(*) or count(DISTINCT column)")),
    }
}

fn rank(call: &Call<'_>, of: Option<f64>) -> Result<Rank, SqlError> {
    of.and_then(|of| Rank::new(of).ok()).ok_or_else(|| {
        call.refused("the rank is a number between 0 and 1; for the ends ask min or max")
    })
}

fn equal_or_at(call: &Call<'_>, bins: &Expr) -> Result<Bins, SqlError> {
    if let Expr::Array(Array { elem, .. }) = bins {
        let edges = elem.iter().map(|e| edge(e, call.place)).collect::<Result<_, _>>()?;
        return Ok(Bins::At(edges));
    }
    let bins = whole(bins).filter(|n| *n > 0);
    bins.map(Bins::Equal).ok_or_else(|| {
        call.refused("give the number of bins, or the edges between them as ARRAY[10, 20]")
    })
}

/// Reads a function that rows are grouped by.
pub(super) fn bucket(
    scope: &mut Scope,
    function: &Function,
) -> Option<Result<(ColumnPath, Bins), SqlError>> {
    let name = function.name.to_string().to_lowercase();
    let read = match name.as_str() {
        "width_bucket" => width_bucket,
        "date_trunc" => date_trunc,
        _ => return None,
    };
    Some(call(scope, function).and_then(|call| read(scope, &call)))
}

fn width_bucket(scope: &mut Scope, call: &Call<'_>) -> Result<(ColumnPath, Bins), SqlError> {
    if call.args.len() == 2 {
        let [column, edges] = call.given("width_bucket(column, ARRAY[10, 20])")?;
        let column = scope.wanted_column(column)?;
        let Expr::Array(_) = edges else {
            return Err(call.refused("write width_bucket(column, 0, 100, 20)"));
        };
        return Ok((column, equal_or_at(call, edges)?));
    }
    let form = "width_bucket(column, 0, 100, 20)";
    let [column, low, high, bins] = call.given(form)?;
    let column = scope.wanted_column(column)?;
    let (low, high) = (edge(low, call.place)?, edge(high, call.place)?);
    let bins = whole(bins).filter(|n| *n > 0);
    let bins = bins.ok_or_else(|| call.refused(&format!("write {form}")))?;
    Ok((column, Bins::Between { low, high, bins }))
}

fn date_trunc(scope: &mut Scope, call: &Call<'_>) -> Result<(ColumnPath, Bins), SqlError> {
    let form = "date_trunc('month', column)";
    let [period, column] = call.given(form)?;
    let Expr::Value(value) = period else {
        return Err(call.refused(&format!("write {form}")));
    };
    let period = match &value.value {
        Value::SingleQuotedString(text) => Period::named(&text.to_lowercase()),
        _ => None,
    };
    let period = period
        .ok_or_else(|| call.refused("the periods are year, quarter, month, week, day and hour"))?;
    Ok((scope.wanted_column(column)?, Bins::Calendar(period)))
}

impl Period {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "year" => Self::Year,
            "quarter" => Self::Quarter,
            "month" => Self::Month,
            "week" => Self::Week,
            "day" => Self::Day,
            "hour" => Self::Hour,
            _ => return None,
        })
    }
}

/// The one question that a select list without groups asks.
pub(super) fn together(aggregates: Vec<(Aggregate, Place)>) -> Result<Ask, SqlError> {
    let mut aggregates = aggregates.into_iter();
    let Some((first, _)) = aggregates.next() else {
        return Err(SqlError::outside(Place::default(), "a statement without a function", LIST));
    };
    let mut ranks = Vec::new();
    if let Aggregate::Quantile(_, rank) = &first {
        ranks.push(*rank);
    }
    let mut so_far = first;
    for (next, at) in aggregates {
        so_far = match (so_far, next) {
            (Aggregate::Quantile(a, rank), Aggregate::Quantile(b, more)) if a == b => {
                ranks.push(more);
                Aggregate::Quantile(a, rank)
            }
            (Aggregate::Mean(a) | Aggregate::Spread(a), Aggregate::Spread(b))
            | (Aggregate::Spread(a), Aggregate::Mean(b))
                if a == b =>
            {
                Aggregate::Spread(a)
            }
            (a @ (Aggregate::Line { .. } | Aggregate::Mean(_)), b) if a == b => a,
            _ => {
                return Err(SqlError::outside(
                    at,
                    "a second number of another kind",
                    "ask for it in a statement of its own: each is charged by itself; one charge \
                     covers avg with stddev_pop and var_pop, several quantiles of a column, or \
                     slope with intercept",
                ));
            }
        };
    }
    Ok(Ask::Query(match so_far {
        Aggregate::Rows => Query::Count,
        Aggregate::Distinct(column) => Query::DistinctCount { column },
        Aggregate::Sum(column) => Query::Sum { column },
        Aggregate::Mean(column) => Query::Mean { column },
        Aggregate::Spread(column) => Query::Variance { column },
        Aggregate::Minimum(column) => Query::Minimum { column },
        Aggregate::Maximum(column) => Query::Maximum { column },
        Aggregate::Quantile(column, _) => Query::Quantiles { column, ranks },
        Aggregate::Line { x, y } => Query::LinearRegression { x, y },
        Aggregate::Histogram(column, bins) => return Ok(Ask::Histogram { column, bins }),
    }))
}
