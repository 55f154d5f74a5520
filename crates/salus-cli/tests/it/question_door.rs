//! A hospital whose node takes questions from members of its ledger alone.

use std::sync::Arc;

use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_ledger::call::RevokeMember;
use salus_model::Secret;
use salus_node::membership::Membership;
use salus_node::{HolderLedger, MEMBER_KEY_HEADER, SystemClock};
use salus_validator::client::LedgerClient;
use serde_json::Value as Json;

use crate::world::{World, count};

const ROUTES: [(&str, &str, Option<&str>); 5] = [
    ("POST", "/v1/questions", Some("{}")),
    ("POST", "/v1/questions/plan", Some(r#"{"question": "{}"}"#)),
    ("GET", "/v1/questions/profiles", None),
    ("GET", "/v1/published", None),
    ("GET", "/v1/published/visits_twin/records.csv", None),
];

/// A membership as its file has it.
fn hand(file: &std::path::Path) -> HolderLedger {
    let word = Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap();
    let file = std::fs::read(file).unwrap();
    let Membership { member, genesis, identity, validators } =
        Membership::open(&word, &file).unwrap();
    let client = LedgerClient::new(&validators, &genesis, &identity).unwrap();
    HolderLedger::new((member, genesis), client, identity, Arc::new(SystemClock))
}

/// Status and sentence of a call with a member's certificate, under the key that is named.
fn call(
    world: &World,
    shown: &HolderLedger,
    named: Option<&str>,
    (method, path, body): (&str, &str, Option<&str>),
) -> (u16, String) {
    let tls = shown.tls_towards(&world.node().told("certificate")).unwrap();
    let client = reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy().build().unwrap();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = client.request(method, format!("{}{path}", world.node().told("http")));
    if let Some(key) = named {
        request = request.header(MEMBER_KEY_HEADER, key);
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_owned());
    }
    runtime().block_on(async {
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        let said: Json = serde_json::from_str(&text).unwrap();
        (status, said["error"].as_str().unwrap_or_default().to_owned())
    })
}

#[test]
fn where_the_site_wants_it_questions_come_from_members_alone() {
    let mut world = World::new(1);
    // What the members' files were before the sites took them, for callers by hand.
    let elsewhere = world.text("elsewhere");
    let words = ["ledger", "dev", "1", "--folder", &elsewhere, "--member", "uni:research"];
    world.json("none", &[&words[..], &["--member", "hub:administrator"]].concat());
    let stranger = hand(&world.path("elsewhere/members/uni.member"));

    let permit = world.permit("patient_id,sex");
    world.ask(&permit, &count("null"), "0.5");
    world.hospital.take().unwrap().kill();
    let config = world.path("st-mary/salus.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("questions_from = \"anyone\""), "{text}");
    std::fs::write(&config, text.replace("\"anyone\"", "\"members\"")).unwrap();
    world.start_hospital();

    let http = world.node().told("http");
    for route in ROUTES {
        let (method, path, body) = route;
        // Without a certificate, whatever is named.
        let url = format!("{http}{path}");
        let (status, said) = world.node().http().ask(method, &url, None, body).unwrap();
        assert!(status == 401 && said.contains("members of its ledger"), "{path}: {status} {said}");
        // A member of another ledger, by its own name and by none.
        let key = stranger.key().to_string();
        let (status, said) = call(&world, &stranger, Some(&key), route);
        assert!(status == 403 && said.contains("does not count"), "{path}: {status} {said}");
        assert_eq!(call(&world, &stranger, None, route).0, 401, "{path}");
        assert_eq!(call(&world, &stranger, Some("no key"), route).0, 401, "{path}");
    }
    // The other services ask nobody for a certificate.
    let (status, _) =
        world.node().http().ask("GET", &format!("{http}/v1/health"), None, None).unwrap();
    assert_eq!(status, 200);
    // A member's site shows its own by itself: plan, profiles and questions.
    let explain = ["query", "--permit", &permit, "--epsilon", "0.25", "--explain"];
    let sql = "SELECT count(*) FROM visits WHERE sex = 'female'";
    world.json("uni", &[&explain[..], &[sql]].concat());
    let answer = world.ask(&permit, &count("null"), "0.25");
    assert!(answer["rows"][0]["estimate"].is_number(), "{answer}");
    // Until its certificate does not count any more.
    let (uni, hub) = (on_site(&world, "uni"), on_site(&world, "hub"));
    let (key, profiles) = (uni.key().to_string(), ROUTES[2]);
    assert_eq!(call(&world, &uni, Some(&key), profiles).0, 200);
    let other = hub.key().to_string();
    assert_eq!(call(&world, &uni, Some(&other), profiles).0, 403, "under another's name");
    let member = salus_model::MemberId::new("uni").unwrap();
    runtime().block_on(hub.submit(RevokeMember { member })).unwrap();
    for route in ROUTES {
        let (status, said) = call(&world, &uni, Some(&key), route);
        assert!(status == 403 && said.contains("does not count"), "{status} {said}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A member's hand on the ledger, as its site has it.
fn on_site(world: &World, name: &str) -> HolderLedger {
    let word = Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap();
    runtime().block_on(async {
        let cost = GuessCost::RFC_9106_SECOND;
        let site = salus_node::Site::open(&world.path(name), word, cost).await.unwrap();
        site.ledger().await.unwrap()
    })
}
