use std::convert::Infallible;

use salus_model::{Entropy, EntropyFailed};

/// Randomness from the operating system.
#[derive(Debug, Clone, Copy)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        getrandom::fill(buffer).map_err(|_| EntropyFailed)
    }
}

/// Lends an [`Entropy`] to a crate that wants an infallible random number generator.
///
/// Such a crate cannot be told that the source failed. The generator remembers it instead, and
/// [`EntropyRng::draw`] then throws away whatever was computed.
pub struct EntropyRng<'a> {
    source: &'a mut dyn Entropy,
    failed: bool,
    filler: u8,
}

impl<'a> EntropyRng<'a> {
    /// Runs `work` with a generator over `source`.
    ///
    /// # Errors
    /// When the source failed at any point; the result of `work` is then dropped unseen.
    pub fn draw<T>(
        source: &'a mut dyn Entropy,
        work: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, EntropyFailed> {
        let mut rng = Self { source, failed: false, filler: 0 };
        let result = work(&mut rng);
        if rng.failed { Err(EntropyFailed) } else { Ok(result) }
    }

    fn fill(&mut self, buffer: &mut [u8]) {
        if self.failed || self.source.fill(buffer).is_err() {
            self.failed = true;
            // Bytes that change, so that a caller that samples until a value fits comes to an end.
            for byte in buffer {
                self.filler = self.filler.wrapping_mul(5).wrapping_add(1);
                *byte = self.filler;
            }
        }
    }

    fn word<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl rand_core::RngCore for EntropyRng<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.word())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.word())
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        self.fill(buffer);
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill(buffer);
        Ok(())
    }
}

impl rand_core::CryptoRng for EntropyRng<'_> {}

/// The same generator under the trait's newer generation, which `hpke` speaks.
impl hpke::rand_core::TryRng for EntropyRng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.word()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.word()))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        self.fill(buffer);
        Ok(())
    }
}

impl hpke::rand_core::TryCryptoRng for EntropyRng<'_> {}
