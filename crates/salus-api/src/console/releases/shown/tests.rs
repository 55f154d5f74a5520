#![allow(clippy::unwrap_used)]

use salus_files::study::{AdviseWanted, Purpose};
use salus_model::PermitId;
use salus_node::study::StudyWanted;
use serde_json::{Value, json};

use super::{AskedShown, OutcomeShown, told};
use crate::console::releases::asked::StudySent;

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

/// What was sent, through the node, and told again.
fn asked(sent: Value) -> Value {
    let sent: StudySent = serde_json::from_value(sent).unwrap();
    let wanted = sent.wanted().map_err(|_| "refused").unwrap();
    let shown = AskedShown::of(wanted).map_err(|_| "not told").unwrap();
    serde_json::to_value(shown).unwrap()
}

#[test]
fn a_study_tells_what_was_asked_as_it_was_sent() {
    let plan = json!({
        "purpose": "p", "columns": ["sex", "age"],
        "anonymise": { "k": 5, "suppression": 0.05, "quasi-identifiers": ["sex", "age"] },
        "publish": { "dataset": "d", "least-score": 70.0 },
    });
    let permit = PermitId::new(format!("permit-{}", "0".repeat(32))).unwrap();
    for sent in [
        json!({ "assess": {
            "quasi_identifiers": null, "population_size": 1000, "least_score": 80.0,
        } }),
        json!({ "advise": {
            "purpose": { "train": { "target": "ward" } }, "quasi_identifiers": ["sex"],
            "sensitive": ["ward"], "unchanged": [], "least_score": 70.0,
        } }),
        json!({ "rehearse": { "plan": plan } }),
        json!({ "release": { "plan": plan, "permit": permit } }),
    ] {
        assert_eq!(asked(sent.clone()), sent);
    }
    let wanted = StudyWanted::Advise(AdviseWanted {
        purpose: Purpose::Statistics,
        quasi_identifiers: Vec::new(),
        sensitive: Vec::new(),
        unchanged: Vec::new(),
        least_score: 1.0,
    });
    let shown = AskedShown::of(wanted).map_err(|_| "not told").unwrap();
    assert_eq!(serde_json::to_value(shown).unwrap()["advise"]["purpose"], "statistics");
}
