//! Subscriptions over REST: who is told of what, under the rules of the moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use parking_lot::Mutex;
use reqwest::Method;
use salus_model::Purpose;
use salus_store::audit::{AccessKind, AuditRecord, Outcome};
use serde_json::{Value as Json, json};

use super::rules::records;
use super::world::{World, patient, weight};

/// Method, path, authorization and body of what came in.
type Told = (String, String, String, String);

#[derive(Clone, Default)]
struct Hook(Arc<Mutex<Vec<Told>>>);

impl Hook {
    async fn start() -> (Self, String) {
        async fn hear(State(hook): State<Hook>, request: Request) -> StatusCode {
            let (parts, body) = request.into_parts();
            let authorization = parts.headers.get("authorization");
            let authorization = authorization.map_or("", |v| v.to_str().unwrap()).to_owned();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            let told = (parts.method.to_string(), parts.uri.to_string(), authorization, body);
            hook.0.lock().push(told);
            StatusCode::OK
        }
        let hook = Self::default();
        let router = axum::Router::new().fallback(hear).with_state(hook.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (hook, origin)
    }

    async fn heard(&self, count: usize) -> Vec<Told> {
        let until = Instant::now() + Duration::from_secs(20);
        while self.0.lock().len() < count {
            assert!(Instant::now() < until, "only {:?}", self.0.lock());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::mem::take(&mut *self.0.lock())
    }

    async fn quiet(&self) {
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(*self.0.lock(), []);
    }
}

fn wish(origin: &str, criteria: &str) -> Json {
    json!({
        "resourceType": "Subscription", "status": "requested", "reason": "weights",
        "criteria": criteria,
        "channel": {"type": "rest-hook", "endpoint": format!("{origin}/in"),
            "payload": "application/fhir+json", "header": ["Authorization: Bearer s3cret"]},
    })
}

async fn becomes(world: &World, token: &str, path: &str, status: &str) -> Json {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let reply = world.get(token, path).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        if reply.body["status"] == status {
            return reply.body;
        }
        assert!(Instant::now() < until, "{status} is not reached: {}", reply.body);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dietitian_is_told_of_her_own_clients_as_long_as_they_are_hers() {
    let (hook, origin) = Hook::start().await;
    let world = World::telling(&[&origin]).await;
    let made = world.post(&world.ann, "/Subscription", &wish(&origin, "Observation")).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.body["channel"]["header"], json!(["Authorization: (sealed)"]));
    assert!(salus_fhir::validate(&made.body).is_empty());
    let path = format!("/Subscription/{}", made.body["id"].as_str().unwrap());
    assert_eq!(made.header("location"), format!("{}{path}", world.base));
    becomes(&world, &world.ann, &path, "active").await;
    assert_eq!(hook.heard(1).await[0].0, "POST", "the handshake");
    world.put(&world.doctor, weight("b", "p-bob", 90.0)).await;
    world.put(&world.doctor, weight("a", "p-ann", 70.0)).await;
    let told = hook.heard(1).await;
    let (method, place, authorization, body) = &told[0];
    assert_eq!((method.as_str(), place.as_str()), ("PUT", "/in/Observation/a"));
    assert_eq!(authorization, "Bearer s3cret");
    assert_eq!(serde_json::from_str::<Json>(body).unwrap()["valueQuantity"]["value"], 70.0);
    hook.quiet().await;
    // Each notification is on record, as a reading by ann in her role.
    let notified =
        |record: &&AuditRecord| record.entry.statement.starts_with("notify Subscription");
    let on_record = records(&world).await;
    let on_record: Vec<_> = on_record.iter().filter(notified).collect();
    assert!(!on_record.is_empty());
    let last = &on_record.last().unwrap().entry;
    assert_eq!((last.staff.as_str(), last.role.as_str()), ("ann", "dietitian"));
    assert_eq!((last.kind, last.purpose), (AccessKind::FhirRead, Purpose::Treatment));
    let shown: u64 = on_record
        .iter()
        .map(|record| match record.entry.outcome {
            Outcome::Answered { rows } => rows,
            _ => 0,
        })
        .sum();
    assert_eq!(shown, 1, "one resource went out");
    // Her client goes to a colleague: she hears no more of him.
    let team = json!({"resourceType": "CareTeam", "id": "ct-ann",
        "subject": {"reference": "Patient/p-ann"},
        "participant": [{"member": {"reference": "Practitioner/bob"}}]});
    assert_eq!(world.put(&world.doctor, team).await.status, 200);
    world.put(&world.doctor, weight("a2", "p-ann", 71.0)).await;
    hook.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_token_any_more_is_told_no_more() {
    let (hook, origin) = Hook::start().await;
    let world = World::telling(&[&origin]).await;
    let made = world.post(&world.ann, "/Subscription", &wish(&origin, "Observation")).await;
    let path = format!("/Subscription/{}", made.body["id"].as_str().unwrap());
    becomes(&world, &world.ann, &path, "active").await;
    hook.heard(1).await;
    world.staff.revoke(&"ann".parse().unwrap()).unwrap();
    assert_eq!(world.put(&world.doctor, weight("a", "p-ann", 70.0)).await.status, 201);
    hook.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_ones_own_and_made_one_by_one() {
    let (_hook, origin) = Hook::start().await;
    let world = World::telling(&[&origin]).await;
    let wanted = wish(&origin, "Observation");
    let made = world.post(&world.ann, "/Subscription", &wanted).await;
    let id = made.body["id"].as_str().unwrap().to_owned();
    let path = format!("/Subscription/{id}");
    // Nobody without a token, nobody whose role may not write them, and to others it is not there.
    assert_eq!(world.post("", "/Subscription", &wanted).await.status, 401);
    let auditor = world.token("auditor");
    assert_eq!(world.post(&auditor, "/Subscription", &wanted).await.issue().0, 403);
    assert_eq!(world.get(&world.doctor, &path).await.issue().0, 404);
    let changed = |status: &str| {
        let mut changed = wanted.clone();
        (changed["id"], changed["status"]) = (json!(id), json!(status));
        changed
    };
    assert_eq!(world.put(&world.bob, changed("off")).await.issue().0, 404);
    assert_eq!(world.send((Method::DELETE, &path), &world.bob, &[], "").await.status, 204);
    assert_eq!(world.get(&world.ann, &path).await.status, 200, "still there");
    assert_eq!(world.get(&world.ann, "/Subscription?_id=other").await.total(), 0);
    let stale = [("if-match", "W/\"7\"")];
    let body = changed("off").to_string();
    let reply = world.send((Method::PUT, &path), &world.ann, &stale, body).await;
    assert_eq!(reply.issue().0, 412);
    assert_eq!(world.put(&world.ann, changed("off")).await.status, 200);
    let own = world.get(&world.ann, &format!("/Subscription?_id={id}")).await;
    assert_eq!(own.found("match"), [format!("Subscription/{id}")]);
    assert_eq!(own.body["entry"][0]["resource"]["status"], "off");
    assert_eq!(world.get(&world.bob, "/Subscription").await.total(), 0);
    // Not in a Bundle, where no endpoint would be looked at.
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": wanted, "request": {"method": "POST", "url": "Subscription"}}]});
    let refused = world.post(&world.doctor, "", &bundle).await;
    assert_eq!(refused.issue().0, 422);
    let mut batch = bundle.clone();
    batch["type"] = json!("batch");
    let answer = world.post(&world.doctor, "", &batch).await;
    assert_eq!(
        answer.body["entry"][0]["response"]["status"].as_str().unwrap().get(..3),
        Some("422")
    );
    // Elsewhere than the holder listed.
    let away = wish("https://elsewhere.example", "Observation");
    let refused = world.post(&world.ann, "/Subscription", &away).await;
    assert_eq!((refused.issue().0, refused.expression()), (422, "Subscription.channel.endpoint"));
    assert!(refused.issue().2.contains("https://elsewhere.example"));
    assert_eq!(world.send((Method::DELETE, &path), &world.ann, &[], "").await.status, 204);
    assert_eq!(world.get(&world.ann, &path).await.issue().0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_lists_nobody_offers_no_subscriptions() {
    let world = World::new().await;
    assert_eq!(world.put(&world.doctor, patient("x", "New")).await.status, 201);
    let wanted = wish("https://a.example", "Patient");
    assert_eq!(world.post(&world.ann, "/Subscription", &wanted).await.issue().0, 404);
    let has = |statement: &Json| {
        let resources = statement["rest"][0]["resource"].as_array().unwrap().clone();
        resources.into_iter().find(|r| r["type"] == "Subscription")
    };
    assert!(has(&world.get("", "/metadata").await.body).is_none());
    let (_hook, origin) = Hook::start().await;
    let telling = World::telling(&[&origin]).await;
    let statement = telling.get("", "/metadata").await.body;
    assert!(salus_fhir::validate(&statement).is_empty());
    let offered = has(&statement).unwrap();
    assert_eq!(offered["interaction"].as_array().unwrap().len(), 5);
    assert_eq!(offered["updateCreate"], false);
}
