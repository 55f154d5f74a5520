//! One site pulls from another, both through the real binary.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response};
use salus_testkit::Venv;
use serde_json::{Value as Json, json};

use crate::site::Site;

/// A running node.
struct Node {
    child: Child,
    _output: BufReader<std::process::ChildStdout>,
    /// Its address, such as `https://127.0.0.1:1234`.
    url: String,
    http: reqwest::Client,
    token: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn python(words: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/client_key.py");
    Venv::with(&["pyjwt==2.15.1", "cryptography==50.0.2"]).run(script, |c| {
        c.args(words);
    });
}

impl Node {
    /// Starts a site's node, and gets its certificate into the site's folder.
    fn start(site: &Site, token: &str) -> Self {
        let mut child = site.command(&["node", "run"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut url = String::new();
        loop {
            let mut line = String::new();
            assert!(output.read_line(&mut line).unwrap() > 0, "the node ended");
            if let Some(at) = line.split_whitespace().find(|word| word.starts_with("https://")) {
                url = at.split('/').take(3).collect::<Vec<_>>().join("/");
            }
            if line.contains("Ctrl-C") {
                break;
            }
        }
        std::fs::copy(site.path("site/ca.pem"), site.path("cert.pem")).unwrap();
        let pem = std::fs::read(site.path("cert.pem")).unwrap();
        let certificate = reqwest::Certificate::from_pem(&pem).unwrap();
        let http = reqwest::Client::builder().add_root_certificate(certificate).build().unwrap();
        Self { child, _output: output, url, http, token: token.to_owned() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url =
            if path.starts_with("https") { path.to_owned() } else { format!("{}{path}", self.url) };
        self.http.request(method, url).bearer_auth(&self.token)
    }

    async fn send(&self, request: RequestBuilder) -> Response {
        request.send().await.unwrap()
    }
}

fn patient(id: &str, family: &str) -> Json {
    json!({"resourceType": "Patient", "id": id, "name": [{"family": family}]})
}

fn observation(id: &str, patient: &str) -> Json {
    json!({"resourceType": "Observation", "id": id, "status": "final",
        "code": {"text": "pulse"}, "subject": {"reference": format!("Patient/{patient}")}})
}

fn ndjson(file: &Path, resources: impl Iterator<Item = Json>) {
    let lines: Vec<String> = resources.map(|r| format!("{r}\n")).collect();
    std::fs::write(file, lines.concat()).unwrap();
}

fn token_of(site: &Site, staff: &str, role: &str) -> String {
    let issue = ["staff", "issue", staff, "--role", role, "--purpose", "operations"];
    site.json(&issue)["token"].as_str().unwrap().to_owned()
}

/// A site with patients and observations, a steward's token, and a registered client.
fn hospital(patients: usize) -> (Site, String) {
    let site = Site::new();
    let file = site.path("records.ndjson");
    let resources = (0..patients).flat_map(|i| {
        [patient(&format!("p{i}"), "Before"), observation(&format!("o{i}"), &format!("p{i}"))]
    });
    ndjson(&file, resources);
    site.json(&["import", "--fhir", file.to_str().unwrap()]);
    let token = token_of(&site, "ann", "steward");
    python(&[site.folder.path().to_str().unwrap(), "k1"]);
    let jwks = site.path("jwks.json");
    let jwks = jwks.to_str().unwrap();
    site.json(&["client", "add", "site-b", "--jwks", jwks, "--role", "steward"]);
    (site, token)
}

/// The words with which one site pulls from another's node.
fn pulling<'w>(url: &'w str, key: &'w str, cert: &'w str) -> Vec<&'w str> {
    let client = ["--client-id", "site-b", "--key-id", "k1"];
    [&["import", "--fhir", url, "--key", key, "--ca", cert][..], &client[..]].concat()
}

fn count(site: &Site, sql: &str) -> i64 {
    let answer = site.json(&["sql", sql, "--role", "steward"]);
    let row = answer[0].as_object().unwrap();
    row.values().next().unwrap().as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_site_pulls_from_another_and_keeps_up() {
    let (a, token) = hospital(50);
    let node = Node::start(&a, &token);
    let b = Site::new();
    let url = format!("{}/fhir", node.url);
    let (key, cert) = (a.path("key.pem"), a.path("cert.pem"));
    let words = pulling(&url, key.to_str().unwrap(), cert.to_str().unwrap());
    let report = b.json(&words);
    assert_eq!((&report["accepted"], &report["quarantined"]), (&json!(100), &json!(0)), "{report}");
    assert_eq!(count(&b, "SELECT count(*) FROM patients"), 50);

    // What changes at the one comes to the other; what is deleted goes.
    let put = |r: &Json| {
        let path =
            format!("/fhir/{}/{}", r["resourceType"].as_str().unwrap(), r["id"].as_str().unwrap());
        node.request(Method::PUT, &path).json(r)
    };
    for resource in [patient("p1", "After"), patient("new", "After")] {
        assert!(node.send(put(&resource)).await.status().is_success());
    }
    let gone = node.send(node.request(Method::DELETE, "/fhir/Observation/o7")).await;
    assert!(gone.status().is_success(), "{}", gone.status());
    let report = b.json(&words);
    assert_eq!((&report["accepted"], &report["deleted"]), (&json!(2), &json!(1)), "{report}");
    assert_eq!(count(&b, "SELECT count(*) FROM patients"), 51);
    assert_eq!(count(&b, "SELECT count(*) FROM observations"), 49);
    let again = b.json(&words);
    assert_eq!((&again["accepted"], &again["deleted"]), (&json!(0), &json!(0)), "{again}");

    // Another key is refused, and so is the right one once the client is removed.
    python(&[b.folder.path().to_str().unwrap(), "k1"]);
    let stranger = b.path("key.pem");
    let wrong = pulling(&url, stranger.to_str().unwrap(), cert.to_str().unwrap());
    let (code, said) = b.failure(&wrong);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("invalid_client"), "{said}");
    a.json(&["client", "remove", "site-b"]);
    let (code, said) = b.failure(&words);
    assert_eq!(code, 3, "{said}");
    // Without the authority there is no connection at all.
    let blind: Vec<&str> =
        words.iter().copied().filter(|w| !w.ends_with("cert.pem") && *w != "--ca").collect();
    let (code, said) = b.failure(&blind);
    assert_eq!(code, 4, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_killed_loses_nothing_and_doubles_nothing() {
    let (a, token) = hospital(1500);
    let node = Node::start(&a, &token);
    let b = Site::new();
    let url = format!("{}/fhir", node.url);
    let (key, cert) = (a.path("key.pem"), a.path("cert.pem"));
    let words = pulling(&url, key.to_str().unwrap(), cert.to_str().unwrap());
    for wait in [300, 900, 1500, 2500, 4000] {
        let mut child =
            b.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        let _ = child.kill();
        child.wait().unwrap();
    }
    let report = b.json(&words);
    assert_eq!(report["quarantined"], 0, "{report}");
    assert_eq!(count(&b, "SELECT count(*) FROM patients"), 1500);
    assert_eq!(count(&b, "SELECT count(DISTINCT id) FROM observations"), 1500);
    assert_eq!(count(&b, "SELECT count(*) FROM fhir_resources"), 3000);
    let report = b.json(&words);
    assert_eq!(report["accepted"], 0, "{report}");
}

/// Waits until an export is done; its manifest.
async fn manifest(node: &Node, status: &str) -> Json {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = node.send(node.request(Method::GET, status)).await;
        match answer.status().as_u16() {
            200 => return answer.json().await.unwrap(),
            202 => assert!(answer.headers().contains_key("x-progress")),
            other => panic!("{other}: {}", answer.text().await.unwrap()),
        }
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn kick_off(node: &Node, path: &str) -> String {
    let request = node.request(Method::GET, path).header("Prefer", "respond-async");
    let answer = node.send(request).await;
    assert_eq!(answer.status(), 202, "{path}");
    answer.headers()["content-location"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_answers_to_its_owner_alone() {
    let (a, token) = hospital(20);
    let bob = token_of(&a, "bob", "steward");
    let eve = token_of(&a, "eve", "analyst");
    let wes = token_of(&a, "wes", "ward");
    // Only what is about one patient.
    let roles = a.path("site/roles.toml");
    let policies = "policies = '''\n\
        permit(principal in Salus::Role::\"ward\", action, resource);\n\
        permit(principal in Salus::Role::\"policy\", action, resource);\n";
    let text = std::fs::read_to_string(&roles).unwrap().replacen("policies = '''\n", policies, 1);
    let ward = "\n[role.ward]\n[[role.ward.rows]]\ndataset = \"fhir_resources\"\n\
        among = \"SELECT 'Patient/' || id FROM patients WHERE id = 'p3'\"\n";
    std::fs::write(&roles, text + ward).unwrap();
    let node = Node::start(&a, &token);
    let get = |path: &str| node.request(Method::GET, path);
    let status = async |request: RequestBuilder| node.send(request).await.status().as_u16();

    // Nobody without a token, and nothing but in the background.
    let bare =
        node.http.get(format!("{}/fhir/$export", node.url)).header("Prefer", "respond-async");
    assert_eq!(status(bare).await, 401);
    assert_eq!(status(get("/fhir/$export")).await, 400);
    let unknown = get("/fhir/$export?_elements=id").header("Prefer", "respond-async");
    assert_eq!(status(unknown).await, 400);
    let nothing = get("/fhir/Group/none/$export").header("Prefer", "respond-async");
    assert_eq!(status(nothing).await, 404);

    let job = kick_off(&node, "/fhir/$export?_type=Patient").await;
    let manifest_of = manifest(&node, &job).await;
    assert_eq!(manifest_of["requiresAccessToken"], true);
    assert_eq!(manifest_of["output"][0]["type"], "Patient");
    assert_eq!(manifest_of["output"][0]["count"], 20);
    assert_eq!(manifest_of["output"].as_array().unwrap().len(), 1);
    let file = manifest_of["output"][0]["url"].as_str().unwrap().to_owned();
    let whole = node.send(get(&file)).await;
    assert_eq!(whole.headers()["content-type"], "application/fhir+ndjson");
    let tag = whole.headers()["etag"].to_str().unwrap().to_owned();
    let whole = whole.text().await.unwrap();
    assert_eq!(whole.lines().count(), 20);

    // From a byte on, while the validator fits.
    let part = get(&file).header("Range", "bytes=100-").header("If-Range", &tag);
    let part = node.send(part).await;
    assert_eq!(part.status(), 206);
    assert_eq!(part.text().await.unwrap(), whole[100..]);
    let other = get(&file).header("Range", "bytes=100-").header("If-Range", "\"other\"");
    assert_eq!(node.send(other).await.text().await.unwrap(), whole);
    assert_eq!(status(get(&file).header("Range", "bytes=99999999-")).await, 416);

    // Another person of the same role, nobody, and a guessed name.
    for path in [&job, &file] {
        let as_bob = node.http.get(path).bearer_auth(&bob);
        assert_eq!(status(as_bob).await, 404);
        assert_eq!(status(node.http.get(path)).await, 401);
    }
    assert_eq!(status(node.http.delete(&job).bearer_auth(&bob)).await, 404);
    let guessed = format!("/fhir/$export-status/{}", "0".repeat(32));
    assert_eq!(status(get(&guessed)).await, 404);

    // Nothing of it is on the disk in plaintext.
    let spool = a.path("site/exports");
    for entry in std::fs::read_dir(&spool).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|w| w == b"Patient"));
    }
    assert_eq!(status(node.request(Method::DELETE, &job)).await, 202);
    assert_eq!(status(get(&job)).await, 404);
    assert_eq!(status(get(&file)).await, 404);
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0);

    // A Group: its patients and what is about them.
    let group = json!({"resourceType": "Group", "id": "g", "type": "person", "actual": true,
        "member": [{"entity": {"reference": "Patient/p3"}}, {"entity": {"reference": "Patient/p4"}},
            {"entity": {"reference": "Patient/p5"}, "inactive": true}]});
    let stored = node.request(Method::PUT, "/fhir/Group/g").json(&group);
    assert!(node.send(stored).await.status().is_success());
    let job = kick_off(&node, "/fhir/Group/g/$export").await;
    let found = manifest(&node, &job).await;
    let counts: Vec<_> = found["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["type"].as_str().unwrap(), f["count"].as_i64().unwrap()))
        .collect();
    assert_eq!(counts, [("Observation", 2), ("Patient", 2)]);
    // A role sees in an export what it sees elsewhere: one patient, or nothing at all.
    let export_as = async |token: &str| {
        let url = format!("{}/fhir/$export", node.url);
        let begun = node.http.get(url).bearer_auth(token).header("Prefer", "respond-async");
        let begun = node.send(begun).await;
        let job = begun.headers()["content-location"].to_str().unwrap().to_owned();
        loop {
            let answer = node.send(node.http.get(&job).bearer_auth(token)).await;
            match answer.status().as_u16() {
                202 => tokio::time::sleep(Duration::from_millis(100)).await,
                200 => return Ok(answer.json::<Json>().await.unwrap()),
                other => return Err(other),
            }
        }
    };
    let seen = export_as(&wes).await.unwrap();
    let file = seen["output"].as_array().unwrap().iter().find(|f| f["type"] == "Patient").unwrap();
    let lines = node.send(node.http.get(file["url"].as_str().unwrap()).bearer_auth(&wes)).await;
    let lines = lines.text().await.unwrap();
    assert!(lines.lines().count() == 1 && lines.contains("\"p3\""), "{lines}");
    assert_eq!(export_as(&eve).await.unwrap_err(), 403);
    // The CapabilityStatement says that there is all this.
    let statement: Json = node.send(get("/fhir/metadata")).await.json().await.unwrap();
    assert_eq!(statement["rest"][0]["operation"][0]["name"], "export");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_stores_what_conforms_and_quarantines_the_rest_with_its_line() {
    let (a, token) = hospital(1);
    let analyst = token_of(&a, "eve", "analyst");
    let node = Node::start(&a, &token);
    let lines = [
        patient("i1", "One").to_string(),
        String::new(),
        "{\"resourceType\": \"Patient\", \"id\": \"i2\", \"gender\": \"SECRETVALUE\"}".to_owned(),
        patient("i3", "Three").to_string(),
        patient("i3", "Three again").to_string(),
        "{\"resourceType\": \"Patient\", \"id".to_owned(),
    ];
    let body = lines.join("\n");
    let import = |body: &str| {
        let request = node.request(Method::POST, "/fhir/$import").body(body.to_owned());
        request.header("Content-Type", "application/fhir+ndjson")
    };
    let answer = node.send(import(&body)).await;
    assert_eq!(answer.status(), 200);
    let outcome: Json = answer.json().await.unwrap();
    let said = outcome.to_string();
    assert!(said.contains("3 resources stored, 2 lines quarantined"), "{said}");
    assert!(said.contains("line 3: ") && said.contains("Patient.gender"), "{said}");
    assert!(said.contains("line 6: "), "{said}");
    assert!(!said.contains("SECRETVALUE"), "{said}");
    let found = node.send(node.request(Method::GET, "/fhir/Patient/i3")).await;
    let found: Json = found.json().await.unwrap();
    assert_eq!(
        (&found["name"][0]["family"], &found["meta"]["versionId"]),
        (&json!("Three again"), &json!("2"))
    );
    let kept = "SELECT min(line) * 100 + max(line) FROM fhir_resources_quarantine";
    drop(node);
    assert_eq!(count(&a, kept), 306);

    // A role that may not write writes nothing, and says so for each line.
    let node = Node::start(&a, &analyst);
    let request =
        node.request(Method::POST, "/fhir/$import").body(patient("i9", "Nine").to_string());
    let answer = node.send(request.header("Content-Type", "application/fhir+ndjson")).await;
    let said = answer.text().await.unwrap();
    assert!(said.contains("0 resources stored") && said.contains("line 1: "), "{said}");
    let csv =
        node.request(Method::POST, "/fhir/$import").body("a,b").header("Content-Type", "text/csv");
    assert_eq!(node.send(csv).await.status(), 415);
    let bare = node.http.post(format!("{}/fhir/$import", node.url));
    assert_eq!(node.send(bare).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_keeps_up_with_the_sources_of_its_configuration() {
    let (a, token) = hospital(10);
    let node_a = Node::start(&a, &token);
    let b = Site::new();
    // Its own copies, with paths that start at the site's folder.
    for name in ["key.pem", "cert.pem"] {
        std::fs::copy(a.path(name), b.path("site").join(name)).unwrap();
    }
    let url = &node_a.url;
    let source = format!(
        "\n[[fhir.source]]\nname = \"a\"\nurl = \"{url}/fhir\"\nclient_id = \"site-b\"\n\
         key = \"key.pem\"\nkey_id = \"k1\"\nca = \"cert.pem\"\nevery_seconds = 1\n"
    );
    let file = b.path("site/salus.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config + &source).unwrap();
    let node_b = Node::start(&b, &token_of(&b, "bea", "steward"));
    let arrives = async |path: &str| {
        let until = Instant::now() + Duration::from_secs(60);
        while node_b.send(node_b.request(Method::GET, path)).await.status() != 200 {
            assert!(Instant::now() < until, "{path} does not arrive");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    arrives("/fhir/Patient/p9").await;
    let new = node_a.request(Method::PUT, "/fhir/Patient/later").json(&patient("later", "Later"));
    assert!(node_a.send(new).await.status().is_success());
    arrives("/fhir/Patient/later").await;
    let sql = json!({"sql": "SELECT count(*) AS n FROM patients"});
    let answer = node_b.send(node_b.request(Method::POST, "/v1/sql").json(&sql)).await;
    let answer = answer.text().await.unwrap();
    assert!(answer.contains("11"), "{answer}");

    // A source that is refused keeps the node from starting, and says which.
    let wrong = std::fs::read_to_string(&file).unwrap().replace("key.pem", "none.pem");
    drop(node_b);
    std::fs::write(&file, wrong).unwrap();
    let (code, said) = b.failure(&["node", "run"]);
    assert_ne!(code, 0);
    assert!(said.contains(url.as_str()), "{said}");
}

/// Whether something becomes so in a while.
async fn becomes(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_tells_of_changes_and_the_pull_begins_at_once() {
    let (a, token) = hospital(10);
    let (b, c) = (Site::new(), Site::new());
    let ports = [salus_testkit::free_port(), salus_testkit::free_port()];
    let append = |site: &Site, text: &str| {
        let file = site.path("site/salus.toml");
        let config = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, config + text).unwrap();
    };
    // The one that is asked tells two others, and nobody else.
    let authorities =
        [&b, &c].map(|site| std::fs::read(site.path("site/ca.pem")).unwrap()).concat();
    std::fs::write(a.path("site/others.pem"), authorities).unwrap();
    let allow = ports.map(|port| format!("\"https://127.0.0.1:{port}\"")).join(", ");
    append(&a, &format!("\n[fhir.subscriptions]\nallow = [{allow}]\nca_file = \"others.pem\"\n"));
    let node_a = Node::start(&a, &token);
    let (url, key, cert) =
        (format!("{}/fhir", node_a.url), a.text_path("key.pem"), a.text_path("cert.pem"));

    // A node, by its configuration. It would poll after an hour.
    for name in ["key.pem", "cert.pem"] {
        std::fs::copy(a.path(name), b.path("site").join(name)).unwrap();
    }
    let file = b.path("site/salus.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let fixed = format!("http = \"127.0.0.1:{}\"", ports[0]);
    std::fs::write(&file, config.replace("http = \"127.0.0.1:0\"", &fixed)).unwrap();
    append(
        &b,
        &format!(
            "\n[[fhir.source]]\nname = \"a\"\nurl = \"{url}\"\nclient_id = \"site-b\"\n\
             key = \"key.pem\"\nkey_id = \"k1\"\nca = \"cert.pem\"\nevery_seconds = 3600\n\
             types = [\"Patient\"]\ntold = \"by-subscription\"\n"
        ),
    );
    let node_b = Node::start(&b, &token_of(&b, "bea", "steward"));
    // A command, which listens by itself.
    let public = format!("https://127.0.0.1:{}", ports[1]);
    let listen = format!("127.0.0.1:{}", ports[1]);
    let mut words = pulling(&url, &key, &cert);
    words.extend(["--follow", "--every", "3600", "--types", "Patient"]);
    words.extend(["--subscribe", &public, "--hook-listen", &listen]);
    let follows = crate::node::Served::spawn(c.command(&words));

    let in_b = async |id: &str| {
        let path = format!("/fhir/Patient/{id}");
        node_b.send(node_b.request(Method::GET, &path)).await.status() == 200
    };
    let until = Instant::now() + Duration::from_secs(60);
    while !in_b("p9").await {
        assert!(Instant::now() < until, "the first pull of the node");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    becomes("the first pull of the command", || {
        let has = c.salus(&["--json", "sql", "SELECT count(*) AS n FROM patients"]);
        String::from_utf8_lossy(&has.stdout).contains("10")
    })
    .await;
    let new = node_a.request(Method::PUT, "/fhir/Patient/told").json(&patient("told", "Told"));
    assert!(node_a.send(new).await.status().is_success());
    let until = Instant::now() + Duration::from_secs(60);
    while !in_b("told").await {
        assert!(Instant::now() < until, "the node is not told");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    becomes("the command is not told", || count(&c, "SELECT count(*) FROM patients") == 11).await;
    // Somebody who has not the secret is not heard, whether there is such a source or not.
    for name in ["a", "nobody"] {
        let door = format!("{}/fhir-hooks/{name}", node_b.url);
        let knock = node_b.http.post(&door).bearer_auth("0".repeat(64));
        assert_eq!(node_b.send(knock).await.status(), 401);
        assert_eq!(node_b.send(node_b.http.post(&door)).await.status(), 401);
    }
    drop(follows);
}
