use std::path::PathBuf;
use std::sync::Arc;

use salus_model::{Class, Classified};

use super::MAX_APPEND_BYTES;
use crate::sealed::SealedError;

/// What is wrong with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Its key file is missing or no key file.
    Key,
    /// Its head was altered, or belongs to another segment, journal or holder.
    Head,
    /// A frame's header was altered, or belongs elsewhere.
    Header,
    /// A frame's records were altered, or belong elsewhere.
    Body,
    /// It does not continue what comes before it.
    Order,
    /// It ends in the middle of a frame, and is not the last.
    Cut,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key => "its key file is missing or damaged",
            Self::Head => "its head was altered, or is that of another segment",
            Self::Header => "a frame's header was altered, or is from another place",
            Self::Body => "a frame's records were altered, or are from another place",
            Self::Order => "it does not continue what comes before it",
            Self::Cut => "it was cut off",
        })
    }
}

/// Why a journal could not be opened, read or appended to.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it open.
    #[error("the journal in {folder} is open in another process; stop that one first")]
    InUse {
        /// The journal's folder.
        folder: PathBuf,
    },
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("{path} cannot be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The disk is full.
    #[error("no space is left for {path}; free some and open the journal again")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// An earlier write failed, so that what is on the disk is unknown.
    #[error(
        "the journal takes nothing more since a write failed; mend the cause and open it again"
    )]
    Frozen {
        /// What failed.
        #[source]
        cause: Arc<JournalError>,
    },
    /// No new segment could be begun; the records were not written, later ones may be.
    #[error("the records were not taken, because no new segment can be begun; try again later")]
    NotTaken {
        /// What failed.
        #[source]
        cause: Arc<JournalError>,
    },
    /// Records would not get the place that was expected, because earlier ones were not taken.
    #[error("the records were to begin at position {expected}, which is {found} now; try again")]
    OtherPlace {
        /// The place expected.
        expected: u64,
        /// The place that they would get.
        found: u64,
    },
    /// A segment is not what was written.
    #[error("segment {segment} of the journal is damaged at byte {offset}: {damage}")]
    Corrupt {
        /// The segment, by the position of its first record.
        segment: u64,
        /// Where in its file.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// The oldest segment is missing.
    #[error("the journal should begin at position {first}, its oldest segment begins at {found}")]
    MissingSegment {
        /// Where it should begin.
        first: u64,
        /// Where the oldest segment begins; 0 when there is none.
        found: u64,
    },
    /// Records that were there once are gone.
    #[error(
        "the journal ends at position {found}, but had reached {reached}: it was cut off or \
         replaced by an older copy"
    )]
    Truncated {
        /// Where it ends.
        found: u64,
        /// What it had reached.
        reached: u64,
    },
    /// The key of a segment is not available.
    #[error("the key of segment {segment} of the journal is not available")]
    SegmentKey {
        /// The segment, by the position of its first record.
        segment: u64,
        /// Why.
        #[source]
        source: SealedError,
    },
    /// The journal's own marks cannot be sealed or opened.
    #[error("the mark of what was trimmed cannot be used")]
    Sealed {
        /// Why.
        #[source]
        source: SealedError,
    },
    /// An append without records.
    #[error("there is nothing to append")]
    Empty,
    /// An append that is too long.
    #[error("one append takes at most {MAX_APPEND_BYTES} bytes, this one has {found}; split it")]
    TooLong {
        /// How many bytes it has.
        found: usize,
    },
    /// A record could not be sealed.
    #[error("the records cannot be sealed")]
    Seal(#[from] salus_crypto::aead::SealFailed),
    /// The one who was shown a record could not take it.
    #[error("the record at position {position} cannot be taken in")]
    Visitor {
        /// The record's place.
        position: u64,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The journal was closed.
    #[error("the journal has been closed")]
    Closed,
}

impl Classified for JournalError {
    fn class(&self) -> Class {
        match self {
            Self::Corrupt { .. }
            | Self::MissingSegment { .. }
            | Self::Truncated { .. }
            | Self::Visitor { .. } => Class::Corrupt,
            Self::Empty | Self::TooLong { .. } => Class::BadRequest,
            Self::SegmentKey { source, .. } | Self::Sealed { source } => source.class(),
            Self::Seal(e) => e.class(),
            Self::Frozen { cause } | Self::NotTaken { cause } => cause.class(),
            _ => Class::Unavailable,
        }
    }
}

/// What a failed write means to the one who has to mend it.
pub(super) fn write_error(path: &std::path::Path, source: std::io::Error) -> JournalError {
    let path = path.to_owned();
    match source.kind() {
        std::io::ErrorKind::StorageFull
        | std::io::ErrorKind::QuotaExceeded
        | std::io::ErrorKind::FileTooLarge => JournalError::Full { path },
        _ => JournalError::Write { path, source },
    }
}
