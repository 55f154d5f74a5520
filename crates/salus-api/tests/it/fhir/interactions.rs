use reqwest::Method;
use serde_json::{Value as Json, json};

use super::world::{Reply, World, patient, weight};

fn id_of(reply: &Reply) -> String {
    reply.body["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn create_read_update_delete_and_history() {
    let world = World::new().await;
    let token = &world.doctor;
    let mut new = patient("ignored", "First");
    let created = world.post(token, "/Patient", &new).await;
    assert_eq!(created.status, 201);
    let id = id_of(&created);
    assert_ne!(id, "ignored", "the server chooses the id of what is POSTed");
    let location = format!("{}/Patient/{id}/_history/1", world.base);
    assert_eq!(
        (created.header("location"), created.header("etag")),
        (location.as_str(), "W/\"1\"")
    );
    assert!(created.header("last-modified").ends_with("GMT"));
    assert!(created.header("content-type").starts_with("application/fhir+json"));
    assert!(salus_fhir::validate(&created.body).is_empty());

    new["id"] = json!(id);
    new["name"][0]["family"] = json!("Second");
    let updated = world.put(token, new.clone()).await;
    assert_eq!((updated.status.as_u16(), updated.header("etag")), (200, "W/\"2\""));
    assert_eq!(updated.body["meta"]["versionId"], "2");
    let path = format!("/Patient/{id}");
    let read = world.get(token, &path).await;
    assert_eq!((read.status.as_u16(), &read.body), (200, &updated.body));
    let known = world.send((Method::GET, &path), token, &[("if-none-match", "W/\"2\"")], "").await;
    assert_eq!((known.status.as_u16(), &known.body), (304, &Json::Null));
    let head = world.send((Method::HEAD, &path), token, &[], "").await;
    assert_eq!((head.status.as_u16(), head.header("etag")), (200, "W/\"2\""));
    let first = world.get(token, &format!("{path}/_history/1")).await;
    assert_eq!(first.body["name"][0]["family"], "First");

    let stale = [("if-match", "W/\"1\"")];
    let refused = world.send((Method::PUT, &path), token, &stale, new.to_string()).await;
    assert_eq!(refused.issue().0, 412);
    let refused = world.send((Method::DELETE, &path), token, &stale, "").await;
    assert_eq!(refused.issue().0, 412);
    let fitting = [("if-match", "W/\"2\"")];
    let deleted = world.send((Method::DELETE, &path), token, &fitting, "").await;
    assert_eq!((deleted.status.as_u16(), deleted.header("etag")), (204, "W/\"3\""));
    assert_eq!(world.send((Method::DELETE, &path), token, &[], "").await.status, 204, "again");
    assert_eq!(world.get(token, &path).await.issue().0, 410);
    assert_eq!(world.get(token, &format!("{path}/_history/3")).await.issue().0, 410);
    assert_eq!(world.get(token, &format!("{path}/_history/9")).await.issue().0, 404);
    assert_eq!(world.get(token, "/Patient?family=second").await.total(), 0);
    let back = world.put(token, new).await;
    assert_eq!((back.status.as_u16(), back.header("etag")), (201, "W/\"4\""));

    let history = world.get(token, &format!("{path}/_history")).await;
    assert_eq!(history.total(), 4);
    assert!(
        salus_fhir::validate(&history.body).is_empty(),
        "{:?}",
        salus_fhir::validate(&history.body)
    );
    let methods: Vec<&str> = history.body["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["request"]["method"].as_str().unwrap())
        .collect();
    assert_eq!(methods, ["PUT", "DELETE", "PUT", "POST"]);
    assert!(history.body["entry"][1].get("resource").is_none());
    world.repository.move_to_files().await.unwrap();
    assert_eq!(
        world.get(token, &format!("{path}/_history")).await.body["entry"],
        history.body["entry"]
    );
    let one = world.get(token, &format!("{path}/_history?_count=3")).await;
    assert_eq!((one.total(), one.body["entry"].as_array().unwrap().len()), (4, 3));
    let rest = world.get(token, &one.link("next").unwrap()).await;
    assert_eq!(rest.body["entry"], json!([history.body["entry"][3]]));
    assert!(world.get(token, "/Patient/_history").await.total() >= 6);
    assert!(world.get(token, "/_history").await.total() >= 8);
    assert_eq!(world.get(token, "/_history?_since=2999-01-01T00:00:00Z").await.total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_preferences_and_what_sql_sees() {
    let world = World::new().await;
    let token = &world.doctor;
    let device =
        json!({"resourceType": "Device", "identifier": [{"system": "urn:s", "value": "7"}]});
    let condition = [("if-none-exist", "identifier=urn:s|7")];
    let create =
        async || world.send((Method::POST, "/Device"), token, &condition, device.to_string()).await;
    let first = create().await;
    let second = create().await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 200));
    assert_eq!(id_of(&first), id_of(&second));
    let mut changed = device.clone();
    changed["status"] = json!("active");
    let path = "/Device?identifier=urn:s|7";
    let updated = world.send((Method::PUT, path), token, &[], changed.to_string()).await;
    assert_eq!((updated.status.as_u16(), id_of(&updated)), (200, id_of(&first)));
    world.post(token, "/Device", &device).await;
    let several = world.send((Method::PUT, path), token, &[], changed.to_string()).await;
    assert_eq!(several.issue().0, 412);
    assert_eq!(world.send((Method::DELETE, path), token, &[], "").await.issue().0, 412);
    let path = format!("/Device?_id={}", id_of(&first));
    assert_eq!(world.send((Method::DELETE, &path), token, &[], "").await.status, 204);
    assert_eq!(world.get(token, "/Device?identifier=7").await.total(), 1);
    assert_eq!(world.send((Method::DELETE, "/Device"), token, &[], "").await.issue().0, 400);

    for (wanted, is_empty, kind) in [
        ("minimal", true, ""),
        ("OperationOutcome", false, "OperationOutcome"),
        ("representation", false, "Observation"),
    ] {
        let prefer = format!("return={wanted}");
        let body = weight("w", "p-ann", 80.5).to_string();
        let reply =
            world.send((Method::PUT, "/Observation/w"), token, &[("prefer", &prefer)], body).await;
        assert!(reply.status.is_success());
        assert_eq!(reply.body.is_null(), is_empty);
        assert_eq!(reply.body["resourceType"].as_str().unwrap_or_default(), kind);
        assert!(!reply.header("location").is_empty());
    }
    let statement = "SELECT value_number FROM observations WHERE id = 'w'";
    assert_eq!(world.sql(statement).await, "80.5", "at once, from the journal");
    world.put(token, weight("w", "p-ann", 81.5)).await;
    assert_eq!(world.sql(statement).await, "81.5");
    world.repository.move_to_files().await.unwrap();
    assert_eq!(world.sql(statement).await, "81.5", "from files");
    world.send((Method::DELETE, "/Observation/w"), token, &[], "").await;
    assert_eq!(world.sql("SELECT count(*) FROM observations WHERE id = 'w'").await, "0");
    assert_eq!(world.sql("SELECT count(*) FROM patients").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_batches() {
    let world = World::new().await;
    let token = &world.doctor;
    let name = "urn:uuid:0c8a3f0e-2b0c-4c0e-9a55-1d5f8f7f9c11";
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": name, "resource": {"resourceType": "Patient", "name": [{"family": "Txn"}]}, "request": {"method": "POST", "url": "Patient"}},
        {"resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": name}}, "request": {"method": "POST", "url": "Observation"}},
        {"request": {"method": "GET", "url": "Patient?family=Txn"}},
        {"request": {"method": "DELETE", "url": "CareTeam/ct-bob"}},
    ]});
    let done = world.post(token, "", &bundle).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert!(salus_fhir::validate(&done.body).is_empty(), "{:?}", salus_fhir::validate(&done.body));
    let status =
        |at: usize| done.body["entry"][at]["response"]["status"].as_str().unwrap().to_owned();
    assert_eq!(
        [status(0), status(1), status(2), status(3)],
        ["201 Created", "201 Created", "200 OK", "204 No Content"]
    );
    assert_eq!(done.body["entry"][2]["resource"]["total"], 1, "it reads what it wrote");
    let found = world
        .get(token, "/Observation?subject:Patient.family=Txn&_include=Observation:subject")
        .await;
    assert_eq!((found.total(), found.found("include").len()), (1, 1));

    let before = world.get(token, "/_history").await.total();
    let mut wrong = bundle.clone();
    wrong["entry"][1]["resource"]["subject"]["reference"] =
        json!("urn:uuid:0c8a3f0e-2b0c-4c0e-9a55-000000000000");
    let refused = world.post(token, "", &wrong).await;
    assert_eq!(
        (refused.issue().0, refused.expression()),
        (400, "Bundle.entry[1].resource.subject.reference")
    );
    wrong["entry"][1]["resource"]["status"] = json!("nonsense");
    let refused = world.post(token, "", &wrong).await;
    assert_eq!((refused.issue().0, refused.expression()), (400, "Bundle.entry[1].resource.status"));
    assert_eq!(world.get(token, "/_history").await.total(), before, "nothing of it was stored");

    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "GET", "url": "Patient/p-ann"}},
        {"request": {"method": "GET", "url": "Patient/none"}},
        {"resource": {"resourceType": "Patient", "gender": "x"}, "request": {"method": "POST", "url": "Patient"}},
        {"resource": patient("b", "Batch"), "request": {"method": "PUT", "url": "Patient/b"}},
    ]});
    let done = world.post(token, "", &batch).await;
    let status =
        |at: usize| done.body["entry"][at]["response"]["status"].as_str().unwrap().to_owned();
    assert_eq!(
        [status(0), status(1), status(2), status(3)],
        ["200 OK", "404 Not Found", "400 Bad Request", "201 Created"]
    );
    assert_eq!(
        done.body["entry"][2]["response"]["outcome"]["issue"][0]["expression"][0],
        "Bundle.entry[2].resource.gender"
    );
    assert!(salus_fhir::validate(&done.body).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_page_sort_include_and_say_what_they_used() {
    let world = World::new().await;
    let token = &world.doctor;
    for n in 0..12 {
        world.put(token, weight(&format!("w{n}"), "p-ann", f64::from(n))).await;
    }
    let (mut link, mut seen) = (
        Some(
            "/Observation?_sort=-value-quantity&_count=5&code=http://loinc.org|29463-7".to_owned(),
        ),
        Vec::new(),
    );
    while let Some(path) = link {
        let page = world.get(token, &path).await;
        assert_eq!(page.total(), 12);
        assert!(salus_fhir::validate(&page.body).is_empty());
        seen.extend(page.found("match"));
        link = page.link("next");
    }
    let wanted: Vec<String> = (0..12).rev().map(|n| format!("Observation/w{n}")).collect();
    assert_eq!(seen, wanted);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let posted = world
        .send((Method::POST, "/Observation/_search?_count=2"), token, &form, "value-quantity=gt9")
        .await;
    assert_eq!((posted.total(), posted.found("match").len()), (2, 2));
    let both = world.get(token, "/Patient?_revinclude=Observation:subject&_id=p-ann").await;
    assert_eq!((both.found("match").len(), both.found("include").len()), (1, 12));
    assert_eq!(world.get(token, "/Observation?_count=0").await.body.get("entry"), None);

    let lenient = world.get(token, "/Patient?family=client&favourite-colour=red").await;
    assert_eq!(lenient.total(), 2);
    let own = lenient.link("self").unwrap();
    assert!(own.contains("family=client") && !own.contains("colour"), "{own}");
    let note = lenient.body["entry"].as_array().unwrap().last().unwrap();
    assert_eq!(note["search"]["mode"], "outcome");
    assert!(
        note["resource"]["issue"][0]["diagnostics"].as_str().unwrap().contains("favourite-colour")
    );
    let strict = [("prefer", "handling=strict")];
    let refused =
        world.send((Method::GET, "/Patient?favourite-colour=red"), token, &strict, "").await;
    assert_eq!((refused.issue().0, refused.issue().1), (400, "not-supported"));

    let first = world.get(token, "/Observation?_count=5").await;
    let next = first.link("next").unwrap();
    let cursor = next.split("_cursor=").nth(1).unwrap();
    let other = world.get(token, &format!("/Patient?_count=5&_cursor={cursor}")).await;
    assert_eq!(other.issue().0, 400, "a page link is of one search");
    let forged = world.get(token, "/Observation?_count=5&_cursor=AAAA").await;
    assert_eq!(forged.issue().0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_changes_one_version_as_the_rules_allow() {
    let world = World::new().await;
    let kind = ("content-type", "application/json-patch+json");
    let send = async |token: &str, id: &str, headers: &[(&str, &str)], patch: Json| {
        let path = format!("/Observation/{id}");
        world.send((Method::PATCH, &path), token, headers, patch.to_string()).await
    };
    assert_eq!(world.put(&world.doctor, weight("a", "p-ann", 70.0)).await.status, 201);
    assert_eq!(world.put(&world.doctor, weight("b", "p-bob", 90.0)).await.status, 201);
    let amend = json!([
        {"op": "test", "path": "/status", "value": "final"},
        {"op": "replace", "path": "/status", "value": "amended"},
    ]);
    let patched = send(&world.ann, "a", &[kind], amend.clone()).await;
    assert_eq!((patched.status.as_u16(), patched.header("etag")), (200, "W/\"2\""), "{patched:?}");
    assert_eq!((&patched.body["status"], &patched.body["id"]), (&json!("amended"), &json!("a")));
    assert_eq!(world.get(&world.doctor, "/Observation/a").await.body, patched.body);
    // What the patch expects is not so any more.
    let unfit = send(&world.ann, "a", &[kind], amend.clone()).await;
    assert_eq!((unfit.issue().0, unfit.expression()), (422, "[0]"));
    // Somebody else's client, a resource that is not there, a patient to whom it would move.
    assert_eq!(send(&world.ann, "b", &[kind], amend.clone()).await.issue().0, 404);
    assert_eq!(send(&world.ann, "none", &[kind], amend.clone()).await.issue().0, 404);
    let subject = "/subject/reference";
    let away = json!([{"op": "replace", "path": subject, "value": "Patient/p-bob"}]);
    assert_eq!(send(&world.ann, "a", &[kind], away).await.issue().0, 403);
    // Against R4, against a version, of another kind, and without a token.
    let wrong = json!([{"op": "remove", "path": "/code"}]);
    let invalid = send(&world.ann, "a", &[kind], wrong).await;
    assert_eq!((invalid.issue().0, invalid.expression()), (422, "Observation.code"));
    let back = json!([{"op": "replace", "path": "/status", "value": "final"}]);
    let stale = send(&world.ann, "a", &[kind, ("if-match", "W/\"1\"")], back.clone()).await;
    assert_eq!(stale.issue().0, 412);
    let fhirpath = [("content-type", "application/fhir+json")];
    assert_eq!(send(&world.ann, "a", &fhirpath, back.clone()).await.issue().0, 415);
    assert_eq!(send("", "a", &[kind], back.clone()).await.issue().0, 401);
    let auditor = world.token("auditor");
    assert_eq!(send(&auditor, "a", &[kind], back.clone()).await.issue().0, 403);
    let current = [kind, ("if-match", "W/\"2\"")];
    assert_eq!(send(&world.ann, "a", &current, back).await.header("etag"), "W/\"3\"");
    assert_eq!(world.get(&world.doctor, "/Observation/a/_history").await.total(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_at_the_same_time_all_count() {
    let world = World::new().await;
    assert_eq!(world.put(&world.doctor, patient("n", "Many")).await.status, 201);
    let kind = [("content-type", "application/json-patch+json")];
    let one = async |n: usize| {
        let patch = json!([{"op": "add", "path": "/name/-", "value": {"family": format!("n{n}")}}]);
        // A patch that lost the race too often says so, and is sent again.
        loop {
            let path = (Method::PATCH, "/Patient/n");
            let sent = world.send(path, &world.doctor, &kind, patch.to_string()).await;
            match sent.status.as_u16() {
                200 => break,
                412 => {}
                other => panic!("{other}: {sent:?}"),
            }
        }
    };
    futures::future::join_all((0..12).map(one)).await;
    let names = world.get(&world.doctor, "/Patient/n").await.body["name"].as_array().unwrap().len();
    assert_eq!(names, 13, "no change was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn validation_tells_by_element_and_stores_nothing() {
    let world = World::new().await;
    let fine = world.post(&world.ann, "/Patient/$validate", &patient("v", "Fine")).await;
    assert_eq!((fine.issue().0, fine.issue().1), (200, "informational"));
    assert_eq!(world.get(&world.doctor, "/Patient/v").await.issue().0, 404);
    let mut wrong = patient("v", "Wrong");
    wrong["birthDate"] = json!("yesterday");
    let wrapped = json!({"resourceType": "Parameters",
        "parameter": [{"name": "mode", "valueCode": "create"}, {"name": "resource", "resource": wrong}]});
    for body in [wrong, wrapped] {
        let told = world.post(&world.ann, "/Patient/$validate", &body).await;
        assert_eq!((told.issue().0, told.expression()), (200, "Patient.birthDate"));
        assert!(!told.body.to_string().contains("yesterday"), "no value is repeated");
    }
    let other = world.post(&world.ann, "/Patient/$validate", &weight("w", "p-ann", 1.0)).await;
    assert_eq!(other.expression(), "resourceType");
    assert_eq!(world.post("", "/Patient/$validate", &patient("v", "X")).await.status, 401);
    let none = json!({"resourceType": "Parameters"});
    assert_eq!(world.post(&world.ann, "/Patient/$validate", &none).await.issue().0, 400);
}
