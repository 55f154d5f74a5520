//! Why a statement was not answered, in words that carry no value of any row.

use std::fmt;
use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use salus_model::{Class, Classified, RoleName};
use salus_store::{FileError, KeyToolsError, ScanError};

use crate::identity::AuthenticationFailed;

/// A line and column of the statement, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

fn at(place: &Option<Place>) -> String {
    place.map_or_else(String::new, |place| format!("{place}: "))
}

/// Why a statement was not answered.
///
/// # Privacy
/// What a person wrote may come back to them; what a row holds never does, since errors end up
/// in logs. Failures while running are therefore told by their kind alone.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The token was not accepted.
    #[error(transparent)]
    Authentication(#[from] AuthenticationFailed),
    /// The person may not act in the role.
    #[error("you may not act in role '{wanted}'; yours are: {yours}")]
    NotYourRole {
        /// The role asked for.
        wanted: RoleName,
        /// The person's roles.
        yours: String,
    },
    /// The person has several roles and named none.
    #[error("name the role that you ask in; yours are: {yours}")]
    WhichRole {
        /// The person's roles.
        yours: String,
    },
    /// The text is no statement that can be understood.
    #[error("{}{what}", at(.place))]
    Sql {
        /// Where.
        place: Option<Place>,
        /// What is wrong and what to do.
        what: String,
    },
    /// A statement that does more than read.
    #[error(
        "{statement} is not allowed: the gateway reads and never writes; use SELECT, EXPLAIN, SHOW \
         or DESCRIBE"
    )]
    NotReading {
        /// Its first words.
        statement: String,
    },
    /// There is no such dataset, or the role may see nothing of it.
    #[error(
        "{}there is no dataset '{dataset}' that role '{role}' may read; SHOW TABLES lists those \
         that it may", at(.place)
    )]
    NoDataset {
        /// The name asked for.
        dataset: String,
        /// The role.
        role: RoleName,
        /// Where.
        place: Option<Place>,
    },
    /// The role may not read a column.
    #[error("{}role '{role}' may not read column '{column}' of '{dataset}'; {remedy}", at(.place))]
    ColumnDenied {
        /// The dataset.
        dataset: String,
        /// The column.
        column: String,
        /// The role.
        role: RoleName,
        /// What to do.
        remedy: &'static str,
        /// Where.
        place: Option<Place>,
    },
    /// The role may not write resources of a type.
    #[error(
        "role '{role}' may not write {resource_type}; ask the holder to name it in the role's \
         'write' list"
    )]
    WriteDenied {
        /// The FHIR resource type.
        resource_type: String,
        /// The role.
        role: RoleName,
    },
    /// The person is not allowed this by the holder's signed word.
    #[error("the grant was refused: {reason}")]
    GrantRefused {
        /// Why.
        reason: String,
    },
    /// A row rule could not be evaluated, so no row is shown.
    #[error("the row rule of role '{role}' for '{dataset}' cannot be evaluated: {reason}")]
    RowRule {
        /// The role.
        role: RoleName,
        /// The dataset.
        dataset: String,
        /// Why.
        reason: String,
    },
    /// More rows than allowed.
    #[error("the answer has more than {limit} rows; add LIMIT, a filter or an aggregate")]
    TooManyRows {
        /// The limit.
        limit: usize,
    },
    /// More memory than allowed.
    #[error(
        "the statement needs more than its {limit_mib} MiB of memory; ask for fewer columns, \
         groups or rows"
    )]
    OutOfMemory {
        /// The limit.
        limit_mib: usize,
    },
    /// More time than allowed.
    #[error("the statement took longer than {} s and was stopped", .limit.as_secs_f64())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// Stopped on request.
    #[error("the statement was cancelled")]
    Cancelled,
    /// A value did not fit an operation.
    #[error("{0}")]
    Value(ValueFailure),
    /// A column's key is not available.
    #[error("{what} cannot be read: the key '{key}' is not available")]
    KeyUnavailable {
        /// The column, or the footer.
        what: String,
        /// The master key.
        key: String,
        /// The key store's class of failure.
        class: Class,
    },
    /// The data could not be read.
    #[error("{what}")]
    Unreadable {
        /// Why.
        what: String,
        /// Who has to act.
        class: Class,
    },
    /// The access could not be put on record.
    #[error("the audit log cannot be written, so the answer is withheld; try again")]
    Audit,
    /// Salus is at fault.
    #[error("the statement failed inside Salus ({0}); please report it")]
    Bug(&'static str),
}

