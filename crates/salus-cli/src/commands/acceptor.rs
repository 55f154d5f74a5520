//! TLS that hands on which certificate a client showed.

use std::sync::Arc;

use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsAcceptor;
use futures::future::BoxFuture;
use salus_api::questions::ShownCertificate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tower::Layer as _;

/// Accepts TLS connections, and puts the client's certificate beside each of their requests.
#[derive(Clone)]
pub(super) struct ShowingAcceptor(RustlsAcceptor);

impl ShowingAcceptor {
    pub(super) const fn new(acceptor: RustlsAcceptor) -> Self {
        Self(acceptor)
    }
}

impl<I, S> Accept<I, S> for ShowingAcceptor
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Send + 'static,
{
    type Stream = TlsStream<I>;
    type Service = AddExtension<S, ShownCertificate>;
    type Future = BoxFuture<'static, std::io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let acceptor = self.0.clone();
        Box::pin(async move {
            let (stream, service) = acceptor.accept(stream, service).await?;
            let chain = stream.get_ref().1.peer_certificates();
            let leaf: Option<Arc<[u8]>> =
                chain.and_then(|chain| chain.first()).map(|leaf| Arc::from(leaf.as_ref()));
            Ok((stream, Extension(ShownCertificate(leaf)).layer(service)))
        })
    }
}
