//! Questions under permits, from the browser to the holder's node and back.
//!
//! # Privacy
//! This node sees the question, which it writes down sealed, and what it cost. It signs nothing and
//! opens nothing: the request comes signed, and the answer is sealed to a key in the browser.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures::future::join_all;
use salus_accounts::{Asking as WrittenDown, Outcome, Standing};
use salus_dp::{Delta, Epsilon, ExpectedError, Mechanism, Spend, epsilon_from_rho};
use salus_ledger::contract::records::Account as PrivacyAccount;
use salus_ledger::proof::verify_receipt;
use salus_ledger::{CodeHash, DatasetRef, Height, TxId};
use salus_model::{
    Class, ColumnPath, DatasetId, DealId, HolderId, MemberId, MicroRho, PermitId, PrivacyCharge,
    Purpose, ReceiptId, Timestamp,
};
use salus_node::holders::{HolderError, Place, Places, Said};
use salus_node::permits::{Left, left};
use salus_private::standing::{StandingQuestion, StandingTerms};
use salus_private::{Profile, Question, sql};
use salus_spine::{SignedRequest, result_hash};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answers::{AskedShown, described};
use super::guard::{failed, problem, refused};
use super::people::{Asked, Paging, asked as query_of};
use super::session::{Body, read};
use super::{Console, ConsoleLedger, Shared};
use crate::questions::{Answered, Asking, PlanWanted, Planned, Published};

/// What may be asked of whom.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Studio")]
pub(super) struct StudioShown {
    ledger: String,
    #[schemars(with = "String")]
    now: Timestamp,
    holders: Vec<HolderShown>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HolderShown")]
struct HolderShown {
    #[schemars(with = "String")]
    holder: HolderId,
    /// The code that answers; none when the node could not be asked.
    #[schemars(with = "Option<String>")]
    code: Option<CodeHash>,
    /// Unit, bounds and domains, dataset by dataset.
    #[schemars(with = "BTreeMap<String, described::Profile>")]
    profiles: BTreeMap<DatasetId, Profile>,
    /// Why the node could not be asked, when it could not.
    unreachable: Option<String>,
}

/// A question whose price is wanted, in one of its two forms.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PlanWanted")]
pub(super) struct Wanted {
    #[schemars(with = "String")]
    holder: HolderId,
    #[schemars(with = "String")]
    permit: PermitId,
    /// The question in the documented subset of SQL.
    #[serde(default)]
    sql: Option<String>,
    /// The question as JSON, in place of SQL; its own spend and noise do not count.
    #[serde(default)]
    question: Option<serde_json::Value>,
    /// What it may cost, as ε at the dataset's δ.
    epsilon: f64,
    /// `gaussian` or `laplace`.
    #[schemars(with = "String")]
    mechanism: Mechanism,
    /// How many rows to assume, for numbers whose error depends on it.
    #[serde(default = "PlanWanted::usual_rows")]
    assumed_rows: u64,
    /// To follow a count: how many answers the price is for.
    #[serde(default)]
    ticks: Option<u32>,
    /// How often a unit may come into a followed count or leave it; twice when nothing is said.
    #[serde(default)]
    turns: Option<u32>,
}

/// How often a unit turns in a followed count, where nobody says it.
const USUAL_TURNS: u32 = 2;

/// A question in one of its two forms.
enum Form {
    Sql(Box<sql::Statement>),
    Json(Box<Question>),
}

/// A question with its price, ready to be signed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Plan")]
pub(super) struct PlannedShown {
    /// The exact text to sign.
    text: String,
    /// The same in SQL; none when the subset cannot say it.
    sql: Option<String>,
    dataset: String,
    #[schemars(with = "BTreeSet<String>")]
    columns: BTreeSet<ColumnPath>,
    /// The columns among them that the permit does not name.
    #[schemars(with = "Vec<String>")]
    uncovered: Vec<ColumnPath>,
    #[schemars(with = "String")]
    purpose: Purpose,
    #[schemars(with = "String")]
    code: CodeHash,
    /// What it will be charged, in millionths.
    #[schemars(with = "u64")]
    rho: MicroRho,
    epsilon: f64,
    delta: f64,
    epsilon_left: f64,
    #[schemars(with = "described::ExpectedError")]
    expected_error: ExpectedError,
}

/// A signed question.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AskQuestion")]
pub(super) struct Sent {
    #[schemars(with = "described::SignedRequest")]
    request: SignedRequest,
    /// The exact text that was signed.
    question: String,
}

/// An answer that the browser opens, with its verified receipt.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Answered")]
pub(super) struct AnsweredShown {
    /// The deal that it was sealed under; an earlier one when it is repeated.
    #[schemars(with = "String")]
    deal: DealId,
    /// The sealed answer, in hexadecimal.
    message: String,
    /// The salt of the result's hash in the receipt, in hexadecimal.
    salt: String,
    receipt: ReceiptShown,
    /// Whether it was given before, and is repeated for nothing.
    repeated: bool,
    epsilon_spent: f64,
    epsilon_left: f64,
    delta: f64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "VerifiedReceipt")]
