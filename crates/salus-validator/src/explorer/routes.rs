use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use salus_ledger::call::Method;
use salus_ledger::contract::Contract;
use salus_ledger::{TxId, cbor};
use salus_model::{MemberId, PermitId, ReceiptId};
use serde::{Deserialize, Serialize};

use super::answers::{
    BlockDetail, BlockPage, Configuration, DatasetLine, DatasetPage, MemberDetail, MemberPage,
    OptOutPage, Overview, PermitLine, PermitPage, ReceiptDetail, ReceiptPage, SearchAnswer,
    Statistics, TransactionDetail, TransactionPage,
};
use super::index::{Filter, Tally};
use super::{Explorer, read, search, tail};
use crate::api::{Failure, receipt_file};
use crate::proof::TransactionProof;
use crate::store::Recorded;

/// How many lines a page has when nothing is said.
const LINES: usize = 50;
/// The most days of statistics.
const MOST_DAYS: u32 = 366;

/// Everything below `/v1/explorer`.
pub(crate) fn router(explorer: Explorer) -> Router {
    Router::new()
        .route("/overview", get(overview))
        .route("/statistics", get(statistics))
        .route("/configuration", get(configuration))
        .route("/blocks", get(blocks))
        .route("/blocks/{name}", get(block))
        .route("/blocks/{name}/proof", get(block_proof))
        .route("/transactions", get(transactions))
        .route("/transactions/{id}", get(transaction))
        .route("/transactions/{id}/proof", get(transaction_proof))
        .route("/transactions/{id}/envelope", get(envelope))
        .route("/receipts", get(receipts))
        .route("/receipts/{id}", get(receipt))
        .route("/receipts/{id}/file", get(file_of_receipt))
        .route("/members", get(members))
        .route("/members/{id}", get(member))
        .route("/datasets", get(datasets))
        .route("/datasets/{holder}/{dataset}", get(dataset))
        .route("/permits", get(permits))
        .route("/permits/{id}", get(permit))
        .route("/opt-outs", get(opt_outs))
        .route("/search", get(find))
        .route("/tail", get(tail::tail))
        .route("/genesis", get(genesis))
        .fallback(async || Failure::not_found("such a page of the explorer"))
        .with_state(explorer)
}

/// A query that may be none, which is told as every other problem is.
pub(super) type Asked<T> = Result<Query<T>, QueryRejection>;

pub(super) fn asked<T>(query: Asked<T>) -> Result<T, Failure> {
    query.map(|Query(asked)| asked).map_err(|error| Failure::bad_request(error.body_text()))
}

type Answer<T> = Result<Json<T>, Failure>;

/// A page of what has a place in the history.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paging {
    before: Option<u64>,
    limit: Option<usize>,
}

/// A page of what has a name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    method: Option<String>,
    contract: Option<String>,
    member: Option<String>,
    dataset: Option<String>,
    permit: Option<String>,
    outcome: Option<String>,
    before: Option<u64>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Days {
    days: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    q: String,
}

fn limit(asked: Option<usize>) -> Result<usize, Failure> {
    match asked.unwrap_or(LINES) {
        limit if (1..=read::MOST_LINES).contains(&limit) => Ok(limit),
        _ => Err(Failure::bad_request(format!("'limit' is 1 to {}", read::MOST_LINES))),
    }
}

fn parse<T>(
    field: &'static str,
    text: Option<&str>,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Failure> {
    let Some(text) = text else { return Ok(None) };
    read(text).map(Some).ok_or_else(|| Failure::bad_request(format!("'{field}' names nothing")))
}

impl Wanted {
    fn filter(&self) -> Result<Filter, Failure> {
        let method = |text: &str| Method::ALL.iter().find(|method| method.as_str() == text);
        let contract = |text: &str| Contract::ALL.iter().find(|c| c.as_str() == text);
        let outcome = |text: &str| match text {
            "applied" => Some(Tally::Applied),
            "refused" => Some(Tally::Refused),
            _ => None,
        };
        Ok(Filter {
            method: parse("method", self.method.as_deref(), method)?.copied(),
            contract: parse("contract", self.contract.as_deref(), contract)?.copied(),
            member: parse("member", self.member.as_deref(), |text| MemberId::new(text).ok())?,
            dataset: parse("dataset", self.dataset.as_deref(), read::data::parse)?,
            permit: parse("permit", self.permit.as_deref(), |text| PermitId::new(text).ok())?,
            outcome: parse("outcome", self.outcome.as_deref(), outcome)?,
            list: None,
        })
    }
}

async fn overview(State(explorer): State<Explorer>) -> Answer<Overview> {
    let view = explorer.settled().await?;
    Ok(Json(read::overview::overview(&explorer, &view)?))
}

async fn statistics(State(explorer): State<Explorer>, query: Asked<Days>) -> Answer<Statistics> {
    let days = asked(query)?.days.unwrap_or(30);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Failure::bad_request(format!("'days' is 1 to {MOST_DAYS}")));
    }
    let view = explorer.settled().await?;
    Ok(Json(read::overview::statistics(&view, &explorer.index, days)?))
}

