//! The gateway on Arrow Flight SQL.
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

use arrow::datatypes::Schema;
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

use crate::answer::Answer;
use crate::error::QueryError;
use crate::gateway::Gateway;
use crate::identity::AccessToken;

/// The header that names the role.
pub const ROLE_HEADER: &str = "salus-role";

/// A gateway as a Flight SQL service.
#[derive(Clone)]
pub struct FlightSql {
    gateway: Gateway,
}

impl FlightSql {
    /// The tonic service, to be added to a server with TLS.
    #[must_use]
    pub fn service(gateway: Gateway) -> FlightServiceServer<Self> {
        FlightServiceServer::new(Self { gateway })
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

fn failed(error: &QueryError) -> Status {
    let message = error.to_string();
    match (error, error.class()) {
        (QueryError::Authentication(_), Class::Refused) => Status::unauthenticated(message),
        (QueryError::Cancelled, _) => Status::cancelled(message),
        (QueryError::TimedOut { .. }, _) => Status::deadline_exceeded(message),
        (QueryError::OutOfMemory { .. } | QueryError::TooManyRows { .. }, _) => {
            Status::resource_exhausted(message)
        }
        (QueryError::NoDataset { .. }, _) => Status::not_found(message),
        (_, Class::Refused) => Status::permission_denied(message),
        (_, Class::BadRequest) => Status::invalid_argument(message),
        (_, Class::Unavailable | Class::Peer) => Status::unavailable(message),
        (_, Class::Corrupt) => Status::data_loss(message),
        (_, Class::Bug) => Status::internal(message),
    }
}

fn data(answer: &Answer) -> Response<DataStream> {
    let batches = stream::iter(answer.batches().to_vec()).map(Ok::<_, FlightError>);
    let encoded = FlightDataEncoderBuilder::new()
        .with_schema(std::sync::Arc::clone(answer.schema()))
        .build(batches)
        .map_err(Status::from);
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
