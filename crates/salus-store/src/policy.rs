//! Which key protects which leaf column.

use std::collections::{BTreeMap, BTreeSet};

use salus_model::{Class, Classified, ColumnPath, DatasetId, IdError, KeyClass, KeyName};
use serde::{Deserialize, Serialize};

/// What protects a column: the dataset's key for a sensitivity class, or a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyChoice {
    /// The dataset's master key for this class, named `<dataset>.<class>`.
    Class(KeyClass),
    /// A master key of its own, written `key:<name>`.
    Key(KeyName),
}

impl TryFrom<String> for KeyChoice {
    type Error = PolicyError;

    fn try_from(word: String) -> Result<Self, PolicyError> {
        match word.strip_prefix("key:") {
            Some(name) => Ok(Self::Key(KeyName::new(name)?)),
            None => word.parse().map(Self::Class).map_err(|_| PolicyError::Choice { word }),
        }
    }
}

impl From<KeyChoice> for String {
    fn from(choice: KeyChoice) -> Self {
        match choice {
            KeyChoice::Class(class) => class.as_str().to_owned(),
            KeyChoice::Key(name) => format!("key:{name}"),
        }
    }
}

impl KeyChoice {
    /// The master key's name for `dataset`.
    ///
    /// # Errors
    /// When dataset and class together are too long for a key name.
    pub fn key_name(&self, dataset: &DatasetId) -> Result<KeyName, IdError> {
        match self {
            Self::Class(class) => KeyName::new(format!("{dataset}.{class}")),
            Self::Key(name) => Ok(name.clone()),
        }
    }
}

/// A dataset's key policy: patterns over column paths, each with the key that protects it.
///
/// A pattern is a column path, or a path with a trailing `.*` that stands for every leaf below
/// it, or `*` for every leaf. The longest pattern that fits decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyPolicy {
    rules: BTreeMap<String, KeyChoice>,
}

/// Why a key policy does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A word that is neither a class nor `key:<name>`.
    #[error(
        "'{word}' names no key; use identifiers, quasi, clinical, freetext or signal, or key:<name>"
    )]
    Choice {
        /// The word.
        word: String,
    },
    /// A key name that is none.
    #[error("the key's name does not fit")]
    KeyName(#[from] IdError),
    /// A leaf column that no pattern covers. It would have been written in plaintext.
    #[error(
        "no key is named for column '{column}'; add it, or a pattern that covers it, to the policy"
    )]
    Unmapped {
        /// The leaf column.
        column: ColumnPath,
    },
    /// A pattern that covers no leaf column, which is most likely a misspelling.
    #[error("the pattern '{pattern}' covers no column of the schema")]
    Unused {
        /// The pattern.
        pattern: String,
    },
}

impl Classified for PolicyError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

impl KeyPolicy {
    /// A policy from patterns and keys.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = (String, KeyChoice)>) -> Self {
        Self { rules: rules.into_iter().collect() }
    }

    fn choose(&self, leaf: &ColumnPath) -> Option<(&String, &KeyChoice)> {
        self.rules.iter().filter(|(pattern, _)| covers(pattern, leaf)).max_by_key(|(p, _)| p.len())
    }

    /// Names the key of every leaf column.
    ///
    /// # Errors
    /// When a leaf has no key, or a pattern no leaf: both fail closed.
    pub fn expand(
        &self,
        leaves: &[ColumnPath],
    ) -> Result<BTreeMap<ColumnPath, KeyChoice>, PolicyError> {
        let mut used = BTreeSet::new();
        let mut keys = BTreeMap::new();
        for leaf in leaves {
            let (pattern, choice) =
                self.choose(leaf).ok_or_else(|| PolicyError::Unmapped { column: leaf.clone() })?;
            used.insert(pattern);
            keys.insert(leaf.clone(), choice.clone());
        }
        match self.rules.keys().find(|p| p.as_str() != "*" && !used.contains(p)) {
            Some(pattern) => Err(PolicyError::Unused { pattern: pattern.clone() }),
            None => Ok(keys),
        }
    }
}

fn covers(pattern: &str, leaf: &ColumnPath) -> bool {
    let leaf = leaf.as_str();
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(stem) => stem.ends_with('.') && leaf.starts_with(stem),
        None => pattern == leaf,
    }
}