async fn configuration(State(explorer): State<Explorer>) -> Answer<Configuration> {
    let view = explorer.handle.reader().view()?;
    Ok(Json(read::overview::configuration(&view)?))
}

async fn blocks(State(explorer): State<Explorer>, query: Asked<Paging>) -> Answer<BlockPage> {
    let Paging { before, limit: lines } = asked(query)?;
    let view = explorer.handle.reader().view()?;
    Ok(Json(read::blocks::page(&view, before, limit(lines)?)?))
}

async fn block(State(explorer): State<Explorer>, Path(name): Path<String>) -> Answer<BlockDetail> {
    let view = explorer.settled().await?;
    let height =
        read::blocks::find(&view, &name)?.ok_or_else(|| Failure::not_found("the block"))?;
    Ok(Json(read::blocks::detail(&view, &explorer.index, height)?))
}

fn encoded<T: Serialize>(value: &T) -> Result<Response, Failure> {
    Ok(bytes(cbor::encode(value)?))
}

fn bytes(bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/cbor")], bytes).into_response()
}

async fn block_proof(
    State(explorer): State<Explorer>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let view = explorer.handle.reader().view()?;
    let unknown = || Failure::not_found("the block, or a vote for it,");
    let height = read::blocks::find(&view, &name)?.ok_or_else(unknown)?;
    encoded(&read::blocks::proved(&view, height)?.ok_or_else(unknown)?)
}

async fn transactions(
    State(explorer): State<Explorer>,
    query: Asked<Wanted>,
) -> Answer<TransactionPage> {
    let wanted = asked(query)?;
    let (filter, limit) = (wanted.filter()?, limit(wanted.limit)?);
    let view = explorer.settled().await?;
    let page = read::transactions::page(&view, &explorer.index, &filter, wanted.before, limit)?;
    Ok(Json(page))
}

fn recorded(explorer: &Explorer, text: &str) -> Result<(crate::store::View, Recorded), Failure> {
    let id = hex::decode(text).ok().and_then(|bytes| TxId::try_from(bytes.as_slice()).ok());
    let wrong = "a transaction's id has 64 hexadecimal digits; this one does not";
    let id = id.ok_or_else(|| Failure::bad_request(wrong))?;
    let view = explorer.handle.reader().view()?;
    let recorded = view.recorded(&id)?.ok_or_else(|| Failure::not_found("the transaction"))?;
    Ok((view, recorded))
}

async fn transaction(
    State(explorer): State<Explorer>,
    Path(id): Path<String>,
) -> Answer<TransactionDetail> {
    explorer.settled().await?;
    let (view, recorded) = recorded(&explorer, &id)?;
    Ok(Json(read::transactions::detail(&view, &explorer.index, &recorded)?))
}

async fn transaction_proof(
    State(explorer): State<Explorer>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let (view, recorded) = recorded(&explorer, &id)?;
    let inclusion = view.inclusion(&recorded)?;
    let unknown = || Failure::not_found("the block, or a vote for it,");
    let block = read::blocks::proved(&view, recorded.entry.height)?.ok_or_else(unknown)?;
    encoded(&TransactionProof::new(recorded.entry, &inclusion, block))
}

async fn envelope(
    State(explorer): State<Explorer>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let (view, recorded) = recorded(&explorer, &id)?;
    let pruned = || Failure::not_found("the transaction itself, which was pruned here,");
    let transaction = view.transaction(&recorded)?.ok_or_else(pruned)?;
    Ok(bytes(transaction.as_bytes().to_vec()))
}

