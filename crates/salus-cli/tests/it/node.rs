//! A running node, and clients of it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::site::Site;

/// A process that serves; its output is kept open, as a terminal would.
pub(crate) struct Served {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the service ended: {:?}", self.child.wait());
        line
    }

    /// The JSON value that it prints when it is ready.
    pub(crate) fn json(&mut self) -> serde_json::Value {
        let values = serde_json::Deserializer::from_reader(&mut self.lines);
        let ready: serde_json::Value = values.into_iter().next().unwrap().unwrap();
        assert!(ready.get("error").is_none(), "the service ended: {ready}");
        ready
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop as a service manager does, and waits.
    pub(crate) fn stop(mut self) -> bool {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap().success()
    }
}

/// A running node and where its services listen.
pub(crate) struct Node {
    pub(crate) served: Served,
    /// Such as `https://127.0.0.1:7080`.
    pub(crate) http: String,
    pub(crate) postgres: String,
    /// Such as `grpc+tls://127.0.0.1:7433`.
    pub(crate) flight: String,
}

impl Node {
    pub(crate) fn start(site: &Site) -> Self {
        Self::of(site.command(&["node", "run"]))
    }

    pub(crate) fn of(command: Command) -> Self {
        let mut served = Served::spawn(command);
        let last = |line: String| line.split_whitespace().last().unwrap().to_owned();
        let http = last(served.line()).trim_end_matches("/fhir").to_owned();
        assert!(served.line().contains("/v1/sql"));
        let postgres = served.line();
        let port = postgres.split([':', ' ']).find(|w| w.parse::<u16>().is_ok_and(|p| p > 1024));
        let postgres = port.unwrap_or_else(|| panic!("no port in {postgres}")).to_owned();
        let flight = last(served.line());
        Self { served, http, postgres, flight }
    }
}

/// An HTTP client that trusts one certificate authority and no other.
pub(crate) struct Http {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Http {
    pub(crate) fn trusting(pem: &[u8]) -> Self {
        let authority = reqwest::Certificate::from_pem(pem).unwrap();
        let client = reqwest::Client::builder()
            .tls_built_in_root_certs(false)
            .add_root_certificate(authority)
            .no_proxy()
            .build()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { client, runtime }
    }

    /// Trusts the site's own authority.
    pub(crate) fn of(site: &Site) -> Self {
        Self::trusting(&std::fs::read(site.path("site/ca.pem")).unwrap())
    }

    /// Status and body; or why there was none.
    pub(crate) fn ask(
        &self,
        method: &str,
        url: &str,
        token: Option<&str>,
        body: Option<&str>,
    ) -> Result<(u16, String), String> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        self.runtime.block_on(async {
            let response = request.send().await.map_err(|e| format!("{e:?}"))?;
            let status = response.status().as_u16();
            Ok((status, response.text().await.map_err(|e| format!("{e:?}"))?))
        })
    }

    /// As [`Http::ask`] with JSON, and a header instead of an access token.
    pub(crate) fn with_header(
        &self,
        method: &str,
        url: &str,
        (name, value): (&str, &str),
        body: &str,
    ) -> Result<(u16, String), String> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, url).header(name, value);
        let request = request.header("content-type", "application/json").body(body.to_owned());
        self.runtime.block_on(async {
            let response = request.send().await.map_err(|e| format!("{e:?}"))?;
            let status = response.status().as_u16();
            Ok((status, response.text().await.map_err(|e| format!("{e:?}"))?))
        })
    }

    /// Answers of `POST /v1/sql`.
    pub(crate) fn sql(
        &self,
        node: &Node,
        token: &str,
        role: &str,
        sql: &str,
    ) -> Result<(u16, String), String> {
        let body = serde_json::json!({ "sql": sql, "role": role }).to_string();
        self.ask("POST", &format!("{}/v1/sql", node.http), Some(token), Some(&body))
    }
}

/// Whether psql succeeded, and what it printed.
pub(crate) fn psql(node: &Node, token: &str, sql: &str, options: &str) -> (bool, String) {
    let run = Command::new("psql")
        .arg(format!("host=127.0.0.1 port={} user=physician dbname=salus {options}", node.postgres))
        .args(["-X", "-A", "-t", "-c", sql])
        .env("PGPASSWORD", token)
        .output()
        .expect("psql is missing: apt-get install postgresql-client");
    let text = [run.stdout, run.stderr].concat();
    (run.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
}
