//! Opens Parquet files that are to be imported, with the keys of those that are encrypted.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use salus_keys::{KeyStore, RetryPolicy, VaultConfig, VaultKeyStore};
use salus_model::Secret;
use salus_store::{ParquetSource, SourceError, SourceKeys, StoreMasterKeys};

use crate::output::Failure;

#[derive(clap::Args)]
#[command(next_help_heading = "Encrypted Parquet files")]
pub(crate) struct ParquetArgs {
    /// The key store that has the master keys: the address of a Vault, an OpenBao or a `salus keys
    /// serve`; the site's own key store where it is not given.
    #[arg(long, value_name = "URL", requires = "parquet_token_file")]
    parquet_kms_url: Option<String>,
    /// A file with the token for it.
    #[arg(long, value_name = "FILE", requires = "parquet_kms_url")]
    parquet_token_file: Option<PathBuf>,
    /// Certificates (PEM) to trust there instead of the public ones.
    #[arg(long, value_name = "FILE", requires = "parquet_kms_url")]
    parquet_ca_file: Option<PathBuf>,
    /// Where the transit engine is mounted there.
    #[arg(long, value_name = "PATH", requires = "parquet_kms_url", default_value = "transit")]
    parquet_kms_mount: String,
    /// The AAD prefix that the writer bound the files to, where it did not store it in them.
    #[arg(long, value_name = "TEXT")]
    parquet_aad_prefix: Option<String>,
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure::request(format!("{}: {e}", path.display())))
}

/// The token, without the line end that an editor leaves behind it.
fn token(path: &Path) -> Result<Secret<String>, Failure> {
    let text = String::from_utf8(read(path)?).ok().map(|text| text.trim_end().to_owned());
    let text = text.filter(|text| !text.is_empty());
    let no_token = || Failure::request(format!("{} holds no token", path.display()));
    text.map(Secret::new).ok_or_else(no_token)
}

impl ParquetArgs {
    /// The key store that the options name; none when they name none.
    fn named_store(&self) -> Result<Option<Arc<dyn KeyStore>>, Failure> {
        let (Some(address), Some(file)) = (&self.parquet_kms_url, &self.parquet_token_file) else {
            return Ok(None);
        };
        let store = VaultKeyStore::new(VaultConfig {
            address: address.clone(),
            mount: self.parquet_kms_mount.clone(),
            token: token(file)?,
            namespace: None,
            ca_pem: self.parquet_ca_file.as_deref().map(read).transpose()?,
            timeout: Duration::from_secs(20),
            retry: RetryPolicy {
                attempts: NonZeroU32::MIN.saturating_add(3),
                first_pause: Duration::from_millis(200),
                longest_pause: Duration::from_secs(5),
            },
        })?;
        Ok(Some(Arc::new(store)))
    }

    /// Opens a file; `own` gives the site's key store, and is asked only when it is needed.
    pub(crate) async fn open(
        &self,
        path: &Path,
        own: impl AsyncFnOnce() -> Result<Arc<dyn KeyStore>, Failure>,
    ) -> Result<ParquetSource, Failure> {
        let prefix = || self.parquet_aad_prefix.as_ref().map(|prefix| prefix.clone().into_bytes());
        let store = match self.named_store()? {
            Some(store) => store,
            None => match ParquetSource::open(path, &SourceKeys::None, prefix()).await {
                Err(SourceError::KeysWanted { .. }) => own().await?,
                opened => return Ok(opened?),
            },
        };
        let keys = SourceKeys::KeyTools(Arc::new(StoreMasterKeys::new(store)));
        Ok(ParquetSource::open(path, &keys, prefix()).await?)
    }
}
