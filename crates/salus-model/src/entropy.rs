/// Where random bytes come from: the operating system, or a fixed sequence in tests.
///
/// Pure crates take an `&mut dyn Entropy`; the one implementation that asks the operating system
/// is `salus_crypto::OsEntropy`.
pub trait Entropy {
    /// Fills `buffer` with bytes that an attacker cannot predict.
    ///
    /// # Errors
    /// When the source cannot answer; the buffer is then not to be used.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed>;
}

/// The source of randomness did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct EntropyFailed;
