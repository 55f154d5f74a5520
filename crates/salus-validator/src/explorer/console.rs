//! The browser's way to the explorer: plain HTTP on a loopback address, with the folder's token.
//!
//! A member's certificate cannot be put into every browser. Whoever can read the validator's
//! folder, though, can read the ledger anyway; the token shows just that.
//!
//! # Privacy
//! What is served is what every member of the ledger may read. Still, no web page that happens to
//! be open in the same browser gets it: the token travels in a header that other origins cannot
//! set, `Host` has to be a loopback name with this very port (so that no name that was rebound to
//! 127.0.0.1 works), and an `Origin` has to be this one.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use salus_model::Secret;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;

use super::Explorer;
use crate::api::Failure;
use crate::validator::StartError;

/// No script, style or request but the page's own, and none inline; nobody frames it.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// What the guards compare with.
#[derive(Clone)]
struct Guard {
    port: u16,
    /// A hash, so that comparing takes the same time whatever the length.
    token: Arc<[u8; 32]>,
}

/// Listens and serves until the validator stops; gives the address.
pub(crate) async fn start(
    address: SocketAddr,
    token: &Secret<String>,
    explorer: Explorer,
) -> Result<SocketAddr, StartError> {
    if !address.ip().is_loopback() {
        return Err(StartError::NotLoopback { address });
    }
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let token = Arc::new(Sha256::digest(token.expose().as_bytes()).into());
    let router = router(explorer, Guard { port: bound.port(), token });
    tokio::spawn(serve(listener, router));
    Ok(bound)
}

async fn serve(listener: TcpListener, router: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let io = TokioIo::new(stream);
            let served = Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "a browser's connection ended");
            }
        });
    }
}

fn router(explorer: Explorer, guard: Guard) -> Router {
    let api = super::router(explorer)
        .layer(middleware::from_fn_with_state(guard.clone(), only_with_token));
    Router::new()
        .nest("/v1/explorer", api)
        .fallback(page)
        .layer(middleware::from_fn_with_state(guard, only_from_here))
}

/// Refuses other names for this address and other origins, and reads only.
async fn only_from_here(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !guard.is_own_host(headers) {
        let text = "the console answers to localhost and its own port only";
        return dressed(Failure::new(StatusCode::MISDIRECTED_REQUEST, text).into_response());
    }
    if !guard.is_own_origin(headers) {
        let text = "a page of another origin may not read the ledger";
        return dressed(Failure::new(StatusCode::FORBIDDEN, text).into_response());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text = "the console reads and changes nothing";
        return dressed(Failure::new(StatusCode::METHOD_NOT_ALLOWED, text).into_response());
    }
    dressed(next.run(request).await)
}

async fn only_with_token(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if guard.is_token(request.headers()) {
        return next.run(request).await;
    }
    let text = "the token is missing or another one; it stands in console.token in the \
                validator's folder";
    Failure::new(StatusCode::UNAUTHORIZED, text).into_response()
}

impl Guard {
    fn names(&self) -> [String; 3] {
        ["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{}", self.port))
    }

    fn is_own_host(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        self.names().iter().any(|name| host.as_bytes() == name.as_bytes())
    }

    /// Browsers name the origin for all but plain navigation.
    fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        let own = |origin: &HeaderValue| {
            let named = |name: &String| origin.as_bytes() == format!("http://{name}").as_bytes();
            self.names().iter().any(named)
        };
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let elsewhere = matches!(site, Some(b"cross-site" | b"same-site"));
        let navigation =
            headers.get("sec-fetch-mode").is_some_and(|mode| mode.as_bytes() == b"navigate");
        headers.get_all(ORIGIN).iter().all(own) && (!elsewhere || navigation)
    }

    fn is_token(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(shown) = shown.and_then(|text| text.strip_prefix("Bearer ")) else { return false };
        let shown: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        shown.ct_eq(self.token.as_slice()).into()
    }
}

/// The headers of every answer.
fn dressed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 6] = [
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A file of the console; the page itself for every path that is the page's own business.
async fn page(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("v1/") {
        return Failure::not_found("such a page of the API").into_response();
    }
    let wanted = if path.is_empty() { salus_console::PAGE } else { path };
    let is_route = !wanted.contains('.');
    let file = salus_console::file(wanted)
        .or_else(|| is_route.then(|| salus_console::file(salus_console::PAGE)).flatten());
    match file {
        Some(file) => {
            let kept = if salus_console::is_immutable(file.path) {
                "public, max-age=31536000, immutable"
            } else {
                "no-cache"
            };
            let headers = [(CONTENT_TYPE, file.content_type), (CACHE_CONTROL, kept)];
            (headers, file.bytes).into_response()
        }
        None if !salus_console::is_built() => {
            let text = "the console was not built into this program: build it where Node 20 and \
                        npm are. The API below /v1/explorer answers all the same.\n";
            (StatusCode::NOT_FOUND, text).into_response()
        }
        None => Failure::not_found("such a file of the console").into_response(),
    }
}
