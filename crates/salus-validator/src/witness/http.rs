use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use parking_lot::Mutex;
use salus_ledger::proof::{
    AddCheckpoint, CheckpointError, MAX_ADD_CHECKPOINT_BYTES, WitnessRefused,
};

use super::desk::{Desk, DeskError};
use crate::clock;

/// `add-checkpoint` of C2SP `tlog-witness`, and the last cosigned checkpoint.
pub(super) fn router(desk: Arc<Mutex<Desk>>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/checkpoint", get(checkpoint))
        .layer(DefaultBodyLimit::max(MAX_ADD_CHECKPOINT_BYTES))
        .with_state(desk)
}

async fn checkpoint(State(desk): State<Arc<Mutex<Desk>>>) -> Response {
    match desk.lock().last() {
        Some(last) => (StatusCode::OK, last.to_string()).into_response(),
        None => (StatusCode::NOT_FOUND, "nothing is cosigned yet\n").into_response(),
    }
}

async fn add_checkpoint(State(desk): State<Arc<Mutex<Desk>>>, text: String) -> Response {
    let request = match AddCheckpoint::from_text(&text) {
        Ok(request) => request,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error),
    };
    if request.old > request.checkpoint.checkpoint().size {
        return (StatusCode::BAD_REQUEST, "the old size is above the new one\n").into_response();
    }
    let added = tokio::task::spawn_blocking(move || {
        let mut desk = desk.lock();
        let added = desk.add(&request, clock::now());
        (added, desk.last().map_or(0, |last| last.checkpoint().size))
    });
    let Ok((added, size)) = added.await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    match added {
        Ok(cosigned) => {
            let line = cosigned.signatures().last().map(ToString::to_string).unwrap_or_default();
            (StatusCode::OK, format!("{line}\n")).into_response()
        }
        Err(error) => failed(&error, size),
    }
}

fn refusal(status: StatusCode, error: &dyn std::error::Error) -> Response {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    (status, format!("{error}{cause}\n")).into_response()
}

fn failed(error: &DeskError, size: u64) -> Response {
    let status = match error {
        DeskError::Refused(WitnessRefused::Conflict { .. } | WitnessRefused::Older { .. }) => {
            // How the one who asks learns where to begin.
            let body = ([(CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n"));
            return (StatusCode::CONFLICT, body).into_response();
        }
        DeskError::Refused(WitnessRefused::Fork { .. }) | DeskError::Forked { .. } => {
            StatusCode::CONFLICT
        }
        DeskError::Refused(WitnessRefused::NotConsistent) => StatusCode::UNPROCESSABLE_ENTITY,
        DeskError::Refused(WitnessRefused::Checkpoint(CheckpointError::OtherLedger { .. })) => {
            StatusCode::NOT_FOUND
        }
        DeskError::Refused(WitnessRefused::Checkpoint(_)) => StatusCode::FORBIDDEN,
        DeskError::Folder(_) | DeskError::Stopping | DeskError::OtherLedger { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    refusal(status, error)
}
