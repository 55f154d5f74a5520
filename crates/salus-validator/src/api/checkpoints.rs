//! Checkpoints of the history: signed block by block, and as external witnesses cosigned them.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use salus_ledger::config::quorum;
use salus_ledger::proof::{Checkpoint, SignedCheckpoint};
use salus_ledger::{Height, PublicKey, TreeRoot, history, query};
use serde::{Deserialize, Serialize};

use super::answers::Failure;
use super::{Api, Peer, tls};
use crate::clock;
use crate::store::View;

/// How one size of the history leads to a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// The root at the earlier size, as this validator has it.
    pub root: TreeRoot,
    /// The proof's hashes.
    pub path: Vec<TreeRoot>,
}

fn note(checkpoint: &SignedCheckpoint) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], checkpoint.to_string()).into_response()
}

fn signed(api: &Api, view: &View, height: Height) -> Result<SignedCheckpoint, Failure> {
    let header = view.header(height)?.ok_or_else(|| Failure::not_found("the block"))?;
    Ok(SignedCheckpoint::new(Checkpoint::of(&header)).sign(&api.signer))
}

/// The last checkpoint that a witness cosigned; before there is one, this validator's own.
pub(super) async fn latest(State(api): State<Api>) -> Result<Response, Failure> {
    let view = api.handle.reader().view()?;
    match view.cosigned()? {
        Some(cosigned) => Ok(note(&cosigned)),
        None => Ok(note(&signed(&api, &view, view.tip().height)?)),
    }
}

/// The checkpoint of one final block, with this validator's signature.
pub(super) async fn of_block(
    State(api): State<Api>,
    Path(height): Path<u64>,
) -> Result<Response, Failure> {
    let view = api.handle.reader().view()?;
    Ok(note(&signed(&api, &view, Height::new(height))?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sizes {
    from: u64,
    to: u64,
}

/// That the history of one size begins with the one of another.
pub(super) async fn consistency(
    State(api): State<Api>,
    Query(Sizes { from, to }): Query<Sizes>,
) -> Result<Response, Failure> {
    let view = api.handle.reader().view()?;
    if from == 0 || from > to || to > view.tip().history_size {
        return Err(Failure::bad_request(format!(
            "sizes have to be 1 <= from <= to <= {}",
            view.tip().history_size
        )));
    }
    let proof = history::prove_consistency(&view, from, to)?;
    let path = proof.path.iter().map(|node| TreeRoot::new(*node.as_bytes())).collect();
    super::routes::encoded(&Consistency { root: history::root(&view, from)?, path })
}

/// Takes a witness's cosignature: made with the key of the member that shows its certificate, on a
/// checkpoint of this very history that a quorum of validators signed.
pub(super) async fn cosign(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    text: String,
) -> Result<(StatusCode, Json<u64>), Failure> {
    let holder = tls::member_behind(api.handle.reader(), &peer.certificate, clock::now())
        .map_err(|_| Failure::forbidden())?;
    let offered =
        SignedCheckpoint::from_text(&text).map_err(|e| Failure::bad_request(e.to_string()))?;
    let view = api.handle.reader().view()?;
    let size = offered.checkpoint().size;
    check_own(&view, offered.checkpoint())?;
    let cosignatures = offered.cosigned_by(&holder.key);
    if cosignatures.is_empty() {
        return Err(Failure::bad_request(
            "there is no cosignature by the key behind this connection's certificate on it",
        ));
    }
    let known = view.cosigned()?;
    let kept = match known {
        Some(known) if known.checkpoint().size > size => return Ok((StatusCode::OK, Json(size))),
        Some(known) if known.checkpoint() == offered.checkpoint() => known,
        _ => with_quorum(&view, &offered)?,
    };
    let kept = cosignatures.into_iter().fold(kept, SignedCheckpoint::renewed_by);
    api.handle.keep_checkpoint(kept).await?;
    Ok((StatusCode::CREATED, Json(size)))
}

fn check_own(view: &View, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let ours = *view.ledger() == checkpoint.ledger;
    let size = checkpoint.size;
    if !ours || size == 0 || size > view.tip().history_size {
        return Err(Failure::not_found("the checkpoint"));
    }
    if history::root(view, size)? == checkpoint.root {
        return Ok(());
    }
    tracing::error!(
        size,
        "a checkpoint of another history was handed in; the ledger may have forked"
    );
    Err(Failure::conflict(
        "this validator's history has another root at that size; if validators signed both, keep both checkpoints: they prove a fork",
    ))
}

/// The signatures of the validators that decide now; who signed under an earlier configuration has
/// handed over.
fn with_quorum(view: &View, offered: &SignedCheckpoint) -> Result<SignedCheckpoint, Failure> {
    let validators: std::collections::BTreeSet<PublicKey> =
        query::config(view)?.map(|config| config.validator_keys()).unwrap_or_default();
    let kept = offered
        .only_validators(&validators)
        .map_err(|error| Failure::bad_request(error.to_string()))?;
    let (found, wanted) = (kept.signatures().len(), quorum(validators.len()));
    if found < wanted {
        return Err(Failure::bad_request(format!(
            "{found} validators signed the checkpoint, {wanted} have to"
        )));
    }
    Ok(kept)
}
