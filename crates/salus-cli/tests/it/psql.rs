use crate::node::{Node, psql};
use crate::site::Site;

#[test]
fn staff_ask_through_psql_until_their_token_is_taken_away() {
    let site = Site::new();
    site.import("visits", "patient_id,pulse\np1,70\np2,80\n");
    let token = site.token("ann", &["physician"], "treatment");
    let kept = std::fs::read_to_string(site.path("site/staff.toml")).unwrap();
    assert!(!kept.contains(&token), "the staff file keeps the token itself");

    let node = Node::start(&site);
    assert!(node.http.starts_with("https://"), "{}", node.http);
    let ask = |sql: &str| psql(&node, &token, sql, "sslmode=require");
    assert_eq!(ask("SELECT sum(pulse) FROM visits"), (true, "150".to_owned()));
    let stranger = psql(&node, "salus_0", "SELECT 1", "sslmode=require");
    assert!(!stranger.0, "a token that was never issued");
    assert!(!psql(&node, &token, "SELECT 1", "sslmode=disable").0, "a connection without TLS");
    site.json(&["staff", "revoke", "ann"]);
    let (answered, message) = ask("SELECT sum(pulse) FROM visits");
    assert!(!answered, "{message}");
}
