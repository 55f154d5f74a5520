//! A reader of the explorer for programs: the terminal, and whoever writes reports.
//!
//! What it gives is what one validator says. What counts is proved with
//! [`crate::client::LedgerClient`].

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use salus_ledger::genesis::Genesis;
use salus_model::{Class, Classified};
use serde::de::DeserializeOwned;

use super::answers::{
    BlockDetail, BlockLine, BlockPage, MemberDetail, MemberPage, Overview, ReceiptDetail,
    SearchAnswer, Statistics, TransactionDetail, TransactionPage,
};
use crate::api::{Problem, client_config};
use crate::folder::Identity;

const REQUEST: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(3);
/// The most bytes of one event of the tail.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Why the explorer gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExplorerError {
    /// Keys or certificates cannot be used.
    #[error("the certificate or its key cannot be used for TLS")]
    Identity(#[source] rustls::Error),
    /// The validator cannot be reached.
    #[error("validator {url} cannot be reached")]
    Unreachable {
        /// Its address.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It refuses, with its reason.
    #[error("{problem}")]
    Refused {
        /// The reason.
        problem: String,
    },
    /// Its answer cannot be read.
    #[error("the answer of validator {url} cannot be read")]
    Unreadable {
        /// Its address.
        url: String,
    },
}

impl Classified for ExplorerError {
    fn class(&self) -> Class {
        match self {
            Self::Identity(_) => Class::BadRequest,
            Self::Unreachable { .. } => Class::Unavailable,
            Self::Refused { .. } => Class::Refused,
            Self::Unreadable { .. } => Class::Peer,
        }
    }
}

/// An answer of the explorer on its way to somebody else.
#[derive(Debug)]
pub struct Relayed {
    /// Its HTTP status.
    pub status: u16,
    /// Its media type.
    pub content_type: Option<String>,
    answer: reqwest::Response,
}

impl Relayed {
    /// The body as it comes, which need not end; it ends where the validator is gone.
    pub fn into_body(self) -> impl Stream<Item = Result<Vec<u8>, std::io::Error>> + Send + use<> {
        let broken = |_| std::io::Error::other("the validator's answer broke off");
        self.answer.bytes_stream().map(move |piece| match piece {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(error) => Err(broken(error)),
        })
    }
}

/// Reads the explorer of one validator.
#[derive(Debug, Clone)]
pub struct ExplorerClient {
    http: reqwest::Client,
    url: String,
}

impl ExplorerClient {
    /// Reads at a validator (`https://host:port`) for one organisation.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn new(url: &str, genesis: &Genesis, identity: &Identity) -> Result<Self, ExplorerError> {
        let tls = client_config(identity, &genesis.config.form().roots)
            .map_err(ExplorerError::Identity)?;
        let url = url.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .no_proxy()
            .connect_timeout(CONNECT)
            .build()
            .map_err(|source| ExplorerError::Unreachable { url: url.clone(), source })?;
        Ok(Self { http, url })
    }

    async fn answer(&self, path: &str) -> Result<reqwest::Response, ExplorerError> {
        let unreachable = |source| ExplorerError::Unreachable { url: self.url.clone(), source };
        let request = self.http.get(format!("{}/v1/explorer/{path}", self.url));
        let answer = request.send().await.map_err(unreachable)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let bytes = answer.bytes().await.map_err(unreachable)?;
        let problem: Result<Problem, _> = serde_json::from_slice(&bytes);
        let unreadable = |_| ExplorerError::Unreadable { url: self.url.clone() };
        Err(ExplorerError::Refused { problem: problem.map_err(unreadable)?.problem })
    }

    /// An answer of the explorer as it is, for whoever hands it on; `path` is what stands behind
    /// `/v1/explorer/`, with its query.
    ///
    /// # Errors
    /// When the validator cannot be reached. What it refuses is an answer too.
    pub async fn relay(&self, path: &str) -> Result<Relayed, ExplorerError> {
        let unreachable = |source| ExplorerError::Unreachable { url: self.url.clone(), source };
        let request = self.http.get(format!("{}/v1/explorer/{path}", self.url));
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let kind = answer.headers().get(reqwest::header::CONTENT_TYPE);
        let content_type = kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        Ok(Relayed { status, content_type, answer })
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ExplorerError> {
        let read = async {
            let answer = self.answer(path).await?;
            let unreachable = |source| ExplorerError::Unreachable { url: self.url.clone(), source };
            answer.bytes().await.map_err(unreachable)
        };
        let unreadable = || ExplorerError::Unreadable { url: self.url.clone() };
        let bytes = tokio::time::timeout(REQUEST, read).await.map_err(|_| unreadable())??;
        serde_json::from_slice(&bytes).map_err(|_| unreadable())
    }

    /// How the ledger is.
    ///
    /// # Errors
    /// When the validator does not answer, or refuses. So with all below.
    pub async fn overview(&self) -> Result<Overview, ExplorerError> {
        self.read("overview").await
    }

    /// The ledger in numbers.
    ///
    /// # Errors
    /// See [`ExplorerClient::overview`].
    pub async fn statistics(&self) -> Result<Statistics, ExplorerError> {
        self.read("statistics").await
    }

    /// Blocks, newest first.
    ///
    /// # Errors
    /// See [`ExplorerClient::overview`].
    pub async fn blocks(&self, limit: usize) -> Result<BlockPage, ExplorerError> {
        self.read(&format!("blocks?limit={limit}")).await
    }

    /// One block.
    ///
    /// # Errors
    /// See [`ExplorerClient::overview`].
    pub async fn block(&self, height: u64) -> Result<BlockDetail, ExplorerError> {
        self.read(&format!("blocks/{height}")).await
    }

    /// Transactions, newest first; `filter` is a query such as `method=permits.grant`.
    ///
    /// # Errors
    /// See [`ExplorerClient::overview`].
    pub async fn transactions(&self, filter: &str) -> Result<TransactionPage, ExplorerError> {
        self.read(&format!("transactions?{filter}")).await
    }

    /// One transaction.
    ///
    /// # Errors
    /// See [`ExplorerClient::overview`].
    pub async fn transaction(&self, id: &str) -> Result<TransactionDetail, ExplorerError> {
        self.read(&format!("transactions/{id}")).await
    }

    /// Members by name.
    ///
    /// # Errors
    /// See [`ExplorerClient::overview`].
    pub async fn members(&self) -> Result<MemberPage, ExplorerError> {
        self.read("members?limit=200").await
    }

    /// One member.
    ///
    /// # Errors
    /// See [`ExplorerClient::overview`].
    pub async fn member(&self, id: &str) -> Result<MemberDetail, ExplorerError> {
        self.read(&format!("members/{id}")).await
    }

    /// One receipt, with what was released and who approved it.
    ///
    /// # Errors
    /// See [`ExplorerClient::overview`].
    pub async fn receipt(&self, id: &str) -> Result<ReceiptDetail, ExplorerError> {
        self.read(&format!("receipts/{id}")).await
    }

    /// What may be meant by a height, hash, id or name.
    ///
    /// # Errors
    /// See [`ExplorerClient::overview`].
    pub async fn search(&self, typed: &str) -> Result<SearchAnswer, ExplorerError> {
        let query: String = typed.bytes().map(|byte| format!("%{byte:02x}")).collect();
        self.read(&format!("search?q={query}")).await
    }

    /// Each block after `height` as it is committed.
    ///
    /// # Errors
    /// See [`ExplorerClient::overview`].
    pub async fn tail(
        &self,
        height: u64,
    ) -> Result<impl Stream<Item = BlockLine> + Send + use<>, ExplorerError> {
        let answer = self.answer(&format!("tail?after={height}")).await?;
        let bytes = answer.bytes_stream();
        let start = (Box::pin(bytes), Vec::<u8>::new());
        Ok(futures::stream::unfold(start, |(mut bytes, mut waiting)| async move {
            loop {
                if let Some(line) = next_event(&mut waiting) {
                    return Some((line, (bytes, waiting)));
                }
                let more = bytes.next().await?.ok()?;
                waiting.extend_from_slice(&more);
                if waiting.len() > MAX_EVENT_BYTES {
                    return None;
                }
            }
        }))
    }
}

/// Takes the first whole event off what has come in; comments that keep the connection are passed.
fn next_event(waiting: &mut Vec<u8>) -> Option<BlockLine> {
    loop {
        let end = waiting.windows(2).position(|pair| pair == b"\n\n")?;
        let event: Vec<u8> = waiting.drain(..end + 2).collect();
        let text = String::from_utf8_lossy(&event);
        let data = text.lines().find_map(|line| line.strip_prefix("data:"));
        if let Some(line) = data.and_then(|data| serde_json::from_str(data.trim_start()).ok()) {
            return Some(line);
        }
    }
}
