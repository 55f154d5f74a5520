//! Signing in at the console, and what each role may not do there; attacked over HTTPS.

use salus_api::{Access, HttpRoute, console};
use serde_json::{Value as Json, json};

use crate::browser::{Browser, Factor};
use crate::node::Node;
use crate::site::Site;
use crate::world::{Serving, World};

const GOOD: &str = "granite lamp ferry plum";

/// A running node with an account of each role.
struct Office {
    site: Site,
    node: Node,
    administrator: Browser,
    factor: Factor,
}

impl Office {
    fn new() -> Self {
        let site = Site::new();
        let code = create(&site, "root", "administrator");
        let node = Node::start(&site);
        let mut administrator = browser(&site, &node);
        let factor = administrator.accept(&code, GOOD).unwrap();
        Self { site, node, administrator, factor }
    }

    fn browser(&self) -> Browser {
        browser(&self.site, &self.node)
    }

    /// Somebody of a role, signed in.
    fn person(&mut self, login: &str, role: &str) -> Browser {
        let body = json!({ "login": login, "name": login, "role": role });
        let invited = self.administrator.ask("POST", "/v1/console/accounts", Some(body));
        assert_eq!(invited.status, 200, "{}", invited.text);
        let mut browser = self.browser();
        browser.accept(invited.json()["code"].as_str().unwrap(), GOOD);
        browser
    }
}

fn browser(site: &Site, node: &Node) -> Browser {
    Browser::new(&node.http, &std::fs::read(site.path("site/ca.pem")).unwrap())
}

fn create(site: &Site, login: &str, role: &str) -> String {
    let words = ["account", "create", login, "--name", login, "--role", role];
    site.json(&words)["code"].as_str().unwrap().to_owned()
}

fn id_of(browser: &mut Browser) -> String {
    let who = browser.ask("GET", "/v1/console/session", None);
    who.json()["account"]["id"].as_str().unwrap().to_owned()
}

fn sign_in(browser: &mut Browser, body: Json) -> (u16, String) {
    let answer = browser.ask("POST", "/v1/console/session", Some(body));
    let reason = if answer.status == 200 { String::new() } else { answer.reason() };
    (answer.status, reason)
}

#[test]
fn a_session_is_a_cookie_that_nobody_plants_reads_or_keeps() {
    let mut office = Office::new();
    let mut root = office.browser();
    // Codes: wanted, wrong, right, and not again.
    let typed = |code: Option<&str>| match code {
        None => json!({ "login": "root", "password": GOOD }),
        Some(code) => json!({ "login": "root", "password": GOOD, "code": code }),
    };
    assert_eq!(sign_in(&mut root, typed(None)), (401, "code-wanted".into()));
    let code = office.factor.next_code();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    assert_eq!(sign_in(&mut root, typed(Some(wrong))), (401, "wrong".into()));
    assert!(root.cookie.is_none(), "a refusal begins no session");

    // Somebody planted a token in this browser: it is worth nothing before and after.
    let planted = format!("__Host-salus-session=salus_s_{}", "ab".repeat(32));
    root.cookie = Some(planted.clone());
    let answer = root.ask("POST", "/v1/console/session", Some(typed(Some(&code))));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let line = answer.set_cookie.clone().unwrap();
    for part in ["__Host-salus-session=salus_s_", "Path=/", "Secure", "HttpOnly", "SameSite=Strict"]
    {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
    assert!(!line.contains("Domain") && !line.contains("Max-Age"), "{line}");
    assert!(!answer.text.contains("salus_s_"), "the token stands in the cookie alone");
    let begun = root.cookie.clone().unwrap();
    assert_ne!(begun, planted);
    let with = |cookie: &str| root.raw("GET", "/v1/console/session", &[("cookie", cookie)], None);
    assert_eq!(with(&planted).status, 401);
    assert_eq!(with(&begun).status, 200);
    // Two at once: nobody says which is meant, so neither is.
    assert_eq!(with(&format!("{planted}; {begun}")).status, 401);
    assert_eq!(with(&begun.replace("__Host-", "")).status, 401);

    // The code was used up.
    let mut thief = office.browser();
    assert_eq!(sign_in(&mut thief, typed(Some(&code))), (401, "wrong".into()));
    // A recovery code works once; whoever signs in again ends the session that was there.
    let spare = json!({ "login": "root", "password": GOOD, "recovery": office.factor.recovery[0] });
    assert_eq!(sign_in(&mut root, spare.clone()).0, 200);
    let second = root.cookie.clone().unwrap();
    assert_ne!(second, begun);
    assert_eq!(
        office.browser().raw("GET", "/v1/console/session", &[("cookie", &begun)], None).status,
        401
    );
    assert_eq!(sign_in(&mut thief, spare), (401, "wrong".into()));

    assert_eq!(root.ask("DELETE", "/v1/console/session", None).status, 204);
    assert!(root.cookie.is_none());
    let gone = office.browser().raw("GET", "/v1/console/session", &[("cookie", &second)], None);
    assert_eq!((gone.status, gone.reason()), (401, "no-session".into()));
    assert_eq!(office.administrator.ask("GET", "/v1/console/session", None).status, 200);
}

#[test]
fn guesses_have_to_wait_and_an_unknown_name_is_told_the_same() {
    let mut office = Office::new();
    office.person("ana", "researcher");
    let mut told = Vec::new();
    for login in ["ana", "nobody-by-this-name"] {
        let mut browser = office.browser();
        let mut answers = Vec::new();
        for n in 0..8 {
            let body = json!({ "login": login, "password": format!("guess number {n}") });
            let answer = browser.ask("POST", "/v1/console/session", Some(body));
            // Down to the moment until which one has to wait.
            let said = answer.text.split(" after ").next().unwrap().to_owned();
            answers.push((answer.status, said));
        }
        let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 429, 429], "{login}");
        // The right password does not help while one has to wait.
        let right = json!({ "login": login, "password": GOOD });
        assert_eq!(sign_in(&mut browser, right), (429, "wait".into()));
        told.push(answers);
    }
    assert_eq!(told[0], told[1]);
    // The history shows both to the administrator, and to nobody else.
    let history = office.administrator.ask("GET", "/v1/console/history?limit=200", None).json();
    let failed = history.as_array().unwrap().iter().filter(|e| e["kind"] == "failed").count();
    assert_eq!(failed, 12);
}

