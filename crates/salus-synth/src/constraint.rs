use salus_model::ColumnPath;
use serde::{Deserialize, Serialize};

/// What no sampled row may break, whatever the model has learnt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Constraint {
    /// One number is not above another: no discharge before admission. Missing values satisfy it.
    NotAbove {
        /// The smaller one.
        smaller: ColumnPath,
        /// The larger one.
        larger: ColumnPath,
    },
    /// Two values never stand in one row.
    Never {
        /// First attribute.
        attribute: ColumnPath,
        /// Its value.
        value: String,
        /// Second attribute.
        with: ColumnPath,
        /// Its value.
        with_value: String,
    },
}

/// A constraint with its attributes found.
pub(crate) enum Check<'a> {
    NotAbove(usize, usize),
    Never(usize, &'a str, usize, &'a str),
}

impl Check<'_> {
    pub(crate) fn holds(&self, record: &[Option<String>]) -> bool {
        let text = |at: &usize| record.get(*at).and_then(|v| v.as_deref());
        match self {
            Self::NotAbove(a, b) => {
                let number = |at| text(at).and_then(|t| t.parse::<f64>().ok());
                number(a).zip(number(b)).is_none_or(|(a, b)| a <= b)
            }
            Self::Never(a, value, b, other) => {
                !(text(a) == Some(*value) && text(b) == Some(*other))
            }
        }
    }
}
