//! What the crate promises, through its public functions only.
#![allow(clippy::unwrap_used)]

mod formats;
mod merkle;
mod pkmt1;
mod refusals;

use salus_model::{Entropy, EntropyFailed};

/// Gives 0, 1, 2, …: what the reference script assumes.
pub(crate) struct Counting(pub(crate) u8);

impl Entropy for Counting {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        for byte in buffer {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

/// A source that never answers.
pub(crate) struct Dead;

impl Entropy for Dead {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), EntropyFailed> {
        Err(EntropyFailed)
    }
}
