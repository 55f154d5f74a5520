//! The client of a ledger: for nodes, the hub, auditors. It trusts no single validator.
//!
//! A transaction goes to several validators at once; an answer counts once its proof is verified:
//! the votes of enough validators, and a Merkle path from what was asked to what they signed. A
//! validator can keep silent or be behind, which others make up for; it cannot lie.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use reqwest::StatusCode;
use salus_ledger::block::{FinalBlock, HistoryEntry, MAX_ENCODED_BLOCK_BYTES};
use salus_ledger::config::PlatformConfig;
use salus_ledger::genesis::Genesis;
use salus_ledger::proof::{
    AnchorError, CheckpointError, CheckpointTrust, Fact, FinalityProof, ProvenState, ReceiptError,
    SignedCheckpoint, StateEvidence, TrustAnchor, VerifiedReceipt, verify_receipt,
};
use salus_ledger::transaction::{SignedTransaction, TransactionError};
use salus_ledger::{Height, LedgerId, TxId, cbor, query};
use salus_model::{Class, Classified};

use crate::api::{self, Accepted, BlockLine, Problem, StatusAnswer};
use crate::folder::Identity;
use crate::proof::{
    MAX_PROOF_BYTES, ProofError, ProvedBlock, ProvedValue, StateAnswer, TransactionProof,
};

/// How long one request may take, waiting for finality included.
const REQUEST: Duration = Duration::from_secs(45);
/// How long a snapshot may take, whose size nobody knows before.
const SNAPSHOT: Duration = Duration::from_secs(2 * 3600);
const CONNECT: Duration = Duration::from_secs(3);
/// How much later each further validator is asked when the ones before have not answered.
const STAGGER: Duration = Duration::from_millis(1_500);

