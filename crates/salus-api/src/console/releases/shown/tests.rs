#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::{OutcomeShown, told};

fn shown(outcome: &Value) -> Value {
    let outcome: OutcomeShown = told(outcome).unwrap();
    serde_json::to_value(outcome).unwrap()
}

#[test]
fn of_a_release_nothing_comes_to_the_browser_but_what_is_named() {
    let review = json!({ "under-review": {
        "review": "9ac0", "name": "stays_anonymous", "source": "stays", "state": "waiting",
        "submission": "now", "approvals": 1, "needed": 2, "of": "keys", "score": 83,
        "decisions": [], "supersedes": [], "report": "c21hbGwgY291bnRz",
    } });
    let told = shown(&review);
    assert_eq!(
        told["under-review"],
        json!({ "review": "9ac0", "name": "stays_anonymous", "state": "waiting",
                "submission": "now", "approvals": 1, "needed": 2, "score": 83 })
    );
    let withheld = json!({ "withheld": { "words": "too low" } });
    assert_eq!(shown(&withheld), withheld);
    let volume = json!({ "records": 2, "chance": 0.5, "curve": [], "gain": 0.0, "gain_error": null,
                         "classes": [{ "class": "class 1", "records": 1, "example": "secret" }] });
    let published = json!({ "published": {
        "published": {
            "format": 1, "dataset": "d", "source": "s", "kind": "synthetic", "purpose": "p",
            "columns": [{ "name": "sex", "holds": "text" }], "records": 1500, "epsilon": 2.5,
            "micro_rho": 7, "delta_exponent": 6, "permit": "permit-1", "receipt": "receipt-1",
            "made": "2026-11-21T00:00:00Z", "sha256": "00", "salt": "5a17", "artefact": null,
            "version": 1,
        },
        "report": {
            "of": "dataset", "purpose": "p", "records": 1500, "score": 81.5, "attacks": [],
            "assessment": { "records": 2400, "average_risk": 0.2, "sample_unique": 0.1,
                            "score": null, "volume": volume },
            "notes": [], "out": "/somewhere", "first_record": "secret",
        },
        "html": "<html>", "pdf": "JVBERi0=",
    } });
    let told = shown(&published);
    assert_eq!(told["published"]["published"]["epsilon"], 2.5);
    assert_eq!(told["published"]["report"]["score"], 81.5);
    for hidden in ["secret", "<html>", "JVBERi0=", "/somewhere"] {
        assert!(!told.to_string().contains(hidden), "{told}");
    }
}
