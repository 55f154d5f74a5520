//! FHIRPath: parses an expression once and evaluates it on many resources.
//!
//! # Source
//! HL7 FHIRPath 2.0.0 (normative), FHIR R4 §2.1.18 for the functions that FHIR adds, and
//! SQL-on-FHIR v2 for `getResourceKey` and `getReferenceKey`. Where the two differ, `as` filters a
//! collection like `ofType`, because the R4 search parameters rely on it.

mod ast;
mod eval;
mod functions;
mod infer;
mod item;
mod lexer;
mod parser;
mod scalar;

use salus_model::{Class, Classified, Timestamp};
use serde_json::Value as Json;

pub(crate) use functions::split_reference;
pub(crate) use infer::Inferred;
pub(crate) use item::decimal;
pub use item::{Collection, Item, Node};
pub use scalar::{Quantity, Scalar};

use ast::Expr;

/// A text that is no FHIRPath expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at byte {position}")]
pub struct SyntaxError {
    /// The byte at which the trouble starts.
    pub position: usize,
    /// What is wrong, as a sentence.
    pub message: String,
}

impl Classified for SyntaxError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// An expression that cannot be evaluated on a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// One value was needed.
    #[error("{place} needs one value, and there are {found}")]
    NotSingle {
        /// The operator or function.
        place: &'static str,
        /// How many there were.
        found: usize,
    },
    /// A value of another type was needed.
    #[error("{place} needs {wanted}")]
    WrongType {
        /// The operator or function.
        place: &'static str,
        /// What it needs, in words.
        wanted: &'static str,
    },
    /// A regular expression that is none.
    #[error("{place} was given an invalid regular expression")]
    Pattern {
        /// The function.
        place: &'static str,
    },
    /// `now()`, `today()` or `timeOfDay()` without a moment given.
    #[error("{place} needs the present moment, which was not given")]
    NoMoment {
        /// The function.
        place: &'static str,
    },
    /// More intermediate items than permitted.
    #[error("the expression yields more than {most} items")]
    TooMany {
        /// How many are permitted.
        most: usize,
    },
}

impl Classified for EvaluationError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// A parsed FHIRPath expression.
///
/// # Cost
/// Parsing is linear in the text; evaluation borrows from the resource and copies no text.
#[derive(Debug)]
pub struct Expression {
    text: String,
    root: Expr,
}

/// What an expression may look at besides the resource.
#[derive(Debug, Clone, Copy)]
pub struct Environment<'a> {
    /// Values of the constants, in the order of their names at parsing.
    pub constants: &'a [Scalar<'a>],
    /// `%rowIndex` of SQL-on-FHIR.
    pub row_index: i64,
    /// The present moment for `now()` and `today()`.
    pub now: Option<Timestamp>,
}

impl Environment<'_> {
    /// No constants, no clock.
    pub const EMPTY: Environment<'static> = Environment { constants: &[], row_index: 0, now: None };
}

impl Expression {
    /// Parses an expression without constants.
    ///
    /// # Errors
    /// Names what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        Self::parse_with(text, &[])
    }

    /// Parses an expression that may use `%name` for each of the constants.
    ///
    /// # Errors
    /// Names what is wrong and where; a constant that is not among them is an error.
    pub fn parse_with(text: &str, constants: &[&str]) -> Result<Self, SyntaxError> {
        Ok(Self { text: text.to_owned(), root: parser::parse(text, constants)? })
    }

    /// The text that was parsed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Evaluates on a whole resource.
    ///
    /// # Errors
    /// When a function or operator meets values that it is not defined for.
    pub fn evaluate<'a>(&'a self, resource: &'a Json) -> Result<Collection<'a>, EvaluationError> {
        let root = Item::Node(Node::resource(resource));
        self.evaluate_at(&root, &root, Environment::EMPTY)
    }

    /// Evaluates on one element of the resource `root`.
    ///
    /// # Errors
    /// When a function or operator meets values that it is not defined for.
    pub fn evaluate_at<'a>(
        &'a self,
        focus: &Item<'a>,
        root: &Item<'a>,
        environment: Environment<'a>,
    ) -> Result<Collection<'a>, EvaluationError> {
        eval::evaluate(&self.root, focus, root, environment)
    }

    /// Whether the expression is `%rowIndex` and nothing else.
    pub(crate) fn is_row_index(&self) -> bool {
        matches!(self.root, Expr::Variable(ast::Variable::RowIndex))
    }
}

#[cfg(test)]
mod tests;