/// Why a client has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No validator is configured.
    #[error(
        "no validator is named; name at least one by its address, such as https://10.0.0.1:7443"
    )]
    NoValidators,
    /// Keys or certificates cannot be used.
    #[error("the certificate or its key cannot be used for TLS")]
    Identity(#[source] rustls::Error),
    /// The genesis cannot be used.
    #[error("the genesis cannot be used")]
    Genesis(#[from] AnchorError),
    /// The transaction is wrong, which shows before it is sent.
    #[error("the transaction is wrong")]
    Transaction(#[from] TransactionError),
    /// A validator refuses, with its reason.
    #[error("{problem}")]
    Refused {
        /// The reason.
        problem: String,
        /// The rule of the ledger that a transaction would break.
        rule: Option<String>,
        /// Its class.
        class: Class,
    },
    /// A validator cannot be reached, or its connection broke.
    #[error("validator {url} cannot be reached")]
    Unreachable {
        /// Its address.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A validator's answer is not proved.
    #[error("the answer of validator {url} is not proved")]
    NotProved {
        /// Its address.
        url: String,
        /// Which link does not hold.
        #[source]
        source: ProofError,
    },
    /// A checkpoint does not count.
    #[error("the checkpoint from validator {url} does not count")]
    Checkpoint {
        /// The validator's address.
        url: String,
        /// What is missing.
        #[source]
        source: CheckpointError,
    },
    /// A receipt does not hold.
    #[error("the receipt from validator {url} does not hold")]
    Receipt {
        /// The validator's address.
        url: String,
        /// Which link does not hold.
        #[source]
        source: ReceiptError,
    },
    /// A validator's answer cannot be read.
    #[error("the answer of validator {url} cannot be read")]
    Unreadable {
        /// Its address.
        url: String,
    },
}

impl Classified for ClientError {
    fn class(&self) -> Class {
        match self {
            Self::NoValidators | Self::Identity(_) => Class::BadRequest,
            Self::Genesis(error) => error.class(),
            Self::Transaction(error) => error.class(),
            Self::Refused { class, .. } => *class,
            Self::Unreachable { .. } => Class::Unavailable,
            Self::NotProved { .. }
            | Self::Receipt { .. }
            | Self::Checkpoint { .. }
            | Self::Unreadable { .. } => Class::Peer,
        }
    }
}

/// A transaction that is recorded for good, proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// What the history says of it, with what became of it.
    pub entry: HistoryEntry,
    /// Its place in the history.
    pub history_index: u64,
    /// The proof, to keep or to show to others.
    pub proof: TransactionProof,
}

/// A client of one ledger.
#[derive(Debug)]
pub struct LedgerClient {
    http: reqwest::Client,
    validators: Vec<String>,
    ledger: LedgerId,
    anchor: TrustAnchor,
}

impl LedgerClient {
    /// A client that speaks to these validators (`https://host:port`) for one organisation.
    ///
    /// The genesis is all that it trusts; get it from somebody you trust, and keep it.
    ///
    /// # Errors
    /// When no validator is named, or the certificate cannot be used.
    pub fn new(
        validators: &[String],
        genesis: &Genesis,
        identity: &Identity,
    ) -> Result<Self, ClientError> {
        if validators.is_empty() {
            return Err(ClientError::NoValidators);
        }
        let anchor = TrustAnchor::from_genesis(genesis)?;
        let tls = api::client_config(identity, &genesis.config.form().roots)
            .map_err(ClientError::Identity)?;
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            // A proxy in between could not show the member's certificate.
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .tcp_nodelay(true)
            .build()
            .map_err(|source| ClientError::Unreachable { url: String::new(), source })?;
        let validators =
            validators.iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
        Ok(Self { http, validators, ledger: *anchor.ledger(), anchor })
    }

    /// The ledger.
    #[must_use]
    pub const fn ledger(&self) -> &LedgerId {
        &self.ledger
    }

    /// What the client trusts: the ledger's genesis. Proofs bring every handover since then.
    #[must_use]
    pub const fn anchor(&self) -> &TrustAnchor {
        &self.anchor
    }

    /// The validators' addresses.
    pub(crate) fn validators(&self) -> &[String] {
        &self.validators
    }

    pub(crate) async fn get(&self, url: &str, path: &str) -> Result<Vec<u8>, ClientError> {
        let unreachable = |source| ClientError::Unreachable { url: url.to_owned(), source };
        let answer = self.http.get(format!("{url}{path}")).send().await.map_err(unreachable)?;
        read(url, answer).await
    }

    /// Asks one validator after the other, the next one when the last takes long or fails, until
    /// one gives an answer that `check` accepts.
    async fn ask<T>(
        &self,
        path: &str,
        check: impl Fn(&str, &[u8]) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut waiting = FuturesUnordered::new();
        for (place, url) in self.validators.iter().enumerate() {
            let wait = STAGGER.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX));
            waiting.push(async move {
                tokio::time::sleep(wait).await;
                (url, self.get(url, path).await)
            });
        }
        self.first(&mut waiting, check).await
    }

    /// The first answer that counts, or the reason that tells most.
    async fn first<'u, T, F>(
        &self,
        waiting: &mut FuturesUnordered<F>,
        check: impl Fn(&str, &[u8]) -> Result<T, ClientError>,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = (&'u String, Result<Vec<u8>, ClientError>)>,
    {
        let mut worst = ClientError::NoValidators;
        while let Some((url, answer)) = waiting.next().await {
            match answer.and_then(|bytes| check(url, &bytes)) {
                Ok(value) => return Ok(value),
                Err(error) => {
                    tracing::debug!(%error, url, "a validator gave no answer that counts");
                    if tells_more(&error, &worst) {
                        worst = error;
                    }
                }
            }
        }
        Err(worst)
    }

    /// Hands a transaction to all validators, and returns once it is recorded for good and that is
    /// proved. Handing it in again is harmless.
    ///
    /// # Errors
    /// When every validator refuses it or is away, or no proof holds. A transaction that is
    /// recorded as refused by a rule is no error: see [`HistoryEntry::outcome`].
    pub async fn submit(&self, transaction: &SignedTransaction) -> Result<Recorded, ClientError> {
        let id = transaction.id();
        let mut waiting = FuturesUnordered::new();
        for url in &self.validators {
            let bytes = transaction.as_bytes().to_vec();
            waiting.push(async move { (url, self.hand_in(url, bytes, &id).await) });
        }
        self.first(&mut waiting, |url, bytes| self.check_recorded(url, bytes, &id)).await
    }

    /// Hands a transaction to the first validator alone, and believes its answer: for measurements,
    /// and for a node whose own organisation runs that validator.
    ///
    /// # Errors
    /// When it refuses or is away.
    pub async fn hand_in_one(
        &self,
        transaction: &SignedTransaction,
    ) -> Result<Accepted, ClientError> {
        let url = self.validators.first().ok_or(ClientError::NoValidators)?;
        self.post(url, transaction.as_bytes().to_vec()).await
    }

    async fn post(&self, url: &str, bytes: Vec<u8>) -> Result<Accepted, ClientError> {
        json(url, &self.post_to(url, "/v1/transactions", bytes).await?)
    }

    pub(crate) async fn post_to(
        &self,
        url: &str,
        path: &str,
        bytes: Vec<u8>,
    ) -> Result<Vec<u8>, ClientError> {
        let unreachable = |source| ClientError::Unreachable { url: url.to_owned(), source };
        let post = self.http.post(format!("{url}{path}")).body(bytes);
        read(url, post.send().await.map_err(unreachable)?).await
    }

    /// The checkpoint that witnesses cosigned last, once it has what this trust asks for. Of all
    /// validators' answers the latest counts.
    ///
    /// # Errors
    /// When no validator gives one that counts.
    pub async fn checkpoint(
        &self,
        trust: &CheckpointTrust,
    ) -> Result<SignedCheckpoint, ClientError> {
        let asked = self
            .validators
            .iter()
            .map(|url| async move { (url, self.get(url, "/v1/checkpoint").await) });
        let (mut latest, mut worst) = (None::<SignedCheckpoint>, ClientError::NoValidators);
        let mut waiting: FuturesUnordered<_> = asked.collect();
        while let Some((url, answer)) = waiting.next().await {
            match answer.and_then(|bytes| read_checkpoint(url, &bytes, trust)) {
                Ok(found) => {
                    let size = |signed: &SignedCheckpoint| signed.checkpoint().size;
                    if latest.as_ref().is_none_or(|known| size(known) < size(&found)) {
                        latest = Some(found);
                    }
                }
                Err(error) if tells_more(&error, &worst) => worst = error,
                Err(_) => {}
            }
        }
        latest.ok_or(worst)
    }

    async fn hand_in(&self, url: &str, bytes: Vec<u8>, id: &TxId) -> Result<Vec<u8>, ClientError> {
        // What the validator says is of no weight; the proof that follows is.
        self.post(url, bytes).await?;
        self.get(url, &format!("/v1/transactions/{id}")).await
    }

    fn check_recorded(&self, url: &str, bytes: &[u8], id: &TxId) -> Result<Recorded, ClientError> {
        let not_proved = |source| ClientError::NotProved { url: url.to_owned(), source };
        let proof = TransactionProof::from_bytes(bytes).map_err(not_proved)?;
        proof.verify(id, &self.anchor).map_err(not_proved)?;
        let (entry, history_index) = (proof.entry.clone(), proof.history_index);
        Ok(Recorded { entry, history_index, proof })
    }

    /// What became of a transaction.
    ///
    /// # Errors
    /// When no validator has it, or no proof holds.
    pub async fn recorded(&self, id: &TxId) -> Result<Recorded, ClientError> {
        let path = format!("/v1/transactions/{id}");
        self.ask(&path, |url, bytes| self.check_recorded(url, bytes, id)).await
    }

    /// The receipt of a release, verified, with the file to keep.
    ///
    /// # Errors
    /// When no validator has it, or it does not hold.
    pub async fn receipt(&self, id: &TxId) -> Result<(VerifiedReceipt, Vec<u8>), ClientError> {
        self.ask(&format!("/v1/receipts/{id}"), |url, bytes| {
            let verified = verify_receipt(bytes, &self.anchor)
                .map_err(|source| ClientError::Receipt { url: url.to_owned(), source })?;
            Ok((verified, bytes.to_vec()))
        })
        .await
    }

    /// What the state says at a key, proved. Of all validators' answers, the latest counts, so one
    /// that is behind cannot present an old state as the present one.
    ///
    /// # Errors
    /// When no validator gives a proved answer.
    pub async fn state(&self, key: &[u8]) -> Result<ProvedValue, ClientError> {
        let path = format!("/v1/state/{}", hex::encode(key));
        let path = path.as_str();
        let asked =
            self.validators.iter().map(|url| async move { (url, self.get(url, path).await) });
        let (mut latest, mut worst) = (None::<ProvedValue>, ClientError::NoValidators);
        let mut waiting: FuturesUnordered<_> = asked.collect();
        let mut answered = 0;
        // A majority of answers is waited for; one that is away delays nobody for long.
        while let Some((url, answer)) = waiting.next().await {
            match answer.and_then(|bytes| self.check_state(url, &bytes, key)) {
                Ok(value) => {
                    answered += 1;
                    if latest.as_ref().is_none_or(|known| known.height < value.height) {
                        latest = Some(value);
                    }
                    if answered > self.validators.len() / 2 {
                        break;
                    }
                }
                Err(error) if tells_more(&error, &worst) => worst = error,
                Err(_) => {}
            }
        }
        latest.ok_or(worst)
    }

    fn check_state(&self, url: &str, bytes: &[u8], key: &[u8]) -> Result<ProvedValue, ClientError> {
        let not_proved = |source| ClientError::NotProved { url: url.to_owned(), source };
        let answer = StateAnswer::from_bytes(bytes).map_err(not_proved)?;
        Ok(answer.verify(key, &self.anchor).map_err(not_proved)?.0)
    }

    /// Proofs of several facts in one state. Of a majority of validators' answers the latest counts,
    /// as in [`LedgerClient::state`].
    ///
    /// # Errors
    /// When no validator gives a proved answer.
    pub async fn facts(&self, facts: &[Fact]) -> Result<StateEvidence, ClientError> {
        let unencodable = |error: cbor::CborError| {
            let problem = error.to_string();
            ClientError::Refused { problem, rule: None, class: Class::Bug }
        };
        let body = cbor::encode(&facts).map_err(unencodable)?;
        let asked = self.validators.iter().map(|url| {
            let body = body.clone();
            async move {
                let unreachable = |source| ClientError::Unreachable { url: url.clone(), source };
                let post = self.http.post(format!("{url}/v1/facts")).body(body);
                match post.send().await.map_err(unreachable) {
                    Ok(answer) => (url, read(url, answer).await),
                    Err(error) => (url, Err(error)),
                }
            }
        });
        let (mut latest, mut worst) = (None::<StateEvidence>, ClientError::NoValidators);
        let mut waiting: FuturesUnordered<_> = asked.collect();
        let mut answered = 0;
        while let Some((url, answer)) = waiting.next().await {
            match answer.and_then(|bytes| self.check_facts(url, &bytes)) {
                Ok(evidence) => {
                    answered += 1;
                    let height = |e: &StateEvidence| e.finality.header.height;
                    if latest.as_ref().is_none_or(|known| height(known) < height(&evidence)) {
                        latest = Some(evidence);
                    }
                    if answered > self.validators.len() / 2 {
                        break;
                    }
                }
                Err(error) if tells_more(&error, &worst) => worst = error,
                Err(_) => {}
            }
        }
        latest.ok_or(worst)
    }

    fn check_facts(&self, url: &str, bytes: &[u8]) -> Result<StateEvidence, ClientError> {
        let unproved = || ClientError::Unreadable { url: url.to_owned() };
        let evidence: StateEvidence =
            cbor::decode(bytes, MAX_PROOF_BYTES).map_err(|_| unproved())?;
        ProvenState::verify(&evidence, &self.anchor).map_err(|_| unproved())?;
        Ok(evidence)
    }

    /// The next final block after a height, once there is one; its votes are verified. Blocks in
    /// order, each on the one before: what a node follows the ledger with.
    ///
    /// # Errors
    /// When no validator has it, or it is not proved. Pruned blocks are not served.
    pub async fn next_block(
        &self,
        after: &FollowFrom,
    ) -> Result<(FinalBlock, FollowFrom), ClientError> {
        let height = after.height.next();
        self.await_height(height).await?;
        let block = self
            .ask(&format!("/v1/blocks/{}", height.get()), |url, bytes| {
                let not_proved = |source| ClientError::NotProved { url: url.to_owned(), source };
                let block: FinalBlock = cbor::decode(bytes, MAX_ENCODED_BLOCK_BYTES)
                    .map_err(|error| not_proved(error.into()))?;
                let finality = FinalityProof {
                    header: block.block.header.clone(),
                    certificate: block.certificate.clone(),
                };
                finality.verify(&after.anchor).map_err(|error| not_proved(error.into()))?;
                if finality.header.height != height || !block.block.is_whole() {
                    return Err(not_proved(ProofError::NotIncluded));
                }
                Ok(block)
            })
            .await?;
        let mut next = FollowFrom { height, anchor: after.anchor.clone() };
        self.follow_handover(height, &mut next).await?;
        Ok((block, next))
    }

    /// Where following begins: the genesis.
    #[must_use]
    pub fn beginning(&self) -> FollowFrom {
        FollowFrom { height: Height::GENESIS, anchor: self.anchor.clone() }
    }

    /// Where following begins after a block, with the validators that decide from there on.
    ///
    /// # Errors
    /// When no validator gives a proved answer.
    pub async fn following(&self, after: Height) -> Result<FollowFrom, ClientError> {
        let mut anchor = self.anchor.clone();
        let tip = self.tip(Height::GENESIS).await?;
        let before = tip.handovers.iter().take_while(|h| h.finality.header.height <= after);
        for handover in before {
            anchor = anchor.follow(handover)?;
        }
        Ok(FollowFrom { height: after, anchor })
    }

    /// Takes up a change of validators that the block of this height made, where there was one.
    async fn follow_handover(
        &self,
        height: Height,
        from: &mut FollowFrom,
    ) -> Result<(), ClientError> {
        let tip = self.tip(Height::GENESIS).await?;
        let change =
            tip.handovers.iter().find(|handover| handover.finality.header.height == height);
        if let Some(handover) = change {
            from.anchor = from.anchor.follow(handover)?;
        }
        Ok(())
    }

    async fn await_height(&self, height: Height) -> Result<(), ClientError> {
        loop {
            let before = Height::new(height.get().saturating_sub(1));
            let tip = self.tip(before).await?;
            if tip.finality.header.height >= height {
                return Ok(());
            }
        }
    }

    /// The last block, verified; waits up to half a minute for one after a height.
    ///
    /// # Errors
    /// When no validator gives a proved answer.
    pub async fn tip(&self, after: Height) -> Result<ProvedBlock, ClientError> {
        self.block_at(&format!("/v1/tip?after={}", after.get())).await
    }

    /// The last block, verified, without waiting for another.
    ///
    /// # Errors
    /// When no validator gives a proved answer, as before the ledger's first block.
    pub async fn last_block(&self) -> Result<ProvedBlock, ClientError> {
        self.block_at("/v1/tip").await
    }

    async fn block_at(&self, path: &str) -> Result<ProvedBlock, ClientError> {
        self.ask(path, |url, bytes| {
            let not_proved = |source| ClientError::NotProved { url: url.to_owned(), source };
            let block: ProvedBlock =
                cbor::decode(bytes, MAX_PROOF_BYTES).map_err(|error| not_proved(error.into()))?;
            block.verify(&self.anchor).map_err(not_proved)?;
            Ok(block)
        })
        .await
    }

    /// The configuration in force, or the replaced one with this version, proved; none where the
    /// state has none: before its first change that is the one of the genesis.
    ///
    /// # Errors
    /// When no validator gives a proved answer, or a newer program wrote it.
    pub async fn config(
        &self,
        version: Option<u64>,
    ) -> Result<Option<PlatformConfig>, ClientError> {
        let key = version.map_or_else(query::config_key, query::past_config_key);
        let proved = self.state(&key).await?;
        let unreadable = |_| ClientError::Unreadable { url: self.validators.concat() };
        proved.value.map(|bytes| query::read_config(&bytes).map_err(unreadable)).transpose()
    }

    /// A snapshot of the ledger from one validator, as it comes; nothing in it is verified before
    /// [`restore_snapshot`](crate::store::restore_snapshot) has read it to its end.
    ///
    /// # Errors
    /// When the validator cannot be reached or gives none.
    pub async fn snapshot(&self, url: &str) -> Result<SnapshotDownload, ClientError> {
        let unreachable = |source| ClientError::Unreachable { url: url.to_owned(), source };
        let asked = self.http.get(format!("{url}/v1/snapshot")).timeout(SNAPSHOT);
        let answer = asked.send().await.map_err(unreachable)?;
        if answer.status().is_success() {
            return Ok(SnapshotDownload { url: url.to_owned(), answer });
        }
        let refused = read(url, answer).await.err();
        Err(refused.unwrap_or_else(|| ClientError::Unreadable { url: url.to_owned() }))
    }

    /// What the blocks after a height did, as one validator lists it: for people, not proved.
    ///
    /// # Errors
    /// When no validator answers.
    pub async fn blocks(&self, after: Height) -> Result<Vec<BlockLine>, ClientError> {
        self.ask(&format!("/v1/blocks?after={}", after.get()), json).await
    }

    /// How a validator is, as it says itself.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn status(&self, url: &str) -> Result<StatusAnswer, ClientError> {
        json(url, &self.get(url, "/v1/status").await?)
    }
}

