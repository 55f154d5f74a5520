//! An external witness: an organisation that watches the ledger's history grow, and cosigns it.
//!
//! A quorum of validators that lies together can show two histories to two readers. It cannot get
//! both cosigned: a witness cosigns only what extends everything that it has cosigned before, and
//! has that on its disk before a cosignature leaves. Auditors who ask for cosignatures of witnesses
//! that they trust therefore all see one history. Two checkpoints that contradict each other are a
//! proof against the validators that signed both, which anyone can check with the genesis alone
//! ([`salus_ledger::proof::Fork`]); the witness keeps it in its folder.
//!
//! The witness goes to the validators by itself, as a member with its own certificate, and brings
//! them its cosignatures; they serve them at `/v1/checkpoint`. It answers the `add-checkpoint` call
//! of C2SP `tlog-witness` as well, for whoever has only that.
//!
//! # Privacy
//! A witness sees sizes, Merkle roots and signatures, and no transaction.

mod desk;
mod files;
mod follow;
mod http;

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use salus_crypto::passphrase::Passphrase;
use salus_ledger::proof::WitnessKey;
use salus_model::{Class, Classified};

pub use desk::DeskError;
pub use files::{WitnessConfig, WitnessFolder};

use crate::client::{ClientError, LedgerClient};
use crate::folder::FolderError;
use desk::Desk;

/// Why a witness does not go on.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// Its folder cannot be used.
    #[error("the witness's folder cannot be used")]
    Folder(#[from] FolderError),
    /// What it has in its folder does not fit the ledger.
    #[error("the witness cannot go on from its folder")]
    Desk(#[from] DeskError),
    /// A validator's answer, or none.
    #[error("the ledger cannot be followed")]
    Client(#[from] ClientError),
    /// Its port cannot be used.
    #[error("{address} cannot be listened on")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Classified for WitnessError {
    fn class(&self) -> Class {
        match self {
            Self::Folder(error) => error.class(),
            Self::Desk(error) => error.class(),
            Self::Client(error) => error.class(),
            Self::Listen { .. } => Class::Unavailable,
        }
    }
}

/// A witness that is ready to run.
#[derive(Debug)]
pub struct WitnessService {
    desk: Arc<Mutex<Desk>>,
    client: LedgerClient,
    config: WitnessConfig,
    key: WitnessKey,
    listener: Option<(std::net::TcpListener, SocketAddr)>,
}

impl WitnessService {
    /// Opens a witness's folder and its port.
    ///
    /// # Errors
    /// When the folder cannot be used, or the port is taken.
    pub fn open(folder: &WitnessFolder, passphrase: &Passphrase) -> Result<Self, WitnessError> {
        let (config, genesis) = (folder.config()?, folder.genesis()?);
        let identity = folder.identity(passphrase)?;
        let client = LedgerClient::new(&config.validators, &genesis, &identity)?;
        let signer = identity.signer();
        let key = WitnessKey { name: config.name.clone(), key: signer.public_key() };
        let desk = Desk::open(folder.clone(), config.name.clone(), signer, client.anchor())?;
        let listener = config.listen.map(listen).transpose()?;
        let desk = Arc::new(Mutex::new(desk));
        Ok(Self { desk, client, config, key, listener })
    }

    /// Its name and key, for auditors who trust it.
    #[must_use]
    pub const fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// Where it answers `add-checkpoint`, if anywhere.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(|(_, address)| *address)
    }

    /// Looks at every validator once, and cosigns what is new. Gives the size that is cosigned.
    ///
    /// # Errors
    /// When no validator could be looked at, or the witness may not cosign what it saw.
    pub async fn look(&self) -> Result<u64, WitnessError> {
        follow::look(&self.desk, &self.client).await
    }
}

fn listen(address: SocketAddr) -> Result<(std::net::TcpListener, SocketAddr), WitnessError> {
    let failed = |source| WitnessError::Listen { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Follows the ledger until the task is dropped. What goes wrong with one look is logged and tried
/// again; a fork is logged each time, and its proof kept.
///
/// # Errors
/// When its port cannot be used any more.
pub async fn serve(mut service: WitnessService) -> Result<(), WitnessError> {
    let http = service.listener.take().map(|(listener, address)| {
        let router = http::router(Arc::clone(&service.desk));
        async move {
            let failed = |source| WitnessError::Listen { address, source };
            let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
            axum::serve(listener, router).await.map_err(failed)
        }
    });
    let following = async {
        // Ends with the task alone.
        loop {
            match service.look().await {
                Ok(size) => tracing::debug!(size, "the history is cosigned"),
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "the ledger could not be witnessed");
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(service.config.every_ms)).await;
        }
    };
    match http {
        None => following.await,
        Some(http) => tokio::select! {
            done = following => done,
            done = http => done,
        },
    }
}
