//! What came into the lake, for its stewards: when, by which way, what was refused and why, and
//! which keys protect it.
//!
//! # Privacy
//! Numbers, moments, names of columns and of keys. Of quarantined records the field and the reason
//! are read, which never tell a value, in the site's role `steward`: the site's policies decide, and
//! each look is put on record as any statement is.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use salus_accounts::Standing;
use salus_collect::{DEVICES, DEVICES_HISTORY};
use salus_ingest::fhir::FHIR_DATASET;
use salus_ingest::fhir::pull::{SourceName, Told};
use salus_ingest::fhir::repository::FHIR_HISTORY;
use salus_ingest::tabular::{QUARANTINE_SUFFIX, quarantine_dataset};
use salus_model::{DatasetId, KeyName, Purpose, RoleName, StaffId, Timestamp};
use salus_node::operations::{Call, Reply, SqlCall};
use salus_node::{Followed, PullTrouble};
use salus_store::{LakeError, Manifest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers::KeyShown;
use super::guard::{failed, problem};
use super::steward::staff;
use super::{Console, Shared};
use crate::questions::sentences;

/// How many versions of a dataset are looked at; each is a small object of the store.
const VERSIONS: usize = 8;
/// How many arrivals are told, of all datasets together.
const ARRIVALS: usize = 40;
/// How many kinds of refusals a quarantine is told with.
const REASONS: usize = 100;
const MEMORY_BYTES: usize = 256 << 20;
const SECONDS: u64 = 30;
const ROLE: &str = "steward";

/// What came in lately, and the servers that it is pulled from.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Intake")]
pub(super) struct IntakeShown {
    /// When this was read.
    #[schemars(with = "String")]
    at: Timestamp,
    /// The FHIR servers that the node keeps up with.
    sources: Vec<SourceShown>,
    /// New versions of datasets and of their quarantines, the newest first.
    arrivals: Vec<Arrival>,
    /// Datasets that do not open.
    locked: Vec<String>,
}

/// A FHIR server that the node keeps up with, as it went since the node was started.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FollowedSource")]
struct SourceShown {
    name: String,
    url: String,
    /// Whether the server tells of changes, beside being asked from time to time.
    subscribed: bool,
    every_seconds: u32,
    /// The last pull that came to its end.
    last: Option<PulledShown>,
    /// What went wrong since then.
    trouble: Option<TroubleShown>,
}

/// A pull that came to its end.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Pulled")]
struct PulledShown {
    #[schemars(with = "String")]
    at: Timestamp,
    accepted: u64,
    deleted: u64,
    quarantined: u64,
}

/// Why a pull did not come to its end.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PullTrouble")]
struct TroubleShown {
    #[schemars(with = "String")]
    at: Timestamp,
    said: String,
    /// How many pulls failed one after the other.
    times: u32,
    /// Whether the source is not pulled any more.
    given_up: bool,
}

/// By which way a dataset's rows come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    /// Tables of files, imported by an operator.
    Tables,
    /// FHIR: files, pulls, or writes and imports over HTTP.
    Fhir,
    /// Reports of devices, through a collector.
    Devices,
}

/// A new version of a dataset.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Arrival")]
struct Arrival {
    /// The dataset that the rows belong to, also where they were refused.
    #[schemars(with = "String")]
    dataset: DatasetId,
    way: Way,
    /// Whether these are records that were refused.
    refused: bool,
    #[serde(flatten)]
    version: VersionShown,
}

/// A version of a dataset.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "DatasetVersion")]
struct VersionShown {
    version: u64,
    #[schemars(with = "String")]
    at: Timestamp,
    /// Rows in its files, superseded ones among them.
    rows: u64,
    bytes: u64,
    /// Rows more than in the version before it, fewer when files were merged; none for the oldest
    /// that is kept.
    change: Option<i64>,
}

/// A dataset with all that its steward looks after.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HoldingDetail")]
pub(super) struct DatasetDetail {
    #[schemars(with = "String")]
    dataset: DatasetId,
    way: Way,
    /// The column that names whom a row is about.
    subject: Option<String>,
    /// Its newest versions, the newest first.
    versions: Vec<VersionShown>,
    columns: Vec<ColumnShown>,
    /// The keys that protect it, by name; one that the key store does not have is left out.
    keys: Vec<KeyShown>,
    quarantine: Option<QuarantineShown>,
    profiled: bool,
}

/// A column with the key that protects it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HeldColumn")]
struct ColumnShown {
    column: String,
    #[schemars(with = "String")]
    key: KeyName,
}

