use super::Expression;
use super::ast::{Expr, Function, Operator, Step, SystemType, TypeFunction, TypeName, Variable};
use super::scalar::Scalar;
use crate::definitions::{TypeId, definitions};

/// The types that an expression may yield.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Inferred {
    /// One of these FHIR types; none at all means that it yields nothing.
    Fhir(Vec<TypeId>),
    /// A computed value, named by the FHIR primitive of the same values.
    System(&'static str),
    Unknown,
}

impl Inferred {
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fhir(mut mine), Self::Fhir(theirs)) => {
                mine.extend(theirs);
                mine.sort_unstable();
                mine.dedup();
                Self::Fhir(mine)
            }
            (Self::System(a), Self::System(b)) if a == b => Self::System(a),
            _ => Self::Unknown,
        }
    }

    fn member(&self, name: &str) -> Self {
        let Self::Fhir(ids) = self else { return Self::Unknown };
        let mut out = Vec::new();
        for id in ids {
            // Any resource may stand there, so its elements are not known.
            if definitions().definition(*id).name == "Resource" {
                return Self::Unknown;
            }
            if let Some(element) = definitions().definition(*id).element(name) {
                out.extend(element.types.iter().map(|t| t.id));
            }
        }
        out.sort_unstable();
        out.dedup();
        Self::Fhir(out)
    }
}

impl Expression {
    /// The types that it may yield on a focus of these types.
    pub(crate) fn infer(&self, focus: &Inferred) -> Inferred {
        infer(&self.root, focus)
    }
}

fn infer(expr: &Expr, focus: &Inferred) -> Inferred {
    match expr {
        Expr::Empty => Inferred::Fhir(Vec::new()),
        Expr::Literal(literal) => Inferred::System(match literal {
            Scalar::Boolean(_) => "boolean",
            Scalar::Integer(_) => "integer",
            Scalar::Decimal(_) => "decimal",
            Scalar::String(_) => "string",
            Scalar::Date(_) => "date",
            Scalar::DateTime(_) => "dateTime",
            Scalar::Time(_) => "time",
            Scalar::Quantity(_) => return Inferred::Unknown,
        }),
        Expr::This | Expr::Plus(_) | Expr::Negate(_) => match expr {
            Expr::Plus(inner) | Expr::Negate(inner) => infer(inner, focus),
            _ => focus.clone(),
        },
        Expr::Index | Expr::Variable(Variable::RowIndex) => Inferred::System("integer"),
        Expr::Total | Expr::Variable(_) => Inferred::Unknown,
        Expr::Path(head, steps) => {
            steps.iter().fold(infer(head, focus), |types, step| apply(step, types))
        }
        Expr::Is(..) => Inferred::System("boolean"),
        Expr::As(_, name) => named(*name),
        Expr::Binary(operator, left, right) => match operator {
            Operator::Union => infer(left, focus).or(infer(right, focus)),
            Operator::Concatenate => Inferred::System("string"),
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Mod
            | Operator::Divide => arithmetic(*operator, infer(left, focus), infer(right, focus)),
            Operator::Div => Inferred::System("integer"),
            _ => Inferred::System("boolean"),
        },
    }
}

fn arithmetic(operator: Operator, left: Inferred, right: Inferred) -> Inferred {
    let integer = |side: &Inferred| match side {
        Inferred::System(name) => *name == "integer",
        Inferred::Fhir(ids) => {
            let integer = definitions().type_named("integer");
            !ids.is_empty()
                && ids.iter().all(|id| integer.is_some_and(|i| definitions().is_a(*id, i)))
        }
        Inferred::Unknown => false,
    };
    let decimal = definitions().type_named("decimal");
    let number = |side: &Inferred| {
        integer(side)
            || *side == Inferred::System("decimal")
            || matches!(side, Inferred::Fhir(ids) if ids[..] == decimal.into_iter().collect::<Vec<_>>()[..])
    };
    match (integer(&left) && integer(&right), number(&left) && number(&right)) {
        (true, _) if operator != Operator::Divide => Inferred::System("integer"),
        (_, true) => Inferred::System("decimal"),
        _ => Inferred::Unknown,
    }
}

fn named(name: TypeName) -> Inferred {
    match name {
        TypeName::Fhir(id) => Inferred::Fhir(vec![id]),
        TypeName::System(system) => Inferred::System(match system {
            SystemType::Boolean => "boolean",
            SystemType::Integer => "integer",
            SystemType::Decimal => "decimal",
            SystemType::String => "string",
            SystemType::Date => "date",
            SystemType::DateTime => "dateTime",
            SystemType::Time => "time",
            SystemType::Quantity | SystemType::Any => return Inferred::Unknown,
        }),
    }
}

fn apply(step: &Step, types: Inferred) -> Inferred {
    use Function as F;
    match step {
        Step::Member(member) => types.member(&member.name),
        Step::TypeHead(id, _) => match &types {
            Inferred::Fhir(ids) if ids.iter().any(|t| definitions().is_a(*t, *id)) => types,
            _ => Inferred::Unknown,
        },
        Step::At(_) => types,
        Step::TypeCall(TypeFunction::Is, _) => Inferred::System("boolean"),
        Step::TypeCall(_, name) => named(*name),
        Step::ReferenceKey(_) => Inferred::System("string"),
        Step::Call(function, arguments) => match function {
            F::Where
            | F::First
            | F::Last
            | F::Single
            | F::Tail
            | F::Skip
            | F::Take
            | F::Distinct
            | F::Exclude
            | F::Intersect
            | F::Trace
            | F::LowBoundary
            | F::HighBoundary
            | F::GetValue => types,
            F::Select | F::Repeat => match arguments.first() {
                Some(argument) => infer(argument, &types),
                None => Inferred::Unknown,
            },
            F::Extension => definitions()
                .type_named("Extension")
                .map_or(Inferred::Unknown, |id| Inferred::Fhir(vec![id])),
            F::Count
            | F::IndexOf
            | F::Length
            | F::ToInteger
            | F::Ceiling
            | F::Floor
            | F::Truncate => Inferred::System("integer"),
            F::ToDecimal | F::Round | F::Sqrt | F::Exp | F::Ln | F::Log => {
                Inferred::System("decimal")
            }
            F::Join
            | F::ToString
            | F::Upper
            | F::Lower
            | F::Trim
            | F::Replace
            | F::ReplaceMatches
            | F::Substring
            | F::Split
            | F::ToChars
            | F::GetResourceKey => Inferred::System("string"),
            F::ToDate | F::Today => Inferred::System("date"),
            F::ToDateTime | F::Now => Inferred::System("dateTime"),
            F::ToTime | F::TimeOfDay => Inferred::System("time"),
            F::Empty
            | F::Exists
            | F::All
            | F::AllTrue
            | F::AnyTrue
            | F::AllFalse
            | F::AnyFalse
            | F::SubsetOf
            | F::SupersetOf
            | F::IsDistinct
            | F::Not
            | F::ToBoolean
            | F::ConvertsToBoolean
            | F::ConvertsToInteger
            | F::ConvertsToDecimal
            | F::ConvertsToString
            | F::ConvertsToDate
            | F::ConvertsToDateTime
            | F::ConvertsToTime
            | F::ConvertsToQuantity
            | F::StartsWith
            | F::EndsWith
            | F::Contains
            | F::Matches
            | F::HasValue => Inferred::System("boolean"),
            _ => Inferred::Unknown,
        },
    }
}