async fn receipts(State(explorer): State<Explorer>, query: Asked<Wanted>) -> Answer<ReceiptPage> {
    let wanted = asked(query)?;
    let (filter, limit) = (wanted.filter()?, limit(wanted.limit)?);
    let view = explorer.settled().await?;
    let page = read::permits::receipts(&view, &explorer.index, filter, wanted.before, limit)?;
    Ok(Json(page))
}

fn receipt_id(text: &str) -> Result<ReceiptId, Failure> {
    ReceiptId::new(text).map_err(|error| Failure::bad_request(error.to_string()))
}

async fn receipt(
    State(explorer): State<Explorer>,
    Path(id): Path<String>,
) -> Answer<ReceiptDetail> {
    let view = explorer.handle.reader().view()?;
    let found = read::permits::receipt(&view, &receipt_id(&id)?)?;
    Ok(Json(found.ok_or_else(|| Failure::not_found("the receipt"))?))
}

async fn file_of_receipt(
    State(explorer): State<Explorer>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let view = explorer.handle.reader().view()?;
    let found = read::permits::receipt(&view, &receipt_id(&id)?)?;
    let found = found.ok_or_else(|| Failure::not_found("the receipt"))?;
    let (view, recorded) = recorded(&explorer, &found.line.transaction)?;
    Ok(bytes(receipt_file(&view, &recorded, &explorer.signer)?))
}

async fn members(State(explorer): State<Explorer>, query: Asked<Names>) -> Answer<MemberPage> {
    let Names { after, limit: lines } = asked(query)?;
    let view = explorer.handle.reader().view()?;
    Ok(Json(read::members::page(&view, after.as_deref(), limit(lines)?)?))
}

async fn member(State(explorer): State<Explorer>, Path(id): Path<String>) -> Answer<MemberDetail> {
    let id = MemberId::new(id).map_err(|error| Failure::bad_request(error.to_string()))?;
    let view = explorer.settled().await?;
    let found = read::members::detail(&view, &explorer.index, &id)?;
    Ok(Json(found.ok_or_else(|| Failure::not_found("the member"))?))
}

async fn datasets(State(explorer): State<Explorer>, query: Asked<Names>) -> Answer<DatasetPage> {
    let Names { after, limit: lines } = asked(query)?;
    let view = explorer.handle.reader().view()?;
    Ok(Json(read::data::page(&view, after.as_deref(), limit(lines)?)?))
}

async fn dataset(
    State(explorer): State<Explorer>,
    Path((holder, dataset)): Path<(String, String)>,
) -> Answer<DatasetLine> {
    let unknown = || Failure::not_found("the dataset");
    let dataset = read::data::parse(&format!("{holder}/{dataset}")).ok_or_else(unknown)?;
    let view = explorer.handle.reader().view()?;
    Ok(Json(read::data::detail(&view, &dataset)?.ok_or_else(unknown)?))
}

async fn permits(State(explorer): State<Explorer>, query: Asked<Wanted>) -> Answer<PermitPage> {
    let wanted = asked(query)?;
    let (filter, limit) = (wanted.filter()?, limit(wanted.limit)?);
    let view = explorer.settled().await?;
    Ok(Json(read::permits::page(&view, &explorer.index, filter, wanted.before, limit)?))
}

async fn permit(State(explorer): State<Explorer>, Path(id): Path<String>) -> Answer<PermitLine> {
    let id = PermitId::new(id).map_err(|error| Failure::bad_request(error.to_string()))?;
    let view = explorer.handle.reader().view()?;
    let found = read::permits::detail(&view, &id)?;
    Ok(Json(found.ok_or_else(|| Failure::not_found("the permit"))?))
}

async fn opt_outs(State(explorer): State<Explorer>, query: Asked<Names>) -> Answer<OptOutPage> {
    let Names { after, limit: lines } = asked(query)?;
    let view = explorer.handle.reader().view()?;
    Ok(Json(read::members::opt_outs(&view, after.as_deref(), limit(lines)?)?))
}

async fn find(State(explorer): State<Explorer>, query: Asked<Typed>) -> Answer<SearchAnswer> {
    let typed = asked(query)?.q;
    let view = explorer.settled().await?;
    Ok(Json(search::search(&view, &explorer.index, &typed)?))
}

async fn genesis(State(explorer): State<Explorer>) -> Result<Response, Failure> {
    encoded(explorer.genesis.as_ref())
}
