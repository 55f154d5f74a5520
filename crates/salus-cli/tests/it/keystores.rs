//! Sites whose master keys live in a hardware token, or in another site's `keys serve`.

use std::path::{Path, PathBuf};
use std::process::Command;

use salus_testkit::{Venv, program};

use crate::node::{Http, Node, Served};
use crate::site::{Site, copy, stands_below};

const PIN: &str = "4711-user";
const VISITS: &str = "patient_id,zip,pulse\np1,01234,70\np2,98765,80\n";

fn module() -> String {
    let places = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    ];
    let found = places.iter().find(|path| Path::new(path).is_file());
    (*found.expect("SoftHSM2 is not installed: apt-get install softhsm2")).to_owned()
}

/// A SoftHSM2 with one token, and the variable that leads to it.
fn softhsm(folder: &Path) -> PathBuf {
    let conf = folder.join("softhsm2.conf");
    std::fs::create_dir(folder.join("tokens")).unwrap();
    let text = format!("directories.tokendir = {}/tokens\nlog.level = ERROR\n", folder.display());
    std::fs::write(&conf, text).unwrap();
    let made = Command::new(program("softhsm2-util", "softhsm2"))
        .args(["--init-token", "--free", "--label", "salus", "--pin", PIN, "--so-pin", "0815-so"])
        .env("SOFTHSM2_CONF", &conf)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    conf
}

/// Import, ask, rotate, revoke, reinstate, destroy: the same on every key store.
fn lives(site: &Site) {
    site.import("visits", VISITS);
    let sum = || site.json(&["sql", "SELECT sum(pulse) AS n FROM visits"])[0]["n"].clone();
    assert_eq!(sum(), 150);
    let rotated = site.json(&["keys", "rotate", "visits.clinical"]);
    assert!(rotated["versions"] == 2 && rotated["files"] == 1, "{rotated}");
    assert_eq!(sum(), 150);
    site.json(&["keys", "revoke", "visits.clinical"]);
    let (code, said) = site.failure(&["sql", "SELECT pulse FROM visits"]);
    assert!(code == 3 && said.contains("visits.clinical"), "{code}: {said}");
    let others = site.json(&["sql", "SELECT zip FROM visits ORDER BY zip"]);
    assert_eq!(others[1]["zip"], "98765");
    site.json(&["keys", "reinstate", "visits.clinical"]);
    assert_eq!(sum(), 150);
    let verified = site.json(&["dataset", "verify"]);
    assert_eq!(verified[0]["findings"], serde_json::json!([]));

    copy(&site.path("site/lake"), &site.path("backup"));
    let shredded = site.json(&["dataset", "shred", "visits", "--yes-destroy", "visits"]);
    assert!(shredded["keys"].as_array().unwrap().len() >= 3, "{shredded}");
    copy(&site.path("backup"), &site.path("site/lake"));
    let (_, said) = site.failure(&["sql", "SELECT pulse FROM visits"]);
    assert!(said.contains("visits.footer"), "{said}");
    let well = site.json(&["audit", "verify"]);
    assert!(well["head"]["sequence"].as_u64().unwrap() > 8, "{well}");
}

#[test]
fn a_site_lives_on_a_hardware_token() {
    let token = tempfile::tempdir().unwrap();
    let conf = softhsm(token.path());
    let site = Site::unmade(&[("SOFTHSM2_CONF", conf.to_str().unwrap())]);
    let pin = site.private("pin", &format!("{PIN}\n"));
    let module = module();
    let options =
        ["--keys", "pkcs11", "--module", &module, "--token-label", "salus", "--pin-file", &pin];
    let made = site.init(&options);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(!stands_below(&site.path("site"), PIN), "the PIN stands in the site's folder");
    assert!(!site.path("site/keys").exists(), "a key file was made too");
    lives(&site);
    let well = site.json(&["doctor"]);
    assert!(well.as_array().unwrap().iter().all(|f| f["ok"] == true), "{well}");
    assert!(well.to_string().contains("PKCS#11 token 'salus'"), "{well}");

    // A second site cannot move into the token, a PIN that others can read is not used, and a
    // wrong one opens nothing.
    let second = Site::unmade(&[("SOFTHSM2_CONF", conf.to_str().unwrap())]);
    let (code, said) = {
        let output = second.init(&options);
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(code == 2 && said.contains("serves a site already"), "{code}: {said}");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&pin, open).unwrap();
    let (code, said) = site.failure(&["dataset", "list"]);
    assert!(code == 3 && said.contains("chmod 600"), "{code}: {said}");
    let wrong = site.command(&["dataset", "list"]).env("SALUS_PIN", "1234-wrong").output().unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(3) && said.contains("refuses the PIN"), "{said}");
    // Whole: moments in the log have digits of their own.
    assert!(!said.contains("1234-wrong") && !said.contains(PIN), "{said}");
    let right = site.command(&["dataset", "list"]).env("SALUS_PIN", PIN).output().unwrap();
    assert!(right.status.success());
}

