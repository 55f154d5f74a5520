use salus_model::ColumnPath;
use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value, ValueWithSpan};

use super::error::SqlError;
use super::literal::{Scope, subquery};
use crate::predicate::{Comparison, Predicate};

/// Whether a condition must hold, or be known not to.
///
/// `NOT` is carried down to the single conditions, where SQL's three truth values come to the same
/// as [`Predicate`]'s two: a negated condition on a missing value is not true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Holds,
    Negated,
}

impl Sign {
    const fn flipped(self) -> Self {
        match self {
            Self::Holds => Self::Negated,
            Self::Negated => Self::Holds,
        }
    }

    const fn flipped_if(self, negated: bool) -> Self {
        if negated { self.flipped() } else { self }
    }

    fn put(self, condition: Predicate) -> Predicate {
        match self {
            Self::Holds => condition,
            Self::Negated => Predicate::Not(Box::new(condition)),
        }
    }
}

/// Reads a `WHERE`.
pub(super) fn read(scope: &mut Scope, expr: &Expr) -> Result<Predicate, SqlError> {
    condition(scope, expr, Sign::Holds)
}

/// What is true wherever `condition` is not: where it is false, and where it is not known.
pub(super) fn not_true(condition: Predicate) -> Predicate {
    match condition {
        Predicate::And(_) | Predicate::Or(_) | Predicate::Not(_) | Predicate::IsNull { .. } => {
            Predicate::Not(Box::new(condition))
        }
        single => {
            let missing = single.single().cloned().map(|column| Predicate::IsNull { column });
            let negated = Predicate::Not(Box::new(single));
            Predicate::Or(std::iter::once(negated).chain(missing).collect())
        }
    }
}

fn condition(scope: &mut Scope, expr: &Expr, sign: Sign) -> Result<Predicate, SqlError> {
    match expr {
        Expr::Nested(inner) => condition(scope, inner, sign),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => condition(scope, expr, sign.flipped()),
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::And | BinaryOperator::Or => joined(scope, expr, op, sign),
            _ => comparison(scope, left, op, right).map(|c| sign.put(c)),
        },
        Expr::IsNull(inner) => is_null(scope, inner, sign),
        Expr::IsNotNull(inner) => is_null(scope, inner, sign.flipped()),
        Expr::IsTrue(inner) => truth(scope, inner, Sign::Holds, sign),
        Expr::IsNotTrue(inner) => truth(scope, inner, Sign::Holds, sign.flipped()),
        Expr::IsFalse(inner) => truth(scope, inner, Sign::Negated, sign),
        Expr::IsNotFalse(inner) => truth(scope, inner, Sign::Negated, sign.flipped()),
        Expr::InList { expr, list, negated } => {
            let column = scope.wanted_column(expr)?;
            let values = list
                .iter()
                .map(|value| scope.literal(value, &column))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(sign.flipped_if(*negated).put(Predicate::In { column, values }))
        }
        Expr::Between { expr, negated, low, high } => {
            let column = scope.wanted_column(expr)?;
            let (low, high) = (scope.literal(low, &column)?, scope.literal(high, &column)?);
            Ok(sign.flipped_if(*negated).put(Predicate::Between { column, low, high }))
        }
        Expr::Like { negated, any: false, expr, pattern, escape_char } => {
            let column = scope.wanted_column(expr)?;
            let like = like(scope, column, pattern, escape_char.as_ref())?;
            Ok(sign.flipped_if(*negated).put(like))
        }
        other => Err(refused(scope, other)),
    }
}

fn is_null(scope: &mut Scope, expr: &Expr, sign: Sign) -> Result<Predicate, SqlError> {
    let column = scope.wanted_column(expr)?;
    Ok(sign.put(Predicate::IsNull { column }))
}

/// `inner IS TRUE` or `inner IS FALSE`, which is never unknown, or the opposite of it.
fn truth(scope: &mut Scope, inner: &Expr, of: Sign, sign: Sign) -> Result<Predicate, SqlError> {
    let known = condition(scope, inner, of)?;
    Ok(match sign {
        Sign::Holds => known,
        Sign::Negated => not_true(known),
    })
}

/// All conditions of one chain of the same word; parentheses begin a chain of their own.
fn joined(
    scope: &mut Scope,
    expr: &Expr,
    word: &BinaryOperator,
    sign: Sign,
) -> Result<Predicate, SqlError> {
    let mut parts = Vec::new();
    let mut rest = expr;
    while let Expr::BinaryOp { left, op, right } = rest {
        if op != word {
            break;
        }
        parts.push(right.as_ref());
        rest = left;
    }
    parts.push(rest);
    parts.reverse();
    let parts = parts
        .into_iter()
        .map(|part| condition(scope, part, sign))
        .collect::<Result<Vec<_>, _>>()?;
    let and = (*word == BinaryOperator::And) == (sign == Sign::Holds);
    Ok(if and { Predicate::And(parts) } else { Predicate::Or(parts) })
}

