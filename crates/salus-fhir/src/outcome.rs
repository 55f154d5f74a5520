use serde_json::{Value as Json, json};

/// How bad an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Severity {
    Information,
    Warning,
    Error,
    Fatal,
}

/// What kind of issue it is.
///
/// # Source
/// HL7 FHIR R4 value set `issue-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum IssueCode {
    BusinessRule,
    CodeInvalid,
    Conflict,
    Deleted,
    Duplicate,
    Exception,
    Forbidden,
    Informational,
    Invalid,
    Invariant,
    Login,
    MultipleMatches,
    NotFound,
    NotSupported,
    Processing,
    Required,
    Structure,
    TooCostly,
    TooLong,
    Transient,
    Value,
}

impl Severity {
    /// The code in the specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Information => "information",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

impl IssueCode {
    /// The code in the specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BusinessRule => "business-rule",
            Self::CodeInvalid => "code-invalid",
            Self::Conflict => "conflict",
            Self::Deleted => "deleted",
            Self::Duplicate => "duplicate",
            Self::Exception => "exception",
            Self::Forbidden => "forbidden",
            Self::Informational => "informational",
            Self::Invalid => "invalid",
            Self::Invariant => "invariant",
            Self::Login => "login",
            Self::MultipleMatches => "multiple-matches",
            Self::NotFound => "not-found",
            Self::NotSupported => "not-supported",
            Self::Processing => "processing",
            Self::Required => "required",
            Self::Structure => "structure",
            Self::TooCostly => "too-costly",
            Self::TooLong => "too-long",
            Self::Transient => "transient",
            Self::Value => "value",
        }
    }
}

/// One thing to tell a client.
///
/// # Privacy
/// `diagnostics` names what was expected and never repeats a value of the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// How bad it is.
    pub severity: Severity,
    /// What kind it is.
    pub code: IssueCode,
    /// A sentence for a person.
    pub diagnostics: String,
    /// The element, as FHIRPath such as `Patient.name[0].given[1]`.
    pub expression: Option<String>,
}

impl Issue {
    /// An error about one element.
    #[must_use]
    pub fn error(
        code: IssueCode,
        expression: impl Into<String>,
        diagnostics: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            code,
            diagnostics: diagnostics.into(),
            expression: Some(expression.into()),
        }
    }

    /// An error about the request as a whole.
    #[must_use]
    pub fn request(code: IssueCode, diagnostics: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, diagnostics: diagnostics.into(), expression: None }
    }

    fn to_json(&self) -> Json {
        let mut json = json!({
            "severity": self.severity.as_str(),
            "code": self.code.as_str(),
            "diagnostics": self.diagnostics,
        });
        // What is no resource at all has no path.
        let expression = self.expression.as_ref().filter(|place| !place.is_empty());
        if let (Some(expression), Some(object)) = (expression, json.as_object_mut()) {
            object.insert("expression".to_owned(), json!([expression]));
        }
        json
    }
}

/// An OperationOutcome of one or more issues.
#[must_use]
pub fn operation_outcome(issues: &[Issue]) -> Json {
    let all_well = Issue {
        severity: Severity::Information,
        code: IssueCode::Informational,
        diagnostics: "All OK".to_owned(),
        expression: None,
    };
    let issues: Vec<_> = match issues {
        // An OperationOutcome must have an issue.
        [] => vec![all_well.to_json()],
        some => some.iter().map(Issue::to_json).collect(),
    };
    json!({"resourceType": "OperationOutcome", "issue": issues})
}