const ALL: &str = "encrypt,decrypt,rewrap,read,create,rotate,configure,revoke,reinstate,shred";

/// A site that serves its key store.
struct KeyServer {
    site: Site,
    _served: Served,
    address: String,
}

impl KeyServer {
    fn start() -> Self {
        let site = Site::unmade(&[]);
        let words = [
            "init",
            "--holder",
            "keys",
            "--http",
            "127.0.0.1:0",
            "--postgres",
            "127.0.0.1:0",
            "--flight",
            "127.0.0.1:0",
        ];
        let made = site.salus(&words);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut served = Served::spawn(site.command(&["keys", "serve", "--listen", "127.0.0.1:0"]));
        let line = served.line();
        let url = line.split_whitespace().last().unwrap();
        let address = url.trim_end_matches("/v1/transit").to_owned();
        assert!(address.starts_with("https://"), "{line}");
        Self { site, _served: served, address }
    }

    fn issue(&self, keys: &str, operations: &str) -> (String, String) {
        let words = ["keys", "token", "issue", "test", "--keys", keys, "--operations", operations];
        let issued = self.site.json(&words);
        let text = |field: &str| issued[field].as_str().unwrap().to_owned();
        (text("token"), text("accessor"))
    }
}

#[test]
fn a_site_lives_on_another_sites_key_server() {
    let server = KeyServer::start();
    let (token, accessor) = server.issue("*", ALL);
    // Tokens are read anew within a second.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let ca = server.site.text_path("site/ca.pem");
    let site = Site::unmade(&[]);
    let file = site.private("vault-token", &token);
    let options = [
        "--keys",
        "vault",
        "--vault-address",
        &server.address,
        "--vault-token-file",
        &file,
        "--vault-ca",
        &ca,
        "--revocation-seconds",
        "0",
    ];
    let made = site.init(&options);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(!stands_below(&site.path("site"), &token), "the token stands in the site's folder");
    lives(&site);

    // Each use of a key is on the server's record, by the token's name and without what it opened.
    let used = server.site.json(&["audit", "list", "--kind", "key-operation"]);
    let used = used.as_array().unwrap();
    assert!(used.iter().any(|r| r["entry"]["statement"] == "decrypt visits.clinical"), "{used:?}");
    assert!(used.iter().all(|r| r["entry"]["staff"] != "no valid token"));
    // A server with another certificate is not asked, and a revoked token opens nothing.
    let other = Site::new();
    let toml = std::fs::read_to_string(site.path("site/salus.toml")).unwrap();
    let elsewhere = toml.replace(&ca, &other.text_path("site/ca.pem"));
    std::fs::write(site.path("site/salus.toml"), elsewhere).unwrap();
    let (code, said) = site.failure(&["dataset", "list"]);
    assert!(code == 4 && said.contains("out of reach"), "{code}: {said}");
    std::fs::write(site.path("site/salus.toml"), toml).unwrap();
    site.json(&["dataset", "list"]);
    server.site.json(&["keys", "token", "revoke", &accessor]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let (code, said) = site.failure(&["dataset", "list"]);
    assert!(code == 3 && said.contains("refuses"), "{code}: {said}");
    assert!(!said.contains(&token), "{said}");
}

#[test]
fn a_token_never_crosses_a_network_in_the_clear() {
    let site = Site::unmade(&[]);
    let file = site.private("vault-token", "s.secret");
    let address = "http://vault.example.org:8200";
    let options = ["--keys", "vault", "--vault-address", address, "--vault-token-file", &file];
    let refused = site.init(&options);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("use https"), "{said}");
}

