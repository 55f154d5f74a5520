//! The gateway on Arrow Flight SQL, and whatever else answers statements.
//!
//! Calls carry `authorization: Bearer <access token>`; a handshake with HTTP Basic takes the token
//! as the password and gives it back as a bearer token, for clients that know no other way. The
//! header `salus-role` names the role; who has one role may leave it out. The server keeps no
//! state: tickets and prepared statements carry the statement itself, and every call is
//! authorised anew. TLS is the caller's, who builds the tonic server.
//!
//! # Source
//! Arrow Flight SQL, as `arrow-flight` 59 defines it.

mod prepared;
mod server;

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightServiceServer;
use arrow_flight::sql::ProstMessageExt;
use arrow_flight::{FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use salus_model::{Class, Classified, RoleName};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::error::QueryError;
use crate::gateway::{Description, Gateway, Request as Statement, VisibleDataset};
use crate::identity::AccessToken;

/// The header that names the role.
pub const ROLE_HEADER: &str = "salus-role";

/// Why a statement is not answered.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The gateway's own reason.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The token is not one that counts.
    #[error("the access token is not valid")]
    Token,
    /// In words, with their class.
    #[error("{said}")]
    Said {
        /// What kind of reason it is.
        class: Class,
        /// What a person is told.
        said: String,
    },
}

/// Rows as they are sent.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Their columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

/// What answers statements: the gateway, or a desk that asks others under a permit.
#[async_trait::async_trait]
pub trait Statements: Send + Sync {
    /// Whether a token counts.
    ///
    /// # Errors
    /// When it does not.
    async fn identify(&self, token: &AccessToken) -> Result<(), Refused>;

    /// What a statement would yield; nothing is read and nothing charged.
    ///
    /// # Errors
    /// For what can be known beforehand.
    async fn describe(
        &self,
        token: &AccessToken,
        sql: &str,
        role: Option<&RoleName>,
    ) -> Result<Description, Refused>;

    /// Answers a statement.
    ///
    /// # Errors
    /// When it is refused or fails.
    async fn answer(&self, token: &AccessToken, statement: Statement) -> Result<Rows, Refused>;

    /// What statements may be about.
    ///
    /// # Errors
    /// When the token does not count, or a dataset does not open.
    async fn datasets(
        &self,
        token: &AccessToken,
        role: Option<&RoleName>,
    ) -> Result<Vec<VisibleDataset>, Refused>;
}

#[async_trait::async_trait]
impl Statements for Gateway {
    async fn identify(&self, token: &AccessToken) -> Result<(), Refused> {
        Ok(Self::identify(self, token).await.map(|_| ())?)
    }

    async fn describe(
        &self,
        token: &AccessToken,
        sql: &str,
        role: Option<&RoleName>,
    ) -> Result<Description, Refused> {
        Ok(Self::describe(self, token, sql, role).await?)
    }

    async fn answer(&self, token: &AccessToken, statement: Statement) -> Result<Rows, Refused> {
        let answer = Self::answer(self, token, statement).await?;
        Ok(Rows { schema: Arc::clone(answer.schema()), batches: answer.batches().to_vec() })
    }

    async fn datasets(
        &self,
        token: &AccessToken,
        role: Option<&RoleName>,
    ) -> Result<Vec<VisibleDataset>, Refused> {
        Ok(Self::datasets(self, token, role).await?)
    }
}

/// Whatever answers statements, as a Flight SQL service.
#[derive(Clone)]
pub struct FlightSql {
    statements: Arc<dyn Statements>,
}

impl FlightSql {
    /// The tonic service, to be added to a server with TLS.
    #[must_use]
    pub fn service(statements: Arc<dyn Statements>) -> FlightServiceServer<Self> {
        FlightServiceServer::new(Self { statements })
    }
}

type DataStream = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

/// Who calls, as the headers say.
struct Caller {
    token: AccessToken,
    role: Option<RoleName>,
}

fn caller(headers: &MetadataMap) -> Result<Caller, Status> {
    let missing = || Status::unauthenticated("send the access token as a Bearer authorization");
    let header = headers.get("authorization").and_then(|h| h.to_str().ok()).ok_or_else(missing)?;
    let token = header.strip_prefix("Bearer ").ok_or_else(missing)?;
    let role = match headers.get(ROLE_HEADER) {
        None => None,
        Some(role) => {
            let text = role.to_str().map_err(|_| Status::invalid_argument("salus-role"))?;
            let role = RoleName::new(text).map_err(|e| Status::invalid_argument(e.to_string()))?;
            Some(role)
        }
    };
    Ok(Caller { token: AccessToken::new(token.to_owned()), role })
}

fn failed(refused: &Refused) -> Status {
    let message = refused.to_string();
    match refused {
        Refused::Query(error) => failed_query(error, message),
        Refused::Token => Status::unauthenticated(message),
        Refused::Said { class, .. } => of_class(*class, message),
    }
}

fn failed_query(error: &QueryError, message: String) -> Status {
    match (error, error.class()) {
        (QueryError::Authentication(_), Class::Refused) => Status::unauthenticated(message),
        (QueryError::Cancelled, _) => Status::cancelled(message),
        (QueryError::TimedOut { .. }, _) => Status::deadline_exceeded(message),
        (QueryError::OutOfMemory { .. } | QueryError::TooManyRows { .. }, _) => {
            Status::resource_exhausted(message)
        }
        (QueryError::NoDataset { .. }, _) => Status::not_found(message),
        (_, class) => of_class(class, message),
    }
}

fn of_class(class: Class, message: String) -> Status {
    match class {
        Class::Refused => Status::permission_denied(message),
        Class::BadRequest => Status::invalid_argument(message),
        Class::Unavailable | Class::Peer => Status::unavailable(message),
        Class::Corrupt => Status::data_loss(message),
        Class::Bug => Status::internal(message),
    }
}

fn data(Rows { schema, batches }: Rows) -> Response<DataStream> {
    let batches = stream::iter(batches).map(Ok::<_, FlightError>);
    let encoded =
        FlightDataEncoderBuilder::new().with_schema(schema).build(batches).map_err(Status::from);
    Response::new(Box::pin(encoded))
}

/// The answer to "where do I get this": here, with the command itself as the ticket.
fn info(
    schema: &Schema,
    ticket: &impl ProstMessageExt,
    request: Request<FlightDescriptor>,
) -> Result<Response<FlightInfo>, Status> {
    let ticket = Ticket::new(ticket.as_any().encode_to_vec());
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(|_| Status::internal("the schema cannot be encoded"))?
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
        .with_descriptor(request.into_inner());
    Ok(Response::new(info))
}
