use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use salus_crypto::Digest;
use salus_crypto::merkle::ConsistencyProof;
use salus_ledger::config::quorum;
use salus_ledger::proof::{
    AddCheckpoint, Checkpoint, SignedCheckpoint, TrustAnchor, WitnessRefused,
};
use salus_ledger::{TreeRoot, cbor};

use super::WitnessError;
use super::desk::{Desk, DeskError};
use crate::api::Consistency;
use crate::client::{ClientError, LedgerClient};
use crate::clock;
use crate::proof::{MAX_PROOF_BYTES, ProvedBlock};

/// How long one validator may take to answer; the others are not kept waiting longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A validator's last block, proved, and the checkpoint that it makes.
struct Seen {
    block: ProvedBlock,
    anchor: TrustAnchor,
    checkpoint: Checkpoint,
}

/// Looks at each validator by itself: one that shows another history must not hide behind others.
pub(super) async fn look(
    desk: &Arc<Mutex<Desk>>,
    client: &LedgerClient,
) -> Result<u64, WitnessError> {
    let (mut looked, mut worst) = (0, None);
    for url in client.validators() {
        match tokio::time::timeout(PATIENCE * 3, look_at(desk, client, url)).await {
            Ok(Ok(())) => looked += 1,
            Ok(Err(error)) => {
                let fork = matches!(error, WitnessError::Desk(DeskError::Forked { .. }));
                if fork || worst.is_none() {
                    worst = Some(error);
                }
                if fork {
                    break;
                }
            }
            Err(_) => tracing::debug!(url, "a validator does not answer in time"),
        }
    }
    let size = desk.lock().last().map_or(0, |last| last.checkpoint().size);
    match worst {
        Some(error) if looked == 0 || matches!(error, WitnessError::Desk(_)) => Err(error),
        _ => Ok(size),
    }
}

async fn look_at(
    desk: &Arc<Mutex<Desk>>,
    client: &LedgerClient,
    url: &str,
) -> Result<(), WitnessError> {
    let seen = tip(client, url).await?;
    let known = desk.lock().last().map(|last| *last.checkpoint());
    let known = known.filter(|known| known.size > 0);
    let new = seen.checkpoint;
    match known {
        _ if new.size == 0 => return Ok(()),
        // One that is behind is looked at again; its history shows when it has caught up.
        Some(known) if new.size < known.size || new == known => return Ok(()),
        _ => {}
    }
    let Some(signed) = gather(client, &seen).await? else {
        tracing::debug!(url, "too few validators have signed the checkpoint of this block yet");
        return Ok(());
    };
    let (old, path) = match known.filter(|known| known.size < new.size) {
        None => (known.map_or(0, |known| known.size), Vec::new()),
        Some(known) => (known.size, proof(client, url, desk, &known, &signed).await?),
    };
    let request = AddCheckpoint { old, path, checkpoint: signed };
    let cosigned = {
        let (desk, anchor) = (Arc::clone(desk), seen.anchor);
        // The disk is written before the cosignature is given.
        let added = tokio::task::spawn_blocking(move || {
            let mut desk = desk.lock();
            desk.trust(&anchor);
            desk.add(&request, clock::now())
        });
        added.await.map_err(|_| DeskError::Stopping)??
    };
    bring(client, &cosigned).await;
    Ok(())
}

fn unreadable(url: &str) -> ClientError {
    ClientError::Unreadable { url: url.to_owned() }
}

async fn tip(client: &LedgerClient, url: &str) -> Result<Seen, WitnessError> {
    let bytes = client.get(url, "/v1/tip?after=0").await?;
    let not_proved = |source| ClientError::NotProved { url: url.to_owned(), source };
    let block: ProvedBlock =
        cbor::decode(&bytes, MAX_PROOF_BYTES).map_err(|error| not_proved(error.into()))?;
    let anchor = block.verify(client.anchor()).map_err(not_proved)?;
    let checkpoint = Checkpoint::of(&block.finality.header);
    Ok(Seen { block, anchor, checkpoint })
}

/// The block's checkpoint with a quorum of its validators' signatures; none while too few have
/// committed the block.
async fn gather(
    client: &LedgerClient,
    seen: &Seen,
) -> Result<Option<SignedCheckpoint>, WitnessError> {
    let path = format!("/v1/checkpoint/{}", seen.block.finality.header.height);
    let path = path.as_str();
    let mut waiting: FuturesUnordered<_> = client
        .validators()
        .iter()
        .map(|url| async move {
            let bytes = tokio::time::timeout(PATIENCE, client.get(url, path)).await.ok()?.ok()?;
            SignedCheckpoint::from_text(std::str::from_utf8(&bytes).ok()?).ok()
        })
        .collect();
    let wanted = quorum(seen.anchor.validators().len());
    let mut all = SignedCheckpoint::new(seen.checkpoint);
    while let Some(part) = waiting.next().await {
        let Some(part) = part.filter(|part| *part.checkpoint() == seen.checkpoint) else {
            continue;
        };
        // A line that is forged spoils only the answer that brought it.
        let Ok(right) = part.only_validators(seen.anchor.validators()) else { continue };
        all = right.signatures().iter().cloned().fold(all, SignedCheckpoint::renewed_by);
        if all.signatures().len() >= wanted {
            return Ok(Some(all));
        }
    }
    Ok(None)
}

/// The way from what was cosigned to the new checkpoint, or the proof that there is none.
async fn proof(
    client: &LedgerClient,
    url: &str,
    desk: &Arc<Mutex<Desk>>,
    known: &Checkpoint,
    new: &SignedCheckpoint,
) -> Result<Vec<Digest>, WitnessError> {
    let size = new.checkpoint().size;
    let bytes = client.get(url, &format!("/v1/consistency?from={}&to={size}", known.size)).await?;
    let answer: Consistency = cbor::decode(&bytes, 64 * 1024).map_err(|_| unreadable(url))?;
    let digest = |root: &TreeRoot| Digest::from_bytes(*root.as_bytes());
    let path: Vec<Digest> = answer.path.iter().map(digest).collect();
    if answer.root == known.root {
        return Ok(path);
    }
    let proof = ConsistencyProof { earlier: known.size, size, path };
    let leads = proof.verify(digest(&answer.root), digest(&new.checkpoint().root));
    if leads.is_err() {
        return Err(DeskError::Refused(WitnessRefused::NotConsistent).into());
    }
    let forked = desk.lock().forked(new, answer.root, &proof)?;
    Err(forked.into())
}

/// Whoever is away now gets a later one.
async fn bring(client: &LedgerClient, cosigned: &SignedCheckpoint) {
    let text = cosigned.to_string();
    let handed = client.validators().iter().map(|url| {
        let text = text.clone().into_bytes();
        async move {
            let post = client.post_to(url, "/v1/checkpoint", text);
            match tokio::time::timeout(PATIENCE, post).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(url, %error, "a cosignature is not taken"),
                Err(_) => tracing::debug!(url, "a validator does not answer in time"),
            }
        }
    });
    futures::future::join_all(handed).await;
}
