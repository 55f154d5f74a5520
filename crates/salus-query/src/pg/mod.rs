//! The gateway on the PostgreSQL wire.
//!
//! The user name is the role to ask in, the password is the access token, and the database is
//! `salus`: `psql "host=… user=dietitian dbname=salus sslmode=require"`. Each connection has its
//! own handlers and shares nothing with another but the registry by which it can be cancelled.
//! The token is checked again at every statement.
//!
//! # Privacy
//! The password travels in the clear inside TLS, as PostgreSQL's `password` method has it, so a
//! connection without TLS is refused before a password is asked for.
//!
//! # Source
//! PostgreSQL 17 documentation, chapter 55 "Frontend/Backend Protocol", version 3.0.

mod commands;
mod connection;
mod encode;
mod extended;

use std::io;
use std::sync::Arc;

use pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::{ConnectionManager, PgWireServerHandlers, auth::StartupHandler};
use pgwire::tokio::process_socket;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::gateway::Gateway;
use connection::Connection;

/// How connections are protected.
#[derive(Clone)]
pub struct Transport(Kind);

#[derive(Clone)]
enum Kind {
    Tls(TlsAcceptor),
    Plaintext,
}

impl Transport {
    /// TLS with the caller's certificate; connections without are refused.
    #[must_use]
    pub const fn tls(acceptor: TlsAcceptor) -> Self {
        Self(Kind::Tls(acceptor))
    }

    /// No protection at all: tokens and records travel in the clear.
    ///
    /// For a proxy on the same machine that does TLS itself.
    #[must_use]
    pub const fn dangerous_plaintext() -> Self {
        Self(Kind::Plaintext)
    }
}

/// Serves connections until the future is dropped.
///
/// # Errors
/// When the listener fails; what goes wrong with one connection ends that connection alone.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    transport: Transport,
) -> io::Result<()> {
    let manager = Arc::new(ConnectionManager::new());
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (socket, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            Some(_) = connections.join_next() => continue,
        };
        let (tls, plaintext) = match &transport.0 {
            Kind::Tls(acceptor) => (Some(acceptor.clone()), Plaintext::Refused),
            Kind::Plaintext => (None, Plaintext::DangerouslyAllowed),
        };
        let connection = Connection::new(gateway.clone(), Arc::clone(&manager), plaintext);
        let handlers = Handlers { connection: Arc::new(connection), manager: Arc::clone(&manager) };
        connections.spawn(async move {
            if let Err(e) = process_socket(socket, tls, handlers).await {
                tracing::debug!(kind = ?e.kind(), "a PostgreSQL connection ended");
            }
        });
    }
}

/// Whether a connection without TLS is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plaintext {
    Refused,
    DangerouslyAllowed,
}

struct Handlers {
    connection: Arc<Connection>,
    manager: Arc<ConnectionManager>,
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.connection)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.connection)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::clone(&self.connection)
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(DefaultCancelHandler::new(Arc::clone(&self.manager)))
    }
}
