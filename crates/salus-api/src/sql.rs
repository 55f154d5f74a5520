//! `POST /v1/sql`: statements of a holder's staff, answered as JSON, CSV or Arrow.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use salus_model::{Class, Classified as _, RoleName};
use salus_query::{AccessToken, Answer, Gateway, Parameter, QueryError, Request};
use serde::{Deserialize, Serialize};

use crate::route::{Access, HttpRoute, RouteTable};

/// No request is longer.
const REQUEST_BYTES: usize = 1024 * 1024;

#[derive(Clone, Copy)]
enum Endpoint {
    Sql,
    Datasets,
    Health,
}

const TABLE: RouteTable<Endpoint, 3> = RouteTable([
    (HttpRoute::new("POST", "/v1/sql", Access::Token), Endpoint::Sql),
    (HttpRoute::new("GET", "/v1/datasets", Access::Token), Endpoint::Datasets),
    (HttpRoute::new("GET", "/v1/health", Access::Public), Endpoint::Health),
]);

/// Every route here.
pub const ROUTES: [HttpRoute; 3] = TABLE.routes();

/// The routes over a query gateway.
pub fn router(gateway: Gateway) -> Router {
    let handler = |endpoint| -> MethodRouter<Gateway> {
        match endpoint {
            Endpoint::Sql => post(answer),
            Endpoint::Datasets => get(datasets),
            Endpoint::Health => get(async || Json(Health { status: "ok" })),
        }
    };
    TABLE
        .router(handler)
        .layer(axum::extract::DefaultBodyLimit::max(REQUEST_BYTES))
        .with_state(gateway)
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// A statement as a client sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    sql: String,
    #[serde(default)]
    role: Option<RoleName>,
    #[serde(default)]
    parameters: Vec<serde_json::Value>,
}

/// What went wrong, and who has to act.
#[derive(Debug, Serialize)]
struct Problem {
    error: String,
    class: &'static str,
}

pub(crate) fn problem(status: StatusCode, class: &'static str, error: impl ToString) -> Response {
    (status, Json(Problem { error: error.to_string(), class })).into_response()
}

pub(crate) fn refused(error: &QueryError) -> Response {
    let (status, class) = match error.class() {
        _ if matches!(error, QueryError::Authentication(_)) => {
            (StatusCode::UNAUTHORIZED, "refused")
        }
        Class::BadRequest => (StatusCode::BAD_REQUEST, "bad-request"),
        Class::Refused => (StatusCode::FORBIDDEN, "refused"),
        Class::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Class::Peer => (StatusCode::BAD_GATEWAY, "peer"),
        Class::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, "corrupt"),
        Class::Bug => (StatusCode::INTERNAL_SERVER_ERROR, "bug"),
    };
    problem(status, class, error)
}

pub(crate) fn token(headers: &HeaderMap) -> Result<AccessToken, Response> {
    headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(|token| AccessToken::new(token.trim().to_owned()))
        .ok_or_else(|| {
            let remedy = "send an access token: Authorization: Bearer <token>";
            problem(StatusCode::UNAUTHORIZED, "refused", remedy)
        })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Csv,
    Arrow,
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// The first form of the Accept header that there is; JSON when anything will do.
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let Some(accept) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else {
            return Some(Self::Json);
        };
        accept.split(',').find_map(|range| {
            match range.split(';').next().unwrap_or_default().trim() {
                "application/json" | "application/*" | "*/*" => Some(Self::Json),
                "text/csv" | "text/*" => Some(Self::Csv),
                "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
                _ => None,
            }
        })
    }
}

fn statement(headers: &HeaderMap, body: &Bytes) -> Result<Request, Response> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let bad = |error: String| problem(StatusCode::BAD_REQUEST, "bad-request", error);
    if kind.starts_with("text/plain") || kind.starts_with("application/sql") {
        let sql =
            std::str::from_utf8(body).map_err(|_| bad("the statement is not UTF-8".into()))?;
        return Ok(Request { sql: sql.to_owned(), role: None, parameters: Vec::new() });
    }
    let statement: Statement = serde_json::from_slice(body)
        .map_err(|e| bad(format!("the body is not {{\"sql\": …}}: {e}")))?;
    let parameters: Result<Vec<Parameter>, Response> = statement
        .parameters
        .into_iter()
        .enumerate()
        .map(|(at, value)| {
            let refused = || bad(format!("parameter ${} is a list or an object", at + 1));
            parameter(value).ok_or_else(refused)
        })
        .collect();
    Ok(Request { sql: statement.sql, role: statement.role, parameters: parameters? })
}

fn parameter(value: serde_json::Value) -> Option<Parameter> {
    match value {
        serde_json::Value::Null => Some(Parameter::Null),
        serde_json::Value::Bool(b) => Some(Parameter::Boolean(b)),
        serde_json::Value::String(text) => Some(Parameter::Text(text)),
        serde_json::Value::Number(n) => match n.as_i64() {
            Some(n) => Some(Parameter::Integer(n)),
            None => n.as_f64().map(Parameter::Real),
        },
        _ => None,
    }
}

async fn answer(State(gateway): State<Gateway>, headers: HeaderMap, body: Bytes) -> Response {
    let token = match token(&headers) {
        Ok(token) => token,
        Err(response) => return response,
    };
    let Some(form) = Form::accepted(&headers) else {
        let forms = "answers are application/json, text/csv or application/vnd.apache.arrow.stream";
        return problem(StatusCode::NOT_ACCEPTABLE, "bad-request", forms);
    };
    let request = match statement(&headers, &body) {
        Ok(request) => request,
        Err(response) => return response,
    };
    match gateway.answer(&token, request).await {
        Ok(answer) => encoded(&answer, form),
        Err(error) => refused(&error),
    }
}

fn encoded(answer: &Answer, form: Form) -> Response {
    let mut bytes = Vec::new();
    let written = match form {
        Form::Json => answer.write_json(&mut bytes),
        Form::Csv => answer.write_csv(&mut bytes),
        Form::Arrow => answer.write_arrow(&mut bytes),
    };
    match written {
        Ok(()) => {
            let kind = HeaderValue::from_static(form.media_type());
            ([(CONTENT_TYPE, kind)], bytes).into_response()
        }
        Err(e) => problem(StatusCode::NOT_ACCEPTABLE, "bad-request", e),
    }
}

#[derive(Serialize)]
struct DatasetShown {
    dataset: String,
    columns: Vec<ColumnShown>,
}

#[derive(Serialize)]
struct ColumnShown {
    name: String,
    r#type: String,
    nullable: bool,
    masked: bool,
}

async fn datasets(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    let token = match token(&headers) {
        Ok(token) => token,
        Err(response) => return response,
    };
    match gateway.datasets(&token, None).await {
        Ok(found) => {
            let column = |c: salus_query::VisibleColumn| ColumnShown {
                name: c.name,
                r#type: c.data_type.to_string(),
                nullable: c.nullable,
                masked: c.masked,
            };
            let shown: Vec<DatasetShown> = found
                .into_iter()
                .map(|d| DatasetShown {
                    dataset: d.dataset.to_string(),
                    columns: d.columns.into_iter().map(column).collect(),
                })
                .collect();
            Json(shown).into_response()
        }
        Err(error) => refused(&error),
    }
}
