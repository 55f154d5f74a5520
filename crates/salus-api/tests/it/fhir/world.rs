//! A site with two dietitians and a physician, its FHIR interface served over HTTP.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use salus_api::fhir::{FhirParts, router, standing};
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_ingest::fhir::Repository;
use salus_ingest::fhir::pull::Origin;
use salus_model::{HolderId, Purpose, Secret};
use salus_node::{Config, ListenConfig, Site, Staff, SubscriptionsConfig};
use salus_query::{AccessToken, Gateway, Limits, Request};
use salus_store::audit::AuditLog;
use serde_json::{Value as Json, json};

const ROLES: &str = r#"
format = 1
policies = '''
permit(principal in Salus::Role::"physician", action, resource);
permit(principal in Salus::Role::"dietitian", action, resource);
permit(principal in Salus::Role::"auditor", action, resource);
permit(principal in Salus::Role::"policy", action, resource in Salus::Dataset::"care_team_members");
permit(principal in Salus::Role::"billing", action, resource)
  unless { resource.path == "resource" };
forbid(principal in Salus::Role::"dietitian", action == Salus::Action::"write-resource",
       resource == Salus::ResourceType::"CarePlan");
'''

[role.physician]
write = "*"

[role.auditor]

[role.billing]
mask = true
write = ["Observation"]

[role.dietitian]
write = ["Observation", "NutritionOrder", "CarePlan", "Subscription"]
[[role.dietitian.rows]]
dataset = "fhir_resources"
among = "SELECT 'Patient/' || patient_id FROM care_team_members WHERE practitioner_id = $staff"
"#;

pub(crate) struct World {
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    pub(crate) repository: Repository,
    pub(crate) gateway: Gateway,
    pub(crate) site: Site,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) staff: Arc<Staff>,
    pub(crate) doctor: String,
    pub(crate) ann: String,
    pub(crate) bob: String,
    folder: tempfile::TempDir,
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Json,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status, code and words of the first issue.
    pub(crate) fn issue(&self) -> (u16, &str, &str) {
        assert_eq!(self.body["resourceType"], "OperationOutcome", "{self:?}");
        assert!(salus_fhir::validate(&self.body).is_empty(), "{self:?}");
        let text = |name: &str| self.body["issue"][0][name].as_str().unwrap();
        (self.status.as_u16(), text("code"), text("diagnostics"))
    }

    pub(crate) fn expression(&self) -> &str {
        self.body["issue"][0]["expression"][0].as_str().unwrap_or_default()
    }

    /// Keys of the entries with this search mode.
    pub(crate) fn found(&self, mode: &str) -> Vec<String> {
        let entries = self.body["entry"].as_array().cloned().unwrap_or_default();
        let with_mode = entries.iter().filter(|entry| entry["search"]["mode"] == mode);
        with_mode
            .map(|entry| {
                let resource = &entry["resource"];
                let text = |name: &str| resource[name].as_str().unwrap().to_owned();
                format!("{}/{}", text("resourceType"), text("id"))
            })
            .collect()
    }

    pub(crate) fn total(&self) -> u64 {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.body["total"].as_u64().unwrap()
    }

    pub(crate) fn link(&self, relation: &str) -> Option<String> {
        let links = self.body["link"].as_array()?;
        let link = links.iter().find(|link| link["relation"] == relation)?;
        Some(link["url"].as_str().unwrap().to_owned())
    }
}

pub(crate) fn patient(id: &str, family: &str) -> Json {
    json!({"resourceType": "Patient", "id": id, "name": [{"family": family}]})
}

pub(crate) fn weight(id: &str, patient: &str, value: f64) -> Json {
    json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": {"reference": format!("Patient/{patient}")},
        "valueQuantity": {"value": value, "unit": "kg"},
    })
}

