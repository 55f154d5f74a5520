//! A stand-in in the network: it ends the TLS of a service, and keeps all that passes in the clear.

use std::sync::{Arc, Mutex};

use axum::response::IntoResponse as _;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use salus_crypto::passphrase::Passphrase;
use salus_model::Secret;
use salus_node::membership::Membership;

use crate::world::Serving;

/// One request and its answer, without TLS and as long as they are.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// Method, address and headers of the request, but for its length.
    pub(crate) head: String,
    /// The request's body.
    pub(crate) request: Vec<u8>,
    /// The answer's status and headers.
    pub(crate) answer_head: String,
    /// The answer's body.
    pub(crate) answer: Vec<u8>,
}

/// What a stand-in adds to messages on their way: for tests of whoever looks for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Planted {
    /// In requests whose address begins so, and in their answers.
    pub(crate) path: &'static str,
    /// A header's value.
    pub(crate) value: String,
}

const PLANTED: HeaderName = HeaderName::from_static("x-planted");

/// A service's TLS is ended here, and all that passes is kept in the clear.
pub(crate) struct Recorder {
    /// Where it stands.
    pub(crate) url: String,
    /// Whom its clients have to trust, as PEM.
    pub(crate) ca: String,
    /// Where it goes on to.
    pub(crate) target: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    planted: Arc<Mutex<Option<Planted>>>,
}

/// What a stand-in shows to those who come.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

#[derive(Clone)]
struct Passing {
    client: reqwest::Client,
    target: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    planted: Arc<Mutex<Option<Planted>>>,
}

impl Recorder {
    /// Before a node, whose clients are told to trust the recorder's certificate.
    pub(crate) fn before(node: &Serving) -> Self {
        let trusted = reqwest::Certificate::from_pem(node.told("certificate").as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .tls_built_in_root_certs(false)
            .add_root_certificate(trusted)
            .no_proxy();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let shown = Shown { chain: vec![made.cert.der().clone()], key };
        Self::start(shown, client, node.told("http"), made.cert.pem())
    }

    /// Before a validator: members trust whoever shows a certificate of the ledger's authority, so
    /// that a member can sit there. `membership` is that member's file.
    pub(crate) fn before_validator(membership: &[u8]) -> Self {
        let passphrase = Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap();
        let membership = Membership::open(&passphrase, membership).unwrap();
        let identity = &membership.identity;
        let chain = identity.chain.iter();
        let chain = chain.map(|der| CertificateDer::from(der.as_bytes().to_vec()));
        let key = PrivatePkcs8KeyDer::from(identity.tls.expose().clone());
        let shown = Shown { chain: chain.collect(), key: PrivateKeyDer::Pkcs8(key) };
        let pem = |label: &str, der: &[u8]| {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
        };
        let mut own = pem("PRIVATE KEY", identity.tls.expose());
        identity.chain.iter().for_each(|der| own.push_str(&pem("CERTIFICATE", der.as_bytes())));
        // Certificates of the ledger name no hosts; this one is told where to go.
        let client = reqwest::Client::builder()
            .use_rustls_tls()
            .identity(reqwest::Identity::from_pem(own.as_bytes()).unwrap())
            .danger_accept_invalid_certs(true)
            .no_proxy();
        Self::start(shown, client, membership.validators[0].clone(), String::new())
    }

    fn start(shown: Shown, client: reqwest::ClientBuilder, target: String, ca: String) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(shown.chain, shown.key)
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (heard, planted) = (Arc::default(), Arc::default());
        let made = Self {
            url,
            ca,
            target: target.clone(),
            heard: Arc::clone(&heard),
            planted: Arc::clone(&planted),
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async move {
                let client = client.build().unwrap();
                let passing = Passing { client, target, heard, planted };
                let pass = move |request: axum::extract::Request| passing.clone().pass(request);
                let router = axum::Router::new().fallback(pass);
                let config = axum_server::tls_rustls::RustlsConfig::from_config(Arc::new(tls));
                axum_server::from_tcp_rustls(listener, config)
                    .unwrap()
                    .serve(router.into_make_service())
                    .await
                    .unwrap();
            });
        });
        made
    }

    /// What was heard since the last time.
    pub(crate) fn taken(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    /// Adds something to what passes from now on, or nothing any more.
    pub(crate) fn plant(&self, planted: Option<Planted>) {
        *self.planted.lock().unwrap() = planted;
    }
}

/// Headers but for the body's length, a small number that is nobody's.
fn without_length(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(CONTENT_LENGTH);
    headers
}

impl Passing {
    async fn pass(self, request: axum::extract::Request) -> axum::response::Response {
        let (parts, body) = request.into_parts();
        let request = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        let planted = self.planted.lock().unwrap().clone();
        let planted = planted.filter(|planted| parts.uri.path().starts_with(planted.path));
        let planted = planted.map(|planted| HeaderValue::from_str(&planted.value).unwrap());
        let mut headers = HeaderMap::new();
        for name in [CONTENT_TYPE, ACCEPT] {
            if let Some(value) = parts.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        if let Some(planted) = &planted {
            headers.insert(PLANTED, planted.clone());
        }
        let shown = without_length(&parts.headers);
        let head = format!("{} {} {shown:?} {headers:?}", parts.method, parts.uri);
        let url = format!("{}{}", self.target, parts.uri);
        let asked = self.client.request(parts.method, url).headers(headers);
        let mut heard =
            Heard { head, request: request.to_vec(), answer_head: String::new(), answer: vec![] };
        let answer = asked.body(request).send().await;
        let Ok(answer) = answer else {
            self.heard.lock().unwrap().push(heard);
            return (axum::http::StatusCode::BAD_GATEWAY, "gone").into_response();
        };
        let status = answer.status();
        let mut headers = HeaderMap::new();
        if let Some(kind) = answer.headers().get(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, kind.clone());
        }
        if let Some(planted) = planted {
            headers.insert(PLANTED, planted);
        }
        heard.answer_head = format!("{status} {:?} {headers:?}", without_length(answer.headers()));
        let bytes = answer.bytes().await.unwrap_or_default();
        heard.answer = bytes.to_vec();
        self.heard.lock().unwrap().push(heard);
        (status, headers, bytes).into_response()
    }
}
