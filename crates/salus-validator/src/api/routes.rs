use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures::Stream;
use salus_ledger::proof::{Fact, MAX_FACTS, ReceiptParts, StateEvidence, issue_receipt};
use salus_ledger::transaction::MAX_TRANSACTION_BYTES;
use salus_ledger::{Height, Signer, TxId, cbor, query, state};
use serde::{Deserialize, Serialize};

use super::answers::{Accepted, BlockLine, Failure, Misbehaviour, StatusAnswer, TransactionLine};
use super::{Api, Peer, checkpoints, tls};
use crate::clock;
use crate::driver::Frozen;
use crate::explorer::Explorer;
use crate::proof::{ProvedBlock, StateAnswer, TransactionProof};
use crate::store::{Recorded, View, write_snapshot};
use crate::validator::warning_text;

/// How long a request for the tip waits for a new block.
const WAIT: Duration = Duration::from_secs(30);
const MAX_LISTED: u64 = 200;
const MAX_FACTS_BYTES: usize = 64 * 1024;

pub(super) fn router(api: Api, explorer: Option<Explorer>) -> Router {
    let explored = match explorer {
        Some(explorer) => crate::explorer::router(explorer),
        None => Router::new().fallback(async || {
            Failure::not_found("the explorer, which needs [explorer] in validator.toml,")
        }),
    };
    Router::new()
        .route("/v1/transactions", post(submit))
        .route("/v1/transactions/{id}", get(transaction))
        .route("/v1/receipts/{id}", get(receipt))
        .route("/v1/status", get(status))
        .route("/v1/genesis", get(genesis))
        .route("/v1/blocks", get(blocks))
        .route("/v1/blocks/{height}", get(block))
        .route("/v1/tip", get(tip))
        .route("/v1/state/{key}", get(state_value))
        .route("/v1/facts", post(facts))
        .route("/v1/follow", get(follow))
        .route("/v1/misbehaviour", get(misbehaviour))
        .route("/v1/snapshot", get(snapshot))
        .route("/v1/checkpoint", get(checkpoints::latest).post(checkpoints::cosign))
        .route("/v1/checkpoint/{height}", get(checkpoints::of_block))
        .route("/v1/consistency", get(checkpoints::consistency))
        .with_state(api.clone())
        .nest("/v1/explorer", explored)
        .layer(middleware::from_fn_with_state(api, still_a_member))
        .layer(DefaultBodyLimit::max(MAX_TRANSACTION_BYTES))
}

/// A connection outlives the handshake: who was revoked since then is turned away.
async fn still_a_member(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    check_member(&api, &peer)?;
    Ok(next.run(request).await)
}

/// An answer that waits looks again before it tells what has become of the ledger since.
fn check_member(api: &Api, peer: &Peer) -> Result<(), Failure> {
    tls::member_behind(api.handle.reader(), &peer.certificate, clock::now())
        .map(|_| ())
        .map_err(|_| Failure::forbidden())
}

pub(super) fn encoded<T: Serialize>(value: &T) -> Result<Response, Failure> {
    let bytes = cbor::encode(value)?;
    Ok(([(CONTENT_TYPE, "application/cbor")], bytes).into_response())
}

fn id(text: &str) -> Result<TxId, Failure> {
    let bytes = hex::decode(text).ok().and_then(|bytes| TxId::try_from(bytes.as_slice()).ok());
    bytes.ok_or_else(|| {
        Failure::bad_request("a transaction's id has 64 hexadecimal digits; this one does not")
    })
}

async fn submit(State(api): State<Api>, body: Bytes) -> Result<Json<Accepted>, Failure> {
    let acknowledgement = api.handle.submit(body.to_vec()).await.map_err(Failure::not_taken)?;
    Ok(Json(Accepted::from(&acknowledgement)))
}

/// A final block with the way to its validators.
fn proved(view: &View, height: Height) -> Result<ProvedBlock, Failure> {
    let finality = view.finality(height)?.ok_or_else(|| Failure::not_found("the block"))?;
    Ok(ProvedBlock { finality, handovers: view.handovers_before(height)? })
}

async fn transaction(
    State(api): State<Api>,
    Path(text): Path<String>,
) -> Result<Response, Failure> {
    let view = api.handle.reader().view()?;
    let recorded = view.recorded(&id(&text)?)?;
    let recorded = recorded.ok_or_else(|| Failure::not_found("the transaction"))?;
    let inclusion = view.inclusion(&recorded)?;
    let block = proved(&view, recorded.entry.height)?;
    encoded(&TransactionProof::new(recorded.entry, &inclusion, block))
}

async fn receipt(State(api): State<Api>, Path(text): Path<String>) -> Result<Response, Failure> {
    let view = api.handle.reader().view()?;
    let recorded = view.recorded(&id(&text)?)?;
    let recorded = recorded.ok_or_else(|| Failure::not_found("the transaction"))?;
    let bytes = receipt_file(&view, &recorded, &api.signer)?;
    Ok(([(CONTENT_TYPE, "application/cbor")], bytes).into_response())
}

/// The receipt of a release, as a file that verifies by itself.
pub(crate) fn receipt_file(
    view: &View,
    recorded: &Recorded,
    signer: &Signer,
) -> Result<Vec<u8>, Failure> {
    let pruned = || Failure::not_found("the transaction itself, which was pruned here,");
    let transaction = view.transaction(recorded)?.ok_or_else(pruned)?;
    let inclusion = view.inclusion(recorded)?;
    let ProvedBlock { finality, handovers } = proved(view, recorded.entry.height)?;
    let parts = ReceiptParts {
        transaction: &transaction,
        entry: &recorded.entry,
        inclusion: &inclusion,
        finality: &finality,
        handovers: &handovers,
    };
    Ok(issue_receipt(&parts, signer)?)
}

