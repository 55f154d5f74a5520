use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE,
    RANGE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::stream;
use salus_fhir::IssueCode;
use salus_node::exports::{ExportRefused, ExportStanding, SpoolFile, entity_tag};

use super::super::headers;
use super::super::outcome::FhirError;
use super::{Bulk, owner};

/// `GET $export-file/{job}/{file}`, whole or from a byte on.
pub(super) async fn file(
    State(bulk): State<Bulk>,
    Path((job, at)): Path<(String, usize)>,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    let acting = bulk.acting(&headers).await?;
    let seen = bulk.exports.seen(&job, &owner(acting))?;
    let ExportStanding::Done { files } = seen.standing else {
        return Err(ExportRefused::NoJob.into());
    };
    let exported = files.into_iter().nth(at).ok_or(ExportRefused::NoJob)?;
    let tag = entity_tag(&job, at);
    let length = exported.file.bytes();
    let from = match range(&headers, &tag) {
        Some(from) if from < length => Some(from),
        Some(_) => {
            let message = "the file ends before that byte";
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return Err(FhirError::new(status, IssueCode::Value, message));
        }
        None => None,
    };
    let start = from.unwrap_or(0);
    let mut response = Response::new(body(exported.file, start));
    let out = response.headers_mut();
    headers::put(out, CONTENT_TYPE, "application/fhir+ndjson");
    headers::put(out, CONTENT_LENGTH, &(length - start).to_string());
    headers::put(out, ACCEPT_RANGES, "bytes");
    headers::put(out, CACHE_CONTROL, "no-store");
    headers::put(out, ETAG, &tag);
    if from.is_some() {
        let last = length - 1;
        headers::put(out, CONTENT_RANGE, &format!("bytes {start}-{last}/{length}"));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The first byte of a range without end; every other form of range may be passed over.
fn range(headers: &HeaderMap, tag: &str) -> Option<u64> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(IF_RANGE).is_some_and(|known| known != tag) {
        return None;
    }
    text(RANGE)?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

/// Frame by frame, as they are fetched.
fn body(file: SpoolFile, start: u64) -> Body {
    let frames = stream::try_unfold((file, start), async |(file, at)| {
        let reading = tokio::task::spawn_blocking(move || (file.read_at(at), file));
        let (read, file) = reading.await.map_err(std::io::Error::other)?;
        let bytes = read.map_err(|error| {
            // The connection breaks, so that nobody takes this for the end.
            tracing::error!(%error, "a file of an export cannot be read");
            std::io::Error::other("the file cannot be read")
        })?;
        let next = at + bytes.len() as u64;
        Ok::<_, std::io::Error>((!bytes.is_empty()).then(|| (Bytes::from(bytes), (file, next))))
    });
    Body::from_stream(frames)
}
