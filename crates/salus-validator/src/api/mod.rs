//! The validator's API for members' nodes: HTTPS with mutual TLS.
//!
//! | Request | Answer |
//! | --- | --- |
//! | `POST /v1/transactions` | a signed transaction in; once it is final, what became of it (JSON) |
//! | `GET /v1/status` | ledger, height, warnings (JSON) |
//! | `GET /v1/genesis` | the genesis (CBOR) |
//! | `GET /v1/blocks?after=H` | what the blocks after a height did (JSON) |
//! | `GET /v1/blocks/H` | a final block, or what is left of a pruned one (CBOR) |
//! | `GET /v1/tip?after=H` | the last block with its votes; waits up to 30 s for one after `H` (CBOR) |
//! | `GET /v1/transactions/ID` | what became of a transaction, with its proof (CBOR) |
//! | `GET /v1/receipts/ID` | the receipt of a release (COSE, RFC 9942 profile) |
//! | `GET /v1/state/KEY` | what the state says at a key, with its proof (CBOR) |
//! | `GET /v1/follow?after=H` | each block as it is committed (server-sent events, JSON) |
//! | `GET /v1/misbehaviour` | proofs that validators voted twice, or stood for two blocks (CBOR) |
//! | `GET /v1/checkpoint` | the last checkpoint that witnesses cosigned (C2SP signed note) |
//! | `POST /v1/checkpoint` | a witness's cosignature in |
//! | `GET /v1/checkpoint/H` | the checkpoint of a block with this validator's signature (C2SP signed note) |
//! | `GET /v1/consistency?from=A&to=B` | that the history of B transactions begins with that of A (CBOR) |
//! | `GET /v1/snapshot` | everything that a new validator needs |
//! | `GET /v1/explorer/…` | the ledger for people: [`crate::explorer`] |

mod answers;
mod checkpoints;
mod routes;
mod tls;

use std::sync::Arc;

use axum::Extension;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use salus_ledger::Signer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(crate) use answers::Failure;
pub use answers::{Accepted, BlockLine, Misbehaviour, Outcome, Problem, StatusAnswer};
pub use checkpoints::Consistency;
pub(crate) use routes::receipt_file;
pub(crate) use tls::{client_config, fingerprint, member_behind, server_config};

use crate::driver::Handle;
use crate::explorer::Explorer;

/// What every handler has.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) handle: Handle,
    pub(crate) signer: Arc<Signer>,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) certificate: Vec<u8>,
}

/// Serves until the task is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handle: Handle,
    signer: Signer,
    explorer: Option<Explorer>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let router = routes::router(Api { handle, signer: Arc::new(signer) }, explorer);
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let Some(certificate) = shown.map(|leaf| leaf.as_ref().to_vec()) else { return };
            let router = router.layer(Extension(Peer { certificate }));
            let service = TowerToHyperService::new(router);
            let io = TokioIo::new(stream);
            let served = Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
}
