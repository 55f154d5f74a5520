use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use salus_accounts::{Account, Standing};
use salus_ingest::tabular::QUARANTINE_SUFFIX;
use salus_ledger::call::RevocationReason;
use salus_model::{DatasetId, PermitId, StaffId, Timestamp};
use salus_node::operations::{Call, PermitCall, Reply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers::KeyShown;
use super::guard::{failed, problem};
use super::session::{Body, read};
use super::{Console, Shared};

/// A dataset as its steward sees it: how much there is, and never a row.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Holding")]
pub(super) struct DatasetShown {
    #[schemars(with = "String")]
    dataset: DatasetId,
    /// None when it does not open.
    #[serde(flatten)]
    newest: Option<Newest>,
    /// Why it does not open, when it does not.
    locked: Option<String>,
    /// The dataset that keeps the records which its imports refused, with how many there are.
    quarantine: Option<Quarantine>,
    /// Whether its privacy profile is stated, without which it takes no questions.
    profiled: bool,
}

#[derive(Serialize, JsonSchema)]
struct Newest {
    version: u64,
    #[schemars(with = "String")]
    created: Timestamp,
    rows: u64,
    bytes: u64,
    files: usize,
}

#[derive(Serialize, JsonSchema)]
struct Quarantine {
    #[schemars(with = "String")]
    dataset: DatasetId,
    /// None when it does not open.
    rows: Option<u64>,
}

/// The keys of the site's key store, and how the store is.
#[derive(Serialize, JsonSchema)]
pub(super) struct KeysShown {
    /// Which store this is, in words; none when it does not answer.
    store: Option<String>,
    /// What works but should be mended.
    warnings: Vec<String>,
    keys: Vec<KeyShown>,
    /// For how long another process may go on using a key that was revoked, in seconds.
    revocation_seconds: u64,
}

/// A decision on a permit.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "decision")]
pub(super) enum Decision {
    Grant,
    Refuse,
    Revoke {
        /// `requested`, `breach`, `false-statement` or `authority`.
        #[schemars(with = "String")]
        reason: RevocationReason,
    },
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Decided {
    #[schemars(with = "String")]
    permit: PermitId,
}

impl Console {
    async fn newest(&self, dataset: &DatasetId) -> Result<Newest, String> {
        let snapshot = self.site.lake.snapshot(dataset, None).await.map_err(|e| e.to_string())?;
        let manifest = snapshot.manifest();
        Ok(Newest {
            version: manifest.version.number(),
            created: manifest.created,
            rows: manifest.rows(),
            bytes: manifest.bytes(),
            files: manifest.files.len(),
        })
    }

    async fn datasets(&self) -> Result<Vec<DatasetShown>, Response> {
        let all = self.site.lake.datasets().await.map_err(|e| failed(&e))?;
        let profiles = self.site.profiles().map_err(|e| failed(&e))?;
        let mut shown = Vec::new();
        for dataset in all.iter().filter(|d| !d.as_str().ends_with(QUARANTINE_SUFFIX)) {
            let beside = format!("{dataset}{QUARANTINE_SUFFIX}");
            let beside = all.iter().find(|other| other.as_str() == beside);
            let quarantine = match beside {
                None => None,
                Some(other) => {
                    let rows = self.newest(other).await.ok().map(|newest| newest.rows);
                    Some(Quarantine { dataset: other.clone(), rows })
                }
            };
            let (newest, locked) = match self.newest(dataset).await {
                Ok(newest) => (Some(newest), None),
                Err(reason) => (None, Some(reason)),
            };
            let profiled = profiles.of(dataset).is_ok();
            let dataset = dataset.clone();
            shown.push(DatasetShown { dataset, newest, locked, quarantine, profiled });
        }
        Ok(shown)
    }
}

/// Under which name an account's work stands in the access log.
pub(super) fn staff(account: &Account) -> Result<StaffId, Response> {
    StaffId::new(format!("account-{}", account.id))
        .map_err(|e| problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", None, e))
}

pub(super) async fn datasets(State(console): State<Shared>) -> Response {
    match console.datasets().await {
        Ok(shown) => Json(shown).into_response(),
        Err(response) => response,
    }
}

pub(super) async fn keys(State(console): State<Shared>) -> Response {
    let keys = match console.site.keys.list().await {
        Ok(keys) => keys,
        Err(error) => return failed(&error),
    };
    let health = console.site.keys.health().await.ok();
    Json(KeysShown {
        store: health.as_ref().map(|health| health.store.clone()),
        warnings: health.map(|health| health.warnings).unwrap_or_default(),
        keys: keys.into_iter().map(KeyShown::from).collect(),
        revocation_seconds: console.site.config.keys.lifetime().duration().as_secs(),
    })
    .into_response()
}

/// Decides in the organisation's name; whether it may, the ledger's contracts say.
pub(super) async fn decide(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    Path(permit): Path<String>,
    body: Body<Decision>,
) -> Response {
    let work = async {
        let permit = PermitId::new(permit)
            .map_err(|e| problem(StatusCode::NOT_FOUND, "bad-request", None, e))?;
        let call = match read(body)? {
            Decision::Grant => PermitCall::Grant(permit),
            Decision::Refuse => PermitCall::Refuse(permit),
            Decision::Revoke { reason } => PermitCall::Revoke { permit, reason },
        };
        let staff = staff(&by.account)?;
        console.operations.perform(&staff, Call::Permit(call)).await.map_err(|e| failed(&e))
    };
    match work.await {
        Ok(Reply::Permit(done)) => Json(Decided { permit: done.permit }).into_response(),
        Ok(_) => {
            let text = "the node answered something else";
            problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", None, text)
        }
        Err(response) => response,
    }
}
