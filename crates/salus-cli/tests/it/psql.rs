use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::site::Site;

/// A running node; its output is kept open, as a terminal would.
struct Node(Child, BufReader<std::process::ChildStdout>);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running node, and the port of its PostgreSQL wire.
fn node(site: &Site) -> (Node, String, String) {
    let mut child = site.command(&["node", "run"]).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut node = Node(child, stdout);
    let mut line = |wanted: &str| loop {
        let mut line = String::new();
        let read = node.1.read_line(&mut line).unwrap();
        assert!(read > 0, "the node ended without telling of {wanted}");
        if line.starts_with(wanted) {
            return line;
        }
    };
    let (http, postgres) = (line("SQL over HTTPS"), line("PostgreSQL"));
    let http = http.split_whitespace().last().unwrap().to_owned();
    let port = postgres.split([':', ' ']).find(|w| w.parse::<u16>().is_ok_and(|p| p > 1024));
    let port = port.unwrap_or_else(|| panic!("no port in {postgres}")).to_owned();
    (node, http, port)
}

fn psql(port: &str, token: &str, sql: &str, ssl: &str) -> (bool, String) {
    let run = Command::new("psql")
        .arg(format!("host=127.0.0.1 port={port} sslmode={ssl} user=ann dbname=salus"))
        .args(["-X", "-A", "-t", "-c", sql])
        .env("PGPASSWORD", token)
        .output()
        .expect("psql is missing: apt-get install postgresql-client");
    let text = [run.stdout, run.stderr].concat();
    (run.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
}

#[test]
fn staff_ask_through_psql_until_their_token_is_taken_away() {
    let site = Site::new();
    let csv = site.path("visits.csv");
    std::fs::write(&csv, "patient_id,pulse\np1,70\np2,80\n").unwrap();
    let csv = csv.to_str().unwrap().to_owned();
    let proposed = site.salus(&["import", "--propose", &csv]).stdout;
    let schema = site.path("visits.toml");
    std::fs::write(&schema, proposed).unwrap();
    site.json(&["import", &csv, "--schema", schema.to_str().unwrap()]);
    let issued = site.json(&["staff", "issue", "ann", "--role", "physician"]);
    let token = issued["token"].as_str().unwrap().to_owned();
    let kept = std::fs::read_to_string(site.path("site/staff.toml")).unwrap();
    assert!(!kept.contains(&token), "the staff file keeps the token itself");

    let (_node, http, port) = node(&site);
    assert!(http.starts_with("https://"), "{http}");
    let ask = |sql: &str| psql(&port, &token, sql, "require");
    assert_eq!(ask("SELECT sum(pulse) FROM visits"), (true, "150".to_owned()));
    assert!(!psql(&port, "salus_0", "SELECT 1", "require").0, "a token that was never issued");
    assert!(!psql(&port, &token, "SELECT 1", "disable").0, "a connection without TLS");
    site.json(&["staff", "revoke", "ann"]);
    let (answered, message) = ask("SELECT sum(pulse) FROM visits");
    assert!(!answered, "{message}");
}
