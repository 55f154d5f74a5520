use serde_json::Value as Json;

use super::source::Deletion;

/// What an import makes of one thing that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken.
    Take,
    /// It is here already, and is counted and nothing else.
    Known,
    /// It goes to quarantine.
    Refuse {
        /// The element, as a FHIRPath expression; empty for the whole.
        element: String,
        /// Why, without any value of it.
        reason: String,
    },
}

/// Looks at everything that a source has, before the import takes it.
///
/// `source` is the place of the source in the import's list, counted from 0.
pub trait Intake: Send {
    /// Decides about a resource that conforms to R4 and has an id.
    fn resource(&mut self, source: usize, resource: &Json) -> Verdict;

    /// Decides about a deletion.
    fn deletion(&mut self, source: usize, deletion: &Deletion) -> Verdict;

    /// Hears of something that is no resource.
    fn malformed(&mut self, source: usize);

    /// Decides whether something that is refused goes to quarantine
    /// ([`Verdict::Known`]: it is there already).
    fn refused(&mut self, raw: &str) -> Verdict;

    /// How many lines of the source stand before those that come.
    fn lines_before(&self, source: usize) -> u64;

    /// The source has come to its end; an element and a reason when something is wrong with it as
    /// a whole.
    fn end(&mut self, source: usize) -> Option<(String, String)>;
}

/// Takes everything, as from files that a person names.
#[derive(Debug, Clone, Copy)]
pub struct TakeAll;

impl Intake for TakeAll {
    fn resource(&mut self, _: usize, _: &Json) -> Verdict {
        Verdict::Take
    }

    fn deletion(&mut self, _: usize, _: &Deletion) -> Verdict {
        Verdict::Take
    }

    fn malformed(&mut self, _: usize) {}

    fn refused(&mut self, _: &str) -> Verdict {
        Verdict::Take
    }

    fn lines_before(&self, _: usize) -> u64 {
        0
    }

    fn end(&mut self, _: usize) -> Option<(String, String)> {
        None
    }
}