/// What kind of value did not fit, without the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueFailure {
    /// Division by zero.
    #[error("a division by zero; use NULLIF(divisor, 0)")]
    DivisionByZero,
    /// A conversion between types.
    #[error("a value cannot be converted to the type asked for; use TRY_CAST to get null instead")]
    Conversion,
    /// A number too large for its type.
    #[error("a number is too large for its type; cast to a wider one")]
    Overflow,
    /// Something else in a function or operator.
    #[error("a value does not fit the function or operator that it is used with")]
    Unfit,
}

impl QueryError {
    /// The SQLSTATE that PostgreSQL clients are told.
    #[must_use]
    pub const fn sqlstate(&self) -> &'static str {
        match self {
            Self::Authentication(AuthenticationFailed::Token) => "28000",
            Self::Authentication(AuthenticationFailed::Unavailable) | Self::Audit => "58000",
            Self::NotYourRole { .. } | Self::WhichRole { .. } => "0P000",
            Self::Sql { .. } => "42601",
            Self::NotReading { .. } => "25006",
            Self::NoDataset { .. } => "42P01",
            Self::ColumnDenied { .. }
            | Self::WriteDenied { .. }
            | Self::GrantRefused { .. }
            | Self::RowRule { .. } => "42501",
            Self::TooManyRows { .. } => "54000",
            Self::OutOfMemory { .. } => "53200",
            Self::TimedOut { .. } | Self::Cancelled => "57014",
            Self::Value(ValueFailure::DivisionByZero) => "22012",
            Self::Value(ValueFailure::Overflow) => "22003",
            Self::Value(ValueFailure::Conversion) => "22P02",
            Self::Value(ValueFailure::Unfit) => "22000",
            Self::KeyUnavailable { .. } => "42501",
            Self::Unreadable { .. } => "58030",
            Self::Bug(_) => "XX000",
        }
    }

    /// Translates what DataFusion says while it plans: about the statement and the schema only.
    pub(crate) fn planning(error: &DataFusionError) -> Self {
        let place = place_of(error);
        match error.find_root() {
            DataFusionError::SQL(error, _) => Self::syntax(&error.to_string()),
            DataFusionError::SchemaError(error, _) => {
                Self::Sql { place, what: schema_sentence(error) }
            }
            DataFusionError::NotImplemented(what) | DataFusionError::Plan(what) => {
                Self::Sql { place, what: first_sentence(what) }
            }
            DataFusionError::Configuration(what) => Self::Sql { place, what: first_sentence(what) },
            other => Self::running(other, 0),
        }
    }

    /// Translates a parser's message, which ends in its line and column.
    pub(crate) fn syntax(message: &str) -> Self {
        let message = message.strip_prefix("sql parser error: ").unwrap_or(message);
        let (what, place) = match message.rsplit_once(" at Line: ") {
            Some((what, rest)) => (what, parse_place(rest)),
            None => (message, None),
        };
        let what = if message.contains("RecursionLimitExceeded")
            || message.contains("recursion limit exceeded")
        {
            "the statement is nested too deeply; split it with WITH".to_owned()
        } else {
            format!("the SQL is not understood: {what}")
        };
        Self::Sql { place, what }
    }

    /// Translates what goes wrong while rows are read and computed on, by its kind alone.
    pub(crate) fn running(error: &DataFusionError, memory_bytes: usize) -> Self {
        match error {
            DataFusionError::ResourcesExhausted(_) => {
                Self::OutOfMemory { limit_mib: memory_bytes / (1024 * 1024) }
            }
            DataFusionError::ArrowError(error, _) => Self::arrow(error, memory_bytes),
            DataFusionError::External(error) => Self::external(error.as_ref(), memory_bytes),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                Self::running(inner, memory_bytes)
            }
            DataFusionError::Shared(inner) => Self::running(inner, memory_bytes),
            DataFusionError::Collection(all) => all
                .first()
                .map_or(Self::Bug("no error in a collection"), |e| Self::running(e, memory_bytes)),
            DataFusionError::Execution(_) => Self::Value(ValueFailure::Unfit),
            DataFusionError::NotImplemented(_) => Self::Sql {
                place: None,
                what: "an operation of the statement is not supported for these types".to_owned(),
            },
            DataFusionError::Plan(_) | DataFusionError::SchemaError(..) => Self::Sql {
                place: None,
                what: "the statement cannot be carried out; simplify it".to_owned(),
            },
            _ => Self::Bug("engine"),
        }
    }

    fn arrow(error: &ArrowError, memory_bytes: usize) -> Self {
        match error {
            ArrowError::DivideByZero => Self::Value(ValueFailure::DivisionByZero),
            ArrowError::ArithmeticOverflow(_) => Self::Value(ValueFailure::Overflow),
            ArrowError::CastError(_) | ArrowError::ParseError(_) => {
                Self::Value(ValueFailure::Conversion)
            }
            ArrowError::ExternalError(error) => Self::external(error.as_ref(), memory_bytes),
            ArrowError::MemoryError(_) => {
                Self::OutOfMemory { limit_mib: memory_bytes / (1024 * 1024) }
            }
            _ => Self::Value(ValueFailure::Unfit),
        }
    }

    fn external(error: &(dyn std::error::Error + 'static), memory_bytes: usize) -> Self {
        if let Some(error) = error.downcast_ref::<ScanError>() {
            return Self::scan(error);
        }
        if let Some(error) = error.downcast_ref::<DataFusionError>() {
            return Self::running(error, memory_bytes);
        }
        if let Some(error) = error.downcast_ref::<ArrowError>() {
            return Self::arrow(error, memory_bytes);
        }
        Self::Bug("engine")
    }

    /// Translates what the store says.
    pub(crate) fn scan(error: &ScanError) -> Self {
        let class = error.class();
        if let ScanError::File { source: FileError::Keys { source, .. }, .. } = error
            && let KeyToolsError::KeyStore { key, what, .. } = source
        {
            return Self::KeyUnavailable { what: what.clone(), key: key.to_string(), class };
        }
        match error {
            ScanError::NotCovered { .. }
            | ScanError::NoSubject { .. }
            | ScanError::OtherHolder { .. }
            | ScanError::Ended { .. } => Self::GrantRefused { reason: error.to_string() },
            ScanError::Lake(source) => Self::lake(source),
            ScanError::File { source, .. } => Self::Unreadable { what: source.to_string(), class },
            ScanError::Page { .. } | ScanError::Arrow(_) => {
                Self::Unreadable { what: error.to_string(), class }
            }
        }
    }

    /// Translates what the lake says about a dataset.
    pub(crate) fn lake(error: &salus_store::LakeError) -> Self {
        if let salus_store::LakeError::Locked { key, dataset, .. } = error {
            let what = format!("dataset {dataset}");
            return Self::KeyUnavailable { what, key: key.to_string(), class: error.class() };
        }
        let what = match error {
            // Which object, and that the store is out of reach, is no secret to who asked for it.
            salus_store::LakeError::Storage(cause) => format!("{error}: {cause}"),
            other => other.to_string(),
        };
        Self::Unreadable { what, class: error.class() }
    }
}