/// Proofs of several facts in the state after the last block.
async fn facts(State(api): State<Api>, body: Bytes) -> Result<Response, Failure> {
    let asked: Vec<Fact> = cbor::decode(&body, MAX_FACTS_BYTES)
        .map_err(|_| Failure::bad_request("the body is no list of facts in its one form"))?;
    if asked.len() > MAX_FACTS {
        return Err(Failure::bad_request("too many facts are asked for at once"));
    }
    let view = api.handle.reader().view()?;
    let ProvedBlock { finality, handovers } = proved(&view, view.tip().height)?;
    encoded(&StateEvidence::of(&view, (finality, handovers), &asked)?)
}

async fn status(State(api): State<Api>) -> Result<Json<StatusAnswer>, Failure> {
    let view = api.handle.reader().view()?;
    let status = api.handle.status();
    let tip = view.tip();
    let validators = query::config(&view)?.map(|c| c.validator_keys()).unwrap_or_default();
    let warnings = query::warnings(&view, clock::now())?.iter().map(warning_text).collect();
    Ok(Json(StatusAnswer {
        ledger: tip.ledger,
        height: tip.height,
        block: tip.hash()?,
        time: tip.time,
        transactions: tip.history_size,
        waiting: status.waiting,
        frozen: status.frozen == Frozen::Yes,
        validators: validators.into_iter().collect(),
        warnings,
    }))
}

async fn genesis(State(api): State<Api>) -> Result<Response, Failure> {
    encoded(&api.handle.reader().view()?.genesis()?)
}

/// Whether to wait for a block after one; without, the answer comes at once.
#[derive(Deserialize)]
struct Newer {
    after: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    #[serde(default)]
    after: u64,
}

fn line(view: &View, height: Height) -> Result<BlockLine, Failure> {
    let header = view.header(height)?.ok_or_else(|| Failure::not_found("the block"))?;
    let entries = view.entries_of(height)?;
    Ok(BlockLine {
        height,
        block: header.hash()?,
        time: header.time,
        transactions: entries.iter().map(TransactionLine::from).collect(),
    })
}

async fn blocks(
    State(api): State<Api>,
    Query(After { after }): Query<After>,
) -> Result<Json<Vec<BlockLine>>, Failure> {
    let view = api.handle.reader().view()?;
    let last = view.tip().height.get().min(after.saturating_add(MAX_LISTED));
    let lines = (after.saturating_add(1)..=last).map(|height| line(&view, Height::new(height)));
    Ok(Json(lines.collect::<Result<_, _>>()?))
}

async fn block(State(api): State<Api>, Path(height): Path<u64>) -> Result<Response, Failure> {
    let view = api.handle.reader().view()?;
    let height = Height::new(height);
    match view.block(height)? {
        Some(block) => encoded(&block),
        None => encoded(&view.pruned_block(height)?),
    }
}

async fn tip(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    Query(Newer { after }): Query<Newer>,
) -> Result<Response, Failure> {
    if let Some(after) = after {
        let mut status = api.handle.follow();
        let newer = status.wait_for(|status| status.height.get() > after);
        // Whoever waits in vain gets the block that it has.
        let _ = tokio::time::timeout(WAIT, newer).await;
        check_member(&api, &peer)?;
    }
    let view = api.handle.reader().view()?;
    let height = view.tip().height;
    encoded(&proved(&view, height)?)
}

async fn state_value(
    State(api): State<Api>,
    Path(text): Path<String>,
) -> Result<Response, Failure> {
    let key = hex::decode(&text)
        .map_err(|_| Failure::bad_request("a key of the state is written in hexadecimal"))?;
    let view = api.handle.reader().view()?;
    let height = view.tip().height;
    let proof = state::prove(&view, height, &key)?;
    encoded(&StateAnswer { proof, block: proved(&view, height)? })
}

/// Each block as it is committed. It ends for a member whose certificate does not count any more.
async fn follow(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    Query(After { after }): Query<After>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let start = (api.handle.follow(), api, peer, Height::new(after));
    let stream = futures::stream::unfold(start, |(mut status, api, peer, after)| async move {
        status.wait_for(|status| status.height > after).await.ok()?;
        check_member(&api, &peer).ok()?;
        let next = after.next();
        let view = api.handle.reader().view().ok()?;
        let line = line(&view, next).ok()?;
        let event = Event::default().id(next.to_string()).event("block").json_data(line).ok()?;
        Some((Ok(event), (status, api, peer, next)))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

async fn misbehaviour(State(api): State<Api>) -> Result<Response, Failure> {
    let view = api.handle.reader().view()?;
    encoded(&Misbehaviour { votes: view.evidence()?, consensus: view.faults()? })
}

/// Where the snapshot's writer, which blocks, hands its bytes to the connection.
struct Pipe(tokio::sync::mpsc::Sender<Result<Bytes, std::io::Error>>);

impl std::io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn snapshot(State(api): State<Api>) -> Result<Response, Failure> {
    let view = api.handle.reader().view()?;
    let (send, receive) = tokio::sync::mpsc::channel(16);
    tokio::task::spawn_blocking(move || {
        let mut to = std::io::BufWriter::with_capacity(256 * 1024, Pipe(send.clone()));
        let written = write_snapshot(&view, &mut to)
            .map_err(std::io::Error::other)
            .and_then(|()| std::io::Write::flush(&mut to));
        if let Err(error) = written {
            let _ = send.blocking_send(Err(error));
        }
    });
    let stream = futures::stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|part| (part, receive))
    });
    let body = Body::from_stream(stream);
    Ok(([(CONTENT_TYPE, "application/octet-stream")], body).into_response())
}
