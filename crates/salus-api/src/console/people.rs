use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use salus_accounts::{
    Account, AccountId, AccountRole, Invitation, LoginName, NewAccount, Standing,
};
use salus_ledger::PublicKey;
use salus_model::{MemberId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers::{AccountShown, EventShown, Role};
use super::guard::{failed, problem, refused};
use super::session::{Body, read};
use super::{Console, Shared};

/// The most lines of a history at once.
const MOST_LINES: u16 = 200;

/// Somebody who is to have an account.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "InvitePerson")]
pub(super) struct Inviting {
    /// What the person will type to sign in.
    #[schemars(with = "String")]
    login: LoginName,
    /// How the person is called on screen.
    name: String,
    role: Role,
    /// The organisation; the site's own when it is left out.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    member: Option<MemberId>,
    /// On a ledger, the organisation's key there; the site's own when it is left out.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    key: Option<PublicKey>,
}

/// Another role.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ChangeRole")]
pub(super) struct Changing {
    role: Role,
}

/// The key on the ledger that is to vouch for a role; the site's own when it is left out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BindRole")]
pub(super) struct Binding {
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    key: Option<PublicKey>,
}

/// A page of a history.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    #[serde(default)]
    pub(super) before: Option<i64>,
    #[serde(default)]
    pub(super) limit: Option<u16>,
}

impl Paging {
    pub(super) fn most(&self) -> u16 {
        self.limit.unwrap_or(50).clamp(1, MOST_LINES)
    }
}

/// An account with the code by which its person chooses a password; shown once.
#[derive(Serialize, JsonSchema)]
pub(super) struct Invited {
    account: AccountShown,
    code: String,
    /// Until when the code holds.
    #[schemars(with = "String")]
    expires: Timestamp,
}

fn invited(invitation: Invitation) -> Response {
    let Invitation { account, code, expires } = invitation;
    let account = (&account).into();
    Json(Invited { account, code: code.expose().clone(), expires }).into_response()
}

fn id(text: String) -> Result<AccountId, Response> {
    AccountId::try_from(text)
        .map_err(|e| problem(StatusCode::NOT_FOUND, "bad-request", Some("no-account"), e))
}

fn done(result: Result<(), salus_accounts::AccountError>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(&error),
    }
}

impl Console {
    /// Binds an account to its organisation's key on the ledger, where the site is on one.
    async fn bind(
        &self,
        by: &Standing,
        account: &Account,
        key: Option<PublicKey>,
    ) -> Result<(), Response> {
        let Some(vouching) = &self.vouching else {
            return match key {
                None => Ok(()),
                Some(_) => {
                    let text = "this site is on no ledger, so there is no key to bind to";
                    Err(problem(StatusCode::BAD_REQUEST, "bad-request", None, text))
                }
            };
        };
        let (own, own_key) = vouching.own();
        let key = match key {
            Some(key) => key,
            None if *own == account.member => own_key,
            None => {
                let text = format!(
                    "say which key of {} on the ledger vouches for the role",
                    account.member
                );
                return Err(problem(
                    StatusCode::BAD_REQUEST,
                    "bad-request",
                    Some("key-wanted"),
                    text,
                ));
            }
        };
        let bound = vouching.bind(account, key).await.map_err(|e| failed(&e))?;
        self.accounts.bind(by, &account.id, Some(&bound)).await.map_err(|e| refused(&e))
    }

    async fn account(&self, by: &Standing, id: &AccountId) -> Result<Account, Response> {
        let all = self.accounts.list(by).await.map_err(|e| refused(&e))?;
        let none = || refused(&salus_accounts::AccountError::NoAccount { id: id.clone() });
        all.into_iter().find(|account| account.id == *id).ok_or_else(none)
    }