/// What a rightful caller sends; the handler may refuse it for reasons of its own.
fn body(route: &HttpRoute) -> Option<Json> {
    match (route.method, route.path) {
        ("GET" | "DELETE", _) | ("POST", "/v1/console/factor") => None,
        ("POST", "/v1/console/accounts/{id}/invitation") => None,
        ("POST", "/v1/console/session") => Some(json!({ "login": "a", "password": "b" })),
        ("POST", "/v1/console/invitation") => {
            Some(json!({ "code": "salus_i_0", "password": GOOD }))
        }
        ("PUT", "/v1/console/factor") => Some(json!({ "code": "000000" })),
        ("PUT", "/v1/console/password") => Some(json!({ "present": "x", "new": "y" })),
        ("POST", "/v1/console/accounts") => {
            Some(json!({ "login": "mallory", "name": "M", "role": "administrator" }))
        }
        ("PUT", "/v1/console/accounts/{id}/role") => Some(json!({ "role": "administrator" })),
        ("PUT", "/v1/console/accounts/{id}/key") => Some(json!({})),
        ("POST", "/v1/console/studio/plan" | "/v1/console/studio/questions") => Some(json!({})),
        ("POST", "/v1/console/proposals") => Some(json!({ "agree": 1 })),
        ("POST", path) if path.starts_with("/v1/console/proposals/") => {
            Some(json!({ "file": "00" }))
        }
        ("POST", "/v1/console/releases/{dataset}/studies") => Some(json!({ "assess": {} })),
        ("POST", "/v1/console/releases/{dataset}/plan") => {
            let publish = json!({ "dataset": "x", "least-score": 1 });
            let plan = json!({ "purpose": "p", "anonymise": { "k": 2 }, "publish": publish });
            Some(json!({ "plan": plan }))
        }
        ("PUT", "/v1/console/permits/{permit}") => Some(json!({ "decision": "grant" })),
        other => panic!("{other:?} is new: say here what it is sent, and what it must refuse"),
    }
}

