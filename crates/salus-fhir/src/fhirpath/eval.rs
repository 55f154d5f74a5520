use std::cmp::Ordering;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use smallvec::smallvec;

use super::ast::{Expr, Operator, Step, TypeFunction, TypeName, Variable};
use super::functions;
use super::item::{Collection, Item};
use super::scalar::{Quantity, Scalar};
use super::{Environment, EvaluationError};
use crate::temporal::{Precision, Temporal};

/// More items than this in one collection are refused.
pub(super) const MOST_ITEMS: usize = 1_000_000;

pub(super) type Evaluated<'a> = Result<Collection<'a>, EvaluationError>;

/// What an expression sees at one point of its evaluation.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s, 'a> {
    pub(super) this: &'s Item<'a>,
    pub(super) context: &'s Item<'a>,
    pub(super) root: &'s Item<'a>,
    pub(super) index: usize,
    pub(super) total: Option<&'s Collection<'a>>,
    pub(super) environment: Environment<'a>,
}

impl<'s, 'a> Scope<'s, 'a> {
    /// The scope of a criterion on one item of a collection.
    pub(super) fn at(self, this: &'s Item<'a>, index: usize) -> Self {
        Self { this, index, ..self }
    }
}

pub(super) fn evaluate<'a>(
    expr: &'a Expr,
    focus: &Item<'a>,
    root: &Item<'a>,
    environment: Environment<'a>,
) -> Evaluated<'a> {
    let scope = Scope { this: focus, context: focus, root, index: 0, total: None, environment };
    eval(expr, scope)
}

pub(super) fn one<'a>(scalar: Scalar<'a>) -> Collection<'a> {
    smallvec![Item::Scalar(scalar)]
}

pub(super) fn truth<'a>(value: Option<bool>) -> Collection<'a> {
    value.map(|b| one(Scalar::Boolean(b))).unwrap_or_default()
}

pub(super) fn eval<'a>(expr: &'a Expr, scope: Scope<'_, 'a>) -> Evaluated<'a> {
    match expr {
        Expr::Empty => Ok(Collection::new()),
        Expr::Literal(literal) => Ok(one(literal.lend())),
        Expr::This => Ok(smallvec![scope.this.clone()]),
        Expr::Index => Ok(one(Scalar::Integer(scope.index as i64))),
        Expr::Total => Ok(scope.total.cloned().unwrap_or_default()),
        Expr::Variable(variable) => Ok(variable_value(*variable, scope)),
        Expr::Path(head, steps) => path(head, steps, scope),
        Expr::Negate(inner) => negate(eval(inner, scope)?),
        Expr::Plus(inner) => eval(inner, scope),
        Expr::Binary(operator, left, right) => binary(*operator, left, right, scope),
        Expr::Is(inner, name) => is_of(&eval(inner, scope)?, *name),
        Expr::As(inner, name) => Ok(only(eval(inner, scope)?, *name)),
    }
}

fn variable_value<'a>(variable: Variable, scope: Scope<'_, 'a>) -> Collection<'a> {
    match variable {
        Variable::Resource | Variable::RootResource => smallvec![scope.root.clone()],
        Variable::Context => smallvec![scope.context.clone()],
        Variable::RowIndex => one(Scalar::Integer(scope.environment.row_index)),
        Variable::Constant(at) => {
            scope.environment.constants.get(at).map(|c| one(c.lend())).unwrap_or_default()
        }
    }
}

fn path<'a>(head: &'a Expr, steps: &'a [Step], scope: Scope<'_, 'a>) -> Evaluated<'a> {
    let mut at = eval(head, scope)?;
    for step in steps {
        at = apply(step, at, scope)?;
        if at.len() > MOST_ITEMS {
            return Err(EvaluationError::TooMany { most: MOST_ITEMS });
        }
    }
    Ok(at)
}