    async fn invite(&self, by: &Standing, wanted: Inviting) -> Result<Invitation, Response> {
        let Inviting { login, name, role, member, key } = wanted;
        let own = MemberId::new(self.site.config.holder.as_str());
        let own = own.map_err(|e| problem(StatusCode::BAD_REQUEST, "bad-request", None, e))?;
        let new = NewAccount { login, name, role: role.into(), member: member.unwrap_or(own) };
        let invitation = self.accounts.invite(by, new).await.map_err(|e| refused(&e))?;
        if let Err(response) = self.bind(by, &invitation.account, key).await {
            // One that the ledger does not vouch for is of no use, and its name would be taken.
            self.accounts.withdraw(&invitation).await.map_err(|e| refused(&e))?;
            return Err(response);
        }
        Ok(invitation)
    }

    async fn change_role(
        &self,
        by: &Standing,
        id: &AccountId,
        role: AccountRole,
    ) -> Result<(), Response> {
        let account = self.account(by, id).await?;
        let key = account.bound.map(|bound| bound.key);
        self.accounts.change_role(by, id, role).await.map_err(|e| refused(&e))?;
        // Until the ledger vouches for the new role the account may do nothing.
        self.bind(by, &Account { role, ..account }, key).await
    }
}

pub(super) async fn accounts(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
) -> Response {
    match console.accounts.list(&by).await {
        Ok(list) => Json(list.iter().map(AccountShown::from).collect::<Vec<_>>()).into_response(),
        Err(error) => refused(&error),
    }
}

pub(super) async fn invite(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    body: Body<Inviting>,
) -> Response {
    let wanted = match read(body) {
        Ok(wanted) => wanted,
        Err(response) => return response,
    };
    console.invite(&by, wanted).await.map_or_else(|response| response, invited)
}

pub(super) async fn role(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    Path(account): Path<String>,
    body: Body<Changing>,
) -> Response {
    let work = async {
        let (account, Changing { role }) = (id(account)?, read(body)?);
        console.change_role(&by, &account, role.into()).await
    };
    work.await.map_or_else(|response| response, |()| StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn bind(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    Path(account): Path<String>,
    body: Body<Binding>,
) -> Response {
    let work = async {
        let (account, Binding { key }) = (id(account)?, read(body)?);
        let account = console.account(&by, &account).await?;
        console.bind(&by, &account, key).await
    };
    work.await.map_or_else(|response| response, |()| StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn invite_again(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    Path(account): Path<String>,
) -> Response {
    let account = match id(account) {
        Ok(account) => account,
        Err(response) => return response,
    };
    match console.accounts.invite_again(&by, &account).await {
        Ok(invitation) => invited(invitation),
        Err(error) => refused(&error),
    }
}

pub(super) async fn remove_factor(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    Path(account): Path<String>,
) -> Response {
    match id(account) {
        Ok(account) => done(console.accounts.remove_factor(&by, &account).await),
        Err(response) => response,
    }
}

pub(super) async fn revoke(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    Path(account): Path<String>,
) -> Response {
    match id(account) {
        Ok(account) => done(console.accounts.revoke(&by, &account).await),
        Err(response) => response,
    }
}

/// A query of an address, or what is wrong with it.
pub(super) type Asked<T> = Result<Query<T>, QueryRejection>;

pub(super) fn asked<T>(query: Asked<T>) -> Result<T, Response> {
    query
        .map(|Query(asked)| asked)
        .map_err(|e| problem(StatusCode::BAD_REQUEST, "bad-request", None, e.body_text()))
}

pub(super) async fn history(
    State(console): State<Shared>,
    Extension(by): Extension<Standing>,
    query: Asked<Paging>,
) -> Response {
    let paging = match asked(query) {
        Ok(paging) => paging,
        Err(response) => return response,
    };
    match console.accounts.history(&by, paging.before, paging.most()).await {
        Ok(events) => {
            Json(events.into_iter().map(EventShown::from).collect::<Vec<_>>()).into_response()
        }
        Err(error) => refused(&error),
    }
}
