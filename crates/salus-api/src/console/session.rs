use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use salus_accounts::second::Second;
use salus_accounts::{SignIn, SignedIn, Standing};
use salus_model::{Secret, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::answers::{AccountShown, Strength};
use super::guard::{problem, refused, token, with_session, without_session};
use super::{Console, Shared};

/// A body of JSON, or what is wrong with it.
pub(crate) type Body<T> = Result<Json<T>, JsonRejection>;

pub(crate) fn read<T>(body: Body<T>) -> Result<T, Response> {
    body.map(|Json(value)| value)
        .map_err(|e| problem(e.status(), "bad-request", None, e.body_text()))
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(from).map(Secret::new)
}

fn perhaps<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(Secret::new))
}

/// What a person types to sign in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SignIn")]
pub(super) struct Typed {
    login: String,
    #[serde(deserialize_with = "secret")]
    #[schemars(with = "String")]
    password: Secret<String>,
    #[serde(default, deserialize_with = "perhaps")]
    #[schemars(with = "Option<String>")]
    code: Option<Secret<String>>,
    #[serde(default, deserialize_with = "perhaps")]
    #[schemars(with = "Option<String>")]
    recovery: Option<Secret<String>>,
}

/// An invitation that is taken up.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcceptInvitation")]
pub(super) struct Accepting {
    #[serde(deserialize_with = "secret")]
    #[schemars(with = "String")]
    code: Secret<String>,
    #[serde(deserialize_with = "secret")]
    #[schemars(with = "String")]
    password: Secret<String>,
}

/// A code of the second factor that is being set up.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConfirmFactor")]
pub(super) struct Confirming {
    #[serde(deserialize_with = "secret")]
    #[schemars(with = "String")]
    code: Secret<String>,
}

/// A change of one's own password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ChangePassword")]
pub(super) struct Changing {
    #[serde(deserialize_with = "secret")]
    #[schemars(with = "String")]
    present: Secret<String>,
    #[serde(deserialize_with = "secret")]
    #[schemars(with = "String")]
    new: Secret<String>,
}

/// Who has signed in, and where.
#[derive(Serialize, JsonSchema)]
pub(super) struct Who {
    account: AccountShown,
    strength: Strength,
    /// When the session ends.
    #[schemars(with = "String")]
    expires: Timestamp,
    /// Whose site it is.
    holder: String,
    /// The ledger's id, when the site is on one.
    ledger: Option<String>,
}

/// A second factor that is being set up; shown once.
#[derive(Serialize, JsonSchema)]
pub(super) struct Begun {
    /// What an app scans.
    uri: String,
    /// The same secret, to be typed.
    secret: String,
    /// Codes for whoever loses the phone.
    recovery: Vec<String>,
}

impl Console {
    fn who(&self, standing: &Standing) -> Who {
        let ledger = self.ledger.as_ref();
        Who {
            account: (&standing.account).into(),
            strength: standing.strength.into(),
            expires: standing.expires,
            holder: self.site.config.holder.to_string(),
            ledger: ledger.map(|on| on.ledger.anchor().ledger().to_string()),
        }
    }

    fn begun(&self, signed_in: &SignedIn) -> Response {
        with_session(signed_in, Json(self.who(&signed_in.standing)).into_response())
    }

    /// Ends the session that a browser had before it signs in: whatever token it brought, it goes
    /// on with a new one, so that nobody can plant one.
    async fn end_former(&self, headers: &HeaderMap) {
        if let Some(former) = token(headers)
            && let Err(error) = self.accounts.sign_out(&former).await
        {
            tracing::warn!(%error, "a former session could not be ended");
        }
    }
}

fn busy() -> Response {
    let text = "too many people sign in at once; try again in a moment";
    problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", None, text)
}

pub(super) async fn sign_in(
    State(console): State<Shared>,
    headers: HeaderMap,
    body: Body<Typed>,
) -> Response {
    let Typed { login, password, code, recovery } = match read(body) {
        Ok(typed) => typed,
        Err(response) => return response,
    };
    let second = match (code, recovery) {
        (Some(code), None) => Some(Second::Code(code)),
        (None, Some(recovery)) => Some(Second::Recovery(recovery)),
        (None, None) => None,
        (Some(_), Some(_)) => {
            let text = "give a code from the app or a recovery code, not both";
            return problem(StatusCode::BAD_REQUEST, "bad-request", None, text);
        }
    };
    let Ok(_turn) = console.signing_in.try_acquire() else { return busy() };
    match console.accounts.sign_in(SignIn { login, password, second }).await {
        Ok(signed_in) => {
            console.end_former(&headers).await;
            console.begun(&signed_in)
        }
        Err(error) => refused(&error),
    }
}

pub(super) async fn accept(
    State(console): State<Shared>,
    headers: HeaderMap,
    body: Body<Accepting>,
) -> Response {
    let Accepting { code, password } = match read(body) {
        Ok(accepting) => accepting,
        Err(response) => return response,
    };
    let Ok(_turn) = console.signing_in.try_acquire() else { return busy() };
    match console.accounts.accept(&code, &password).await {
        Ok(signed_in) => {
            console.end_former(&headers).await;
            console.begun(&signed_in)
        }
        Err(error) => refused(&error),
    }
}

pub(super) async fn who(
    State(console): State<Shared>,
    Extension(standing): Extension<Standing>,
) -> Response {
    Json(console.who(&standing)).into_response()
}

pub(super) async fn sign_out(State(console): State<Shared>, headers: HeaderMap) -> Response {
    let Some(token) = token(&headers) else { return StatusCode::NO_CONTENT.into_response() };
    match console.accounts.sign_out(&token).await {
        Ok(()) => without_session(StatusCode::NO_CONTENT.into_response()),
        Err(error) => refused(&error),
    }
}

pub(super) async fn begin_factor(
    State(console): State<Shared>,
    Extension(standing): Extension<Standing>,
) -> Response {
    match console.accounts.enrol(&standing).await {
        Ok(enrolment) => Json(Begun {
            uri: enrolment.uri.expose().clone(),
            secret: enrolment.secret.expose().clone(),
            recovery: enrolment.recovery.iter().map(|code| code.expose().clone()).collect(),
        })
        .into_response(),
        Err(error) => refused(&error),
    }
}

pub(super) async fn confirm_factor(
    State(console): State<Shared>,
    Extension(standing): Extension<Standing>,
    body: Body<Confirming>,
) -> Response {
    let Confirming { code } = match read(body) {
        Ok(confirming) => confirming,
        Err(response) => return response,
    };
    match console.accounts.confirm_enrolment(&standing, &code).await {
        Ok(signed_in) => console.begun(&signed_in),
        Err(error) => refused(&error),
    }
}

pub(super) async fn password(
    State(console): State<Shared>,
    Extension(standing): Extension<Standing>,
    body: Body<Changing>,
) -> Response {
    let Changing { present, new } = match read(body) {
        Ok(changing) => changing,
        Err(response) => return response,
    };
    match console.accounts.change_password(&standing, &present, &new).await {
        Ok(signed_in) => console.begun(&signed_in),
        Err(error) => refused(&error),
    }
}
