//! Long work as it is seen from outside: how far it is, and whether anybody still wants it.

use crate::error::FilesError;
use crate::study::Tried;

/// Whoever waits for long work.
///
/// # Privacy
/// Is told names of columns, settings and figures, and no value of a record. The figures are
/// measured without noise: they are for whoever holds the records.
pub trait Watch {
    /// Something else is being done from now on.
    fn stage(&self, words: &str);

    /// An attempt has ended.
    fn tried(&self, tried: Tried);

    /// Whether the work is to go on; asked between attempts and between stages.
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
