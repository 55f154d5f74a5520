use reqwest::Method;
use serde_json::json;

use super::world::{World, patient, weight};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_but_metadata_refuses_without_a_token() {
    let world = World::new().await;
    let body = patient("p-ann", "X").to_string();
    let routes = [
        (Method::GET, "/Patient"),
        (Method::GET, "/Patient/p-ann"),
        (Method::GET, "/Patient/p-ann/_history/1"),
        (Method::GET, "/Patient/p-ann/_history"),
        (Method::GET, "/Patient/_history"),
        (Method::GET, "/_history"),
        (Method::GET, ""),
        (Method::POST, ""),
        (Method::POST, "/Patient"),
        (Method::POST, "/Patient/_search"),
        (Method::PUT, "/Patient/p-ann"),
        (Method::PUT, "/Patient?_id=p-ann"),
        (Method::DELETE, "/Patient/p-ann"),
        (Method::DELETE, "/Patient?_id=p-ann"),
        (Method::PATCH, "/Patient/p-ann"),
        (Method::POST, "/Patient/$validate"),
        (Method::GET, "/Subscription"),
        (Method::POST, "/Subscription"),
        (Method::GET, "/Subscription/s"),
        (Method::PUT, "/Subscription/s"),
        (Method::DELETE, "/Subscription/s"),
    ];
    for (method, path) in routes {
        for token in ["", "salus_0"] {
            let bundle = r#"{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient/p-ann"}}]}"#;
            let form = [("content-type", "application/x-www-form-urlencoded")];
            let json = [("content-type", "application/fhir+json")];
            let subscription = r#"{"resourceType":"Subscription","id":"s","status":"off","reason":"x","criteria":"Patient","channel":{"type":"rest-hook","endpoint":"https://a.example"}}"#;
            let patch = [("content-type", "application/json-patch+json")];
            let (headers, body) = match path {
                _ if method == Method::PATCH => (patch, "[]".to_owned()),
                "/Subscription" | "/Subscription/s" => (json, subscription.to_owned()),
                "" => (json, bundle.to_owned()),
                "/Patient/_search" => (form, String::new()),
                _ => (json, body.clone()),
            };
            if path.is_empty() && method == Method::GET && !token.is_empty() {
                continue;
            }
            let reply = world.send((method.clone(), path), token, &headers, body).await;
            assert_eq!(
                (reply.issue().0, reply.issue().1),
                (401, "login"),
                "{method} {path} '{token}'"
            );
            assert_eq!(reply.header("www-authenticate"), "Bearer");
        }
    }
    assert_eq!(world.get("", "/metadata").await.status, 200);
    let read = world.get(&world.doctor, "/Patient/p-ann").await;
    assert_eq!((read.status.as_u16(), &read.body["meta"]["versionId"]), (200, &json!("1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_by_name() {
    let world = World::new().await;
    let token = &world.doctor;
    let put = async |body: &str| {
        world.send((Method::PUT, "/Patient/x"), token, &[], body.to_owned()).await
    };
    let reply = put("{\"resourceType\": \"Patient\",\n  \"id\": }").await;
    assert_eq!((reply.issue().0, reply.issue().1), (400, "structure"));
    assert!(reply.issue().2.contains("line 2, column 9"), "{}", reply.issue().2);
    for (body, element) in [
        (r#"{"resourceType":"Patient","id":"x","gender":"nonsense"}"#, "Patient.gender"),
        (r#"{"resourceType":"Patient","id":"x","birthDate":"1.1.1970"}"#, "Patient.birthDate"),
        (r#"{"resourceType":"Patient","id":"x","name":[{"family":1}]}"#, "Patient.name[0].family"),
        (r#"{"resourceType":"Patient","id":"x","nmae":[]}"#, "Patient"),
        (r#"{"resourceType":"Patient","id":"y"}"#, "Patient.id"),
        (r#"{"resourceType":"Patient"}"#, "Patient.id"),
        (
            r#"{"resourceType":"Observation","id":"x","status":"final","code":{"text":"x"}}"#,
            "resourceType",
        ),
    ] {
        let reply = put(body).await;
        assert_eq!((reply.issue().0, reply.expression()), (400, element), "{body}");
        assert!(!reply.body.to_string().contains("1.1.1970"), "no value comes back");
    }
    for body in ["", "null", "[]", "\"x\"", "{}", "\u{0}", "{\"resourceType\":\"Nonsense\"}"] {
        assert_eq!(put(body).await.issue().0, 400, "{body}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(put(&deep).await.issue().0, 400);
    let xml = [("accept", "application/fhir+xml")];
    let reply = world.send((Method::GET, "/Patient/p-ann"), token, &xml, "").await;
    assert_eq!((reply.issue().0, reply.issue().1), (406, "not-supported"));
    assert_eq!(world.get(token, "/Patient/p-ann?_format=xml").await.issue().0, 406);
    assert_eq!(world.get(token, "/Patient?_format=json").await.status, 200);
    let xml = [("content-type", "application/fhir+xml")];
    let reply = world.send((Method::POST, "/Patient"), token, &xml, "<Patient/>").await;
    assert_eq!(reply.issue().0, 415);
    let large = vec![b' '; salus_api::fhir::BODY_BYTES + 1];
    let reply = world.send((Method::POST, "/Patient"), token, &[], large).await;
    assert_eq!((reply.issue().0, reply.issue().1), (413, "too-long"));
    for (path, status) in [
        ("/Nonsense", 404),
        ("/Nonsense/1", 404),
        ("/Patient/none", 404),
        ("/Patient/p-ann/_history/none", 404),
        ("/Patient/bad_id", 404),
        ("/Patient/none/_history", 404),
        ("/Patient?birthdate=yesterday", 400),
        ("/Patient?_count=-1", 400),
        ("/Patient?name:fuzzy=x", 400),
        ("/Patient/_history?_since=soon", 400),
        ("/Patient/_history?_at=2026", 400),
    ] {
        assert_eq!(world.get(token, path).await.issue().0, status, "{path}");
    }
    let reply = world.send((Method::PATCH, "/Patient/p-ann"), token, &[], "[]").await;
    assert_eq!(reply.issue().0, 415, "a patch says which kind it is");
    let reply = world.post(token, "", &json!({"resourceType": "Bundle", "type": "document"})).await;
    assert_eq!((reply.issue().0, reply.expression()), (400, "Bundle.type"));
    let role = [("salus-role", "dietitian")];
    assert_eq!(world.send((Method::GET, "/Patient"), token, &role, "").await.issue().0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_and_a_role_without_the_text_are_refused() {
    let world = World::new().await;
    let billing = world.token("billing");
    let reply = world.get(&billing, "/Patient").await;
    assert_eq!(reply.issue().0, 403);
    assert!(
        reply.issue().2.contains("'billing'") && reply.issue().2.contains("'resource'"),
        "{reply:?}"
    );
    assert_eq!(
        world.put(&billing, weight("w", "p-ann", 1.0)).await.issue().0,
        403,
        "masked is not shown"
    );
    let key = "fhir_resources.freetext".parse().unwrap();
    world.site.keys.revoke(&key).await.unwrap();
    for path in ["/Patient/p-ann", "/Patient", "/Patient/p-ann/_history"] {
        let reply = world.get(&world.doctor, path).await;
        assert_eq!(reply.issue().0, 403, "{path}: {reply:?}");
    }
    assert_eq!(world.put(&world.doctor, patient("n", "N")).await.issue().0, 403);
    world.site.keys.reinstate(&key).await.unwrap();
    assert_eq!(world.get(&world.doctor, "/Patient/p-ann").await.status, 200);
}
