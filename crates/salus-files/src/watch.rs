//! Long work as it is seen from outside: how far it is, and whether anybody still wants it.

use salus_model::{Clock, Timestamp};

use crate::error::FilesError;
use crate::study::Tried;

/// Whoever waits for long work.
///
/// # Privacy
/// Is told names of columns, settings and figures, and no value of a record. The figures are
/// measured without noise: they are for whoever holds the records.
pub trait Watch: Sync {
    /// Something else is being done from now on.
    fn stage(&self, words: &str);

    /// An attempt has ended.
    fn tried(&self, tried: Tried);

    /// Whether the work is to go on; asked between attempts and stages, and often by a search.
    fn is_wanted(&self) -> bool;
}

impl dyn Watch + '_ {
    /// Goes on, or ends the work.
    pub(crate) fn go_on(&self) -> Result<(), FilesError> {
        if self.is_wanted() { Ok(()) } else { Err(FilesError::Stopped) }
    }
}

/// Nobody watches: the work is done to its end.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn stage(&self, _: &str) {}

    fn tried(&self, _: Tried) {}

    fn is_wanted(&self) -> bool {
        true
    }
}

/// The clock of work that somebody waits for. Once nobody wants the work any more every deadline has
/// passed, so that a search, which knows its clock alone, ends as it does when its time is over.
pub(crate) struct Waiting<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) watch: &'a dyn Watch,
}

impl Clock for Waiting<'_> {
    fn now(&self) -> Timestamp {
        if self.watch.is_wanted() { self.clock.now() } else { never() }
    }
}

/// The end of time: later than every deadline.
pub(crate) fn never() -> Timestamp {
    Timestamp::EPOCH.saturating_add_micros(i64::MAX)
}

/// Goes on, or ends the work, by what its clock says.
pub(crate) fn go_on_by(clock: &dyn Clock) -> Result<(), FilesError> {
    if clock.now() < never() { Ok(()) } else { Err(FilesError::Stopped) }
}