/// Records that imports refused.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "QuarantineDetail")]
struct QuarantineShown {
    #[schemars(with = "String")]
    dataset: DatasetId,
    /// Why, the most frequent first; none when the site's policies withhold it.
    reasons: Option<Vec<ReasonShown>>,
    /// Whether there are more kinds than are told.
    more: bool,
    /// Why nothing is told, when it is withheld.
    withheld: Option<String>,
}

/// How many records were refused for what.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RefusedFor")]
struct ReasonShown {
    /// The field or element; none when it is the record as a whole, or withheld.
    field: Option<String>,
    reason: Option<String>,
    records: u64,
}

impl SourceShown {
    fn of((name, followed): (SourceName, Followed)) -> Self {
        let Followed { url, told, every_seconds, last, trouble } = followed;
        let last = last.map(|last| PulledShown {
            at: last.at,
            accepted: last.accepted,
            deleted: last.deleted,
            quarantined: last.quarantined,
        });
        let told_of = |PullTrouble { at, said, times, is_final }| TroubleShown {
            at,
            said,
            times,
            given_up: is_final,
        };
        Self {
            name: name.to_string(),
            url,
            subscribed: told == Told::BySubscription,
            every_seconds,
            last,
            trouble: trouble.map(told_of),
        }
    }
}

/// What FHIR imports write says in which column rows are ordered, and nothing else does so.
fn way_of(manifest: &Manifest) -> Way {
    let name = manifest.dataset.as_str();
    let ordered = manifest.identity.as_ref().is_some_and(|i| i.sequence.as_str() == "sequence_");
    if [DEVICES, DEVICES_HISTORY].contains(&name) {
        Way::Devices
    } else if ordered || [FHIR_DATASET, FHIR_HISTORY].contains(&name) {
        Way::Fhir
    } else {
        Way::Tables
    }
}

/// The newest of some versions first, each with what it has more than the one before.
fn versions_of(manifests: &[Manifest]) -> Vec<VersionShown> {
    let signed = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
    let shown = |(at, manifest): (usize, &Manifest)| {
        let before = at.checked_sub(1).and_then(|before| manifests.get(before));
        // The first version of all has nothing before it, and all of its rows are new.
        let first = (manifest.version.number() == 1).then_some(0);
        let before = before.map(Manifest::rows).or(first);
        VersionShown {
            version: manifest.version.number(),
            at: manifest.created,
            rows: manifest.rows(),
            bytes: manifest.bytes(),
            change: before.map(|before| signed(manifest.rows()) - signed(before)),
        }
    };
    let mut versions: Vec<VersionShown> = manifests.iter().enumerate().map(shown).collect();
    versions.reverse();
    versions
}