/// A snapshot on its way.
#[derive(Debug)]
pub struct SnapshotDownload {
    url: String,
    answer: reqwest::Response,
}

impl SnapshotDownload {
    /// The next piece, until there is none.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, ClientError> {
        let unreachable = |source| ClientError::Unreachable { url: self.url.clone(), source };
        self.answer.chunk().await.map_err(unreachable)
    }
}

/// How far somebody has followed the ledger, and whose votes count for the next block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowFrom {
    height: Height,
    anchor: TrustAnchor,
}

impl FollowFrom {
    /// The last block that was followed.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }
}

/// An unproved answer tells more than one that does not come, and a refusal more than either.
fn tells_more(error: &ClientError, known: &ClientError) -> bool {
    let rank = |error: &ClientError| match error {
        ClientError::NoValidators => 0,
        ClientError::Unreachable { .. } => 1,
        ClientError::Unreadable { .. } => 2,
        ClientError::Refused { class: Class::Unavailable, .. } => 3,
        ClientError::Refused { .. } => 4,
        _ => 5,
    };
    rank(error) > rank(known)
}

fn read_checkpoint(
    url: &str,
    bytes: &[u8],
    trust: &CheckpointTrust,
) -> Result<SignedCheckpoint, ClientError> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| ClientError::Unreadable { url: url.to_owned() })?;
    let not_cosigned = |source| ClientError::Checkpoint { url: url.to_owned(), source };
    let found = SignedCheckpoint::from_text(text).map_err(not_cosigned)?;
    found.verify(trust).map_err(not_cosigned)?;
    Ok(found)
}

fn json<T: serde::de::DeserializeOwned>(url: &str, bytes: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(bytes).map_err(|_| ClientError::Unreadable { url: url.to_owned() })
}

async fn read(url: &str, answer: reqwest::Response) -> Result<Vec<u8>, ClientError> {
    let status = answer.status();
    let unreachable = |source| ClientError::Unreachable { url: url.to_owned(), source };
    let bytes = answer.bytes().await.map_err(unreachable)?;
    if status.is_success() {
        return Ok(bytes.to_vec());
    }
    let Problem { problem, rule } = serde_json::from_slice(&bytes).unwrap_or_else(|_| Problem {
        problem: format!("validator {url} answers {status}"),
        rule: None,
    });
    let class = match status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::PAYLOAD_TOO_LARGE => {
            Class::BadRequest
        }
        StatusCode::CONFLICT | StatusCode::FORBIDDEN => Class::Refused,
        _ => Class::Unavailable,
    };
    Err(ClientError::Refused { problem, rule, class })
}
