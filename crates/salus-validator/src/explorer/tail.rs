use std::convert::Infallible;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use salus_ledger::Height;
use serde::Deserialize;

use super::routes::{Asked, asked};
use super::{Explorer, read};
use crate::api::{Failure, Peer, member_behind};
use crate::clock;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    after: Option<u64>,
}

/// Each block as it is committed; without `after`, from the next one on. It ends for a member whose
/// certificate does not count any more: a connection outlives its handshake.
pub(super) async fn tail(
    State(explorer): State<Explorer>,
    peer: Option<Extension<Peer>>,
    query: Asked<After>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let status = explorer.handle.follow();
    let tip = explorer.handle.status().height;
    let after = asked(query)?.after.map_or(tip, Height::new);
    let start = (status, explorer, peer, after);
    let stream = futures::stream::unfold(start, |(mut status, explorer, peer, after)| async move {
        status.wait_for(|status| status.height > after).await.ok()?;
        if let Some(Extension(peer)) = &peer {
            member_behind(explorer.handle.reader(), &peer.certificate, clock::now()).ok()?;
        }
        let next = after.next();
        let view = explorer.handle.reader().view().ok()?;
        let line = read::blocks::line(&view, next).ok()?;
        let event = Event::default().id(next.to_string()).event("block").json_data(line).ok()?;
        Some((Ok(event), (status, explorer, peer, next)))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}
