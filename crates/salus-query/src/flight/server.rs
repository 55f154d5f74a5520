//! The calls of Flight SQL that read.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, CommandGetCatalogs, CommandGetDbSchemas,
    CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandPreparedStatementQuery,
    CommandStatementQuery, DoPutPreparedStatementResult, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage,
    SchemaAsIpc, Ticket,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::prepared::{Prepared, parameter_schema};
use super::{Caller, DataStream, FlightSql, Rows, caller, data, failed, info};
use crate::engine::{CATALOG, SCHEMA};
use crate::gateway::{Description, Parameter, VisibleDataset};
use crate::identity::AccessToken;

type HandshakeStream = Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>;

fn internal<E>(_: E) -> Status {
    Status::internal("the answer cannot be encoded")
}

fn sql_info() -> Result<SqlInfoData, Status> {
    let mut builder = SqlInfoDataBuilder::new();
    builder.append(SqlInfo::FlightSqlServerName, "Salus");
    builder.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    builder.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    builder.append(SqlInfo::FlightSqlServerReadOnly, true);
    builder.build().map_err(internal)
}

fn one(batch: Result<RecordBatch, impl Into<FlightError>>) -> Result<Response<DataStream>, Status> {
    let batch = batch.map_err(|e| Status::from(e.into()))?;
    Ok(data(Rows { schema: batch.schema(), batches: vec![batch] }))
}

fn encoded(schema: &Schema) -> Result<Bytes, Status> {
    let message: Result<IpcMessage, ArrowError> =
        SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into();
    message.map(|IpcMessage(bytes)| bytes).map_err(internal)
}

impl FlightSql {
    async fn describe(&self, caller: &Caller, sql: &str) -> Result<Description, Status> {
        let described = self.statements.describe(&caller.token, sql, caller.role.as_ref()).await;
        described.map_err(|e| failed(&e))
    }

    async fn answer(
        &self,
        caller: Caller,
        sql: String,
        parameters: Vec<Parameter>,
    ) -> Result<Response<DataStream>, Status> {
        let request = crate::gateway::Request { sql, role: caller.role, parameters };
        let answer = self.statements.answer(&caller.token, request).await;
        Ok(data(answer.map_err(|e| failed(&e))?))
    }

    /// Whoever calls has a valid token; for what is the same for everybody.
    async fn known<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let caller = caller(request.metadata())?;
        self.statements.identify(&caller.token).await.map_err(|e| failed(&e))
    }

    async fn visible(&self, caller: &Caller) -> Result<Vec<VisibleDataset>, Status> {
        let visible = self.statements.datasets(&caller.token, caller.role.as_ref()).await;
        visible.map_err(|e| failed(&e))
    }
}

/// Whether a name fits a filter with SQL's `%` and `_`; no filter fits all.
fn fits(name: &str, filter: Option<&str>) -> bool {
    fn like(name: &[char], filter: &[char]) -> bool {
        // Dynamic programming over prefixes: linear in memory, no backtracking to abuse.
        let mut reached = vec![false; name.len() + 1];
        reached[0] = true;
        for &want in filter {
            let mut next = vec![false; name.len() + 1];
            for at in 0..=name.len() {
                next[at] = match want {
                    '%' => reached[at] || (at > 0 && next[at - 1]),
                    '_' => at > 0 && reached[at - 1],
                    c => at > 0 && reached[at - 1] && name[at - 1] == c,
                };
            }
            reached = next;
        }
        reached[name.len()]
    }
    let chars = |t: &str| t.chars().collect::<Vec<char>>();
    filter.is_none_or(|filter| like(&chars(name), &chars(filter)))
}

