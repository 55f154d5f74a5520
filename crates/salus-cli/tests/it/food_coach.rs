//! The Food Coach example, as its README tells it, with the people trying what they may not.

use serde_json::{Value as Json, json};

use crate::node::{Http, Node};
use crate::site::Site;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/food-coach");

fn example(name: &str) -> String {
    std::fs::read_to_string(format!("{EXAMPLE}/{name}")).unwrap()
}

struct FoodCoach {
    node: Node,
    http: Http,
    ines: String,
    karl: String,
    ada: String,
    ben: String,
    accounts: String,
    _site: Site,
}

impl FoodCoach {
    fn open() -> Self {
        let site = Site::new();
        std::fs::copy(format!("{EXAMPLE}/roles.toml"), site.path("site/roles.toml")).unwrap();
        let (file, schema) = (format!("{EXAMPLE}/billing.csv"), format!("{EXAMPLE}/billing.toml"));
        let report = site.json(&["import", &file, "--schema", &schema]);
        assert_eq!((&report[0]["accepted"], &report[0]["quarantined"]), (&json!(3), &json!(0)));
        let steward = site.token("steward-1", &["steward"], "operations");
        let ines = site.token("dietitian-ines", &["dietitian"], "treatment");
        let karl = site.token("dietitian-karl", &["dietitian"], "treatment");
        let ada = site.token("patient-ada", &["patient"], "treatment");
        let ben = site.token("patient-ben", &["patient"], "treatment");
        let accounts = site.token("accounts-1", &["accounts"], "payment");
        let node = Node::start(&site);
        let http = Http::of(&site);
        let coach = Self { node, http, ines, karl, ada, ben, accounts, _site: site };
        let (status, body) = coach.fhir("POST", "", &steward, Some(&example("people.json")));
        assert_eq!(status, 200, "{body}");
        coach
    }

    fn fhir(&self, method: &str, path: &str, token: &str, body: Option<&str>) -> (u16, Json) {
        let url = format!("{}/fhir{path}", self.node.http);
        let (status, text) = self.http.ask(method, &url, Some(token), body).unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Json::String(text)))
    }

    fn total(&self, path: &str, token: &str) -> u64 {
        let (status, bundle) = self.fhir("GET", path, token, None);
        assert_eq!(status, 200, "{bundle}");
        bundle["total"].as_u64().unwrap()
    }

    fn sql(&self, token: &str, role: &str, sql: &str) -> (u16, String) {
        self.http.sql(&self.node, token, role, sql).unwrap()
    }
}

#[test]
fn each_sees_and_writes_what_the_example_says() {
    let coach = FoodCoach::open();
    let (status, meal) =
        coach.fhir("POST", "/Observation", &coach.ada, Some(&example("meal.json")));
    assert_eq!(status, 201, "{meal}");
    let (status, diary) =
        coach.fhir("POST", "/QuestionnaireResponse", &coach.ada, Some(&example("diary.json")));
    assert_eq!(status, 201, "{diary}");

    // Ines cares for Ada, Karl does not.
    let meals = "/Observation?patient=patient-ada";
    assert_eq!(coach.total(meals, &coach.ines), 1);
    assert_eq!(coach.total(meals, &coach.karl), 0);
    assert_eq!(coach.total(meals, &coach.ben), 0);
    let one = format!("/Observation/{}", meal["id"].as_str().unwrap());
    assert_eq!(coach.fhir("GET", &one, &coach.ines, None).0, 200);
    assert_eq!(coach.fhir("GET", &one, &coach.karl, None).0, 404);

    // She recommends and plans; he may not, for her client.
    for (path, file) in [("/NutritionOrder", "recommendation.json"), ("/CarePlan", "plan.json")] {
        let (status, written) = coach.fhir("POST", path, &coach.ines, Some(&example(file)));
        assert_eq!(status, 201, "{written}");
        let (status, refused) = coach.fhir("POST", path, &coach.karl, Some(&example(file)));
        assert_eq!(status, 403, "{refused}");
    }
    assert_eq!(coach.total("/NutritionOrder?patient=patient-ada", &coach.ada), 1);

    // A patient writes no orders, and nothing about somebody else.
    let order = example("recommendation.json");
    assert_eq!(coach.fhir("POST", "/NutritionOrder", &coach.ada, Some(&order)).0, 403);
    let meal = example("meal.json");
    assert_eq!(coach.fhir("POST", "/Observation", &coach.ben, Some(&meal)).0, 403);
}

#[test]
fn sql_follows_the_same_rules() {
    let coach = FoodCoach::open();
    let (status, body) =
        coach.fhir("POST", "/Observation", &coach.ada, Some(&example("meal.json")));
    assert_eq!(status, 201, "{body}");
    let meals = "SELECT count(*) AS n FROM observations";
    let counted = |token: &str, role: &str| {
        let (status, body) = coach.sql(token, role, meals);
        assert_eq!(status, 200, "{body}");
        body.contains(":1")
    };
    assert!(counted(&coach.ines, "dietitian"));
    assert!(!counted(&coach.karl, "dietitian"));
    assert!(counted(&coach.ada, "patient"));
    assert!(!counted(&coach.ben, "patient"));

    let (status, body) =
        coach.sql(&coach.accounts, "accounts", "SELECT sum(amount_eur) AS total FROM billing");
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("215"), "{body}");
    let (status, body) = coach.sql(&coach.accounts, "accounts", "SELECT note FROM billing");
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("note") && body.contains("accounts"), "{body}");
    for (token, role, sql) in [
        (&coach.accounts, "accounts", "SELECT value_number FROM observations"),
        (&coach.ines, "dietitian", "SELECT amount_eur FROM billing"),
        (&coach.ada, "patient", "SELECT amount_eur FROM billing"),
    ] {
        let (status, body) = coach.sql(token, role, sql);
        assert_eq!(status, 403, "{role}: {body}");
    }
    assert_eq!(coach.fhir("GET", "/Patient", &coach.accounts, None).0, 403);
}