#[test]
fn each_route_of_the_console_refuses_strangers_other_origins_and_other_roles() {
    let mut office = Office::new();
    let roles = ["researcher", "steward", "technician", "auditor"];
    let mut people: Vec<(&str, Browser)> = vec![];
    for role in roles {
        let browser = office.person(&format!("the-{role}"), role);
        people.push((role, browser));
    }
    let mut eve = office.person("eve", "researcher");
    let target = id_of(&mut eve);
    let mut closed = office.person("closed", "researcher");
    let closed_id = id_of(&mut closed);
    let path = format!("/v1/console/accounts/{closed_id}");
    assert_eq!(office.administrator.ask("DELETE", &path, None).status, 204);

    let root = office.administrator.cookie.clone().unwrap();
    let ask = |route: &HttpRoute, headers: &[(&str, &str)]| {
        let path = route
            .path
            .replace("{id}", &target)
            .replace("{permit}", &format!("permit-{}", "0".repeat(32)))
            .replace("{dataset}", "vitals")
            .replace("{study}", &format!("study-{}", "0".repeat(32)))
            .replace("{*path}", "overview")
            .replace("{*page}", "questions")
            .replace("{file}", "none.js");
        office.browser().raw(route.method, &path, headers, body(route).as_ref())
    };
    let own = office.node.http.clone();
    let strange = format!("__Host-salus-session=salus_s_{}", "0".repeat(64));
    let mut refusals = 0;
    for route in &console::ROUTES {
        let own = ("origin", own.as_str());
        // Whatever changes something names its own origin, whoever asks.
        if route.method != "GET" {
            let foreign =
                ["https://evil.example", "null", "http://127.0.0.1", &own.1[..own.1.len() - 1]];
            for origin in foreign {
                let answer = ask(route, &[("cookie", &root), ("origin", origin)]);
                assert_eq!(
                    (answer.status, answer.reason()),
                    (403, "origin".into()),
                    "{route:?} {origin}"
                );
                assert!(answer.set_cookie.is_none());
                refusals += 1;
            }
            let silent = ask(route, &[("cookie", &root)]);
            assert_eq!((silent.status, silent.reason()), (403, "origin".into()), "{route:?}");
        }
        for site in ["cross-site", "same-site"] {
            let headers = [
                ("cookie", root.as_str()),
                own,
                ("sec-fetch-site", site),
                ("sec-fetch-mode", "cors"),
            ];
            let answer = ask(route, &headers);
            assert_eq!(
                (answer.status, answer.reason()),
                (403, "origin".into()),
                "{route:?} {site}"
            );
            refusals += 1;
        }
        let allowed = match route.access {
            Access::Published | Access::SignIn => continue,
            Access::AnySession => None,
            Access::Session(roles) => Some(roles),
            other => panic!("{other:?} is no access of the console"),
        };
        for cookie in [None, Some(strange.as_str()), closed.cookie.as_deref(), Some("salus=1")] {
            let headers: Vec<(&str, &str)> =
                cookie.map(|c| ("cookie", c)).into_iter().chain([own]).collect();
            let answer = ask(route, &headers);
            assert_eq!(
                (answer.status, answer.reason()),
                (401, "no-session".into()),
                "{route:?} {cookie:?}"
            );
            refusals += 1;
        }
        let Some(allowed) = allowed else { continue };
        for (role, person) in &people {
            let answer = ask(route, &[("cookie", person.cookie.as_deref().unwrap()), own]);
            let may = allowed.iter().any(|allowed| allowed.as_str() == *role);
            if may {
                let refused = answer.status == 403 && answer.reason() == "role";
                assert!(!refused, "{route:?} refuses {role}, whom it is for: {}", answer.text);
            } else {
                assert_eq!(
                    (answer.status, answer.reason()),
                    (403, "role".into()),
                    "{route:?} {role}"
                );
                refusals += 1;
            }
        }
    }
    assert!(refusals > 150, "{refusals}");
    // Nothing of all that took effect.
    let list = office.administrator.ask("GET", "/v1/console/accounts", None).json();
    let eve = list.as_array().unwrap().iter().find(|a| a["id"] == target.as_str()).unwrap();
    assert_eq!((&eve["role"], &eve["state"]), (&json!("researcher"), &json!("active")));
    assert!(list.as_array().unwrap().iter().all(|a| a["login"] != "mallory"));
}

