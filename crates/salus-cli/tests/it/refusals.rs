//! Every route that gives something away, asked by who must not have it.

use salus_api::transit;
use salus_api::{Access, HttpRoute, monitor, sql};
use salus_node::METRICS;

use crate::node::{Http, Node, Served};
use crate::site::Site;

const MARKER: &str = "4711";

fn site() -> Site {
    let site = Site::new();
    site.import("visits", &format!("patient_id,pulse\nMARKERPATIENT,{MARKER}\n"));
    site
}

/// What a rightful caller sends.
fn body(route: &HttpRoute) -> Option<&'static str> {
    match (route.method, route.path) {
        ("POST", "/v1/sql") => Some(r#"{"sql": "SELECT patient_id, pulse FROM visits"}"#),
        ("GET", "/v1/datasets" | "/v1/metrics") => None,
        ("GET", "/v1/health" | "/v1/health/live" | "/v1/health/ready") => None,
        other => panic!("{other:?} is new: say here what it is sent, and what it must refuse"),
    }
}

fn routes() -> impl Iterator<Item = &'static HttpRoute> {
    sql::ROUTES.iter().chain(&monitor::ROUTES)
}

#[test]
fn each_http_route_refuses_no_token_a_strange_one_a_revoked_one_and_one_without_the_right() {
    let site = site();
    let revoked = site.token("eve", &["physician", "monitor"], "treatment");
    site.json(&["staff", "revoke", "eve"]);
    let rightful = site.token("ann", &["physician"], "treatment");
    let monitor = site.token("max", &["monitor"], "operations");
    let node = Node::start(&site);
    let http = Http::of(&site);
    let ask = |route: &HttpRoute, token: Option<&str>| {
        let url = format!("{}{}", node.http, route.path);
        http.ask(route.method, &url, token, body(route)).unwrap()
    };
    let mut refused = 0;
    for route in routes() {
        if route.access == Access::Public {
            let (status, said) = ask(route, None);
            assert!(status == 200 && said.len() < 30, "{route:?}: {said}");
            continue;
        }
        for token in [None, Some("salus_0"), Some(revoked.as_str()), Some("")] {
            let (status, said) = ask(route, token);
            assert_eq!(status, 401, "{route:?} with {token:?}: {said}");
            assert!(!said.contains(MARKER) && !said.contains("visits"), "{route:?}: {said}");
            refused += 1;
        }
        // Another's right is not this one's: a monitor sees no record, a physician no counter.
        let (without, with) = match route.access {
            Access::Role => (&rightful, &monitor),
            _ => (&monitor, &rightful),
        };
        let (status, said) = ask(route, Some(without));
        let nothing = route.path == "/v1/datasets" && status == 200 && said == "[]";
        assert!(nothing || matches!(status, 400 | 403 | 404), "{route:?}: {status} {said}");
        assert!(!said.contains(MARKER), "{route:?}: {said}");
        let (status, said) = ask(route, Some(with));
        assert_eq!(status, 200, "{route:?} refuses whom it should serve: {said}");
    }
    assert!(refused >= 12, "{refused}");
    // What is no route is not found, and tells nothing.
    for path in ["/v1/nothing", "/v1/transit/keys", "/"] {
        let (status, said) = http.ask("GET", &format!("{}{path}", node.http), None, None).unwrap();
        assert!(status == 404 && said.is_empty(), "{path}: {status} {said}");
    }
}

#[test]
fn each_route_of_the_key_server_refuses_no_token_a_strange_one_and_one_without_the_operation() {
    let site = Site::new();
    let issue = |keys: &str, operations: &str| {
        let words = ["keys", "token", "issue", "test", "--keys", keys, "--operations", operations];
        site.json(&words)["token"].as_str().unwrap().to_owned()
    };
    let elsewhere = issue(
        "other.*",
        "encrypt,decrypt,rewrap,read,create,rotate,configure,revoke,reinstate,shred",
    );
    let mut served = Served::spawn(site.command(&["keys", "serve", "--listen", "127.0.0.1:0"]));
    let line = served.line();
    let base = line.split_whitespace().last().unwrap().trim_end_matches("/v1/transit").to_owned();
    let http = Http::of(&site);
    for route in transit::ROUTES {
        let path = route.path.replace("{name}", "visits.clinical");
        for method in route.methods.split(' ') {
            let query = if path.ends_with("/keys") { "?list=true" } else { "" };
            let url = format!("{base}{path}{query}");
            if path == "/v1/sys/health" {
                assert_eq!(http.ask(method, &url, None, None).unwrap().0, 200);
                continue;
            }
            for token in [None, Some("hvs.strange")] {
                let (status, said) = http.ask(method, &url, token, Some("{}")).unwrap();
                assert_eq!(status, 403, "{method} {path} with {token:?}: {said}");
            }
            let (status, said) = http.ask(method, &url, Some(&elsewhere), Some("{}")).unwrap();
            match route.operation {
                // A listing shows what may be read, and nothing else.
                Some(_) if path.ends_with("/keys") => assert!(!said.contains("site."), "{said}"),
                Some(_) => assert_eq!(status, 403, "{method} {path}: {said}"),
                None => assert_eq!(status, 200, "{method} {path}: {said}"),
            }
        }
    }
}