struct ReceiptShown {
    #[schemars(with = "String")]
    id: ReceiptId,
    #[schemars(with = "String")]
    transaction: TxId,
    #[schemars(with = "u64")]
    block: Height,
    #[schemars(with = "String")]
    time: Timestamp,
    /// The receipt's file, in hexadecimal.
    file: String,
}

pub(super) fn on_ledger(console: &Console) -> Result<&ConsoleLedger, Response> {
    console.ledger.as_ref().ok_or_else(|| {
        let text = "this site is on no ledger; questions need permits, which stand on one";
        problem(StatusCode::NOT_FOUND, "bad-request", Some("no-ledger"), text)
    })
}

fn delta_of(account: &PrivacyAccount) -> Result<Delta, Response> {
    Delta::new(10f64.powi(-i32::from(account.delta.get())))
        .map_err(|e| problem(StatusCode::INTERNAL_SERVER_ERROR, "corrupt", None, e))
}

fn bad(error: impl ToString) -> Response {
    problem(StatusCode::BAD_REQUEST, "bad-request", None, error)
}

fn peer(what: &str) -> Response {
    let text = format!("the holder's node breaks its word: {what}");
    problem(StatusCode::BAD_GATEWAY, "peer", None, text)
}

/// What a holder's node said when it did not answer.
#[derive(Deserialize)]
struct Told {
    error: String,
    class: String,
}

fn class_of(said: &Said) -> Class {
    let told = serde_json::from_slice::<Told>(&said.body).map(|told| told.class);
    match told.as_deref() {
        Ok("bad-request") => Class::BadRequest,
        Ok("refused") => Class::Refused,
        Ok("unavailable") => Class::Unavailable,
        Ok("corrupt") => Class::Corrupt,
        Ok("bug") => Class::Bug,
        _ => Class::Peer,
    }
}

/// The node's answer, or its refusal as it was told.
fn answer<T: DeserializeOwned>(said: &Said) -> Result<T, Response> {
    if (200..300).contains(&said.status) {
        return serde_json::from_slice(&said.body)
            .map_err(|_| peer("its words are of another version"));
    }
    let told: Told = serde_json::from_slice(&said.body)
        .map_err(|_| peer("it takes no questions; its site has to be on the ledger"))?;
    let status = StatusCode::from_u16(said.status).unwrap_or(StatusCode::BAD_GATEWAY);
    // A session of this console has nothing to do with what another node lets nobody do.
    let status = match status {
        StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        status => status,
    };
    let class = match told.class.as_str() {
        "bad-request" => "bad-request",
        "refused" => "refused",
        "unavailable" => "unavailable",
        "corrupt" => "corrupt",
        "bug" => "bug",
        _ => "peer",
    };
    Err(problem(status, class, Some("holder"), told.error))
}

fn place(console: &Console, holder: &HolderId) -> Result<Place, Response> {
    let places = Places::read(&console.site.folder).map_err(|e| failed(&e))?;
    Ok(places.of(holder).map_err(|e| failed(&e))?.clone())
}

async fn published(
    on: &ConsoleLedger,
    place: &Place,
    holder: &HolderId,
) -> Result<Published, Response> {
    let said = place.ask(&on.ledger, (holder, "/v1/questions/profiles"), None).await;
    answer(&said.map_err(|e| failed(&e))?)
}

pub(super) async fn studio(State(console): State<Shared>) -> Response {
    let on = match on_ledger(&console) {
        Ok(on) => on,
        Err(response) => return response,
    };
    let places = match Places::read(&console.site.folder) {
        Ok(places) => places,
        Err(error) => return failed(&error),
    };
    let asked = places.iter().map(|(holder, place)| async move {
        let said = place.ask(&on.ledger, (holder, "/v1/questions/profiles"), None).await;
        let published = said.map_err(|e: HolderError| e.to_string()).and_then(|said| {
            serde_json::from_slice::<Published>(&said.body)
                .map_err(|_| "its node takes no questions".to_owned())
        });
        match published {
            Ok(Published { code, profiles, .. }) => HolderShown {
                holder: holder.clone(),
                code: Some(code),
                profiles,
                unreachable: None,
            },
            Err(reason) => HolderShown {
                holder: holder.clone(),
                code: None,
                profiles: BTreeMap::new(),
                unreachable: Some(reason),
            },
        }
    });
    let holders = join_all(asked).await;
    let ledger = on.ledger.anchor().ledger().to_string();
    Json(StudioShown { ledger, now: console.site.clock.now(), holders }).into_response()
}

