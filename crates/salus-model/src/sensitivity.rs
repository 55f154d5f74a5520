use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The sensitivity class whose master key protects a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyClass {
    /// Names a person directly: name, address, telephone, record number.
    Identifiers,
    /// Narrows a person down together with others: birth date, sex, postcode.
    Quasi,
    /// Coded or measured health data.
    Clinical,
    /// Narrative text, which may contain anything.
    Freetext,
    /// Waveforms and sensor series.
    Signal,
    /// The file's own footer: schema, row counts.
    Footer,
}

/// A word that names no sensitivity class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{word}' is no sensitivity class; use identifiers, quasi, clinical, freetext, signal or footer"
)]
pub struct SensitivityError {
    word: String,
}

impl KeyClass {
    /// Every class, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Identifiers,
        Self::Quasi,
        Self::Clinical,
        Self::Freetext,
        Self::Signal,
        Self::Footer,
    ];

    /// The word used in policies and key names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identifiers => "identifiers",
            Self::Quasi => "quasi",
            Self::Clinical => "clinical",
            Self::Freetext => "freetext",
            Self::Signal => "signal",
            Self::Footer => "footer",
        }
    }
}

impl fmt::Display for KeyClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyClass {
    type Err = SensitivityError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == word)
            .ok_or_else(|| SensitivityError { word: word.to_owned() })
    }
}
