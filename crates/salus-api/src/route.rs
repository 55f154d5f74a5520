//! HTTP routes as data, from which both the routers and the inventory are made.

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody: it tells nothing but whether the service runs.
    Public,
    /// Whoever has a valid token; what they get is decided column by column.
    Token,
    /// Whoever signs with the key of a permit; the ledger says what it covers.
    Permit,
    /// Anybody: it tells what the steward publishes with the catalogue.
    Published,
    /// Whoever has a valid token with the role that the site's configuration names.
    Role,
}

/// One route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpRoute {
    /// The HTTP method.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
}

impl HttpRoute {
    pub(crate) const fn new(method: &'static str, path: &'static str, access: Access) -> Self {
        Self { method, path, access }
    }
}
