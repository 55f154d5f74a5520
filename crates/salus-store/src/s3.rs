//! S3 and what speaks its protocol.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};
use salus_model::Secret;

use crate::storage::{Storage, StorageError};

/// The longest that one request may take; a file of the lake has some hundred megabytes.
const REQUEST: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(5);
/// For how long a request is tried again before the caller is told.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pair that signs requests, and the token of a session where it is a temporary one.
#[derive(Debug)]
pub struct S3Credentials {
    /// The access key's id, which is no secret.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret<String>,
    /// The session token of temporary credentials.
    pub session_token: Option<Secret<String>>,
}

/// Where an S3 bucket is, and how to use it.
pub struct S3Settings {
    /// The bucket.
    pub bucket: String,
    /// Below which prefix the lake lies; empty for the whole bucket.
    pub prefix: String,
    /// The region.
    pub region: String,
    /// The endpoint of a store that is not Amazon's, such as `https://minio.example.org:9000`.
    pub endpoint: Option<String>,
    /// Who asks.
    pub credentials: S3Credentials,
    /// The certificate authorities to trust besides the public ones, as PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// How connections are protected.
    pub transport: S3Transport,
}

/// How connections to a store are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Transport {
    /// TLS.
    Tls,
    /// None: object names, sizes and the signed requests travel in the clear.
    DangerousPlaintext,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Storage {
    /// A bucket, or a part of one, in S3 or a store that speaks its protocol.
    ///
    /// New objects are put with `If-None-Match: *`, so that of two writers of one version one is
    /// refused; [`Storage::try_conditional_put`] finds out whether the store knows it.
    ///
    /// # Privacy
    /// The store sees ciphertext, object names (dataset names among them), sizes and times.
    ///
    /// # Errors
    /// When the settings do not fit together; the store is not asked yet.
    pub fn s3(settings: S3Settings) -> Result<Self, StorageError> {
        let S3Credentials { access_key_id, secret_access_key, session_token } =
            settings.credentials;
        let mut options = ClientOptions::new()
            .with_timeout(REQUEST)
            .with_connect_timeout(CONNECT)
            .with_allow_http(settings.transport == S3Transport::DangerousPlaintext);
        if let Some(pem) = &settings.ca_pem {
            let authorities = Certificate::from_pem_bundle(pem)
                .map_err(|source| StorageError::Certificates { source })?;
            for authority in authorities {
                options = options.with_root_certificate(authority);
            }
        }
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 4,
            retry_timeout: PATIENCE,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(settings.bucket)
            .with_region(settings.region)
            .with_access_key_id(access_key_id)
            .with_secret_access_key(secret_access_key.expose().clone())
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(options)
            .with_retry(retry);
        if let Some(token) = session_token {
            builder = builder.with_token(token.expose().clone());
        }
        if let Some(endpoint) = settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let bucket = builder.build().map_err(|source| StorageError::Settings { source })?;
        Ok(Self::remote(Arc::new(PrefixStore::new(bucket, Path::from(settings.prefix)))))
    }
}
