use axum::http::Method;
use salus_model::KeyName;

use super::answer::Refused;
use super::policy::{Operation, Policy};

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Health,
    LookupSelf,
    List,
    /// One operation on one key; the second is for the names that no key can have.
    On(Operation, Result<KeyName, String>),
}

/// One route of the endpoint, for inventories and documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteInfo {
    /// The HTTP methods.
    pub methods: &'static str,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// What the token's policy has to grant; none where a valid token, or none at all, is enough.
    pub operation: Option<Operation>,
}

const fn route(
    methods: &'static str,
    path: &'static str,
    operation: Option<Operation>,
) -> RouteInfo {
    RouteInfo { methods, path, operation }
}

/// Every route that there is.
pub const ROUTES: &[RouteInfo] = &[
    route("GET HEAD", "/v1/sys/health", None),
    route("GET POST PUT", "/v1/auth/token/lookup-self", None),
    route("POST PUT", "/v1/transit/encrypt/{name}", Some(Operation::Encrypt)),
    route("POST PUT", "/v1/transit/decrypt/{name}", Some(Operation::Decrypt)),
    route("POST PUT", "/v1/transit/rewrap/{name}", Some(Operation::Rewrap)),
    route("POST PUT", "/v1/transit/datakey/plaintext/{name}", Some(Operation::DatakeyPlaintext)),
    route("POST PUT", "/v1/transit/datakey/wrapped/{name}", Some(Operation::DatakeyWrapped)),
    route("LIST GET", "/v1/transit/keys", Some(Operation::Read)),
    route("GET", "/v1/transit/keys/{name}", Some(Operation::Read)),
    route("POST PUT", "/v1/transit/keys/{name}", Some(Operation::Create)),
    route("DELETE", "/v1/transit/keys/{name}", Some(Operation::Shred)),
    route("POST PUT", "/v1/transit/keys/{name}/rotate", Some(Operation::Rotate)),
    route("POST PUT", "/v1/transit/keys/{name}/config", Some(Operation::Configure)),
    route("DELETE", "/v1/transit/keys/{name}/soft-delete", Some(Operation::Revoke)),
    route("POST PUT", "/v1/transit/keys/{name}/soft-delete-restore", Some(Operation::Reinstate)),
];

impl Action {
    /// What is asked for, whoever asks.
    pub(super) fn of(method: &Method, path: &str, query: Option<&str>) -> Result<Self, Refused> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let rest = segments.strip_prefix(&["v1"]).ok_or(Refused::NoRoute)?;
        let writes = matches!(method.as_str(), "POST" | "PUT");
        let reads = method == Method::GET;
        let when =
            |fits: bool, action: Self| if fits { Ok(action) } else { Err(Refused::NoMethod) };
        let on = |operation, name: &str| {
            Self::On(operation, KeyName::new(name).map_err(|e| e.to_string()))
        };
        match rest {
            ["sys", "health"] => when(reads || method == Method::HEAD, Self::Health),
            ["auth", "token", "lookup-self"] => when(reads || writes, Self::LookupSelf),
            ["transit", "encrypt", name] => when(writes, on(Operation::Encrypt, name)),
            ["transit", "decrypt", name] => when(writes, on(Operation::Decrypt, name)),
            ["transit", "rewrap", name] => when(writes, on(Operation::Rewrap, name)),
            ["transit", "datakey", "plaintext", name] => {
                when(writes, on(Operation::DatakeyPlaintext, name))
            }
            ["transit", "datakey", "wrapped", name] => {
                when(writes, on(Operation::DatakeyWrapped, name))
            }
            ["transit", "keys"] => {
                let asks = query.is_some_and(|q| q.split('&').any(|pair| pair == "list=true"));
                when(method.as_str() == "LIST" || (reads && asks), Self::List)
            }
            ["transit", "keys", name] => match method.as_str() {
                "GET" => Ok(on(Operation::Read, name)),
                "POST" | "PUT" => Ok(on(Operation::Create, name)),
                "DELETE" => Ok(on(Operation::Shred, name)),
                _ => Err(Refused::NoMethod),
            },
            ["transit", "keys", name, "rotate"] => when(writes, on(Operation::Rotate, name)),
            ["transit", "keys", name, "config"] => when(writes, on(Operation::Configure, name)),
            ["transit", "keys", name, "soft-delete"] => {
                when(method == Method::DELETE, on(Operation::Revoke, name))
            }
            ["transit", "keys", name, "soft-delete-restore"] => {
                when(writes, on(Operation::Reinstate, name))
            }
            _ => Err(Refused::NoRoute),
        }
    }

    /// The word for it in audit records.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::LookupSelf => "lookup-self",
            Self::List => "list",
            Self::On(operation, _) => operation.as_str(),
        }
    }

    pub(super) const fn key(&self) -> Option<&KeyName> {
        match self {
            Self::On(_, Ok(name)) => Some(name),
            _ => None,
        }
    }

    /// Whether a policy lets its token ask for this. A listing shows what may be read, only.
    pub(super) fn is_granted(&self, policy: &Policy) -> bool {
        match self {
            Self::Health | Self::LookupSelf => true,
            Self::List => policy.grants_anywhere(Operation::Read),
            Self::On(operation, Ok(name)) => policy.grants(*operation, name),
            // No key can have such a name, so only whoever may use any key is told so.
            Self::On(operation, Err(_)) => policy.grants_everywhere(*operation),
        }
    }
}
