//! Prepared statements: parse, bind, describe, execute.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::Sink;
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::ExtendedQueryHandler;
use pgwire::api::results::{
    DescribePortalResponse, DescribeStatementResponse, FieldInfo, Response,
};
use pgwire::api::stmt::{QueryParser, StoredStatement};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;

use super::commands::{Command, command};
use super::connection::{Connection, Session, error, failed, respond};
use super::encode::{fields, parameter, pg_type};
use crate::gateway::Gateway;

/// A statement that has been described and not run.
#[derive(Debug, Clone)]
pub(super) enum Parsed {
    Command(Command),
    Query { sql: String, schema: SchemaRef, parameters: Vec<Type> },
}

/// Describes statements as the connection's person and role may see them.
pub(super) struct Parser {
    gateway: Gateway,
    session: Option<Session>,
}

#[async_trait]
impl QueryParser for Parser {
    type Statement = Parsed;

    async fn parse_sql<C>(
        &self,
        _: &C,
        sql: &str,
        types: &[Option<Type>],
    ) -> PgWireResult<Option<Parsed>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let sql = sql.trim().trim_end_matches(';');
        if let Some(command) = command(sql) {
            return Ok(Some(Parsed::Command(command)));
        }
        let not_in = || error("FATAL", "28000", "sign in first".to_owned());
        let session = self.session.as_ref().ok_or_else(not_in)?;
        let described = self.gateway.describe(&session.token, sql, Some(&session.role)).await;
        let described = described.map_err(|e| failed(&e))?;
        let parameters = described.parameters.iter().enumerate().map(|(place, inferred)| {
            let named = types.get(place).cloned().flatten();
            named.unwrap_or_else(|| inferred.as_ref().map_or(Type::TEXT, pg_type))
        });
        let parameters = parameters.collect();
        Ok(Some(Parsed::Query { sql: sql.to_owned(), schema: described.schema, parameters }))
    }

    fn get_parameter_types(&self, parsed: &Parsed) -> PgWireResult<Vec<Type>> {
        Ok(match parsed {
            Parsed::Command(_) => Vec::new(),
            Parsed::Query { parameters, .. } => parameters.clone(),
        })
    }

    fn get_result_schema(
        &self,
        parsed: &Parsed,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        Ok(match parsed {
            Parsed::Command(command) => command.fields(),
            Parsed::Query { schema, .. } => fields(schema, format.unwrap_or(&Format::UnifiedText)),
        })
    }
}

#[async_trait]
impl ExtendedQueryHandler for Connection {
    type Statement = Parsed;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        Arc::new(Parser { gateway: self.gateway.clone(), session: self.session().ok() })
    }

    async fn do_describe_statement<C>(
        &self,
        _: &mut C,
        statement: &StoredStatement<Parsed>,
    ) -> PgWireResult<DescribeStatementResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Parsed>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let parser = self.query_parser();
        let parameters = parser.get_parameter_types(&statement.statement)?;
        let fields = parser.get_result_schema(&statement.statement, None)?;
        Ok(DescribeStatementResponse::new(parameters, fields))
    }

    async fn do_describe_portal<C>(
        &self,
        _: &mut C,
        portal: &Portal<Parsed>,
    ) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Parsed>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let parsed = &portal.statement.statement;
        let format = Some(&portal.result_column_format);
        Ok(DescribePortalResponse::new(self.query_parser().get_result_schema(parsed, format)?))
    }

    async fn do_query<C>(
        &self,
        _: &mut C,
        portal: &Portal<Parsed>,
        _: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Parsed>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match &portal.statement.statement {
            Parsed::Command(command) => self.run(command.clone()).await,
            Parsed::Query { sql, parameters: types, .. } => {
                if portal.parameters.len() != types.len() {
                    let (given, wanted) = (portal.parameters.len(), types.len());
                    let what = format!("{wanted} parameters are wanted, {given} are given");
                    return Err(error("ERROR", "08P01", what));
                }
                let values = portal.parameters.iter().zip(types).enumerate();
                let values = values.map(|(place, (bytes, kind))| {
                    let text = match portal.parameter_format {
                        Format::Individual(ref codes) => codes.get(place).is_none_or(|c| *c == 0),
                        Format::UnifiedText => true,
                        Format::UnifiedBinary => false,
                    };
                    parameter(place, bytes.as_deref(), kind, text)
                });
                let answer = self.ask(sql, values.collect::<PgWireResult<Vec<_>>>()?).await?;
                respond(answer, &portal.result_column_format)
            }
        }
    }
}
