//! Two dietitians, each with a client of her own.

use reqwest::Method;
use salus_model::Purpose;
use salus_spine::{AuditReading, AuditReadingOrder};
use salus_store::audit::{AccessKind, AuditFilter, AuditRecord, Outcome};
use serde_json::json;

use super::world::{World, patient, weight};

#[tokio::test(flavor = "multi_thread")]
async fn each_sees_counts_and_writes_her_own_client_only() {
    let world = World::new().await;
    assert_eq!(world.put(&world.ann, weight("a", "p-ann", 70.0)).await.status, 201);
    assert_eq!(world.put(&world.bob, weight("b", "p-bob", 90.0)).await.status, 201);
    for stage in ["journal", "files"] {
        if stage == "files" {
            world.repository.move_to_files().await.unwrap();
        }
        for (token, own, other) in [(&world.ann, "a", "b"), (&world.bob, "b", "a")] {
            assert_eq!(world.get(token, &format!("/Observation/{own}")).await.status, 200);
            let hidden = world.get(token, &format!("/Observation/{other}")).await;
            let none = world.get(token, "/Observation/nobody").await;
            assert_eq!((hidden.status, &hidden.body), (none.status, &none.body), "{stage}");
            assert_eq!(hidden.issue().0, 404);
            for path in ["_history/1", "_history"] {
                let hidden = world.get(token, &format!("/Observation/{other}/{path}")).await;
                assert_eq!(hidden.issue().0, 404, "{path}");
            }
            let found = world.get(token, "/Observation?code=29463-7").await;
            assert_eq!(
                (found.total(), found.found("match")),
                (1, vec![format!("Observation/{own}")])
            );
            let found =
                world.get(token, "/Patient?family=client&_revinclude=Observation:subject").await;
            assert_eq!((found.total(), found.found("include").len()), (1, 1), "{stage}");
            let system = world.get(token, "/_history").await;
            assert_eq!(system.total(), 3, "patient, care team and weight of her own: {system:?}");
        }
        assert_eq!(world.get(&world.doctor, "/Observation?code=29463-7").await.total(), 2);
    }
    // Into another's record, out of it, and a type that the list does not name.
    for resource in
        [weight("n", "p-bob", 1.0), weight("a", "p-bob", 1.0), weight("b", "p-ann", 1.0)]
    {
        let reply = world.put(&world.ann, resource).await;
        assert_eq!((reply.issue().0, reply.issue().1), (403, "forbidden"));
        assert!(reply.issue().2.contains("'dietitian'") && reply.issue().2.contains("Observation"));
    }
    let reply = world.put(&world.ann, patient("p-ann", "Renamed")).await;
    assert_eq!(reply.issue().0, 403);
    assert!(reply.issue().2.contains("may not write Patient"), "{reply:?}");
    let plan = json!({"resourceType": "CarePlan", "id": "c", "status": "active", "intent": "plan", "subject": {"reference": "Patient/p-ann"}});
    assert_eq!(
        world.put(&world.ann, plan).await.issue().0,
        403,
        "a policy forbids what the list permits"
    );
    let auditor = world.token("auditor");
    assert_eq!(world.get(&auditor, "/Patient/p-ann").await.status, 200);
    let reply = world.put(&auditor, weight("x", "p-ann", 1.0)).await;
    assert_eq!(reply.issue().0, 403, "permit(…, action, resource) alone lets nobody write");
    // A condition neither matches nor counts what is hidden.
    let reply =
        world.send((Method::DELETE, "/Observation?code=29463-7"), &world.ann, &[], "").await;
    assert_eq!(reply.status, 204, "only her own matches: {reply:?}");
    assert_eq!(world.get(&world.doctor, "/Observation/b").await.status, 200);
    assert_eq!(world.get(&world.doctor, "/Observation/a").await.issue().0, 410);
    let reply = world.send((Method::DELETE, "/Observation/b"), &world.ann, &[], "").await;
    assert_eq!(reply.status, 204);
    assert_eq!(
        world.get(&world.doctor, "/Observation/b").await.status,
        200,
        "hers to remove it is not"
    );
    // A transaction with one entry that is not hers is refused whole.
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": weight("t1", "p-ann", 1.0), "request": {"method": "PUT", "url": "Observation/t1"}},
        {"resource": weight("t2", "p-bob", 1.0), "request": {"method": "PUT", "url": "Observation/t2"}},
    ]});
    assert_eq!(world.post(&world.ann, "", &bundle).await.issue().0, 403);
    assert_eq!(world.get(&world.doctor, "/Observation/t1").await.issue().0, 404);
}

/// Everything on record.
pub(super) async fn records(world: &World) -> Vec<AuditRecord> {
    let now = world.site.clock.now();
    let hour = 3_600_000_000;
    let order = AuditReadingOrder {
        holder: world.site.config.holder.clone(),
        auditor: "auditor".parse().unwrap(),
        entries_from: now.saturating_add_micros(-hour),
        entries_until: now.saturating_add_micros(hour),
        issued: now,
        expires: now.saturating_add_micros(hour),
    };
    let order = world.site.authority.sign(order);
    let verifier = world.site.authority.verifier();
    let auditor = "auditor".parse().unwrap();
    let reading = AuditReading::verify(&order, &verifier, now, &auditor).unwrap();
    let deal = salus_model::DealId::new("audit-1").unwrap();
    let role = "auditor".parse().unwrap();
    world.audit.read(reading, (deal, role), &AuditFilter::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_access_is_on_record_without_values_and_with_the_writer() {
    let world = World::new().await;
    world.put(&world.ann, weight("a", "p-ann", 70.0)).await;
    world.get(&world.ann, "/Observation?code=29463-7&patient=p-ann").await;
    world.get(&world.bob, "/Observation/a").await;
    world.put(&world.bob, patient("p-bob", "SECRETNAME")).await;
    assert_eq!(world.put(&world.bob, weight("into-ann", "p-ann", 1.0)).await.status, 403);
    let records = records(&world).await;
    let of = |statement: &str, staff: &str| {
        let fits =
            |r: &&AuditRecord| r.entry.statement == statement && r.entry.staff.as_str() == staff;
        let found = records.iter().find(fits);
        found.unwrap_or_else(|| panic!("no record of {statement} by {staff}")).entry.clone()
    };
    let written = of("PUT Observation/a", "ann");
    assert_eq!(
        (written.kind, written.outcome),
        (AccessKind::FhirWrite, Outcome::Answered { rows: 1 })
    );
    assert_eq!((written.role.as_str(), written.purpose), ("dietitian", Purpose::Treatment));
    let searched = of("GET Observation?code&patient", "ann");
    assert_eq!(
        (searched.kind, searched.outcome),
        (AccessKind::FhirRead, Outcome::Answered { rows: 1 })
    );
    assert_eq!(of("GET Observation/a", "bob").outcome, Outcome::Answered { rows: 0 });
    assert!(matches!(of("PUT Patient/p-bob", "bob").outcome, Outcome::Refused { .. }));
    let refused = of("PUT Observation/into-ann", "bob");
    assert!(matches!(refused.outcome, Outcome::Refused { .. }), "by a row rule: {refused:?}");
    assert!(!records.iter().any(|r| r.entry.statement.contains("SECRETNAME")));
}