fn schema_sentence(error: &SchemaError) -> String {
    // The list of valid fields that DataFusion adds is left out: it names columns that the role
    // may not know of.
    match error {
        SchemaError::FieldNotFound { field, .. } => format!(
            "there is no column '{}'; SHOW COLUMNS FROM its table lists those you may name, and capitals \
             need double quotes",
            field.flat_name()
        ),
        SchemaError::AmbiguousReference { field } => format!(
            "column '{}' may be of more than one table; put the table's name before it",
            field.name
        ),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            format!("there are two columns '{name}'; give one another name with AS")
        }
    }
}

/// DataFusion adds suggestions and lists of candidates on later lines; the first one is enough.
fn first_sentence(what: &str) -> String {
    let line = what.lines().next().unwrap_or(what).trim();
    let line = line.split(" Valid fields are").next().unwrap_or(line);
    line.trim_end_matches('.').to_owned()
}

fn parse_place(text: &str) -> Option<Place> {
    let (line, column) = text.split_once(", Column: ")?;
    let digits = |t: &str| t.chars().take_while(char::is_ascii_digit).collect::<String>();
    Some(Place { line: digits(line).parse().ok()?, column: digits(column).parse().ok()? })
}

fn place_of(error: &DataFusionError) -> Option<Place> {
    let span = error.diagnostic()?.span?;
    let place = Place { line: span.start.line, column: span.start.column };
    (place.line > 0).then_some(place)
}

impl Classified for QueryError {
    fn class(&self) -> Class {
        match self {
            Self::Authentication(e) => e.class(),
            Self::NotYourRole { .. }
            | Self::ColumnDenied { .. }
            | Self::WriteDenied { .. }
            | Self::NoDataset { .. }
            | Self::GrantRefused { .. }
            | Self::RowRule { .. }
            | Self::NotReading { .. } => Class::Refused,
            Self::WhichRole { .. }
            | Self::Sql { .. }
            | Self::TooManyRows { .. }
            | Self::OutOfMemory { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled
            | Self::Value(_) => Class::BadRequest,
            Self::KeyUnavailable { class, .. } | Self::Unreadable { class, .. } => *class,
            Self::Audit => Class::Unavailable,
            Self::Bug(_) => Class::Bug,
        }
    }
}
