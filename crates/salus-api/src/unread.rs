//! Requests that are answered before they are read.
//!
//! A refusal needs no body, so it goes out while the body is still on its way. Over HTTP/1 the
//! server then has to close the connection, and a client that keeps connections open and has seen
//! nothing of it loses its next request. So what is left of a request is read before its answer
//! goes, up to a bound; beyond the bound the answer says that the connection ends with it
//! (RFC 9112, sections 9.3 and 9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use futures::StreamExt as _;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

/// How much of a request that nobody wanted is read at the most.
const UNREAD_BYTES_MAX: usize = 256 << 10;
/// How long it is waited for.
const UNREAD_WAIT: Duration = Duration::from_secs(2);

/// A router that leaves no request half read behind an answer.
pub fn reading_to_the_end(router: Router) -> Router {
    router.layer(from_fn(answer))
}

async fn answer(request: Request, next: Next) -> Response {
    let old = matches!(request.version(), Version::HTTP_10 | Version::HTTP_11);
    if !old || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let awaits_word = request.headers().contains_key(header::EXPECT);
    let (giver, mut given) = oneshot::channel();
    let request = request.map(|body| Body::new(Lent { body, back: Some(giver) }));
    let mut response = next.run(request).await;
    // Nothing comes back from a body that was read, or that the answer itself still reads from.
    let Ok(unread) = given.try_recv() else { return response };
    if awaits_word || !read_on(unread).await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether the body came to its end within the bounds.
async fn read_on(body: Body) -> bool {
    let reading = async {
        let mut left = UNREAD_BYTES_MAX;
        let mut data = body.into_data_stream();
        while let Some(piece) = data.next().await {
            let Some(rest) = piece.ok().and_then(|piece| left.checked_sub(piece.len())) else {
                return false;
            };
            left = rest;
        }
        true
    };
    tokio::time::timeout(UNREAD_WAIT, reading).await.unwrap_or(false)
}

/// A body that comes back when its reader lets go of it before the end.
struct Lent {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.back = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(back) = self.back.take()
            && !self.body.is_end_stream()
        {
            // Whoever lent it may have answered already.
            let _ = back.send(std::mem::take(&mut self.body));
        }
    }
}

#[cfg(test)]
mod tests;