impl Console {
    /// The newest versions of a dataset, oldest first.
    async fn manifests(&self, dataset: &DatasetId) -> Result<Vec<Manifest>, LakeError> {
        let versions = self.site.lake.versions(dataset).await?;
        let from = versions.len().saturating_sub(VERSIONS);
        let mut manifests = Vec::new();
        for version in versions.get(from..).unwrap_or_default() {
            match self.site.lake.snapshot(dataset, Some(*version)).await {
                Ok(snapshot) => manifests.push(snapshot.manifest().clone()),
                // Removed since they were listed.
                Err(LakeError::NoVersion { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(manifests)
    }

    async fn intake(&self) -> Result<IntakeShown, Response> {
        let (mut arrivals, mut locked) = (Vec::new(), Vec::new());
        let mut ways = BTreeMap::new();
        // A quarantine is named after its dataset, which so comes before it.
        for held in self.site.lake.datasets().await.map_err(|e| failed(&e))? {
            let Ok(manifests) = self.manifests(&held).await else {
                locked.push(held.to_string());
                continue;
            };
            let Some(newest) = manifests.last() else { continue };
            let base = held.as_str().strip_suffix(QUARANTINE_SUFFIX);
            let base = base.and_then(|name| DatasetId::new(name).ok());
            let (dataset, refused) = base.map_or((held.clone(), false), |base| (base, true));
            let own = way_of(newest);
            let way = if refused { ways.get(&dataset).copied().unwrap_or(own) } else { own };
            ways.insert(dataset.clone(), way);
            let arrival = |version| Arrival { dataset: dataset.clone(), way, refused, version };
            arrivals.extend(versions_of(&manifests).into_iter().map(arrival));
        }
        arrivals.sort_by_key(|arrival| std::cmp::Reverse(arrival.version.at));
        arrivals.truncate(ARRIVALS);
        let sources = self.site.following.all().into_iter().map(SourceShown::of).collect();
        Ok(IntakeShown { at: self.site.clock.now(), sources, arrivals, locked })
    }

    async fn holding(&self, dataset: DatasetId, by: &StaffId) -> Result<DatasetDetail, Response> {
        let manifests = self.manifests(&dataset).await.map_err(|error| match error {
            LakeError::NoDataset { .. } => {
                problem(StatusCode::NOT_FOUND, "bad-request", None, error)
            }
            error => failed(&error),
        })?;
        let newest = manifests.last().ok_or_else(|| {
            problem(StatusCode::NOT_FOUND, "bad-request", None, "the dataset has no version")
        })?;
        let mut columns = Vec::new();
        for (column, choice) in &newest.keys {
            let key = choice
                .key_name(&dataset)
                .map_err(|e| problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", None, e))?;
            columns.push(ColumnShown { column: column.to_string(), key });
        }
        let used: BTreeSet<&KeyName> = columns.iter().map(|column| &column.key).collect();
        let keys = self.site.keys.list().await.map_err(|e| failed(&e))?;
        let keys = keys.into_iter().filter(|key| used.contains(&key.name)).map(KeyShown::from);
        let profiles = self.site.profiles().map_err(|e| failed(&e))?;
        Ok(DatasetDetail {
            way: way_of(newest),
            subject: newest.subject.as_ref().map(ToString::to_string),
            versions: versions_of(&manifests),
            keys: keys.collect(),
            columns,
            quarantine: self.quarantine(&dataset, by).await?,
            profiled: profiles.of(&dataset).is_ok(),
            dataset,
        })
    }

    async fn quarantine(
        &self,
        dataset: &DatasetId,
        by: &StaffId,
    ) -> Result<Option<QuarantineShown>, Response> {
        let bug = |e| problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", None, e);
        let Ok(beside) = quarantine_dataset(dataset) else { return Ok(None) };
        let all = self.site.lake.datasets().await.map_err(|e| failed(&e))?;
        if !all.contains(&beside) {
            return Ok(None);
        }
        let statement = format!(
            "SELECT field, reason, count(*) AS records FROM \"{beside}\" \
             GROUP BY field, reason ORDER BY records DESC, field, reason LIMIT {}",
            REASONS + 1
        );
        let call = Call::Sql(SqlCall {
            statement,
            role: RoleName::new(ROLE).map_err(bug)?,
            purpose: Purpose::Operations,
            rows: REASONS + 1,
            memory_bytes: MEMORY_BYTES,
            seconds: SECONDS,
        });
        let (mut reasons, mut withheld) = (None, None);
        match self.operations.perform(by, call).await {
            Ok(Reply::Answer(answer)) => reasons = Some(reasons_of(&answer)?),
            Ok(_) => {
                let text = "the node answered something else";
                return Err(problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", None, text));
            }
            // What the policies or a revoked key withhold is withheld; the rest of the page stays.
            Err(error) => withheld = Some(sentences(&error)),
        }
        let more = reasons.as_ref().is_some_and(|reasons: &Vec<_>| reasons.len() > REASONS);
        if let Some(reasons) = &mut reasons {
            reasons.truncate(REASONS);
        }
        Ok(Some(QuarantineShown { dataset: beside, reasons, more, withheld }))
    }
}

fn reasons_of(answer: &salus_query::Answer) -> Result<Vec<ReasonShown>, Response> {
    let mut bytes = Vec::new();
    let bug = |e: &dyn std::error::Error| {
        tracing::error!(error = %e, "the reasons of a quarantine cannot be read");
        let text = "the quarantine has other columns than this Salus gives it";
        problem(StatusCode::INTERNAL_SERVER_ERROR, "corrupt", None, text)
    };
    answer.write_json(&mut bytes).map_err(|e| bug(&e))?;
    let mut reasons: Vec<ReasonShown> = serde_json::from_slice(&bytes).map_err(|e| bug(&e))?;
    for reason in &mut reasons {
        reason.field = reason.field.take().filter(|field| !field.is_empty());
    }
    Ok(reasons)
}

pub(super) async fn intake(State(console): State<Shared>) -> Response {
    match console.intake().await {
        Ok(shown) => Json(shown).into_response(),
        Err(response) => response,
    }
}

pub(super) async fn holding(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    Path(dataset): Path<String>,
) -> Response {
    let work = async {
        let dataset = DatasetId::new(dataset)
            .map_err(|e| problem(StatusCode::NOT_FOUND, "bad-request", None, e))?;
        console.holding(dataset, &staff(&by.account)?).await
    };
    work.await.map_or_else(|response| response, |shown| Json(shown).into_response())
}