fn apply<'a>(step: &'a Step, input: Collection<'a>, scope: Scope<'_, 'a>) -> Evaluated<'a> {
    match step {
        Step::Member(member) => {
            let mut out = Collection::new();
            for node in input.iter().filter_map(Item::node) {
                node.member(member, &mut out);
            }
            Ok(out)
        }
        Step::TypeHead(id, member) => {
            let kept: Collection<'a> =
                input.iter().filter(|item| item.is_of(TypeName::Fhir(*id))).cloned().collect();
            if kept.is_empty() {
                let mut out = Collection::new();
                input.iter().filter_map(Item::node).for_each(|n| n.member(member, &mut out));
                return Ok(out);
            }
            Ok(kept)
        }
        Step::At(index) => {
            let index = eval(index, scope)?;
            let at = functions::integer("[]", &index)?.and_then(|i| usize::try_from(i).ok());
            Ok(at.and_then(|at| input.get(at).cloned()).into_iter().collect())
        }
        Step::Call(function, arguments) => functions::call(*function, arguments, input, scope),
        Step::TypeCall(TypeFunction::Is, name) => is_of(&input, *name),
        Step::TypeCall(TypeFunction::As | TypeFunction::OfType, name) => Ok(only(input, *name)),
        Step::ReferenceKey(wanted) => Ok(functions::reference_key(&input, *wanted)),
    }
}

fn is_of<'a>(input: &Collection<'a>, name: TypeName) -> Evaluated<'a> {
    match &input[..] {
        [] => Ok(Collection::new()),
        [item] => Ok(truth(Some(item.is_of(name)))),
        more => Err(EvaluationError::NotSingle { place: "is", found: more.len() }),
    }
}

fn only<'a>(mut input: Collection<'a>, name: TypeName) -> Collection<'a> {
    input.retain(|item| item.is_of(name));
    input
}

/// The one item of a collection, as operators need it.
pub(super) fn single<'c, 'a>(
    place: &'static str,
    input: &'c Collection<'a>,
) -> Result<Option<&'c Item<'a>>, EvaluationError> {
    match &input[..] {
        [] => Ok(None),
        [item] => Ok(Some(item)),
        more => Err(EvaluationError::NotSingle { place, found: more.len() }),
    }
}

/// A collection as a truth value: a single item that is no boolean counts as true.
pub(super) fn boolean(
    place: &'static str,
    input: &Collection<'_>,
) -> Result<Option<bool>, EvaluationError> {
    Ok(single(place, input)?.map(|item| match item.scalar() {
        Some(Scalar::Boolean(b)) => b,
        _ => true,
    }))
}

fn scalar<'a>(
    place: &'static str,
    input: &Collection<'a>,
) -> Result<Option<Scalar<'a>>, EvaluationError> {
    let Some(item) = single(place, input)? else { return Ok(None) };
    let wanted = "a value and no element with parts";
    item.scalar().map(Some).ok_or(EvaluationError::WrongType { place, wanted })
}

fn negate<'a>(input: Collection<'a>) -> Evaluated<'a> {
    const WRONG: EvaluationError = EvaluationError::WrongType { place: "-", wanted: "a number" };
    Ok(match scalar("-", &input)? {
        None => Collection::new(),
        Some(Scalar::Integer(i)) => {
            i.checked_neg().map(Scalar::Integer).map(one).unwrap_or_default()
        }
        Some(Scalar::Decimal(d)) => one(Scalar::Decimal(-d)),
        Some(Scalar::Quantity(q)) => {
            one(Scalar::Quantity(Box::new(Quantity { value: -q.value, unit: q.unit })))
        }
        Some(_) => return Err(WRONG),
    })
}

fn binary<'a>(
    operator: Operator,
    left: &'a Expr,
    right: &'a Expr,
    scope: Scope<'_, 'a>,
) -> Evaluated<'a> {
    let a = eval(left, scope)?;
    if matches!(operator, Operator::And | Operator::Or | Operator::Xor | Operator::Implies) {
        return logic(operator, &a, right, scope);
    }
    let b = eval(right, scope)?;
    Ok(match operator {
        Operator::Union => functions::distinct(a.into_iter().chain(b).collect()),
        Operator::Equal => truth(equal(&a, &b)),
        Operator::NotEqual => truth(equal(&a, &b).map(|e| !e)),
        Operator::Equivalent => truth(Some(equivalent(&a, &b))),
        Operator::NotEquivalent => truth(Some(!equivalent(&a, &b))),
        Operator::In => membership("in", &a, &b)?,
        Operator::Contains => membership("contains", &b, &a)?,
        Operator::Less => compare("<", &a, &b, Ordering::is_lt)?,
        Operator::LessOrEqual => compare("<=", &a, &b, Ordering::is_le)?,
        Operator::Greater => compare(">", &a, &b, Ordering::is_gt)?,
        Operator::GreaterOrEqual => compare(">=", &a, &b, Ordering::is_ge)?,
        Operator::Concatenate => {
            let mut text = String::new();
            for side in [scalar("&", &a)?, scalar("&", &b)?].into_iter().flatten() {
                text.push_str(&side.to_text());
            }
            one(Scalar::String(text.into()))
        }
        _ => match (scalar(name_of(operator), &a)?, scalar(name_of(operator), &b)?) {
            (Some(a), Some(b)) => arithmetic(operator, &a, &b)?.map(one).unwrap_or_default(),
            _ => Collection::new(),
        },
    })
}

