#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn asked(change: impl FnOnce(&mut Json)) -> Result<SubscriptionRequest, Vec<Issue>> {
    let mut resource = json!({
        "resourceType": "Subscription", "status": "requested", "reason": "new results",
        "criteria": "Observation?code=http://loinc.org|29463-7&patient.name=x",
        "end": "2027-01-01T00:00:00Z",
        "channel": {
            "type": "rest-hook", "endpoint": "https://his.example/hook",
            "payload": "application/fhir+json", "header": ["Authorization: Bearer secret"],
        },
    });
    change(&mut resource);
    assert!(crate::validate(&resource).is_empty(), "the test's own resource conforms");
    SubscriptionRequest::parse(&resource, now())
}

#[test]
fn a_subscription_says_what_goes_where() {
    let full = asked(|_| ()).unwrap();
    assert_eq!(full.query.resource_type, "Observation");
    assert_eq!(full.query.criteria.len(), 2);
    assert_eq!(
        (full.status, full.payload),
        (WantedStatus::Requested, NotificationPayload::Resource)
    );
    assert_eq!(full.headers[0].value, "Bearer secret");
    assert!(!format!("{full:?}").contains("secret"), "nothing that shows it shows the credential");
    let bare = asked(|s| {
        s.as_object_mut().unwrap().remove("end");
        s["criteria"] = json!("Patient");
        s["channel"] = json!({"type": "rest-hook", "endpoint": "https://his.example/hook"});
    });
    let bare = bare.unwrap();
    assert!(bare.query.criteria.is_empty() && bare.headers.is_empty() && bare.end.is_none());
    assert_eq!(bare.payload, NotificationPayload::Empty);
}

#[test]
fn what_is_not_offered_is_refused_by_element() {
    type Change = fn(&mut Json);
    let cases: [(&str, Change); 13] = [
        ("status", |s| s["status"] = json!("active")),
        ("criteria", |s| s["criteria"] = json!("Observation?colour=red")),
        ("criteria", |s| s["criteria"] = json!("Planet?code=x")),
        ("criteria", |s| s["criteria"] = json!("Observation?_include=Observation:subject")),
        ("criteria", |s| s["criteria"] = json!("Subscription?status=active")),
        ("channel.type", |s| s["channel"]["type"] = json!("email")),
        ("channel.endpoint", |s| {
            s["channel"].as_object_mut().unwrap().remove("endpoint");
        }),
        ("channel.payload", |s| s["channel"]["payload"] = json!("application/fhir+xml")),
        ("channel.header[0]", |s| s["channel"]["header"] = json!(["no colon"])),
        ("channel.header[1]", |s| s["channel"]["header"] = json!(["A: b", "Host: inside"])),
        ("channel.header[0]", |s| s["channel"]["header"] = json!(["A: b\r\nX-Injected: c"])),
        ("channel.header[0]", |s| s["channel"]["header"] = json!(["Content-Length: 0"])),
        ("end", |s| s["end"] = json!("2025-12-31T00:00:00Z")),
    ];
    for (element, change) in cases {
        let issues = asked(change).unwrap_err();
        let place = issues[0].expression.as_deref();
        assert_eq!(place, Some(format!("Subscription.{element}").as_str()), "{issues:?}");
    }
    let many = asked(|s| s["channel"]["header"] = json!(vec!["A: b"; 17])).unwrap_err();
    assert_eq!(many[0].code, IssueCode::TooLong);
}
