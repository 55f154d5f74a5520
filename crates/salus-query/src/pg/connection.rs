//! One connection: who it is, and simple queries.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{Sink, SinkExt, stream};
use parking_lot::Mutex;
use pgwire::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::portal::Format;
use pgwire::api::query::SimpleQueryHandler;
use pgwire::api::results::{QueryResponse, Response};
use pgwire::api::store::PortalStore;
use pgwire::api::{
    ClientInfo, ClientPortalStore, ConnectionHandle, ConnectionManager, METADATA_USER,
    PgWireConnectionState, PidSecretKeyGenerator, RandomPidSecretKeyGenerator,
};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::startup::Authentication;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use salus_model::RoleName;

use super::Plaintext;
use super::commands::{Command, command};
use super::encode::{fields, row};
use crate::answer::Answer;
use crate::error::QueryError;
use crate::gateway::{Gateway, Parameter, Request};
use crate::identity::AccessToken;

/// What the server says it is, to clients that choose their questions by it.
const SERVER_VERSION: &str = "17.0 (Salus)";

/// The person at the other end, once they have shown a token.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) token: Arc<AccessToken>,
    pub(super) role: RoleName,
}

/// The handlers of one connection.
pub(super) struct Connection {
    pub(super) gateway: Gateway,
    session: Mutex<Option<Session>>,
    manager: Arc<ConnectionManager>,
    plaintext: Plaintext,
}

pub(super) fn error(severity: &str, sqlstate: &str, message: String) -> PgWireError {
    let info = ErrorInfo::new(severity.to_owned(), sqlstate.to_owned(), message);
    PgWireError::UserError(Box::new(info))
}

pub(super) fn failed(e: &QueryError) -> PgWireError {
    error("ERROR", e.sqlstate(), e.to_string())
}

impl Connection {
    pub(super) const fn new(
        gateway: Gateway,
        manager: Arc<ConnectionManager>,
        plaintext: Plaintext,
    ) -> Self {
        Self { gateway, session: Mutex::new(None), manager, plaintext }
    }

    pub(super) fn session(&self) -> PgWireResult<Session> {
        let session = self.session.lock().clone();
        session.ok_or_else(|| error("FATAL", "28000", "sign in first".to_owned()))
    }

    /// The session that a token and a user name begin.
    ///
    /// The user name is a role of the person; their own name does where there is one role.
    async fn sign_in(&self, user: &str, token: AccessToken) -> Result<Session, QueryError> {
        let identity = self.gateway.identify(&token).await?;
        let role = RoleName::new(user).ok().filter(|role| identity.roles.contains(role));
        let own = identity.staff.as_str() == user && identity.roles.len() == 1;
        let role = role.or_else(|| identity.roles.first().filter(|_| own).cloned());
        let yours = || {
            let names: Vec<&str> = identity.roles.iter().map(RoleName::as_str).collect();
            format!("{} (the PostgreSQL user name is the role)", names.join(", "))
        };
        let role = role.ok_or_else(|| QueryError::WhichRole { yours: yours() })?;
        Ok(Session { token: Arc::new(token), role })
    }

    /// Changes the role, when it is one of the person's own.
    async fn set_role(&self, role: RoleName) -> Result<(), QueryError> {
        let Some(session) = self.session.lock().clone() else {
            return Err(QueryError::Bug("no session"));
        };
        let identity = self.gateway.identify(&session.token).await?;
        if !identity.roles.contains(&role) {
            let names: Vec<&str> = identity.roles.iter().map(RoleName::as_str).collect();
            return Err(QueryError::NotYourRole { wanted: role, yours: names.join(", ") });
        }
        *self.session.lock() = Some(Session { role, ..session });
        Ok(())
    }

    pub(super) async fn ask(&self, sql: &str, parameters: Vec<Parameter>) -> PgWireResult<Answer> {
        let Session { token, role } = self.session()?;
        let request = Request { sql: sql.to_owned(), role: Some(role), parameters };
        self.gateway.answer(&token, request).await.map_err(|e| failed(&e))
    }

    /// Commands that clients send and that are not SQL for the gateway.
    pub(super) async fn run(&self, command: Command) -> PgWireResult<Response> {
        match command {
            Command::Role(role) => {
                self.set_role(role).await.map_err(|e| failed(&e))?;
                Ok(Command::done("SET"))
            }
            other => other.respond(),
        }
    }
}

/// The rows of an answer, as a client wants them.
pub(super) fn respond(answer: Answer, format: &Format) -> PgWireResult<Response> {
    let schema = Arc::new(fields(answer.schema(), format));
    let shape = Arc::clone(&schema);
    let rows = answer.batches().to_vec().into_iter().flat_map(move |batch| {
        let shape = Arc::clone(&shape);
        (0..batch.num_rows()).map(move |at| row(&batch, at, &shape))
    });
    Ok(Response::Query(QueryResponse::new(schema, stream::iter(rows))))
}

#[async_trait]
impl StartupHandler for Connection {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                if !client.is_secure() && self.plaintext == Plaintext::Refused {
                    let what = "TLS is required, since the password is an access token; connect \
                                with sslmode=require or better";
                    return Err(error("FATAL", "28000", what.to_owned()));
                }
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let ask = Authentication::CleartextPassword;
                client.send(PgWireBackendMessage::Authentication(ask)).await?;
            }
            PgWireFrontendMessage::PasswordMessageFamily(password) => {
                let token = AccessToken::new(password.into_password()?.password);
                let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
                let session = self
                    .sign_in(&user, token)
                    .await
                    .map_err(|e| error("FATAL", "28P01", e.to_string()))?;
                *self.session.lock() = Some(session);
                self.register(client);
                let mut parameters = DefaultServerParameterProvider::default();
                SERVER_VERSION.clone_into(&mut parameters.server_version);
                parameters.is_superuser = false;
                parameters.default_transaction_read_only = true;
                finish_authentication(client, &parameters).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Connection {
    /// Makes the connection known under an unguessable key, by which it can be cancelled.
    fn register<C: ClientInfo>(&self, client: &mut C) {
        let (pid, key) = RandomPidSecretKeyGenerator::default().generate(client);
        // Generators begin at the same number; the connection's own address tells them apart.
        let pid = pid.wrapping_add(i32::from(client.socket_addr().port()));
        client.set_pid_and_secret_key(pid, key.clone());
        let (handle, guard) = self.manager.register(pid, key);
        client.session_extensions().insert::<Arc<ConnectionHandle>>(handle);
        client.session_extensions().insert(guard);
    }
}

#[async_trait]
impl SimpleQueryHandler for Connection {
    async fn do_query<C>(&self, _: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let query = query.trim().trim_end_matches(';');
        if let Some(command) = command(query) {
            return Ok(vec![self.run(command).await?]);
        }
        let answer = self.ask(query, Vec::new()).await?;
        Ok(vec![respond(answer, &Format::UnifiedText)?])
    }
}
