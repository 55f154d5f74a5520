//! The Vault client against the API's documented shapes, and against everything that goes wrong on
//! a network. That it works with a whole transit engine is shown in `salus-api`.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use salus_keys::{
    KeyState, KeyStore, KeyStoreError, RetryPolicy, VaultConfig, VaultKeyStore, VaultOpenError,
    WrapContext,
};
use salus_model::{Class, Classified as _, Secret};
use tokio::net::TcpListener;

use crate::{key, name};

const FREE: WrapContext<'static> = WrapContext::KeyTools;

/// What the server is to answer next, and what it was asked.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    answers: VecDeque<(u16, String)>,
    asked: Vec<(String, HeaderMap, serde_json::Value)>,
    slow: Option<Duration>,
}

impl Script {
    fn answers(&self, answers: &[(u16, &str)]) {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned()));
        self.0.lock().unwrap().answers.extend(answers);
    }

    fn asked(&self) -> Vec<String> {
        let mut inner = self.0.lock().unwrap();
        std::mem::take(&mut inner.asked).into_iter().map(|(line, ..)| line).collect()
    }
}

async fn answer(
    State(script): State<Script>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (slow, (status, text)) = {
        let mut inner = script.0.lock().unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        inner.asked.push((format!("{method} {}", uri.path()), headers, body));
        let next = inner.answers.pop_front();
        (inner.slow, next.unwrap_or((500, "nothing scripted".into())))
    };
    if let Some(slow) = slow {
        tokio::time::sleep(slow).await;
    }
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    let mut response = (status, text).into_response();
    if status.is_redirection() {
        let elsewhere = "http://127.0.0.1:9/stolen".parse().unwrap();
        response.headers_mut().insert("location", elsewhere);
    }
    response
}

async fn serve(script: &Script) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn config(address: &str) -> VaultConfig {
    VaultConfig {
        address: address.to_owned(),
        mount: "transit".to_owned(),
        token: Secret::new("hvs.token".to_owned()),
        namespace: None,
        ca_pem: None,
        timeout: Duration::from_millis(500),
        retry: RetryPolicy {
            attempts: NonZeroU32::new(3).unwrap(),
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_millis(40),
        },
    }
}

async fn vault(script: &Script) -> VaultKeyStore {
    VaultKeyStore::new(config(&serve(script).await)).unwrap()
}

/// As Vault's API documentation shows it, with fields that we do not read.
const KEY: &str = r#"{"request_id":"8375227a","lease_id":"","renewable":false,"lease_duration":0,
  "data":{"allow_plaintext_backup":false,"auto_rotate_period":0,"deletion_allowed":false,
  "derived":false,"exportable":false,"imported_key":false,"keys":{"1":1442851412,"2":1554654295},
  "latest_version":2,"min_available_version":0,"min_decryption_version":1,
  "min_encryption_version":0,"name":"a","supports_decryption":true,"type":"aes256-gcm96"},
  "wrap_info":null,"warnings":null,"auth":null}"#;
const CIPHERTEXT: &str = r#"{"data":{"ciphertext":"vault:v2:AAAA","key_version":2}}"#;
const PLAINTEXT: &str = r#"{"data":{"plaintext":"BwcH"}}"#;