fn name_of(operator: Operator) -> &'static str {
    match operator {
        Operator::Add => "+",
        Operator::Subtract => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::Div => "div",
        _ => "mod",
    }
}

/// Three-valued logic; the right side is not looked at when the left decides.
fn logic<'a>(
    operator: Operator,
    a: &Collection<'a>,
    right: &'a Expr,
    scope: Scope<'_, 'a>,
) -> Evaluated<'a> {
    let place = match operator {
        Operator::And => "and",
        Operator::Or => "or",
        Operator::Xor => "xor",
        _ => "implies",
    };
    let a = boolean(place, a)?;
    let decided = match (operator, a) {
        (Operator::And, Some(false)) => Some(false),
        (Operator::Or, Some(true)) | (Operator::Implies, Some(false)) => Some(true),
        _ => None,
    };
    if decided.is_some() {
        return Ok(truth(decided));
    }
    let b = boolean(place, &eval(right, scope)?)?;
    Ok(truth(match (operator, a, b) {
        (Operator::And, _, Some(false)) => Some(false),
        (Operator::And, Some(true), Some(true)) => Some(true),
        (Operator::Or, _, Some(true)) => Some(true),
        (Operator::Or, Some(false), Some(false)) => Some(false),
        (Operator::Xor, Some(a), Some(b)) => Some(a != b),
        (Operator::Implies, Some(true), b) => b,
        (Operator::Implies, None, Some(true)) => Some(true),
        _ => None,
    }))
}

fn equal(a: &Collection<'_>, b: &Collection<'_>) -> Option<bool> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    if a.len() != b.len() {
        return Some(false);
    }
    let mut all = Some(true);
    for (a, b) in a.iter().zip(b) {
        match a.equal(b) {
            Some(false) => return Some(false),
            None => all = None,
            Some(true) => {}
        }
    }
    all
}

fn equivalent(a: &Collection<'_>, b: &Collection<'_>) -> bool {
    a.len() == b.len() && a.iter().all(|a| b.iter().any(|b| a.equivalent(b)))
}

fn membership<'a>(
    place: &'static str,
    item: &Collection<'a>,
    all: &Collection<'a>,
) -> Evaluated<'a> {
    let Some(item) = single(place, item)? else { return Ok(Collection::new()) };
    Ok(truth(Some(all.iter().any(|other| item.equal(other) == Some(true)))))
}

fn compare<'a>(
    place: &'static str,
    a: &Collection<'a>,
    b: &Collection<'a>,
    fits: fn(Ordering) -> bool,
) -> Evaluated<'a> {
    let (Some(a), Some(b)) = (scalar(place, a)?, scalar(place, b)?) else {
        return Ok(Collection::new());
    };
    let wanted = "two values that have an order";
    let order = a.order(&b).ok_or(EvaluationError::WrongType { place, wanted })?;
    Ok(truth(order.map(fits)))
}