#[tonic::async_trait]
impl FlightSqlService for FlightSql {
    type FlightService = Self;

    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<HandshakeStream>, Status> {
        let refused = || Status::unauthenticated("send Basic with the access token as password");
        let header = request.metadata().get("authorization").and_then(|h| h.to_str().ok());
        let basic = header.and_then(|h| h.strip_prefix("Basic ")).ok_or_else(refused)?;
        let bytes = STANDARD.decode(basic).map_err(|_| refused())?;
        let pair = String::from_utf8(bytes).map_err(|_| refused())?;
        let (_, token) = pair.split_once(':').ok_or_else(refused)?;
        let checked = AccessToken::new(token.to_owned());
        self.statements.identify(&checked).await.map_err(|e| failed(&e))?;
        let payload = Bytes::from(token.to_owned());
        let answer = Ok(HandshakeResponse { protocol_version: 0, payload });
        let mut response: Response<HandshakeStream> =
            Response::new(Box::pin(stream::iter([answer])));
        let bearer = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| refused())?;
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let caller = caller(request.metadata())?;
        let described = self.describe(&caller, &query.query).await?;
        let ticket = TicketStatementQuery { statement_handle: query.query.into() };
        info(&described.schema, &ticket, request)
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<DataStream>, Status> {
        let caller = caller(request.metadata())?;
        let sql = String::from_utf8(ticket.statement_handle.to_vec());
        let sql = sql.map_err(|_| Status::invalid_argument("the ticket is not this server's"))?;
        self.answer(caller, sql, Vec::new()).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let described = self.describe(&caller(request.metadata())?, &query.query).await?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: Prepared::new(query.query).to_handle()?,
            dataset_schema: encoded(&described.schema)?,
            parameter_schema: encoded(&parameter_schema(&described.parameters))?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        _: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        self.known(&request).await
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let caller = caller(request.metadata())?;
        // Nothing is read from a stranger's stream.
        self.statements.identify(&caller.token).await.map_err(|e| failed(&e))?;
        let mut prepared = Prepared::from_handle(&query.prepared_statement_handle)?;
        let stream = request.into_inner().map_err(|e| FlightError::Tonic(Box::new(e)));
        let mut batches = FlightRecordBatchStream::new_from_flight_data(stream);
        if let Some(values) = batches.next().await {
            prepared.bind(values.map_err(Status::from)?)?;
        }
        let handle = prepared.to_handle()?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let caller = caller(request.metadata())?;
        let prepared = Prepared::from_handle(&query.prepared_statement_handle)?;
        let described = self.describe(&caller, &prepared.sql).await?;
        info(&described.schema, &query, request)
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<DataStream>, Status> {
        let caller = caller(request.metadata())?;
        let prepared = Prepared::from_handle(&query.prepared_statement_handle)?;
        let parameters = prepared.parameters();
        self.answer(caller, prepared.sql, parameters).await
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.known(&request).await?;
        info(&query.into_builder().schema(), &query, request)
    }

    async fn do_get_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<Ticket>,
    ) -> Result<Response<DataStream>, Status> {
        self.visible(&caller(request.metadata())?).await?;
        let mut builder = query.into_builder();
        builder.append(CATALOG);
        one(builder.build())
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.known(&request).await?;
        info(&query.clone().into_builder().schema(), &query, request)
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<Ticket>,
    ) -> Result<Response<DataStream>, Status> {
        self.visible(&caller(request.metadata())?).await?;
        let mut builder = query.into_builder();
        builder.append(CATALOG, SCHEMA);
        one(builder.build())
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.known(&request).await?;
        info(&query.clone().into_builder().schema(), &query, request)
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        request: Request<Ticket>,
    ) -> Result<Response<DataStream>, Status> {
        let visible = self.visible(&caller(request.metadata())?).await?;
        let kinds = query.table_types.clone();
        let (catalog, schema) = (query.catalog.clone(), query.db_schema_filter_pattern.clone());
        let name = query.table_name_filter_pattern.clone();
        let asked = catalog.is_none_or(|c| c.is_empty() || c == CATALOG)
            && fits(SCHEMA, schema.as_deref())
            && (kinds.is_empty() || kinds.iter().any(|k| k == "TABLE"));
        let mut builder = query.into_builder();
        let wanted = |d: &&VisibleDataset| asked && fits(d.dataset.as_str(), name.as_deref());
        for dataset in visible.iter().filter(wanted) {
            let fields = dataset
                .columns
                .iter()
                .map(|c| arrow::datatypes::Field::new(&c.name, c.data_type.clone(), c.nullable));
            let schema = Schema::new(fields.collect::<Vec<_>>());
            let name = dataset.dataset.as_str();
            builder.append(CATALOG, SCHEMA, name, "TABLE", &schema).map_err(Status::from)?;
        }
        one(builder.build())
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.known(&request).await?;
        info(&table_types()?.schema(), &query, request)
    }

    async fn do_get_table_types(
        &self,
        _: CommandGetTableTypes,
        request: Request<Ticket>,
    ) -> Result<Response<DataStream>, Status> {
        self.visible(&caller(request.metadata())?).await?;
        one(table_types().map_err(|e| FlightError::Tonic(Box::new(e))))
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.known(&request).await?;
        let schema = query.clone().into_builder(&sql_info()?).schema();
        info(&schema, &query, request)
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<Ticket>,
    ) -> Result<Response<DataStream>, Status> {
        self.known(&request).await?;
        one(query.into_builder(&sql_info()?).build())
    }

    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}

fn table_types() -> Result<RecordBatch, Status> {
    let names: arrow::array::ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["TABLE"]));
    RecordBatch::try_from_iter([("table_type", names)]).map_err(internal)
}
