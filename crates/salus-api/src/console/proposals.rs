//! What the members of the ledger decide together: made, looked at, endorsed and handed in by the
//! site's administrators. The file goes from member to member by whatever way they trust; nothing
//! in it is secret, and nobody can change it without breaking the signatures.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use salus_accounts::{EventKind, Standing};
use salus_ledger::call::Method;
use salus_ledger::policy::{Expression, Policy, Role};
use salus_ledger::transaction::SignedTransaction;
use salus_node::HolderLedger;
use salus_node::proposals::{ConfigChange, ConfigShown, Proposal, ProposalError, key, seat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::guard::{failed, problem, refused};
use super::session::{Body, read};
use super::studio::on_ledger;
use super::{Console, Shared};

/// For how many blocks a proposal may be handed in.
const BLOCKS: u64 = 1000;

/// The configuration in force.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PlatformConfiguration")]
pub(super) struct ConfigurationShown {
    /// How many came before it.
    version: u64,
    validators: Vec<SeatShown>,
    /// Who decides on members, configuration and contracts.
    governance: String,
    /// Who has to sign a method beside those whom its contract names.
    requirements: Vec<RequirementShown>,
    /// SHA-256 of each authority's certificate.
    authorities: Vec<String>,
    block_bytes: u32,
    block_transactions: u32,
    lifetime_blocks: u64,
    clock_skew_ms: i64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Validator")]
struct SeatShown {
    member: String,
    key: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Requirement")]
struct RequirementShown {
    method: String,
    who: String,
}

/// What a configuration shall have otherwise; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ProposeConfiguration")]
#[derive(Default)]
pub(super) struct Proposing {
    /// How many administrators have to agree from then on.
    agree: Option<u16>,
    /// Keys that shall order and vote, as MEMBER:KEY.
    add_validators: Vec<String>,
    /// Keys that shall order and vote no more.
    remove_validators: Vec<String>,
    /// Who has to sign a method beside those whom its contract names.
    require: Vec<Requiring>,
    /// Methods for which nobody beside those has to sign any more.
    no_require: Vec<String>,
    block_bytes: Option<u32>,
    block_transactions: Option<u32>,
    lifetime_blocks: Option<u64>,
    clock_skew_ms: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Require")]
struct Requiring {
    method: String,
    /// So many keys …
    k: u16,
    /// … of this role.
    role: String,
}

/// A proposal's file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProposalFile")]
pub(super) struct File {
    /// Its bytes, in hexadecimal.
    file: String,
}

/// A proposal, as whoever is asked to sign it reads it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Proposal")]
pub(super) struct ProposalShown {
    /// Its bytes, in hexadecimal.
    file: String,
    transaction: String,
    /// What it would do.
    method: String,
    /// What it says, as the ledger would carry it.
    content: serde_json::Value,
    /// The last block in which it may be handed in.
    last_block: u64,
    /// The ledger's last block now.
    block: u64,
    /// Which members have signed; those who joined after the founding go by their keys.
    signed_by: Vec<String>,
    /// Whether this site's member has.
    signed_here: bool,
    /// Who has to agree.
    governance: String,
    /// What it would change of the configuration in force; none when it is about anything else.
    changes: Option<Vec<ChangeShown>>,
    /// Whether another change has come before it, so that the ledger will refuse it.
    overtaken: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProposedChange")]
struct ChangeShown {
    setting: String,
    /// What it is; none when it is new.
    before: Option<String>,
    /// What it would be; none when it would be gone.
    after: Option<String>,
}

/// A proposal that took effect.
#[derive(Serialize, JsonSchema)]
pub(super) struct HandedIn {
    transaction: String,
    block: u64,
}

fn bad(text: impl std::fmt::Display) -> Response {
    problem(StatusCode::BAD_REQUEST, "bad-request", None, text)
}

fn role(word: &str) -> Result<Role, Response> {
    serde_json::from_value(word.into()).map_err(|_| bad(format!("'{word}' is no role")))
}

fn method(word: &str) -> Result<Method, Response> {
    let found = Method::ALL.iter().copied().find(|method| method.as_str() == word);
    found.ok_or_else(|| bad(format!("'{word}' is no method of the ledger")))
}

impl Proposing {
    fn change(self) -> Result<ConfigChange, Response> {
        let required = |wanted: Requiring| {
            let Requiring { method: word, k, role: of } = wanted;
            let policy = Policy::new(Expression::Quorum { k, role: role(&of)? }).map_err(bad)?;
            Ok((method(&word)?, policy))
        };
        let all = |words: Vec<String>| words.iter().map(|word| key(word)).collect::<Result<_, _>>();
        Ok(ConfigChange {
            add_validators: self
                .add_validators
                .iter()
                .map(|word| seat(word))
                .collect::<Result<_, _>>()
                .map_err(bad)?,
            remove_validators: all(self.remove_validators).map_err(bad)?,
            agree: self.agree,
            require: self.require.into_iter().map(required).collect::<Result<_, Response>>()?,
            no_require: self
                .no_require
                .iter()
                .map(|word| method(word))
                .collect::<Result<_, Response>>()?,
            block_bytes: self.block_bytes,
            block_transactions: self.block_transactions,
            lifetime_blocks: self.lifetime_blocks,
            clock_skew_ms: self.clock_skew_ms,
            ..ConfigChange::default()
        })
    }
}

async fn shown(
    ledger: &HolderLedger,
    signed: &SignedTransaction,
) -> Result<ProposalShown, Response> {
    let current = ledger.config().await.map_err(|e| failed(&e))?;
    let block = ledger.block().await.map_err(|e| failed(&e))?;
    let Proposal { transaction, method, content, last_block, signed_by } =
        Proposal::of(signed, ledger);
    let changes = Proposal::changes(signed, &current);
    let overtaken = changes.as_ref().is_some_and(|(_, fits)| !fits);
    let change = |d: salus_node::proposals::Difference| ChangeShown {
        setting: d.setting,
        before: d.before,
        after: d.after,
    };
    Ok(ProposalShown {
        file: hex::encode(signed.as_bytes()),
        transaction,
        method: method.to_owned(),
        content,
        last_block,
        block: block.get(),
        signed_by,
        signed_here: signed.keys().contains(&ledger.key()),
        governance: current.form().governance.to_string(),
        changes: changes.map(|(all, _)| all.into_iter().map(change).collect()),
        overtaken,
    })
}

fn bytes(file: &File) -> Result<Vec<u8>, Response> {
    hex::decode(&file.file).map_err(|_| bad("the proposal is no hexadecimal"))
}

fn opened(ledger: &HolderLedger, file: &File) -> Result<SignedTransaction, Response> {
    SignedTransaction::from_bytes(&bytes(file)?, ledger.client().ledger())
        .map_err(|e| failed(&ProposalError::from(e)))
}

async fn answered<T: Serialize>(work: impl Future<Output = Result<T, Response>>) -> Response {
    work.await.map_or_else(|response| response, |shown| Json(shown).into_response())
}

pub(super) async fn configuration(State(console): State<Shared>) -> Response {
    answered(async {
        let ledger = &on_ledger(&console)?.ledger;
        let current = ledger.config().await.map_err(|e| failed(&e))?;
        let ConfigShown { version, validators, governance, policies, roots, .. } =
            ConfigShown::of(&current);
        let limits = &current.form().limits;
        Ok(ConfigurationShown {
            version,
            validators: validators
                .into_iter()
                .map(|v| SeatShown { member: v.member, key: v.key })
                .collect(),
            governance,
            requirements: policies
                .into_iter()
                .map(|(method, who)| RequirementShown { method: method.to_owned(), who })
                .collect(),
            authorities: roots,
            block_bytes: limits.block_bytes,
            block_transactions: limits.block_transactions,
            lifetime_blocks: limits.lifetime_blocks,
            clock_skew_ms: limits.clock_skew_micros / 1000,
        })
    })
    .await
}

/// Writes down who did it, before it is done.
async fn note(console: &Console, by: &Standing, kind: EventKind) -> Result<(), Response> {
    console.accounts.note(by, kind).await.map_err(|e| refused(&e))
}

pub(super) async fn propose(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    body: Body<Proposing>,
) -> Response {
    answered(async {
        let change = read(body)?.change()?;
        let ledger = &on_ledger(&console)?.ledger;
        let current = ledger.config().await.map_err(|e| failed(&e))?;
        let call = change.call(&current).map_err(|e| failed(&e))?;
        note(&console, &by, EventKind::Proposed).await?;
        let signed = ledger.signed_for(call.into(), &[], BLOCKS).await.map_err(|e| failed(&e))?;
        shown(ledger, &signed).await
    })
    .await
}

pub(super) async fn open(State(console): State<Shared>, body: Body<File>) -> Response {
    answered(async {
        let ledger = &on_ledger(&console)?.ledger;
        shown(ledger, &opened(ledger, &read(body)?)?).await
    })
    .await
}

pub(super) async fn endorse(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    body: Body<File>,
) -> Response {
    answered(async {
        let ledger = &on_ledger(&console)?.ledger;
        let file = read(body)?;
        opened(ledger, &file)?;
        note(&console, &by, EventKind::Endorsed).await?;
        let signed = ledger.endorse(&bytes(&file)?).map_err(|e| failed(&ProposalError::from(e)))?;
        shown(ledger, &signed).await
    })
    .await
}

pub(super) async fn submit(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    body: Body<File>,
) -> Response {
    answered(async {
        let ledger = &on_ledger(&console)?.ledger;
        let signed = opened(ledger, &read(body)?)?;
        note(&console, &by, EventKind::HandedIn).await?;
        let recorded = ledger.hand_in(&signed).await.map_err(|e| failed(&e))?;
        let block = recorded.entry.height.get();
        Ok(HandedIn { transaction: signed.id().to_string(), block })
    })
    .await
}
