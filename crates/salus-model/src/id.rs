use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is no valid id of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// No characters at all.
    #[error("a {kind} must not be empty")]
    Empty {
        /// What kind of id was wanted.
        kind: &'static str,
    },
    /// More characters than the kind allows.
    #[error("a {kind} has at most {max} characters, this one has {len}")]
    TooLong {
        /// What kind of id was wanted.
        kind: &'static str,
        /// The most characters that the kind allows.
        max: usize,
        /// How many there were.
        len: usize,
    },
    /// A character that the kind does not allow.
    #[error("a {kind} must not contain {found:?} (at character {position}); {allowed} are allowed")]
    Character {
        /// What kind of id was wanted.
        kind: &'static str,
        /// The character that is not allowed.
        found: char,
        /// Where it stands, counted from 1.
        position: usize,
        /// What is allowed, in words.
        allowed: &'static str,
    },
}

fn check(
    kind: &'static str,
    text: &str,
    max: usize,
    allowed: &'static str,
    fits: fn(usize, char) -> bool,
) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { kind });
    }
    let len = text.chars().count();
    if len > max {
        return Err(IdError::TooLong { kind, max, len });
    }
    match text.chars().enumerate().find(|&(at, c)| !fits(at, c)) {
        Some((at, found)) => Err(IdError::Character { kind, found, position: at + 1, allowed }),
        None => Ok(()),
    }
}

/// Lower-case names that are safe as file names, URL segments and SQL identifiers without quotes.
fn slug(at: usize, c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || (at > 0 && matches!(c, '-' | '_' | '.'))
}

fn visible(_: usize, c: char) -> bool {
    !c.is_control()
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $allowed:literal, $fits:path;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id, when the text is a valid one.
            ///
            /// # Errors
            /// Says which character or length is wrong.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check($kind, &text, $max, $allowed, $fits)?;
                Ok(Self(text))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )*};
}

text_id! {
    /// A dataset of one holder, such as `observations`.
    DatasetId, "dataset id", 63, "a-z, 0-9 and, after the first character, - _ .", slug;
    /// A hospital, laboratory or wearable provider.
    HolderId, "holder id", 63, "a-z, 0-9 and, after the first character, - _ .", slug;
    /// An organisation on the ledger.
    MemberId, "member id", 63, "a-z, 0-9 and, after the first character, - _ .", slug;
    /// A data permit on the ledger.
    PermitId, "permit id", 63, "a-z, 0-9 and, after the first character, - _ .", slug;
    /// A permit matched with an order.
    DealId, "deal id", 63, "a-z, 0-9 and, after the first character, - _ .", slug;
    /// A receipt on the ledger.
    ReceiptId, "receipt id", 63, "a-z, 0-9 and, after the first character, - _ .", slug;
    /// A job that computes.
    JobId, "job id", 63, "a-z, 0-9 and, after the first character, - _ .", slug;
    /// A write-ahead journal of one holder, such as `fhir`.
    JournalName, "journal name", 63, "a-z, 0-9 and, after the first character, - _ .", slug;
    /// A table or view as SQL names it.
    TableName, "table name", 63, "a-z, 0-9 and, after the first character, - _ .", slug;
    /// A care role, such as `dietitian`.
    RoleName, "role name", 63, "a-z, 0-9 and, after the first character, - _ .", slug;
    /// A member of a holder's staff.
    StaffId, "staff id", 127, "all but control characters", visible;
    /// A master key's name in its key store, such as `observations.clinical`.
    KeyName, "key name", 127, "a-z, 0-9 and, after the first character, - _ .", slug;
    /// A leaf column's dotted path in its schema, such as `code.coding.list.element.system`.
    ColumnPath, "column path", 511, "all but control characters", visible;
}

/// A dataset's version: 1 for the first, one more for each later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DatasetVersion(std::num::NonZeroU64);

impl DatasetVersion {
    /// The first version.
    pub const FIRST: Self = Self(std::num::NonZeroU64::MIN);

    /// The version with this number; none for zero.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match std::num::NonZeroU64::new(number) {
            Some(n) => Some(Self(n)),
            None => None,
        }
    }

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The version's number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for DatasetVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