#[test]
fn hvac_uses_the_command_over_tls() {
    let server = KeyServer::start();
    let (all, _) = server.issue("spark.*", ALL);
    let (narrow, _) = server.issue("spark.*", "encrypt");
    let (revoked, accessor) = server.issue("*", ALL);
    server.site.json(&["keys", "token", "revoke", &accessor]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scripts/hvac_site.py");
    let ca = server.site.text_path("site/ca.pem");
    let printed = Venv::with(&["hvac==2.4.0", "pyarrow==26.0.1"]).run(script, |command| {
        command.args([&server.address, &ca, &all, &narrow, &revoked]);
    });
    assert!(printed.contains("hvac is served as by Vault"), "{printed}");
    let keys = server.site.json(&["keys", "list"]);
    assert!(keys.to_string().contains("spark.clinical"), "{keys}");
}

/// A key used through the endpoint; the HTTP status.
fn used(http: &Http, url: &str, token: &str) -> u16 {
    let body = r#"{"plaintext": "c2FsdXM="}"#;
    let path = format!("{url}/v1/transit/encrypt/visits.clinical");
    http.with_header("POST", &path, ("X-Vault-Token", token), body).unwrap().0
}

/// How often uses of keys are on record.
fn uses(site: &Site) -> usize {
    site.json(&["audit", "list", "--role", "key-client"]).as_array().unwrap().len()
}

#[test]
fn keys_are_served_beside_a_node_whichever_starts_first() {
    let site = Site::new();
    site.import("visits", "patient_id,pulse\np1,70\n");
    let issue =
        ["keys", "token", "issue", "spark", "--keys", "visits.*", "--operations", "encrypt"];
    let token = site.json(&issue)["token"].as_str().unwrap().to_owned();
    let ann = site.token("ann", &["physician"], "treatment");
    let http = Http::of(&site);
    let asks = |node: &Node| http.sql(node, &ann, "physician", "SELECT pulse FROM visits");
    let serve = || {
        let mut served = Served::spawn(site.command(&["keys", "serve", "--listen", "127.0.0.1:0"]));
        let line = served.line();
        let at = line.find("https://").unwrap();
        let url = line[at..].trim().trim_end_matches("/v1/transit").to_owned();
        (served, url)
    };
    // The node first.
    let node = Node::start(&site);
    let (keys, url) = serve();
    assert_eq!(used(&http, &url, &token), 200);
    assert_eq!(asks(&node).unwrap().0, 200);
    assert_eq!(uses(&site), 1);
    // The node ends: keys are served on, and operators still find somebody who answers.
    assert!(node.served.stop());
    assert_eq!(used(&http, &url, &token), 200);
    assert_eq!(uses(&site), 2);
    // A node starts beside them, and another one is refused.
    let node = Node::start(&site);
    assert_eq!(used(&http, &url, &token), 200);
    assert_eq!(asks(&node).unwrap().0, 200);
    assert_eq!(uses(&site), 3);
    let (code, said) = site.failure(&["node", "run"]);
    assert!(code == 4 && said.contains("open in another process"), "{code}: {said}");
    // A second endpoint finds its way as well.
    let (more, other) = serve();
    assert_eq!(used(&http, &other, &token), 200);
    assert_eq!(uses(&site), 4);
    drop(more);
    // Nobody can have a key used without a record: neither a killed node nor a stuck one helps.
    drop(node);
    assert_eq!(used(&http, &url, &token), 200);
    assert_eq!(uses(&site), 5);
    let checked = site.json(&["audit", "verify"]);
    assert_eq!(checked["first"], 1, "no record is missing: {checked}");
    drop(keys);
}