fn care_team(id: &str, patient: &str, practitioner: &str) -> Json {
    json!({
        "resourceType": "CareTeam", "id": id,
        "subject": {"reference": format!("Patient/{patient}")},
        "participant": [{"member": {"reference": format!("Practitioner/{practitioner}")}}],
    })
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::telling(&[]).await
    }

    /// A site that may tell these origins of changes.
    pub(crate) async fn telling(origins: &[&str]) -> Self {
        let folder = salus_testkit::scratch();
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = ListenConfig { http: any, postgres: any, flight: any };
        let mut config = Config::embedded(HolderId::new("st-mary").unwrap(), listen);
        if !origins.is_empty() {
            let origin = |o: &&str| Origin::try_from((*o).to_owned()).unwrap();
            let allow = origins.iter().map(origin).collect();
            config.fhir.subscriptions = Some(SubscriptionsConfig { allow, ca_file: None });
        }
        let phrase = || Passphrase::new(Secret::new("correct horse".to_owned())).unwrap();
        let (path, cost) = (folder.path().join("site"), GuessCost::OWASP_MINIMUM);
        std::fs::create_dir(&path).unwrap();
        Site::init(&path, &config, phrase(), cost).await.unwrap();
        std::fs::write(path.join("roles.toml"), ROLES).unwrap();
        let site = Site::open(&path, phrase(), cost).await.unwrap();
        let repository = site.open_fhir().await.unwrap();
        let world = Self::serve(site, repository, folder, &path).await;
        for resource in [
            patient("p-ann", "Client"),
            patient("p-bob", "Client"),
            care_team("ct-ann", "p-ann", "ann"),
            care_team("ct-bob", "p-bob", "bob"),
        ] {
            assert_eq!(world.put(&world.doctor, resource).await.status, 201);
        }
        world
    }

    async fn serve(
        site: Site,
        repository: Repository,
        folder: tempfile::TempDir,
        path: &Path,
    ) -> Self {
        let staff = Arc::new(Staff::new(path.join("staff.toml"), Arc::clone(&site.clock)));
        let issue = |name: &str, role: &str| {
            let (name, roles) = (name.parse().unwrap(), [role.parse().unwrap()].into());
            staff.issue(name, roles, Purpose::Treatment, 86_400_000_000).unwrap()
        };
        let (doctor, ann, bob) =
            (issue("doctor", "physician"), issue("ann", "dietitian"), issue("bob", "dietitian"));
        for role in ["auditor", "billing"] {
            std::fs::write(folder.path().join(role), issue(role, role)).unwrap();
        }
        let audit = site.open_audit().await.unwrap();
        let limits = Limits {
            memory_bytes: 256 << 20,
            time: Duration::from_secs(60),
            rows: 100_000,
            statement_bytes: 64 * 1024,
            nesting: 50,
            partitions: std::num::NonZeroUsize::new(2).unwrap(),
            at_once: std::num::NonZeroUsize::new(8).unwrap(),
        };
        let known = Arc::<Staff>::clone(&staff);
        let gateway = site.gateway(known, Arc::clone(&audit), limits).unwrap();
        let standing = standing(gateway.clone(), repository.clone());
        let subscriptions = site.open_subscriptions(repository.clone(), standing).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/fhir", listener.local_addr().unwrap());
        let parts = FhirParts {
            gateway: gateway.clone(),
            repository: repository.clone(),
            subscriptions,
            clock: Arc::clone(&site.clock),
            base_url: base.clone(),
        };
        let routes = router(parts).unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let client = reqwest::Client::new();
        Self { base, client, repository, gateway, site, audit, staff, doctor, ann, bob, folder }
    }

    /// The token of another role.
    pub(crate) fn token(&self, role: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(role)).unwrap()
    }

    pub(crate) async fn send(
        &self,
        (method, path): (Method, &str),
        token: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let mut request = self.client.request(method, url).body(body);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/fhir+json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = if text.is_empty() { Json::Null } else { serde_json::from_str(&text).unwrap() };
        Reply { status, headers, body }
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Reply {
        self.send((Method::GET, path), token, &[], "").await
    }

    pub(crate) async fn put(&self, token: &str, resource: Json) -> Reply {
        let text = |name: &str| resource[name].as_str().unwrap().to_owned();
        let path = format!("/{}/{}", text("resourceType"), text("id"));
        self.send((Method::PUT, &path), token, &[], resource.to_string()).await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: &Json) -> Reply {
        self.send((Method::POST, path), token, &[], body.to_string()).await
    }

    /// The first cell of a physician's SQL.
    pub(crate) async fn sql(&self, statement: &str) -> String {
        let request = Request { sql: statement.to_owned(), role: None, parameters: Vec::new() };
        let answer =
            self.gateway.answer(&AccessToken::new(self.doctor.clone()), request).await.unwrap();
        let mut text = Vec::new();
        answer.write_csv(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        text.lines().nth(1).unwrap_or_default().to_owned()
    }
}
