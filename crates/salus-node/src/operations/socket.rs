//! The socket over which an operator's command asks the node that runs.
//!
//! A call is a length (u32, big-endian) and a JSON envelope; an answer is a length, a JSON header
//! and, for rows, an Arrow stream up to the end of the connection.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use salus_crypto::Digest;
use salus_crypto::aead::Aad;
use salus_model::{Class, Classified, StaffId, Timestamp};
use salus_query::Answer;
use salus_store::audit::AuditRecord;
use salus_store::{open_sealed, seal_object};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::{
    AuditChecked, Call, KeyChanged, OperationError, Operations, OptOutsShown, PermitDone, Removed,
    Reply, Shredded, Status,
};
use crate::gate::GateReply;
use crate::published::PublishedDataset;
use crate::releasing::ReleaseDone;
use crate::sharing::Shared;
use crate::site::{Site, SiteError};

const FOLDER: &str = "run";
const SOCKET: &str = "node.sock";
const CALL_BYTES_MAX: usize = 1024 * 1024;
const HEADER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How old a call may be.
const WINDOW_MICROS: i64 = 60_000_000;
/// How long a connection may take to send its call.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a running node did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The socket failed.
    #[error("the node that runs does not answer; if none runs, do it again")]
    Io(#[from] io::Error),
    /// What came back is no answer.
    #[error("the node that runs answered against its protocol; is it another version of Salus?")]
    Protocol,
    /// The call cannot be proved or encoded.
    #[error("the call cannot be sealed")]
    Seal(#[source] salus_store::SealedError),
    /// The node refused, in its own words.
    #[error("{message}")]
    Told {
        /// What it said.
        message: String,
        /// Who has to act.
        class: Class,
    },
}

impl Classified for CallError {
    fn class(&self) -> Class {
        match self {
            Self::Io(_) => Class::Unavailable,
            Self::Protocol => Class::Peer,
            Self::Seal(e) => e.class(),
            Self::Told { class, .. } => *class,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    operator: StaffId,
    /// The call as JSON text, over whose exact bytes the proof is.
    call: String,
    /// The moment, sealed under the site's master key and bound to operator and call.
    proof: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "answer", content = "of", rename_all = "kebab-case")]
enum Header {
    /// Rows follow.
    Rows,
    Key(KeyChanged),
    Shredded(Shredded),
    Records(Vec<AuditRecord>),
    Checked(AuditChecked),
    Removed(Removed),
    Status(Status),
    Recorded,
    OptOuts(OptOutsShown),
    Shared(Shared),
    Permit(PermitDone),
    Reviewed(salus_ledger::TxId),
    Released(Box<ReleaseDone>),
    Published(Vec<PublishedDataset>),
    Gate(GateReply),
    Refused {
        message: String,
        class: u8,
    },
}

const CLASSES: [Class; 6] = [
    Class::BadRequest,
    Class::Refused,
    Class::Peer,
    Class::Corrupt,
    Class::Unavailable,
    Class::Bug,
];

fn class_number(class: Class) -> u8 {
    CLASSES.iter().position(|c| *c == class).and_then(|n| u8::try_from(n).ok()).unwrap_or(5)
}

fn proof_aad(site: &Site, operator: &StaffId, call: &str) -> Aad {
    let holder = site.config.holder.as_str().as_bytes();
    let digest = Digest::of(call.as_bytes());
    Aad::new("salus operator call v1", &[holder, operator.as_str().as_bytes(), digest.as_bytes()])
}

/// Where a site's socket lies.
fn path(folder: &Path) -> PathBuf {
    folder.join(FOLDER).join(SOCKET)
}

/// A socket that is served until dropped.
pub struct Listening {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        // Who calls later finds nobody either way.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves operators' calls on the site's socket. The caller has the access log open, and so is
/// the only one that does this.
///
/// # Errors
/// When the socket cannot be made.
pub fn listen(operations: Operations) -> Result<Listening, SiteError> {
    let path = path(&operations.site.folder);
    let io = |source| SiteError::Io { path: path.clone(), source };
    // A folder of its own, closed to others, so that there is no moment at which they can connect.
    crate::site::make_private_folder(&operations.site.folder.join(FOLDER)).map_err(io)?;
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(e)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(io)?;
    let task = tokio::spawn(serve(listener, operations));
    Ok(Listening { path, task })
}

async fn serve(listener: UnixListener, operations: Operations) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let operations = operations.clone();
                    connections.spawn(async move {
                        // A caller who has gone needs no answer.
                        let _ = answer(stream, &operations).await;
                    });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(mut stream: UnixStream, operations: &Operations) -> Result<(), CallError> {
    let bytes = tokio::time::timeout(PATIENCE, read_frame(&mut stream, CALL_BYTES_MAX)).await;
    let bytes = bytes.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let envelope: Envelope = serde_json::from_slice(&bytes).map_err(|_| CallError::Protocol)?;
    let (mut from, mut to) = stream.into_split();
    let mut nothing = [0];
    let replied = tokio::select! {
        replied = perform(operations, envelope) => replied,
        // Dropping the work stops a statement whose caller has gone.
        _ = from.read(&mut nothing) => return Ok(()),
    };
    let (header, rows) = match replied {
        Ok(reply) => described(reply),
        Err(refused) => (refused, None),
    };
    let header = serde_json::to_vec(&header).map_err(|_| CallError::Protocol)?;
    let length = u32::try_from(header.len()).map_err(|_| CallError::Protocol)?;
    to.write_all(&length.to_be_bytes()).await?;
    to.write_all(&header).await?;
    if let Some(rows) = rows {
        to.write_all(&rows).await?;
    }
    to.shutdown().await?;
    Ok(())
}

fn told(error: &OperationError) -> Header {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let sentence = error.to_string();
        if !message.contains(&sentence) {
            message = format!("{message}: {sentence}");
        }
        cause = error.source();
    }
    Header::Refused { message, class: class_number(error.class()) }
}

async fn perform(operations: &Operations, envelope: Envelope) -> Result<Reply, Header> {
    let refused = |message: &str| Header::Refused {
        message: message.to_owned(),
        class: class_number(Class::Refused),
    };
    proved(&operations.site, &envelope)
        .await
        .ok_or_else(|| refused("the call does not prove that it may use the site's key"))?;
    let call: Call = serde_json::from_str(&envelope.call).map_err(|_| {
        refused("the node that runs does not know this call; is it another version?")
    })?;
    operations.perform(&envelope.operator, call).await.map_err(|e| told(&e))
}

/// Whether whoever made the call can use the site's master key, and did so just now.
async fn proved(site: &Site, envelope: &Envelope) -> Option<()> {
    let sealed = hex::decode(&envelope.proof).ok()?;
    let aad = proof_aad(site, &envelope.operator, &envelope.call);
    let opened = open_sealed(&*site.keys, &site.master, &aad, &sealed).await.ok()?;
    let micros = i64::from_be_bytes(opened.as_slice().try_into().ok()?);
    let made = Timestamp::from_micros(micros).ok()?;
    let age = site.clock.now().as_micros().checked_sub(made.as_micros())?;
    (-WINDOW_MICROS..=WINDOW_MICROS).contains(&age).then_some(())
}

fn described(reply: Reply) -> (Header, Option<Vec<u8>>) {
    match reply {
        Reply::Answer(answer) => {
            let mut rows = Vec::new();
            match answer.write_arrow(&mut rows) {
                Ok(()) => (Header::Rows, Some(rows)),
                Err(e) => {
                    let class = class_number(e.class());
                    (Header::Refused { message: e.to_string(), class }, None)
                }
            }
        }
        Reply::Key(changed) => (Header::Key(changed), None),
        Reply::Shredded(shredded) => (Header::Shredded(shredded), None),
        Reply::Records(records) => (Header::Records(records), None),
        Reply::Checked(checked) => (Header::Checked(checked), None),
        Reply::Removed(removed) => (Header::Removed(removed), None),
        Reply::Status(status) => (Header::Status(status), None),
        Reply::Recorded => (Header::Recorded, None),
        Reply::OptOuts(list) => (Header::OptOuts(list), None),
        Reply::Shared(shared) => (Header::Shared(shared), None),
        Reply::Permit(done) => (Header::Permit(done), None),
        Reply::Reviewed(transaction) => (Header::Reviewed(transaction), None),
        Reply::Released(done) => (Header::Released(done), None),
        Reply::Published(all) => (Header::Published(all), None),
        Reply::Gate(reply) => (Header::Gate(reply), None),
    }
}

async fn read_frame(stream: &mut UnixStream, most: usize) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await? as usize;
    if length > most {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Asks the node that runs on this site; none when none runs.
///
/// # Errors
/// When the node refuses or does not answer.
pub async fn call_node(
    site: &Site,
    operator: &StaffId,
    call: &Call,
) -> Result<Option<Reply>, CallError> {
    let Ok(mut stream) = UnixStream::connect(path(&site.folder)).await else { return Ok(None) };
    let call = serde_json::to_string(call).map_err(|_| CallError::Protocol)?;
    let aad = proof_aad(site, operator, &call);
    let now = site.clock.now().as_micros().to_be_bytes();
    let sealed =
        seal_object(&*site.keys, &site.master, &aad, &now).await.map_err(CallError::Seal)?;
    let envelope = Envelope { operator: operator.clone(), call, proof: hex::encode(sealed) };
    let bytes = serde_json::to_vec(&envelope).map_err(|_| CallError::Protocol)?;
    let length = u32::try_from(bytes.len()).map_err(|_| CallError::Protocol)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&bytes).await?;
    let header = read_frame(&mut stream, HEADER_BYTES_MAX).await?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| CallError::Protocol)?;
    let reply = match header {
        Header::Rows => {
            let mut rows = Vec::new();
            stream.read_to_end(&mut rows).await?;
            let answer = Answer::read_arrow(rows.as_slice()).map_err(|_| CallError::Protocol)?;
            Reply::Answer(answer)
        }
        Header::Key(changed) => Reply::Key(changed),
        Header::Shredded(shredded) => Reply::Shredded(shredded),
        Header::Records(records) => Reply::Records(records),
        Header::Checked(checked) => Reply::Checked(checked),
        Header::Removed(removed) => Reply::Removed(removed),
        Header::Status(status) => Reply::Status(status),
        Header::Recorded => Reply::Recorded,
        Header::OptOuts(list) => Reply::OptOuts(list),
        Header::Shared(shared) => Reply::Shared(shared),
        Header::Permit(done) => Reply::Permit(done),
        Header::Reviewed(transaction) => Reply::Reviewed(transaction),
        Header::Released(done) => Reply::Released(done),
        Header::Published(all) => Reply::Published(all),
        Header::Gate(reply) => Reply::Gate(reply),
        Header::Refused { message, class } => {
            let class = CLASSES.get(usize::from(class)).copied().unwrap_or(Class::Bug);
            return Err(CallError::Told { message, class });
        }
    };
    Ok(Some(reply))
}