#[tokio::test]
async fn requests_are_those_of_the_documentation() {
    let script = Script::default();
    let mut config = config(&serve(&script).await);
    config.mount = "eu/transit-2".to_owned();
    config.namespace = Some("hospital/".to_owned());
    let vault = VaultKeyStore::new(config).unwrap();

    script.answers(&[(200, KEY), (200, CIPHERTEXT), (200, PLAINTEXT)]);
    let bound = WrapContext::Bound(b"ctx");
    let wrapped = vault.wrap(&name("a"), bound, &key(7)).await.unwrap();
    assert_eq!((wrapped.as_str(), wrapped.version().number()), ("vault:v2:AAAA", 2));
    let opened = vault.unwrap(&name("a"), bound, &wrapped).await.unwrap();
    assert_eq!(opened.expose().as_slice(), [7, 7, 7]);
    {
        let inner = script.0.lock().unwrap();
        for (_, headers, _) in &inner.asked {
            assert_eq!(headers["x-vault-token"], "hvs.token");
            assert_eq!(headers["x-vault-namespace"], "hospital/");
            assert_eq!(headers["x-vault-request"], "true");
        }
        let bodies: Vec<_> = inner.asked.iter().map(|(.., body)| body.clone()).collect();
        let sevens = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
        assert_eq!(bodies[1], serde_json::json!({"plaintext": sevens, "associated_data": "Y3R4"}));
        let asked = serde_json::json!({"ciphertext": "vault:v2:AAAA", "associated_data": "Y3R4"});
        assert_eq!(bodies[2], asked);
    }
    assert_eq!(
        script.asked(),
        [
            "GET /v1/eu/transit-2/keys/a",
            "POST /v1/eu/transit-2/encrypt/a",
            "POST /v1/eu/transit-2/decrypt/a"
        ]
    );

    script.answers(&[(200, CIPHERTEXT)]);
    vault.rewrap(&name("a"), FREE, &wrapped).await.unwrap();
    script.answers(&[(200, r#"{"data":{"keys":["a","Not Ours","rsa"]}}"#), (200, KEY)]);
    script.answers(&[(200, &KEY.replace("aes256-gcm96", "rsa-2048"))]);
    let keys = vault.list().await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].versions.len(), 2);
    assert_eq!(keys[0].versions[0].created.to_string(), "2015-09-21T16:03:32.000000Z");
    script.answers(&[(200, KEY), (204, ""), (204, "")]);
    script.answers(&[(404, r#"{"errors":[]}"#)]);
    vault.shred(&name("a")).await.unwrap();
    assert_eq!(
        script.asked(),
        [
            "POST /v1/eu/transit-2/rewrap/a",
            "LIST /v1/eu/transit-2/keys",
            "GET /v1/eu/transit-2/keys/a",
            "GET /v1/eu/transit-2/keys/rsa",
            "GET /v1/eu/transit-2/keys/a",
            "POST /v1/eu/transit-2/keys/a/config",
            "DELETE /v1/eu/transit-2/keys/a",
            "GET /v1/eu/transit-2/keys/a"
        ]
    );
}

#[tokio::test]
async fn wrapping_never_creates_a_key() {
    let script = Script::default();
    let vault = vault(&script).await;
    script.answers(&[(404, r#"{"errors":[]}"#)]);
    let refused = vault.wrap(&name("a"), FREE, &key(1)).await;
    assert!(matches!(refused, Err(KeyStoreError::NoSuchKey { .. })));
    assert_eq!(script.asked(), ["GET /v1/transit/keys/a"]);
}

#[tokio::test]
async fn errors_are_classed_by_who_must_act() {
    let script = Script::default();
    let vault = vault(&script).await;
    let wrapped = "vault:v1:AAAA".parse().unwrap();
    let cases = [
        (403, r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#, Class::Refused),
        (400, r#"{"errors":["cipher: message authentication failed"]}"#, Class::Corrupt),
        (400, r#"{"errors":["invalid ciphertext: could not decode base64"]}"#, Class::Corrupt),
        (400, r#"{"errors":["encryption key not found"]}"#, Class::BadRequest),
        (200, r#"{"data":{}}"#, Class::Peer),
        (200, "<html>", Class::Peer),
        (200, r#"{"data":{"plaintext":"%%"}}"#, Class::Peer),
        (307, "", Class::Peer),
        (418, "", Class::Peer),
    ];
    for (status, body, class) in cases {
        script.answers(&[(status, body)]);
        let error = vault.unwrap(&name("a"), FREE, &wrapped).await.unwrap_err();
        assert_eq!(error.class(), class, "{status} {body}: {error}");
        // No second try, and the redirect was not followed with the token.
        assert_eq!(script.asked().len(), 1, "{status} {body}");
    }
}

#[tokio::test]
async fn what_passes_is_tried_again_and_not_for_ever() {
    let script = Script::default();
    let vault = vault(&script).await;
    for status in [429, 500, 502, 503] {
        script.answers(&[(status, ""), (status, ""), (200, KEY)]);
        assert_eq!(vault.describe(&name("a")).await.unwrap().state, KeyState::Active);
        assert_eq!(script.asked().len(), 3);
        script.answers(&[(status, ""), (status, ""), (status, "")]);
        let error = vault.describe(&name("a")).await.unwrap_err();
        assert_eq!(error.class(), Class::Unavailable);
        assert_eq!(script.asked().len(), 3);
    }
}

#[tokio::test]
async fn a_rotation_that_may_have_happened_is_not_repeated() {
    let script = Script::default();
    let vault = vault(&script).await;
    script.answers(&[(200, KEY), (500, "")]);
    assert_eq!(vault.rotate(&name("a")).await.unwrap_err().class(), Class::Unavailable);
    assert_eq!(script.asked(), ["GET /v1/transit/keys/a", "POST /v1/transit/keys/a/rotate"]);
    // Sealed: it has not begun.
    script.answers(&[(200, KEY), (503, ""), (204, ""), (200, KEY)]);
    vault.rotate(&name("a")).await.unwrap();
    assert_eq!(script.asked().len(), 4);
}

#[tokio::test]
async fn a_server_that_is_slow_or_gone_does_not_hold_us() {
    let script = Script::default();
    let vault_at = vault(&script).await;
    script.0.lock().unwrap().slow = Some(Duration::from_secs(60));
    let began = Instant::now();
    let error = vault_at.describe(&name("a")).await.unwrap_err();
    assert_eq!(error.class(), Class::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let gone = format!("http://127.0.0.1:{}", salus_testkit::free_port());
    let gone = VaultKeyStore::new(config(&gone)).unwrap().describe(&name("a")).await;
    assert_eq!(gone.unwrap_err().class(), Class::Unavailable);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let script = Script::default();
    let vault = vault(&script).await;
    script.answers(&[(200, &"x".repeat(5 << 20))]);
    let error = vault.describe(&name("a")).await.unwrap_err();
    assert_eq!(error.class(), Class::Peer, "{error}");
}

#[tokio::test]
async fn where_there_is_no_soft_deletion_revoking_says_what_to_do() {
    let script = Script::default();
    let vault = vault(&script).await;
    for (status, body) in [(404, r#"{"errors":["no handler for route"]}"#), (405, "")] {
        script.answers(&[(200, KEY), (status, body)]);
        let error = vault.revoke(&name("a")).await.unwrap_err();
        assert!(matches!(error, KeyStoreError::Unsupported { .. }));
        assert!(error.to_string().contains("policies"), "{error}");
    }
}

#[tokio::test]
async fn doctor_warns_of_root_tokens_and_of_those_that_expire() {
    let script = Script::default();
    let vault = vault(&script).await;
    script.answers(&[(200, r#"{"data":{"ttl":7200,"policies":["root"]}}"#)]);
    let health = vault.health().await.unwrap();
    assert!(health.store.contains("http://127.0.0.1:"), "{}", health.store);
    assert_eq!(health.warnings.len(), 2, "{:?}", health.warnings);
    script.answers(&[(200, r#"{"data":{"ttl":0,"policies":["default"]}}"#)]);
    assert!(vault.health().await.unwrap().warnings.is_empty());
    script.answers(&[(403, r#"{"errors":["permission denied"]}"#)]);
    assert_eq!(vault.health().await.unwrap_err().class(), Class::Refused);
}

#[test]
fn a_configuration_that_would_leak_the_token_is_refused() {
    let open = |change: fn(&mut VaultConfig)| {
        let mut config = config("https://vault.example.org:8200");
        change(&mut config);
        VaultKeyStore::new(config).err()
    };
    assert!(open(|_| {}).is_none());
    for local in ["http://localhost:1", "http://127.0.0.7:1", "http://[::1]:1"] {
        assert!(VaultKeyStore::new(config(local)).is_ok(), "{local}");
    }
    for clear in
        ["http://vault.example.org:8200", "http://127.0.0.1.example.org", "http://10.0.0.1"]
    {
        let refused = VaultKeyStore::new(config(clear)).err();
        assert!(matches!(refused, Some(VaultOpenError::Clear { .. })), "{clear}: {refused:?}");
    }
    assert!(matches!(open(|c| c.address = "vault".into()), Some(VaultOpenError::Address { .. })));
    for mount in ["", "/transit", "a//b", "../sys", "a?b", "a/../b"] {
        let mut config = config("https://vault.example.org:8200");
        config.mount = mount.into();
        let refused = VaultKeyStore::new(config).err();
        assert!(matches!(refused, Some(VaultOpenError::Mount { .. })), "{mount}: {refused:?}");
    }
    let broken = open(|c| c.token = Secret::new("a\nb".into()));
    assert!(matches!(broken, Some(VaultOpenError::Header { what: "token" })));
    assert!(matches!(
        open(|c| c.ca_pem =
            Some(b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----".to_vec())),
        Some(VaultOpenError::Certificates(_))
    ));
}

#[tokio::test]
async fn only_the_named_authority_is_trusted() {
    let script = Script::default();
    let (address, ca_pem) = serve_tls(&script).await;
    script.answers(&[(200, KEY)]);
    let mut trusted = config(&address);
    trusted.ca_pem = Some(ca_pem);
    VaultKeyStore::new(trusted).unwrap().describe(&name("a")).await.unwrap();
    script.asked();

    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for ca_pem in [None, Some(other.cert.pem().into_bytes())] {
        let mut untrusted = config(&address);
        untrusted.ca_pem = ca_pem;
        let refused = VaultKeyStore::new(untrusted).unwrap().describe(&name("a")).await;
        assert_eq!(refused.unwrap_err().class(), Class::Unavailable);
    }
    assert!(script.asked().is_empty(), "no request may go out before the certificate holds");
}

/// The same server behind TLS with a certificate that only its own authority vouches for.
async fn serve_tls(script: &Script) -> (String, Vec<u8>) {
    use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
    use tokio_rustls::rustls::{ServerConfig, crypto::ring};
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let plain: std::net::SocketAddr =
        serve(script).await.trim_start_matches("http://").parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut near = acceptor.accept(stream).await?;
                let mut far = tokio::net::TcpStream::connect(plain).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    (format!("https://localhost:{port}"), made.cert.pem().into_bytes())
}
