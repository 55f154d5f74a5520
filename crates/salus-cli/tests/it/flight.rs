//! Each call of Flight SQL, through the binary, by who has no token.

use std::path::Path;

use salus_testkit::Venv;

use crate::node::Node;
use crate::site::Site;

#[test]
fn each_call_refuses_a_token_that_was_never_issued() {
    let site = Site::new();
    site.import("visits", "patient_id,pulse\np1,4711\n");
    let revoked = site.token("eve", &["physician"], "treatment");
    site.json(&["staff", "revoke", "eve"]);
    let rightful = site.token("ann", &["physician"], "treatment");
    let node = Node::start(&site);
    let venv = Venv::with(&[
        "adbc-driver-flightsql==1.13.0",
        "adbc-driver-manager==1.13.0",
        "pyarrow==26.0.1",
    ]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scripts/flight_refusals.py");
    let printed = venv.run(script, |command| {
        let authority = site.text_path("site/ca.pem");
        command.args([&node.flight, &authority, &rightful, "salus_0", &revoked]);
    });
    assert!(printed.contains("each call was refused"), "{printed}");
}