/// Arithmetic; none for an overflow or a division by zero.
fn arithmetic<'a>(
    operator: Operator,
    a: &Scalar<'a>,
    b: &Scalar<'a>,
) -> Result<Option<Scalar<'a>>, EvaluationError> {
    let wrong = EvaluationError::WrongType {
        place: name_of(operator),
        wanted: "two numbers, quantities of one unit, texts to join, or a date and a duration",
    };
    if let (Scalar::Integer(a), Scalar::Integer(b)) = (a, b) {
        let whole = match operator {
            Operator::Add => a.checked_add(*b),
            Operator::Subtract => a.checked_sub(*b),
            Operator::Multiply => a.checked_mul(*b),
            Operator::Div => a.checked_div(*b),
            Operator::Mod => a.checked_rem(*b),
            _ => return Ok(quotient(Decimal::from(*a), Decimal::from(*b)).map(Scalar::Decimal)),
        };
        return Ok(whole.map(Scalar::Integer));
    }
    if let (Some(a), Some(b)) = (a.number(), b.number()) {
        return Ok(match operator {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            Operator::Divide => quotient(a, b),
            Operator::Mod => a.checked_rem(b),
            _ => return Ok(a.checked_div(b).and_then(|q| q.trunc().to_i64()).map(Scalar::Integer)),
        }
        .map(Scalar::Decimal));
    }
    match (a, b, operator) {
        (Scalar::String(a), Scalar::String(b), Operator::Add) => {
            Ok(Some(Scalar::String(format!("{a}{b}").into())))
        }
        (Scalar::Date(t), Scalar::Quantity(q), Operator::Add | Operator::Subtract) => {
            Ok(shift(*t, q, operator).ok_or(wrong)?.map(Scalar::Date))
        }
        (Scalar::DateTime(t), Scalar::Quantity(q), Operator::Add | Operator::Subtract) => {
            Ok(shift(*t, q, operator).ok_or(wrong)?.map(Scalar::DateTime))
        }
        (Scalar::Quantity(a), Scalar::Quantity(b), _) => quantities(operator, a, b).ok_or(wrong),
        _ => Err(wrong),
    }
}

/// Eight decimal places where the quotient does not end, as other implementations give.
fn quotient(a: Decimal, b: Decimal) -> Option<Decimal> {
    let exact = a.checked_div(b)?;
    if exact.checked_mul(b) == Some(a) { Some(exact.normalize()) } else { Some(exact.round_dp(8)) }
}

fn quantities<'a>(
    operator: Operator,
    a: &Quantity<'a>,
    b: &Quantity<'a>,
) -> Option<Option<Scalar<'a>>> {
    let same = a.unit == b.unit;
    let unit = || a.unit.clone();
    let (value, unit) = match operator {
        Operator::Add if same => (a.value.checked_add(b.value), unit()),
        Operator::Subtract if same => (a.value.checked_sub(b.value), unit()),
        Operator::Divide if same => (quotient(a.value, b.value), "1".into()),
        Operator::Multiply if b.unit == "1" => (a.value.checked_mul(b.value), unit()),
        Operator::Divide if b.unit == "1" => (quotient(a.value, b.value), unit()),
        _ => return None,
    };
    Some(value.map(|value| Scalar::Quantity(Box::new(Quantity { value, unit }))))
}

/// A date moved by a duration. The outer result is none for a unit that is no duration, the
/// inner for a date out of range.
fn shift(date: Temporal, by: &Quantity<'_>, operator: Operator) -> Option<Option<Temporal>> {
    let amount = if operator == Operator::Subtract { -by.value } else { by.value };
    let months = |factor: i64| amount.trunc().to_i64()?.checked_mul(factor);
    // Below the precision of the date only whole units count.
    let micros = |factor: i64| amount.checked_mul(Decimal::from(factor))?.trunc().to_i64();
    let unit = by.unit.as_ref();
    let unit = unit.strip_suffix('s').filter(|u| u.len() > 2).unwrap_or(unit);
    let moved = match unit {
        "year" | "a" => months(12).and_then(|m| date.add_months(m)),
        "month" | "mo" => months(1).and_then(|m| date.add_months(m)),
        "week" | "wk" => micros(7 * 86_400_000_000).and_then(|m| date.add_micros(m)),
        "day" | "d" => micros(86_400_000_000).and_then(|m| date.add_micros(m)),
        "hour" | "h" => micros(3_600_000_000).and_then(|m| date.add_micros(m)),
        "minute" | "min" => micros(60_000_000).and_then(|m| date.add_micros(m)),
        "second" | "s" => micros(1_000_000).and_then(|m| date.add_micros(m)),
        "millisecond" | "ms" => micros(1_000).and_then(|m| date.add_micros(m)),
        _ => return None,
    };
    Some(moved.map(|moved| match date.precision() {
        // Keeps the precision: a date plus hours stays a date.
        Precision::Year | Precision::Month | Precision::Day => moved.date(),
        _ => moved,
    }))
}