impl Wanted {
    fn form(&self) -> Result<Form, Response> {
        match (&self.sql, &self.question) {
            (Some(text), None) => Ok(Form::Sql(Box::new(sql::parse(text).map_err(bad)?))),
            (None, Some(json)) => {
                Ok(Form::Json(Box::new(Question::parse(&json.to_string()).map_err(bad)?)))
            }
            _ => Err(bad("give the question as sql or as question")),
        }
    }

    fn spend(&self, delta: Delta) -> Result<Spend, Response> {
        let epsilon = Epsilon::new(self.epsilon).map_err(bad)?;
        if self.epsilon <= 0.0 {
            return Err(bad("ε has to be more than 0"));
        }
        Ok(match self.mechanism {
            Mechanism::Gaussian => Spend::Epsilon { epsilon, delta },
            Mechanism::Laplace => Spend::PureEpsilon(epsilon),
        })
    }
}

impl Form {
    fn about(&self) -> &DatasetId {
        match self {
            Self::Sql(statement) => &statement.dataset,
            Self::Json(question) => &question.dataset,
        }
    }

    fn question(
        self,
        profile: &Profile,
        spend: Spend,
        mechanism: Mechanism,
    ) -> Result<Question, Response> {
        match self {
            Self::Sql(statement) => statement.question(profile, spend, mechanism).map_err(bad),
            Self::Json(question) => Ok(Question { spend, mechanism, ..*question }),
        }
    }
}

async fn planned(console: &Console, wanted: &Wanted) -> Result<PlannedShown, Response> {
    let on = on_ledger(console)?;
    let holder = MemberId::new(wanted.holder.as_str()).map_err(bad)?;
    let form = wanted.form()?;
    let dataset = DatasetRef { holder, dataset: form.about().clone() };
    let Left { left, permit, ground, account, .. } =
        left(&on.ledger, &wanted.permit, &dataset).await.map_err(|e| failed(&e))?;
    let delta = delta_of(&account)?;
    let place = place(console, &wanted.holder)?;
    let Published { code, profiles, .. } = published(on, &place, &wanted.holder).await?;
    let profile = profiles.get(&dataset.dataset).ok_or_else(|| {
        bad(format!("{} takes no questions about {}", wanted.holder, dataset.dataset))
    })?;
    let question = form.question(profile, wanted.spend(delta)?, wanted.mechanism)?;
    let mut text = serde_json::to_string(&question).map_err(bad)?;
    if let Some(ticks) = wanted.ticks {
        let standing = StandingTerms { ticks, turns: wanted.turns.unwrap_or(USUAL_TURNS) };
        let standing = StandingQuestion { standing, question: text };
        text = serde_json::to_string(&standing).map_err(bad)?;
    }
    let asked = PlanWanted { question: text.clone(), assumed_rows: wanted.assumed_rows };
    let body = serde_json::to_vec(&asked).map_err(bad)?;
    let said = place.ask(&on.ledger, (&wanted.holder, "/v1/questions/plan"), Some(body)).await;
    let plan: Planned = answer(&said.map_err(|e| failed(&e))?)?;
    let named = |column: &ColumnPath| ground.columns.iter().any(|c| c.as_str() == column.as_str());
    Ok(PlannedShown {
        sql: sql::render(&question, profile).ok(),
        text,
        dataset: format!("{}/{}", dataset.holder, dataset.dataset),
        uncovered: plan.columns.iter().filter(|column| !named(column)).cloned().collect(),
        columns: plan.columns,
        purpose: permit.terms.purpose,
        code,
        rho: plan.rho,
        epsilon: epsilon_from_rho(plan.rho, delta).get(),
        delta: delta.probability(),
        epsilon_left: epsilon_from_rho(left, delta).get(),
        expected_error: plan.expected_error,
    })
}

pub(super) async fn plan(State(console): State<Shared>, body: Body<Wanted>) -> Response {
    let work = async { planned(&console, &read(body)?).await };
    work.await.map_or_else(|response| response, |shown| Json(shown).into_response())
}

