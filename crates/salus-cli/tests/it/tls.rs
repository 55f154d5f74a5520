//! Who the services are, and that clients can find out.

use std::path::Path;
use std::process::Command;

use salus_testkit::{Venv, program};

use crate::node::{Http, Node, Served, psql};
use crate::site::Site;

fn adbc(uri: &str, token: &str, authority: &str, sql: &str) -> String {
    let venv = Venv::with(&[
        "adbc-driver-flightsql==1.13.0",
        "adbc-driver-manager==1.13.0",
        "pyarrow==26.0.1",
    ]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scripts/adbc_tls.py");
    venv.run(script, |command| {
        command.args([uri, token, authority, sql]);
    })
}

fn curl(authority: &str, url: &str, token: &str) -> (bool, String) {
    let run = Command::new(program("curl", "curl"))
        .args(["--silent", "--show-error", "--noproxy", "*", "--cacert", authority])
        .args(["-H", &format!("Authorization: Bearer {token}")])
        .args(["-H", "Content-Type: text/plain", "-d", "SELECT sum(pulse) AS n FROM visits", url])
        .output()
        .unwrap();
    let text = [run.stdout, run.stderr].concat();
    (run.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn every_service_is_verified_with_the_sites_certificate_and_no_other() {
    let site = Site::new();
    site.import("visits", "patient_id,pulse\np1,70\np2,80\n");
    let token = site.token("ann", &["physician"], "treatment");
    let other = Site::new();
    let node = Node::start(&site);

    let printed = site.salus(&["node", "certificate"]).stdout;
    let own = site.text_path("site/ca.pem");
    assert_eq!(
        String::from_utf8(printed).unwrap().trim(),
        std::fs::read_to_string(&own).unwrap().trim()
    );
    let shown = site.json(&["node", "certificate"]);
    assert!(shown["expires"].as_str().unwrap().starts_with("203"), "{shown}");
    let wrong = other.text_path("site/ca.pem");
    let sum = "SELECT sum(pulse) FROM visits";

    let url = format!("{}/v1/sql", node.http);
    let (verified, said) = curl(&own, &url, &token);
    assert!(verified && said.contains("150"), "{said}");
    let (verified, said) = curl(&wrong, &url, &token);
    assert!(!verified && said.contains("certificate"), "{said}");
    let answer = Http::of(&site).sql(&node, &token, "physician", sum).unwrap();
    assert!(answer.0 == 200 && answer.1.contains("150"), "{answer:?}");
    let refused = Http::of(&other).sql(&node, &token, "physician", sum).unwrap_err();
    assert!(refused.contains("InvalidCertificate"), "{refused}");

    for host in ["127.0.0.1", "localhost"] {
        let verify = |ca: &str| {
            let options =
                format!("host={host} hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={ca}");
            psql(&node, &token, sum, &options)
        };
        assert_eq!(verify(&own), (true, "150".to_owned()), "{host}");
        let (answered, said) = verify(&wrong);
        assert!(!answered && said.contains("certificate"), "{host}: {said}");
    }
    let stranger =
        format!("host=elsewhere.example hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={own}");
    let (answered, said) = psql(&node, &token, sum, &stranger);
    assert!(!answered && said.contains("elsewhere.example"), "{said}");

    let said = adbc(&node.flight, &token, &own, sum);
    assert!(said.starts_with("answered") && said.contains("150"), "{said}");
    let said = adbc(&node.flight, &token, &wrong, sum);
    assert!(said.starts_with("refused") && said.contains("certificate"), "{said}");
    let plain = node.flight.replace("grpc+tls", "grpc");
    assert!(adbc(&plain, &token, &own, sum).starts_with("refused"), "Flight SQL without TLS");
    let said = adbc(&node.flight, "salus_0", &own, sum);
    assert!(said.starts_with("refused") && said.to_lowercase().contains("unauth"), "{said}");
    assert!(node.served.stop(), "it does not stop cleanly");

    // A script is told the same as one JSON value.
    let mut served = Served::spawn(site.command(&["--json", "node", "run"]));
    let mut text = served.line();
    while !text.ends_with("}\n") {
        text += &served.line();
    }
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["certificate"], shown["pem"], "{told}");
    let live = format!("{}/v1/health/live", told["http"].as_str().unwrap());
    assert_eq!(Http::of(&site).ask("GET", &live, None, None).unwrap().0, 200);
}

#[test]
fn the_authoritys_key_lies_nowhere_in_the_clear() {
    let site = Site::new();
    let key = std::fs::read(site.path("site/ca-key")).unwrap();
    // What a PKCS#8 key of the curve P-256 has in it: the object identifier of the curve.
    let curve = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    assert!(!key.windows(curve.len()).any(|w| w == curve));
    // The key of another site does not open here.
    let other = Site::new();
    std::fs::copy(other.path("site/ca-key"), site.path("site/ca-key")).unwrap();
    let (code, said) = site.failure(&["node", "run"]);
    assert!(code == 5 || code == 3, "{code}: {said}");
    assert!(said.contains("certificate authority"), "{said}");
}

/// A self-made authority's certificate for the loopback address, with its key.
fn elsewhere(site: &Site) -> (String, String) {
    let names = ["127.0.0.1".to_owned(), "node.example.org".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = site.private("tls.pem", &made.cert.pem());
    (certificate, site.private("tls.key", &made.signing_key.serialize_pem()))
}

#[test]
fn a_certificate_from_elsewhere_is_shown_in_place_of_the_sites() {
    let site = Site::unmade(&[]);
    let (certificate, key) = elsewhere(&site);
    let made = site.init(&["--tls-certificate", &certificate, "--tls-key", &key]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    site.import("visits", "patient_id,pulse\np1,70\n");
    let token = site.token("ann", &["physician"], "treatment");
    let node = Node::start(&site);
    let trusting = Http::trusting(&std::fs::read(&certificate).unwrap());
    let answer = trusting.sql(&node, &token, "physician", "SELECT 1 AS n").unwrap();
    assert_eq!(answer.0, 200, "{answer:?}");
    assert!(Http::of(&site).sql(&node, &token, "physician", "SELECT 1 AS n").is_err());
    drop(node);
    // Its key readable by others is refused, and half a pair too.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&key, open).unwrap();
    let (code, said) = site.failure(&["node", "run"]);
    assert!(code == 3 && said.contains("chmod 600"), "{code}: {said}");
    let toml = std::fs::read_to_string(site.path("site/salus.toml")).unwrap();
    let half: String =
        toml.lines().filter(|l| !l.starts_with("key = ")).map(|l| format!("{l}\n")).collect();
    std::fs::write(site.path("site/salus.toml"), half).unwrap();
    let (code, said) = site.failure(&["node", "run"]);
    assert!(code == 2 && said.contains("belong together"), "{code}: {said}");
}