#[test]
fn counters_count_and_name_nobody() {
    let site = site();
    let ann = site.token("ann", &["physician"], "treatment");
    let monitor = site.token("max", &["monitor"], "operations");
    let node = Node::start(&site);
    let http = Http::of(&site);
    let ask = |sql: &str| http.sql(&node, &ann, "physician", sql).unwrap().0;
    let needle = "SELECT pulse FROM visits WHERE patient_id = 'MARKERPATIENT'";
    assert_eq!((ask(needle), ask(needle), ask("SELECT nothing FROM visits")), (200, 200, 400));
    let secret = format!("{}/v1/MARKERPATIENT?ann", node.http);
    assert_eq!(http.ask("GET", &secret, None, None).unwrap().0, 404);
    let url = format!("{}/v1/metrics", node.http);
    let (status, text) = http.ask("GET", &url, Some(&monitor), None).unwrap();
    assert_eq!(status, 200, "{text}");
    for wanted in [
        "salus_statements_total{outcome=\"answered\"} 2",
        "salus_statements_total{outcome=\"failed\"} 1",
        "salus_http_requests_total{route=\"/v1/sql\",status=\"2xx\"} 2",
        "salus_http_requests_total{route=\"other\",status=\"4xx\"} 1",
        "salus_access_records ",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    for personal in ["ann", "max", "MARKER", "visits", "physician", "pulse"] {
        assert!(!text.contains(personal), "'{personal}' stands in the counters: {text}");
    }
    for metric in METRICS {
        assert!(text.contains(&format!("# TYPE {}", metric.name)), "{}: {text}", metric.name);
    }
    // Nothing is exposed that the inventory does not list.
    let known: Vec<&str> = METRICS.iter().map(|m| m.name).collect();
    for line in text.lines().filter_map(|l| l.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(known.contains(&name), "{name} is not in METRICS");
    }
}

#[test]
fn log_lines_are_json_where_asked_and_carry_no_record() {
    let site = site();
    let ann = site.token("ann", &["physician"], "treatment");
    let log = std::fs::File::create(site.path("log")).unwrap();
    let mut command = site.command(&["--log", "json", "node", "run"]);
    command.env("SALUS_LOG", "salus_api=trace,salus_query=trace,salus_node=trace,salus_store=trace,salus_keys=trace,salus=trace,warn");
    command.stderr(log);
    let node = Node::of(command);
    let http = Http::of(&site);
    let needle = "SELECT pulse FROM visits WHERE patient_id = 'MARKERPATIENT'";
    assert_eq!(http.sql(&node, &ann, "physician", needle).unwrap().0, 200);
    assert_eq!(http.sql(&node, "salus_0", "physician", needle).unwrap().0, 401);
    crate::node::psql(&node, &ann, needle, "sslmode=require");
    crate::node::psql(&node, &ann, "SELECT 'unended", "sslmode=require");
    // Something that is logged for certain: a key store that is gone.
    std::fs::rename(site.path("site/keys"), site.path("gone")).unwrap();
    let ready = format!("{}/v1/health/ready", node.http);
    let (status, said) = http.ask("GET", &ready, None, None).unwrap();
    assert!(status == 503 && said.contains("not ready"), "{status}: {said}");
    let live = format!("{}/v1/health/live", node.http);
    assert_eq!(http.ask("GET", &live, None, None).unwrap().0, 200);
    assert!(node.served.stop());
    let text = std::fs::read_to_string(site.path("log")).unwrap();
    assert!(text.contains("the node is not ready"), "{text}");
    for line in text.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    for personal in ["MARKERPATIENT", MARKER, &ann, "patient_id"] {
        assert!(!text.contains(personal), "'{personal}' stands in the log: {text}");
    }
}
