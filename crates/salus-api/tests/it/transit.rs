//! The endpoint with our own Vault client, and with requests that no client should send.

use reqwest::{Client, Method};
use salus_api::transit::{Operation, REQUEST_BYTES_MAX, ROUTES, TransitPhase};
use salus_keys::{KeyStore as _, KeyStoreError, WrapContext};
use salus_model::{Class, Classified as _};
use serde_json::{Value, json};

use crate::{World, contract, key, name};

const FREE: WrapContext<'static> = WrapContext::KeyTools;

async fn ask(
    world: &World,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<String>,
) -> (u16, Value) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = Client::new().request(method, format!("{}{path}", world.url()));
    if let Some(token) = token {
        request = request.header("X-Vault-Token", token);
    }
    if let Some(body) = body {
        request = request.body(body);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn our_client_keeps_the_contract_through_it() {
    let world = World::new().await;
    contract::holds(&world.vault(&world.root())).await;
}

#[tokio::test]
async fn what_it_wraps_the_store_behind_it_unwraps() {
    let world = World::new().await;
    world.create(&["a"]).await;
    let vault = world.vault(&world.root());
    let wrapped = vault.wrap(&name("a"), FREE, &key(1)).await.unwrap();
    assert_eq!(world.store.unwrap(&name("a"), FREE, &wrapped).await.unwrap(), key(1));
    let bound = WrapContext::Bound(b"x");
    let wrapped = world.store.wrap(&name("a"), bound, &key(2)).await.unwrap();
    assert_eq!(vault.unwrap(&name("a"), bound, &wrapped).await.unwrap(), key(2));
}

/// Every listed route, tried without a token, with a wrong, expired and revoked one, and with a
/// valid one whose policy grants everything on another key.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_who_may_not_use_it() {
    let world = World::new().await;
    world.create(&["mine", "theirs"]).await;
    let everything: Vec<Operation> = ROUTES.iter().filter_map(|r| r.operation).collect();
    let (revoked, accessor) = world.token(&[("*", &everything[..])]);
    world.tokens.revoke(accessor, salus_model::Clock::now(&*world.clock));
    let (old, _) = world.token(&[("*", &everything[..])]);
    world.clock.advance_micros(3_600_000_000);
    let (other, _) = world.token(&[("theirs*", &everything[..])]);
    let wrong = other.replace(|c: char| c.is_ascii_digit(), "0");
    let before = world.store.list().await.unwrap();
    for route in ROUTES {
        for method in route.methods.split(' ').filter(|_| route.path != "/v1/sys/health") {
            for text in ["mine", "missing"] {
                let path = route.path.replace("{name}", text);
                let path = if method == "GET" && path.ends_with("/keys") {
                    format!("{path}?list=true")
                } else {
                    path
                };
                let cases = [None, Some(""), Some(&*wrong), Some(&*old), Some(&*revoked)];
                for token in cases {
                    let (status, body) = ask(&world, method, &path, token, None).await;
                    assert_eq!(status, 403, "{method} {path} {token:?}");
                    assert_eq!(body, json!({ "errors": ["permission denied"] }));
                }
                // The same answer whether the key exists or not.
                if route.path.contains("{name}") {
                    let (status, body) = ask(&world, method, &path, Some(&other), None).await;
                    assert_eq!(status, 403, "{method} {path}");
                    assert_eq!(body, json!({ "errors": ["permission denied"] }));
                }
            }
        }
    }
    assert_eq!(world.store.list().await.unwrap(), before);
    let (status, list) = ask(&world, "LIST", "/v1/transit/keys", Some(&other), None).await;
    assert_eq!((status, &list["data"]["keys"]), (200, &json!(["theirs"])), "only what it may read");
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_the_next_request() {
    let world = World::new().await;
    world.create(&["a"]).await;
    let (token, accessor) = world.token(&[("a", &[Operation::Read, Operation::Encrypt])]);
    let vault = world.vault(&token);
    let wrapped = vault.wrap(&name("a"), FREE, &key(1)).await.unwrap();
    // The policy has no decrypt.
    let refused = vault.unwrap(&name("a"), FREE, &wrapped).await.unwrap_err();
    assert!(matches!(refused, KeyStoreError::Denied { .. }), "{refused}");
    assert_eq!(refused.class(), Class::Refused);
    world.tokens.revoke(accessor, salus_model::Clock::now(&*world.clock));
    let refused = vault.wrap(&name("a"), FREE, &key(1)).await.unwrap_err();
    assert!(matches!(refused, KeyStoreError::Denied { .. }), "{refused}");
}

#[tokio::test]
async fn requests_that_are_wrong_are_told_so_in_vaults_shape() {
    let world = World::new().await;
    world.create(&["a"]).await;
    let root = world.root();
    let post = async |path: &str, body: &str| {
        let path = format!("/v1/transit/{path}");
        ask(&world, "POST", &path, Some(&root), Some(body.to_owned())).await
    };
    let cases = [
        ("encrypt/a", "{", "no JSON"),
        ("encrypt/a", "{}", "missing plaintext"),
        ("encrypt/a", r#"{"plaintext":7}"#, "wrong type"),
        ("encrypt/a", r#"{"plaintext":"%"}"#, "plaintext is no base64"),
        ("encrypt/a", r#"{"plaintext":"AA==","associated_data":"%"}"#, "associated_data"),
        ("encrypt/a", r#"{"plaintext":"AA==","context":"AA=="}"#, "derived keys"),
        ("encrypt/a", r#"{"plaintext":"AA==","nonce":"AA=="}"#, "nonces"),
        ("encrypt/a", r#"{"plaintext":"AA==","key_version":1}"#, "key_version"),
        ("encrypt/a", r#"{"plaintext":"AA==","type":"rsa-2048"}"#, "aes256-gcm96"),
        ("encrypt/missing", r#"{"plaintext":"AA=="}"#, "key not found"),
        ("encrypt/Bad%20Name", r#"{"plaintext":"AA=="}"#, "key name"),
        ("decrypt/a", r#"{"ciphertext":"x"}"#, "invalid ciphertext"),
        ("decrypt/a", r#"{"ciphertext":"vault:v1:AAAA"}"#, "authentication failed"),
        ("decrypt/a", r#"{"ciphertext":"vault:v7:AAAA"}"#, "no such version"),
        ("encrypt/a", r#"{"batch_input":[]}"#, "1 to 256"),
        ("datakey/plaintext/a", r#"{"bits":192}"#, "128, 256 and 512"),
        ("keys/b", r#"{"type":"ed25519"}"#, "aes256-gcm96"),
        ("keys/b", r#"{"exportable":true}"#, "leave their store"),
        ("keys/b", r#"{"derived":true}"#, "derived"),
        ("keys/b", r#"{"auto_rotate_period":"24h"}"#, "rotation by the clock"),
        ("keys/b", r#"{"key_size":32}"#, "key_size"),
        ("datakey/plaintext/a", r#"{"associated_data":"AA=="}"#, "not offered"),
        ("keys/a/config", r#"{"min_decryption_version":2}"#, "not offered"),
    ];
    for (path, body, told) in cases {
        let (status, answer) = post(path, body).await;
        assert_eq!(status, 400, "{path} {body}: {answer}");
        let error = answer["errors"][0].as_str().unwrap();
        assert!(error.contains(told), "{path} {body}: {error}");
    }
    let (status, answer) = ask(&world, "DELETE", "/v1/transit/keys/a", Some(&root), None).await;
    assert_eq!(
        (status, answer["errors"][0].as_str().unwrap().contains("not allowed")),
        (400, true)
    );
    let (status, answer) = ask(&world, "GET", "/v1/transit/keys/b", Some(&root), None).await;
    assert_eq!((status, answer), (404, json!({ "errors": [] })));
    let (status, _) = ask(&world, "GET", "/v1/sys/mounts", Some(&root), None).await;
    assert_eq!(status, 404);
    let (status, _) = ask(&world, "PATCH", "/v1/transit/keys/a", Some(&root), None).await;
    assert_eq!(status, 405);
    let long = format!(r#"{{"plaintext":"{}"}}"#, "A".repeat(REQUEST_BYTES_MAX));
    assert_eq!(post("encrypt/a", &long).await.0, 413);
    let much = format!(r#"{{"plaintext":"{}"}}"#, "A".repeat(8192));
    assert_eq!(post("encrypt/a", &much).await.0, 400, "a master key wraps keys, not data");
    assert_eq!(world.store.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn response_wrapping_is_refused_rather_than_left_out() {
    let world = World::new().await;
    world.create(&["a"]).await;
    let response = Client::new()
        .post(format!("{}/v1/transit/datakey/plaintext/a", world.url()))
        .bearer_auth(world.root())
        .header("X-Vault-Wrap-TTL", "60")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 400);
    assert!(!response.text().await.unwrap().contains("plaintext"));
}

#[tokio::test]
async fn batches_answer_item_by_item() {
    let world = World::new().await;
    world.create(&["a"]).await;
    let root = world.root();
    let batch = json!({ "batch_input": [
        { "plaintext": "AA==", "reference": "one" }, { "plaintext": "%" }
    ]});
    let (status, answer) =
        ask(&world, "POST", "/v1/transit/encrypt/a", Some(&root), Some(batch.to_string())).await;
    assert_eq!(status, 200);
    let results = &answer["data"]["batch_results"];
    assert_eq!(results[0]["reference"], "one");
    assert!(results[1]["error"].as_str().unwrap().contains("base64"));
    let batch = json!({ "batch_input": [{ "ciphertext": results[0]["ciphertext"] }] });
    let (_, answer) =
        ask(&world, "POST", "/v1/transit/decrypt/a", Some(&root), Some(batch.to_string())).await;
    assert_eq!(answer["data"]["batch_results"][0]["plaintext"], "AA==");
    let batch = json!({ "batch_input": [{ "plaintext": "%" }] });
    let (status, _) =
        ask(&world, "POST", "/v1/transit/encrypt/a", Some(&root), Some(batch.to_string())).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn every_request_is_audited_and_nothing_secret_with_it() {
    let world = World::new().await;
    world.create(&["a"]).await;
    let (token, accessor) = world.token(&[("a", &[Operation::Encrypt])]);
    let body = Some(json!({ "plaintext": "c2VjcmV0IGtleQ==" }).to_string());
    ask(&world, "POST", "/v1/transit/encrypt/a", Some(&token), body.clone()).await;
    ask(&world, "POST", "/v1/transit/decrypt/a", Some(&token), body.clone()).await;
    ask(&world, "POST", "/v1/transit/encrypt/a", None, body.clone()).await;
    let events = world.audit.events.lock().unwrap().clone();
    let seen: Vec<_> = events.iter().map(|e| (e.operation, e.token.is_some(), e.phase)).collect();
    assert_eq!(
        seen,
        [
            ("encrypt", true, TransitPhase::Accepted),
            ("encrypt", true, TransitPhase::Answered { status: 200 }),
            ("decrypt", true, TransitPhase::Denied),
            ("encrypt", false, TransitPhase::Denied),
        ]
    );
    assert_eq!(events[0].request, events[1].request);
    assert_eq!(events[0].token, Some(accessor));
    assert_eq!(events[0].key, Some(name("a")));
    let kept = serde_json::to_string(&events).unwrap();
    assert!(!kept.contains("c2VjcmV0") && !kept.contains(&token) && !kept.contains("vault:v1"));
    assert!(kept.contains(r#""phase":"answered","status":200"#), "{kept}");

    // Where the record fails, so does the request: before it is carried out, and after.
    let rotate = "/v1/transit/keys/a/rotate";
    let root = world.root();
    *world.audit.fails_after.lock().unwrap() = Some(4);
    let (status, _) = ask(&world, "POST", rotate, Some(&root), None).await;
    assert_eq!(status, 500);
    assert_eq!(world.store.describe(&name("a")).await.unwrap().versions.len(), 1);
    *world.audit.fails_after.lock().unwrap() = Some(5);
    let (status, answer) = ask(&world, "POST", "/v1/transit/encrypt/a", Some(&root), body).await;
    assert_eq!((status, answer), (500, json!({ "errors": ["internal error"] })));
}

#[tokio::test]
async fn the_health_check_needs_no_token_and_tells_nothing() {
    let world = World::new().await;
    world.create(&["a"]).await;
    let (status, health) = ask(&world, "GET", "/v1/sys/health", None, None).await;
    assert_eq!(
        (status, &health["sealed"], &health["initialized"]),
        (200, &json!(false), &json!(true))
    );
    assert!(!health.to_string().contains("\"a\""));
    assert_eq!(ask(&world, "HEAD", "/v1/sys/health", None, None).await.0, 200);
}