fn comparison(
    scope: &mut Scope,
    left: &Expr,
    op: &BinaryOperator,
    right: &Expr,
) -> Result<Predicate, SqlError> {
    let is = match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::AtMost,
        BinaryOperator::Gt => Comparison::More,
        BinaryOperator::GtEq => Comparison::AtLeast,
        other => {
            return Err(SqlError::outside(
                scope.place(left),
                format!("the operator {other}"),
                "compare with =, <>, <, <=, > or >=, and join with AND, OR and NOT",
            ));
        }
    };
    if let Some(column) = scope.column(left) {
        let column = column?;
        let value = scope.literal(right, &column)?;
        return Ok(Predicate::Compare { column, is, value });
    }
    match scope.column(right) {
        Some(column) => {
            let column = column?;
            let value = scope.literal(left, &column)?;
            Ok(Predicate::Compare { column, is: mirrored(is), value })
        }
        None => Err(scope.no_column(left)),
    }
}

const fn mirrored(is: Comparison) -> Comparison {
    match is {
        Comparison::Less => Comparison::More,
        Comparison::AtMost => Comparison::AtLeast,
        Comparison::More => Comparison::Less,
        Comparison::AtLeast => Comparison::AtMost,
        same => same,
    }
}

/// One piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Char(char),
    Any,
    One,
}

fn like(
    scope: &mut Scope,
    column: ColumnPath,
    pattern: &Expr,
    escape: Option<&ValueWithSpan>,
) -> Result<Predicate, SqlError> {
    let place = scope.place(pattern);
    let refused = || {
        SqlError::outside(
            place,
            "this pattern",
            "patterns are 'text%' (starts with), '%text' (ends with) and '%text%' (contains), \
             with \\ before %, _ or \\ in the text",
        )
    };
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = pattern else {
        return Err(refused());
    };
    let escape = match escape.map(|e| &e.value) {
        None => '\\',
        Some(Value::SingleQuotedString(one)) => {
            let mut chars = one.chars();
            chars.next().filter(|_| chars.next().is_none()).ok_or_else(refused)?
        }
        Some(_) => return Err(refused()),
    };
    let pieces = pieces(text, escape).ok_or_else(refused)?;
    let (before, rest) = match pieces.as_slice() {
        [Piece::Any, rest @ ..] => (true, rest),
        all => (false, all),
    };
    let (after, inner) = match rest {
        [inner @ .., Piece::Any] => (true, inner),
        all => (false, all),
    };
    let text: Option<String> = inner
        .iter()
        .map(|piece| match piece {
            Piece::Char(c) => Some(*c),
            Piece::Any | Piece::One => None,
        })
        .collect();
    let text = text.ok_or_else(refused)?;
    Ok(match (before, after) {
        (true, true) => Predicate::Contains { column, text },
        (false, true) => Predicate::StartsWith { column, text },
        (true, false) => Predicate::EndsWith { column, text },
        (false, false) => Predicate::Compare {
            column,
            is: Comparison::Equal,
            value: crate::predicate::Literal::Text(text),
        },
    })
}

fn pieces(pattern: &str, escape: char) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            c if c == escape => Piece::Char(chars.next()?),
            '%' => Piece::Any,
            '_' => Piece::One,
            c => Piece::Char(c),
        });
    }
    Some(pieces)
}

fn refused(scope: &mut Scope, expr: &Expr) -> SqlError {
    let place = scope.place(expr);
    let (found, instead) = match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
            ("a column as a condition", "compare it: active = TRUE")
        }
        Expr::ILike { .. } => {
            ("ILIKE", "use LIKE: texts are compared as they are, capitals and small letters apart")
        }
        Expr::SimilarTo { .. } | Expr::RLike { .. } => {
            ("a regular expression", "use LIKE 'text%', '%text' or '%text%', joined by OR")
        }
        Expr::InSubquery { .. } | Expr::Exists { .. } | Expr::Subquery(_) => {
            return subquery(place);
        }
        Expr::IsUnknown(_) | Expr::IsNotUnknown(_) => ("IS UNKNOWN", "use IS NULL on each column"),
        Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => {
            ("IS DISTINCT FROM", "use =, <> and IS NULL")
        }
        Expr::Function(_) => {
            ("a function as a condition", "use =, <>, <, <=, >, >=, IN, BETWEEN, LIKE and IS NULL")
        }
        Expr::Case { .. } => ("CASE", "join conditions with AND, OR and NOT"),
        Expr::Value(_) => ("a value as a condition", "compare a column with it"),
        _ => (
            "this condition",
            "conditions are =, <>, <, <=, >, >=, IN, BETWEEN, LIKE and IS NULL, joined by AND, OR \
             and NOT",
        ),
    };
    SqlError::outside(place, found, instead)
}