#[test]
fn nothing_is_given_before_the_second_factor_and_the_page_runs_no_foreign_script() {
    let site = Site::new();
    let code = create(&site, "root", "administrator");
    let node = Node::start(&site);
    let mut root = browser(&site, &node);
    let weak = json!({ "code": code, "password": "rootrootroot" });
    let refused = root.ask("POST", "/v1/console/invitation", Some(weak));
    assert_eq!((refused.status, refused.reason()), (400, "password".into()), "{}", refused.text);
    let body = json!({ "code": code, "password": GOOD });
    let accepted = root.ask("POST", "/v1/console/invitation", Some(body.clone()));
    assert_eq!(accepted.json()["strength"], "enrolment");
    for path in ["/v1/console/accounts", "/v1/console/history", "/v1/explorer/overview"] {
        let early = root.ask("GET", path, None);
        assert_eq!((early.status, early.reason()), (403, "enrol-first".into()), "{path}");
    }
    let again = browser(&site, &node).ask("POST", "/v1/console/invitation", Some(body));
    assert_eq!((again.status, again.reason()), (401, "no-invitation".into()));

    let page = root.raw("GET", "/console", &[], None);
    assert_eq!(page.status, 200, "{}", page.text);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    for part in
        ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(part), "{part} is missing in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    for path in ["/assets/..%2f..%2fsalus.toml", "/assets/none.js"] {
        assert_eq!(root.raw("GET", path, &[], None).status, 404, "{path}");
    }
    // On its own command line the operator does what an administrator does.
    let lost = site.json(&["account", "reset", "root", "--factor"]);
    assert!(lost["code"].as_str().unwrap().starts_with("salus_i_"));
    assert_eq!(root.ask("GET", "/v1/console/session", None).status, 401);
    site.json(&["account", "create", "second", "--name", "S", "--role", "administrator"]);
    let listed = site.json(&["account", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let (exit, said) =
        site.failure(&["account", "create", "ROOT", "--name", "x", "--role", "auditor"]);
    assert!(exit == 2 && said.contains("taken"), "{exit} {said}");
    let (exit, said) = site.failure(&["account", "revoke", "nobody"]);
    assert!(exit == 2 && said.contains("nobody"), "{exit} {said}");
    let (exit, said) = site.failure(&["account", "revoke", "root"]);
    assert!(exit == 3 && said.contains("last administrator"), "{exit} {said}");
}

/// What no answer about the lake may have in it: a value of a record that was refused.
const PLANTED: &str = "Wrexham-Featherstone";

const BEDS: &str = r#"
dataset = "beds"
subject = "patient_id"
[[column]]
name = "patient_id"
type = "text"
class = "identifiers"
required = true
[[column]]
name = "nights"
type = "integer"
class = "clinical"
"#;

#[test]
fn a_steward_sees_what_came_in_and_why_records_were_refused_and_no_value_of_them() {
    let mut office = Office::new();
    let mut steward = office.person("sara", "steward");
    let intake = |browser: &mut Browser| browser.ask("GET", "/v1/console/intake", None);
    let empty = intake(&mut steward).json();
    assert!(empty["sources"].as_array().unwrap().is_empty(), "{empty}");
    assert!(empty["locked"].as_array().unwrap().is_empty(), "{empty}");
    let gone = steward.ask("GET", "/v1/console/datasets/beds", None);
    assert_eq!(gone.status, 404, "{}", gone.text);

    let import = |rows: &str| {
        let header = "patient_id,nights\n";
        std::fs::write(office.site.path("beds.csv"), format!("{header}{rows}")).unwrap();
        std::fs::write(office.site.path("beds.toml"), BEDS).unwrap();
        let (file, schema) =
            (office.site.text_path("beds.csv"), office.site.text_path("beds.toml"));
        office.site.json(&["import", &file, "--schema", &schema]);
    };
    import("a,3\nb,4\nc,1\n");
    import(&format!("d,2\ne,{PLANTED}\nf,{PLANTED}\n,7\n"));

    let shown = steward.ask("GET", "/v1/console/datasets/beds", None);
    assert_eq!(shown.status, 200, "{}", shown.text);
    let beds = shown.json();
    assert_eq!(
        (beds["way"].as_str(), beds["subject"].as_str()),
        (Some("tables"), Some("patient_id"))
    );
    let changes: Vec<(u64, i64)> = beds["versions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|v| Some((v["rows"].as_u64()?, v["change"].as_i64()?)))
        .collect();
    assert!(changes.starts_with(&[(4, 1), (3, 3)]), "{beds}");
    let quarantine = &beds["quarantine"];
    let told: Vec<(&str, u64)> = quarantine["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["field"].as_str().unwrap(), r["records"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, [("nights", 2), ("patient_id", 1)]);
    assert_eq!(
        (quarantine["more"].as_bool(), quarantine["withheld"].is_null()),
        (Some(false), true)
    );
    let keys: Vec<&str> =
        beds["keys"].as_array().unwrap().iter().map(|k| k["name"].as_str().unwrap()).collect();
    assert_eq!(keys, ["beds.clinical", "beds.identifiers"]);

    let came = intake(&mut steward);
    let arrivals = came.json()["arrivals"].as_array().unwrap().clone();
    let refused: Vec<&Json> = arrivals.iter().filter(|a| a["refused"] == true).collect();
    assert!(refused.iter().any(|a| a["dataset"] == "beds" && a["change"] == 3), "{arrivals:?}");
    assert!(
        arrivals
            .iter()
            .any(|a| a["dataset"] == "beds" && a["refused"] == false && a["change"] == 3)
    );
    for text in [&shown.text, &came.text] {
        assert!(!text.contains(PLANTED), "{text}");
    }
    // The look at the quarantine is on record, under the account.
    let log = office.site.json(&["audit", "list"]).to_string();
    assert!(log.contains("FROM \\\"beds_quarantine\\\"") && log.contains("account-"), "{log}");

    // Where the site's policies withhold it, the page has the rest.
    let roles = office.site.path("site/roles.toml");
    let text = std::fs::read_to_string(&roles).unwrap();
    let policy = "policies = '''\nforbid(principal in Salus::Role::\"steward\", action, resource)\n  \
                  when { resource.dataset == \"beds_quarantine\" };\n";
    std::fs::write(&roles, text.replacen("policies = '''\n", policy, 1)).unwrap();
    let withheld = steward.ask("GET", "/v1/console/datasets/beds", None).json();
    assert!(withheld["quarantine"]["reasons"].is_null(), "{withheld}");
    assert!(!withheld["quarantine"]["withheld"].as_str().unwrap().is_empty());
    assert_eq!(withheld["versions"], beds["versions"]);
}

#[test]
fn on_a_ledger_the_organisation_has_to_have_the_role() {
    let world = World::new(1);
    let create = |site: &'static str, role: &'static str, more: &[&'static str]| {
        let mut words = vec!["account", "create", role, "--name", role, "--role", role];
        words.extend(more);
        (site, words)
    };
    // A hospital asks no questions, a university keeps no datasets; each has its administrators.
    for (site, role) in [("st-mary", "researcher"), ("uni", "steward")] {
        let (site, words) = create(site, role, &[]);
        let (exit, said) = world.failure(site, &words);
        assert!(exit == 3 && said.contains("none of the roles"), "{exit} {said}");
        // The name is free again.
        assert_eq!(world.json(site, &["account", "list"]).as_array().unwrap().len(), 0);
    }
    for (site, role) in [("st-mary", "steward"), ("uni", "researcher"), ("uni", "administrator")] {
        let (site, words) = create(site, role, &[]);
        world.json(site, &words);
    }
    let listed = world.json("uni", &["account", "list"]);
    let researcher = listed.as_array().unwrap().iter().find(|a| a["role"] == "researcher").unwrap();
    let key = researcher["bound"]["key"].as_str().unwrap();
    // Under the university's key nobody is of the hospital, and a key that is nobody's is none.
    let words = [
        "account", "create", "eve", "--name", "Eve", "--role", "steward", "--member", "uni",
        "--key", key,
    ];
    let (exit, said) = world.failure("st-mary", &words);
    assert!(exit == 3 && said.contains("none of the roles"), "{exit} {said}");
    let words = ["account", "create", "eve", "--name", "Eve", "--role", "steward", "--key", key];
    let (exit, said) = world.failure("st-mary", &words);
    assert!(exit == 3 && said.contains("the key is of uni"), "{exit} {said}");
    let nobody = "0".repeat(64);
    let words =
        ["account", "create", "eve", "--name", "Eve", "--role", "steward", "--key", &nobody];
    let (exit, said) = world.failure("st-mary", &words);
    assert!(exit == 3 && said.contains("the ledger has no key"), "{exit} {said}");
    // A role that the organisation has not is not to be had by changing it either: the account
    // may do nothing until it is changed back.
    let (exit, said) = world.failure("uni", &["account", "role", "researcher", "steward"]);
    assert!(exit == 3 && said.contains("none of the roles"), "{exit} {said}");
}

/// A site of the world at its console, with its administrator signed in.
fn administrator_of(world: &World, site: &str) -> (Serving, Browser) {
    let words = ["account", "create", "root", "--name", "Root", "--role", "administrator"];
    let code = world.json(site, &words)["code"].as_str().unwrap().to_owned();
    let node = world.serve(site, &["node", "run"]);
    let mut browser = Browser::new(&node.told("http"), node.told("certificate").as_bytes());
    browser.accept(&code, GOOD).unwrap();
    (node, browser)
}

/// A proposal goes from one member's console to another's; each sees what it would change before
/// signing, and those who may not decide decide nothing.
#[test]
fn members_decide_on_the_configuration_in_their_consoles() {
    let world = World::new(1);
    let (_hub, mut hub) = administrator_of(&world, "hub");
    let (_uni, mut uni) = administrator_of(&world, "uni");
    let present = hub.ask("GET", "/v1/console/configuration", None).json();
    assert_eq!((present["version"].as_u64(), present["lifetime_blocks"].is_u64()), (Some(0), true));
    let before = present["lifetime_blocks"].as_u64().unwrap();

    // What cannot be is told before anybody signs.
    for (wanted, said) in [
        (json!({ "lifetime_blocks": before }), "nothing would change"),
        (json!({ "agree": 0 }), ""),
        (json!({ "remove_validators": ["00"] }), "key"),
        (
            json!({ "require": [{ "method": "permits.grand", "k": 1, "role": "officer" }] }),
            "no method",
        ),
    ] {
        let refused = hub.ask("POST", "/v1/console/proposals", Some(wanted.clone()));
        assert_eq!(refused.status, 400, "{wanted} {}", refused.text);
        assert!(refused.text.contains(said), "{wanted} {}", refused.text);
    }

    // The university proposes; alone it decides nothing, since it is no administrator there.
    let wanted = json!({ "lifetime_blocks": before + 7, "clock_skew_ms": 900 });
    let proposed = uni.ask("POST", "/v1/console/proposals", Some(wanted)).json();
    assert_eq!(proposed["signed_by"], json!(["uni"]));
    assert_eq!(
        (proposed["signed_here"].as_bool(), proposed["overtaken"].as_bool()),
        (Some(true), Some(false))
    );
    let file = json!({ "file": proposed["file"] });
    let alone = uni.ask("POST", "/v1/console/proposals/submit", Some(file.clone()));
    assert_eq!(alone.status, 403, "{}", alone.text);
    assert!(alone.text.contains("governance policy"), "{}", alone.text);

    // The hub opens it, as it came.
    let opened = hub.ask("POST", "/v1/console/proposals/open", Some(file.clone())).json();
    assert_eq!(
        (opened["method"].as_str(), opened["signed_here"].as_bool()),
        (Some("platform.change-config"), Some(false))
    );
    let settings: Vec<(&str, &str, &str)> = opened["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            (
                c["setting"].as_str().unwrap(),
                c["before"].as_str().unwrap(),
                c["after"].as_str().unwrap(),
            )
        })
        .collect();
    let (old, new) = (before.to_string(), (before + 7).to_string());
    assert!(settings.contains(&("blocks that a transaction waits", &old, &new)), "{settings:?}");
    assert_eq!(settings.len(), 2, "{settings:?}");
    // One that was altered on its way is signed by nobody.
    let mut bent = proposed["file"].as_str().unwrap().to_owned();
    let last = bent.pop().unwrap();
    bent.push(if last == '0' { '1' } else { '0' });
    for path in ["open", "endorse", "submit"] {
        let path = format!("/v1/console/proposals/{path}");
        let refused = hub.ask("POST", &path, Some(json!({ "file": bent })));
        assert_eq!(refused.status, 400, "{path} {}", refused.text);
    }

    let endorsed = hub.ask("POST", "/v1/console/proposals/endorse", Some(file)).json();
    assert_eq!(endorsed["signed_by"].as_array().unwrap().len(), 2, "{endorsed}");
    let whole = json!({ "file": endorsed["file"] });
    let done = hub.ask("POST", "/v1/console/proposals/submit", Some(whole.clone()));
    assert_eq!(done.status, 200, "{}", done.text);
    let present = uni.ask("GET", "/v1/console/configuration", None).json();
    assert_eq!(present["lifetime_blocks"].as_u64(), Some(before + 7), "{present}");
    assert_eq!(present["version"].as_u64(), Some(1));
    // It was decided on what was in force then; it is told that it is not any more.
    let again = uni.ask("POST", "/v1/console/proposals/open", Some(whole)).json();
    assert_eq!(again["overtaken"], true, "{again}");
    // Who did it for the organisation stands in the site's own history.
    let history = hub.ask("GET", "/v1/console/history", None).json();
    let kinds: Vec<&str> =
        history.as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "endorsed").count(), 1, "{kinds:?}");
    assert!(kinds.contains(&"handed-in"), "{kinds:?}");
    assert!(!kinds.contains(&"proposed"), "{kinds:?}");
}
