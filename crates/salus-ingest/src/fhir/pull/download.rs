//! One file of an export, in pieces, across broken connections.

use std::io::Read;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode, Url};
use salus_crypto::{Digest, DigestHasher};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::error::PullError;
use super::origin::Origin;
use super::wire::{Token, Wire, Words, refusal, unreachable};

const DOWNLOADING: &str = "downloading a file of the export";

/// How far a file has been read and taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    /// Bytes after decompression, always whole lines.
    pub(crate) offset: u64,
    /// Ends of lines in those bytes.
    pub(crate) lines: u64,
    /// What was taken, refused or known already.
    pub(crate) items: u64,
    /// Of those bytes.
    pub(crate) digest: Digest,
    pub(crate) done: bool,
}

impl Progress {
    pub(crate) fn none() -> Self {
        Self { offset: 0, lines: 0, items: 0, digest: DigestHasher::new().finish(), done: false }
    }
}

/// A file being downloaded.
pub(crate) struct Download<'w> {
    wire: &'w Wire,
    url: Url,
    token: Token,
    named: Vec<Origin>,
    most: u64,
    open: Option<Response>,
    /// Tells the bytes as they are from others, so that the rest alone can be asked for.
    validator: Option<HeaderValue>,
    /// Bytes handed on so far, and their hash; together with `rest` all that was received.
    offset: u64,
    hasher: DigestHasher,
    lines: u64,
    items: u64,
    /// Received and not handed on.
    rest: Bytes,
    failures: u32,
    /// What the bytes up to the first resumption hash to.
    resumed: Option<Digest>,
    ended: bool,
}

impl<'w> Download<'w> {
    pub(crate) fn new(
        wire: &'w Wire,
        url: Url,
        token: Token,
        named: Vec<Origin>,
        most: u64,
        from: &Progress,
    ) -> Self {
        Self {
            wire,
            url,
            token,
            named,
            most,
            open: None,
            validator: None,
            offset: from.offset,
            hasher: DigestHasher::new(),
            lines: from.lines,
            items: from.items,
            rest: Bytes::new(),
            failures: 0,
            resumed: (from.offset > 0).then_some(from.digest),
            ended: false,
        }
    }

    /// How far it is, after `items` more were taken in.
    pub(crate) fn progress(&mut self, items: u64) -> Progress {
        self.items += items;
        Progress {
            offset: self.offset,
            lines: self.lines,
            items: self.items,
            digest: self.hasher.clone().finish(),
            done: self.ended,
        }
    }

    /// The next bytes; none at the end of the file.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, PullError> {
        if self.rest.is_empty() {
            match self.receive().await? {
                Some(bytes) => self.rest = bytes,
                None => {
                    self.ended = true;
                    return Ok(None);
                }
            }
        }
        Ok(Some(std::mem::take(&mut self.rest)))
    }

    /// Gives back bytes of the end of what [`Download::next`] gave.
    pub(crate) fn give_back(&mut self, rest: Bytes) {
        self.rest = rest;
    }

    /// Bytes that have been handed on.
    pub(crate) fn handed_on(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        self.offset += bytes.len() as u64;
        if self.offset > self.most {
            return Err(PullError::TooLong { what: DOWNLOADING, most: self.most });
        }
        self.hasher.update(bytes);
        self.lines += bytes.iter().filter(|b| **b == b'\n').count() as u64;
        Ok(())
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, PullError> {
        loop {
            if self.open.is_none() {
                self.open().await?;
                if !self.rest.is_empty() {
                    return Ok(Some(std::mem::take(&mut self.rest)));
                }
            }
            let Some(open) = &mut self.open else { continue };
            match open.chunk().await {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => {
                    self.failures = 0;
                    return Ok(Some(bytes));
                }
                Ok(None) => return Ok(None),
                Err(error) => self.broken(error).await?,
            }
        }
    }

    /// Waits after a broken connection, unless there were too many in a row.
    async fn broken(&mut self, error: reqwest::Error) -> Result<(), PullError> {
        // A response that broke would look like one that came to its end.
        self.open = None;
        self.failures += 1;
        if self.failures > self.wire.pace.attempts {
            return Err(unreachable(DOWNLOADING, &self.url, error));
        }
        tokio::time::sleep(self.wire.pace.wait(self.failures - 1, None)).await;
        Ok(())
    }

    /// Opens the file where we are in it.
    async fn open(&mut self) -> Result<(), PullError> {
        let validator = self.validator.clone();
        let mut ask = self.wire.ask(DOWNLOADING, self.url.clone());
        ask.accept = "application/fhir+ndjson";
        ask.token = self.token;
        ask.named = &self.named;
        if let (Some(validator), 1..) = (&validator, self.offset) {
            let range = HeaderValue::from_str(&format!("bytes={}-", self.offset));
            if let Ok(range) = range {
                ask.headers = vec![
                    (RANGE, range),
                    (IF_RANGE, validator.clone()),
                    (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
                ];
            }
        }
        let response = self.wire.send(ask).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                if range_start(&response) != Some(self.offset) {
                    return Err(PullError::Changed);
                }
                self.open = Some(response);
                Ok(())
            }
            StatusCode::OK => self.skip(response).await,
            // Signed addresses that have run out are answered with 403 by object stores.
            StatusCode::FORBIDDEN if self.token == Token::Withhold => {
                Err(PullError::Expired { what: DOWNLOADING })
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                Err(PullError::Expired { what: DOWNLOADING })
            }
            _ => Err(refusal(DOWNLOADING, &self.url, response, Words::Codes).await),
        }
    }

    /// Passes over what has been handed on already, and makes sure that it is the same.
    async fn skip(&mut self, mut response: Response) -> Result<(), PullError> {
        // A decoded body has lost its Content-Encoding, and its validator is of other bytes.
        let encoded = response.headers().get(reqwest::header::CONTENT_LENGTH).is_none();
        let tag = response.headers().get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"));
        self.validator = tag.filter(|_| !encoded).cloned();
        let mut left = self.offset;
        let mut hasher = DigestHasher::new();
        while left > 0 {
            let mut piece = match response.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Err(PullError::Changed),
                Err(error) => {
                    self.rest = Bytes::new();
                    return self.broken(error).await;
                }
            };
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let passed = piece.split_to(take);
            hasher.update(&passed);
            left -= take as u64;
            self.rest = piece;
        }
        if self.offset > 0 {
            let expected = match self.resumed.take() {
                Some(digest) => digest,
                None => self.hasher.clone().finish(),
            };
            if hasher.clone().finish() != expected {
                return Err(PullError::Changed);
            }
            self.hasher = hasher;
        }
        self.open = Some(response);
        Ok(())
    }
}

fn range_start(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// The reading end of a channel, for code that waits.
pub(crate) struct ChannelReader {
    receive: mpsc::Receiver<std::io::Result<Bytes>>,
    current: Bytes,
}

impl ChannelReader {
    pub(crate) fn new(receive: mpsc::Receiver<std::io::Result<Bytes>>) -> Self {
        Self { receive, current: Bytes::new() }
    }
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.receive.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.current = piece?,
            }
        }
        let n = buffer.len().min(self.current.len());
        let piece = self.current.split_to(n);
        if let Some(into) = buffer.get_mut(..n) {
            into.copy_from_slice(&piece);
        }
        Ok(n)
    }
}
