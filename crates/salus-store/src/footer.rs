//! A Parquet file's footer, held in memory and decoded as often as more of its keys are known.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use parquet::encryption::decrypt::{FileDecryptionProperties, KeyRetriever};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    FooterTail, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
};

/// Read at once from a file's end: more than most footers have.
const GUESS_BYTES: u64 = 64 * 1024;
/// Length and magic at a file's very end.
const TAIL_BYTES: u64 = 8;
/// No footer may be larger: it is held in memory.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Nonce and tag behind a signed plaintext footer.
const SIGNATURE_BYTES: usize = 28;

/// A footer's bytes.
pub(crate) struct Footer {
    tail: Bytes,
    file_bytes: u64,
    metadata_bytes: usize,
    encrypted: bool,
}

/// Notes which key was asked for, and has none.
#[derive(Default)]
struct Asked(Mutex<Option<Vec<u8>>>);

impl KeyRetriever for Asked {
    fn retrieve_key(&self, key_metadata: &[u8]) -> Result<Vec<u8>> {
        *self.0.lock() = Some(key_metadata.to_vec());
        Err(ParquetError::General("the key is not known yet".to_owned()))
    }
}

fn refused(why: &str) -> ParquetError {
    ParquetError::General(why.to_owned())
}

/// Does what a malformed file might make panic: the Parquet reader was not written for files that
/// somebody made to break it, and such a file must not stop the program.
pub(crate) fn guarded<T, E: From<ParquetError>>(
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let gave_up = "the Parquet reader gave up on the file";
        Err(ParquetError::General(gave_up.to_owned()).into())
    })
}

impl Footer {
    /// Fetches the footer of a file of this size.
    ///
    /// # Errors
    /// When fetching fails, or the file does not end as Parquet does.
    pub(crate) async fn fetch<F>(
        file_bytes: u64,
        fetch: impl Fn(Range<u64>) -> F + Send,
    ) -> Result<Self>
    where
        F: Future<Output = Result<Bytes>> + Send,
    {
        if file_bytes < TAIL_BYTES {
            return Err(ParquetError::EOF("the file is shorter than any Parquet file".to_owned()));
        }
        let mut tail = fetch(file_bytes.saturating_sub(GUESS_BYTES)..file_bytes).await?;
        let end = tail.last_chunk().ok_or_else(|| refused("the file's end is missing"))?;
        let end = FooterTail::try_new(end)?;
        let wanted = end.metadata_length() as u64 + TAIL_BYTES;
        if wanted > file_bytes || wanted > BYTES_MAX {
            return Err(refused("the footer's length is larger than the file, or than 256 MiB"));
        }
        if wanted > tail.len() as u64 {
            tail = fetch(file_bytes - wanted..file_bytes).await?;
        }
        let (metadata_bytes, encrypted) = (end.metadata_length(), end.is_encrypted_footer());
        Ok(Self { tail, file_bytes, metadata_bytes, encrypted })
    }

    /// The metadata of the footer's key; none when neither the footer is encrypted nor signed.
    ///
    /// It is not authenticated: whether it is true shows when the footer opens with the key.
    ///
    /// # Errors
    /// When the footer is damaged, or its algorithm is not supported.
    pub(crate) fn key_metadata(&self) -> Result<Option<Vec<u8>>> {
        if !self.can_be_protected() {
            return Ok(None);
        }
        let asked = Arc::new(Asked::default());
        // With some prefix, so that the question comes for files that do not store theirs, too.
        let keys = FileDecryptionProperties::with_key_retriever(Arc::clone(&asked) as Arc<_>)
            .with_aad_prefix(Vec::new())
            .build()?;
        let decoded = self.decode(Some(keys));
        let asked = asked.0.lock().take();
        match (asked, decoded) {
            (Some(metadata), _) => Ok(Some(metadata)),
            (None, Ok(_)) => Ok(None),
            (None, Err(e)) => Err(e),
        }
    }

    /// A footer in plaintext that is shorter than a signature has none.
    const fn can_be_protected(&self) -> bool {
        self.encrypted || self.metadata_bytes > SIGNATURE_BYTES
    }

    /// Decodes the footer, and of the columns' parts those whose keys are given.
    ///
    /// With keys, an encrypted footer is authenticated; one in plaintext is only when
    /// [`Footer::key_metadata`] says that it is signed.
    ///
    /// # Errors
    /// When it is damaged, was altered, or the footer's key or the prefix are wrong.
    pub(crate) fn decode(
        &self,
        keys: Option<Arc<FileDecryptionProperties>>,
    ) -> Result<ParquetMetaData> {
        let keys = keys.filter(|_| self.can_be_protected());
        let mut reader = ParquetMetaDataReader::new()
            .with_decryption_properties(keys)
            .with_page_index_policy(PageIndexPolicy::Skip);
        let parse = || {
            reader.try_parse_sized(&self.tail, self.file_bytes)?;
            reader.finish()
        };
        guarded(parse).map_err(|e| match e {
            // The message would tell what the signature should have been, to whoever forges one.
            ParquetError::General(text) if text.contains("signature") => {
                refused("the footer's signature does not verify")
            }
            e => e,
        })
    }
}