pub(super) async fn ask(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    body: Body<Sent>,
) -> Response {
    let sent = match read(body) {
        Ok(sent) => sent,
        Err(response) => return response,
    };
    // On a task of its own: whoever closes the page does not leave the history without its end.
    let asking = tokio::spawn(async move { asked_of_holder(&console, &by, sent).await });
    match asking.await {
        Ok(Ok(shown)) => Json(shown).into_response(),
        Ok(Err(response)) => response,
        Err(_) => {
            let text = "the question was not finished";
            problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", None, text)
        }
    }
}

async fn asked_of_holder(
    console: &Console,
    by: &Standing,
    sent: Sent,
) -> Result<AnsweredShown, Response> {
    let on = on_ledger(console)?;
    let request = sent.request.unverified().clone();
    let about =
        salus_private::Asked::parse(&sent.question).and_then(|asked| asked.about()).map_err(bad)?;
    let holder = MemberId::new(request.holder.as_str()).map_err(bad)?;
    let dataset = DatasetRef { holder, dataset: about };
    let name = format!("{}/{}", dataset.holder, dataset.dataset);
    let place = place(console, &request.holder)?;
    let written = WrittenDown { permit: &request.permit, dataset: &name, question: &sent.question };
    let pending = console.accounts.ask(by, &written).await.map_err(|e| refused(&e))?;

    let asking = Asking { request: sent.request, question: sent.question };
    let body = serde_json::to_vec(&asking).map_err(bad)?;
    let said = place.ask(&on.ledger, (&request.holder, "/v1/questions"), Some(body)).await;
    let (outcome, shown) = match &said {
        Err(error) => (Outcome::failed(Class::Unavailable), Err(failed(error))),
        Ok(said) => match answer::<Answered>(said).and_then(|a| verified(on, &request.permit, a)) {
            Err(response) => (Outcome::failed(class_of(said)), Err(response)),
            Ok(shown) => {
                let answered = Outcome::Answered {
                    deal: shown.deal.to_string(),
                    receipt: shown.receipt.id.to_string(),
                    micro_rho: shown.charged,
                };
                (answered, Ok(shown))
            }
        },
    };
    console.accounts.ended(pending, &outcome).await.map_err(|e| refused(&e))?;
    let Verified { deal, message, salt, receipt, charged, repeated } = shown?;
    let Left { left, account, .. } =
        left(&on.ledger, &request.permit, &dataset).await.map_err(|e| failed(&e))?;
    let delta = delta_of(&account)?;
    Ok(AnsweredShown {
        deal,
        message,
        salt,
        receipt,
        repeated,
        epsilon_spent: epsilon_from_rho(charged, delta).get(),
        epsilon_left: epsilon_from_rho(left, delta).get(),
        delta: delta.probability(),
    })
}

/// An answer whose receipt is for it.
struct Verified {
    deal: DealId,
    message: String,
    salt: String,
    receipt: ReceiptShown,
    charged: MicroRho,
    repeated: bool,
}

fn verified(on: &ConsoleLedger, permit: &PermitId, a: Answered) -> Result<Verified, Response> {
    let bytes = |text: &str| hex::decode(text).map_err(|_| peer("it answers no hexadecimal"));
    let (message, receipt) = (bytes(&a.message)?, bytes(&a.receipt)?);
    let salt: [u8; 32] =
        bytes(&a.salt)?.try_into().map_err(|_| peer("its salt has another length"))?;
    let proved = verify_receipt(&receipt, on.ledger.anchor())
        .map_err(|_| peer("its receipt proves nothing"))?;
    if proved.result != result_hash(&salt, &message) || proved.permit != *permit {
        return Err(peer("its receipt is for another answer"));
    }
    let charged = a.charges.values().filter_map(|charge| match charge {
        PrivacyCharge::Bounded(rho) => Some(*rho),
        PrivacyCharge::NotBounded => None,
    });
    let charged = charged
        .fold(MicroRho::ZERO, |sum, rho| sum.checked_add(rho).unwrap_or(MicroRho::new(u64::MAX)));
    Ok(Verified {
        deal: a.deal,
        message: a.message,
        salt: a.salt,
        receipt: ReceiptShown {
            id: proved.receipt,
            transaction: proved.transaction,
            block: proved.height,
            time: proved.time,
            file: a.receipt,
        },
        charged,
        repeated: a.charges.is_empty(),
    })
}

pub(super) async fn asked(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    query: Asked<Paging>,
) -> Response {
    let paging = match query_of(query) {
        Ok(paging) => paging,
        Err(response) => return response,
    };
    match console.accounts.asked(&by, paging.before, paging.most()).await {
        Ok(list) => {
            Json(list.into_iter().map(AskedShown::from).collect::<Vec<_>>()).into_response()
        }
        Err(error) => refused(&error),
    }
}
