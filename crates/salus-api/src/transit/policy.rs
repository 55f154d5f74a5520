use std::collections::BTreeSet;
use std::fmt;

use salus_model::{Class, Classified, KeyName};
use serde::{Deserialize, Serialize};

/// What a token may do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Wrap with it.
    Encrypt,
    /// Unwrap with it, which opens every column under it.
    Decrypt,
    /// Wrap anew what it wrapped, without seeing it.
    Rewrap,
    /// Have a new data key made and told in clear.
    DatakeyPlaintext,
    /// Have a new data key made and told wrapped only.
    DatakeyWrapped,
    /// See its versions, and see it listed.
    Read,
    /// Make it.
    Create,
    /// Give it a new version.
    Rotate,
    /// Allow its deletion.
    Configure,
    /// Make it refuse all use.
    Revoke,
    /// Take a revocation back.
    Reinstate,
    /// Destroy it for ever.
    Shred,
}

impl Operation {
    /// The word used in policies and audit records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Rewrap => "rewrap",
            Self::DatakeyPlaintext => "datakey-plaintext",
            Self::DatakeyWrapped => "datakey-wrapped",
            Self::Read => "read",
            Self::Create => "create",
            Self::Rotate => "rotate",
            Self::Configure => "configure",
            Self::Revoke => "revoke",
            Self::Reinstate => "reinstate",
            Self::Shred => "shred",
        }
    }
}

/// A pattern that no key name can match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{pattern}' is no key pattern: use a-z, 0-9, - _ . and * for any characters")]
pub struct KeyGlobRefused {
    pattern: String,
}

impl Classified for KeyGlobRefused {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// A pattern of key names, in which `*` stands for any characters, none included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyGlob(String);

impl KeyGlob {
    /// The pattern.
    ///
    /// # Errors
    /// When it is empty, or has a character that no key name has: it would grant nothing, which
    /// its writer cannot have meant.
    pub fn new(pattern: impl Into<String>) -> Result<Self, KeyGlobRefused> {
        let pattern = pattern.into();
        let fits = |c: char| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | '*')
        };
        if pattern.is_empty() || pattern.len() > 127 || !pattern.chars().all(fits) {
            return Err(KeyGlobRefused { pattern });
        }
        Ok(Self(pattern))
    }

    /// Whether the name fits the pattern.
    ///
    /// # Cost
    /// The product of both lengths at most, whatever the pattern.
    #[must_use]
    pub fn matches(&self, name: &KeyName) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_str().as_bytes());
        let (mut p, mut n) = (0, 0);
        // Where the last star was, and how much of the name it has taken so far.
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            if pattern.get(p) == Some(&b'*') {
                star = Some((p, n));
                p += 1;
            } else if pattern.get(p) == name.get(n) {
                p += 1;
                n += 1;
            } else if let Some((at, taken)) = star {
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            } else {
                return false;
            }
        }
        pattern.iter().skip(p).all(|&c| c == b'*')
    }

    fn is_everything(&self) -> bool {
        self.0.bytes().all(|c| c == b'*')
    }
}

impl fmt::Display for KeyGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KeyGlob {
    type Error = KeyGlobRefused;

    fn try_from(pattern: String) -> Result<Self, KeyGlobRefused> {
        Self::new(pattern)
    }
}

impl From<KeyGlob> for String {
    fn from(glob: KeyGlob) -> Self {
        glob.0
    }
}

/// Some operations on the keys of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Which keys.
    pub keys: KeyGlob,
    /// What may be done with them.
    pub operations: BTreeSet<Operation>,
}

/// What a token may do; whatever no grant names is denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name, which the token's holder may see.
    pub name: String,
    /// What it grants.
    pub grants: Vec<Grant>,
}

impl Policy {
    /// Whether the operation on this key is granted.
    #[must_use]
    pub fn grants(&self, operation: Operation, name: &KeyName) -> bool {
        self.with(operation).any(|grant| grant.keys.matches(name))
    }

    pub(super) fn grants_anywhere(&self, operation: Operation) -> bool {
        self.with(operation).next().is_some()
    }

    pub(super) fn grants_everywhere(&self, operation: Operation) -> bool {
        self.with(operation).any(|grant| grant.keys.is_everything())
    }

    fn with(&self, operation: Operation) -> impl Iterator<Item = &Grant> {
        self.grants.iter().filter(move |grant| grant.operations.contains(&operation))
    }
}
