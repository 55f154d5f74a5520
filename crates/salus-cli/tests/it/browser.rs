//! What a browser sends to the console, with all that an attacker would change about it.

use serde_json::{Value as Json, json};

/// A browser without a page: it keeps the session's cookie and names its origin.
pub(crate) struct Browser {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    pub(crate) origin: String,
    pub(crate) cookie: Option<String>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) set_cookie: Option<String>,
    pub(crate) headers: reqwest::header::HeaderMap,
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub(crate) fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or_default().to_owned()
    }
}

impl Browser {
    pub(crate) fn new(origin: &str, pem: &[u8]) -> Self {
        let client = reqwest::Client::builder()
            .tls_built_in_root_certs(false)
            .add_root_certificate(reqwest::Certificate::from_pem(pem).unwrap())
            .no_proxy()
            .build()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { client, runtime, origin: origin.to_owned(), cookie: None }
    }

    /// A request with exactly these headers.
    pub(crate) fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.origin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let headers = response.headers().clone();
            let set_cookie = headers.get("set-cookie").map(|v| v.to_str().unwrap().to_owned());
            let status = response.status().as_u16();
            Answer { status, text: response.text().await.unwrap(), set_cookie, headers }
        })
    }

    /// What a browser sends, which keeps the cookie that it is given.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: Option<Json>) -> Answer {
        let mut headers = Vec::new();
        let (origin, cookie) = (self.origin.clone(), self.cookie.clone());
        if method != "GET" {
            headers.push(("origin", origin.as_str()));
        }
        if let Some(cookie) = &cookie {
            headers.push(("cookie", cookie.as_str()));
        }
        let answer = self.raw(method, path, &headers, body.as_ref());
        if let Some(line) = &answer.set_cookie {
            let pair = line.split(';').next().unwrap().to_owned();
            self.cookie = (!pair.ends_with('=')).then_some(pair);
        }
        answer
    }

    /// Takes an invitation up; where the role demands a second factor, sets one up.
    pub(crate) fn accept(&mut self, code: &str, password: &str) -> Option<Factor> {
        let body = json!({ "code": code, "password": password });
        let accepted = self.ask("POST", "/v1/console/invitation", Some(body));
        assert_eq!(accepted.status, 200, "{}", accepted.text);
        if accepted.json()["strength"] == "full" {
            return None;
        }
        let begun = self.ask("POST", "/v1/console/factor", None);
        assert_eq!(begun.status, 200, "{}", begun.text);
        let begun = begun.json();
        let app = totp_rs::TOTP::from_url(begun["uri"].as_str().unwrap()).unwrap();
        let recovery: Vec<String> = serde_json::from_value(begun["recovery"].clone()).unwrap();
        let code = app.generate_current().unwrap();
        let confirmed = self.ask("PUT", "/v1/console/factor", Some(json!({ "code": code })));
        assert_eq!(confirmed.status, 200, "{}", confirmed.text);
        Some(Factor { app, recovery })
    }
}

/// A second factor as its person has it.
pub(crate) struct Factor {
    pub(crate) app: totp_rs::TOTP,
    pub(crate) recovery: Vec<String>,
}

impl Factor {
    /// The code of the next step, which is accepted already: clocks differ.
    pub(crate) fn next_code(&self) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        self.app.generate(now.as_secs() + 30)
    }
}
