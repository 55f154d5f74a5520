//! HTTP routes as data, from which both the routers and the inventory are made.

use axum::Router;
use axum::routing::MethodRouter;
use salus_accounts::AccountRole;

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
    /// Whoever has shares that holders signed, and sealed to this party.
    Shares,
    /// Whoever has a valid token with the role that the site's configuration names.
    Role,
    /// Anybody, to sign in with a password or an invitation; tries are counted.
    SignIn,
    /// Whoever has signed in, also without the second factor that the role demands.
    AnySession,
    /// Whoever has signed in to the console in one of these roles.
    Session(&'static [AccountRole]),
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

/// Routes, each with the endpoint that answers it.
pub(crate) struct RouteTable<E: 'static, const N: usize>(pub(crate) [(HttpRoute, E); N]);

impl<E: Copy, const N: usize> RouteTable<E, N> {
    /// The routes alone, for the inventory.
    pub(crate) const fn routes(&self) -> [HttpRoute; N] {
        let mut routes = [self.0[0].0; N];
        let mut at = 0;
        while at < N {
            routes[at] = self.0[at].0;
            at += 1;
        }
        routes
    }

    /// A router in which `handler` answers for the endpoints, each with what its route asks for.
    pub(crate) fn guarded_router<S: Clone + Send + Sync + 'static>(
        &self,
        handler: impl Fn(Access, E) -> MethodRouter<S>,
    ) -> Router<S> {
        let add = |router: Router<S>, (route, endpoint): &(HttpRoute, E)| {
            router.route(route.path, handler(route.access, *endpoint))
        };
        self.0.iter().fold(Router::new(), add)
    }

    /// A router in which `handler` answers for the endpoints.
    pub(crate) fn router<S: Clone + Send + Sync + 'static>(
        &self,
        handler: impl Fn(E) -> MethodRouter<S>,
    ) -> Router<S> {
        self.guarded_router(|_, endpoint| handler(endpoint))
    }
}
