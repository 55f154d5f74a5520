//! How soon a revocation that was made elsewhere takes effect, and that nobody profits by another's
//! use of a key.

use std::time::{Duration, Instant};

use crate::node::{Http, Node};
use crate::site::{Site, copy};

const PULSE: &str = "SELECT sum(pulse) AS n FROM visits";

/// A site with visits, and a second process's view of the same key file.
fn site(seconds: &str) -> Site {
    let site = Site::with(&["--revocation-seconds", seconds], &[]);
    site.import("visits", "patient_id,pulse\np1,70\np2,80\n");
    copy(&site.path("site"), &site.path("twin"));
    let toml = std::fs::read_to_string(site.path("twin/salus.toml")).unwrap();
    let file = format!("file = \"{}\"", site.path("site/keys/keystore").display());
    let shared = toml.replace("file = \"keys/keystore\"", &file);
    assert_ne!(toml, shared);
    std::fs::write(site.path("twin/salus.toml"), shared).unwrap();
    site
}

/// Changes a key without the node's being told.
fn elsewhere(site: &Site, change: &str) {
    let done = site.command_in("twin", &["keys", change, "visits.clinical"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_key_that_one_person_used_opens_nothing_for_another_and_ends_in_time() {
    const SECONDS: u64 = 12;
    let site = site(&SECONDS.to_string());
    let ann = site.token("ann", &["physician", "assistant"], "treatment");
    let bob = site.token("bob", &["physician"], "treatment");
    let roles = site.path("site/roles.toml");
    let text = std::fs::read_to_string(&roles).unwrap();
    let more = "permit(principal in Salus::Role::\"assistant\", action, resource);\n'''";
    let text = text.replacen("\n'''\n", &format!("\n{more}\n"), 1) + "\n[role.assistant]\n";
    std::fs::write(&roles, text).unwrap();
    let node = Node::start(&site);
    let http = Http::of(&site);
    let ask = |token: &str, role: &str| http.sql(&node, token, role, PULSE).unwrap();
    // Ann's key is in memory from here on.
    let began = Instant::now();
    assert_eq!(ask(&ann, "physician").0, 200);
    elsewhere(&site, "revoke");
    let revoked = Instant::now();
    let cached = ask(&ann, "physician");
    let after = began.elapsed();
    if after < Duration::from_secs(SECONDS) {
        assert_eq!(cached.0, 200, "the cache is not in use: {cached:?}");
    }
    // Bob in the same role, and Ann in another one, never had it.
    for (who, token, role) in [("bob", &bob, "physician"), ("ann", &ann, "assistant")] {
        let (status, said) = ask(token, role);
        assert_eq!(status, 403, "{who} as {role}: {said}");
        assert!(said.contains("visits.clinical") && !said.contains("150"), "{said}");
    }
    std::thread::sleep(Duration::from_secs(SECONDS).saturating_sub(revoked.elapsed()));
    let (status, said) = ask(&ann, "physician");
    assert_eq!(status, 403, "{:?} after the revocation: {said}", revoked.elapsed());
    elsewhere(&site, "reinstate");
    assert_eq!(ask(&ann, "physician").0, 200, "a refusal was kept");
    println!("asked again {after:?} after the first use, of {SECONDS} s");
}

#[test]
fn a_revocation_takes_effect_at_once_where_keys_are_not_kept_or_the_node_is_told() {
    let site = site("0");
    let ann = site.token("ann", &["physician"], "treatment");
    let node = Node::start(&site);
    let http = Http::of(&site);
    let ask = || http.sql(&node, &ann, "physician", PULSE).unwrap().0;
    assert_eq!(ask(), 200);
    elsewhere(&site, "revoke");
    assert_eq!(ask(), 403);
    elsewhere(&site, "reinstate");
    drop(node);

    let toml = site.path("site/salus.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    let kept = text.replace("revocation_seconds = 0", "revocation_seconds = 3600");
    assert_ne!(text, kept);
    std::fs::write(&toml, kept).unwrap();
    let node = Node::start(&site);
    let ask = || http.sql(&node, &ann, "physician", PULSE).unwrap().0;
    assert_eq!(ask(), 200);
    // Through the node that runs, which drops what it keeps.
    site.json(&["keys", "revoke", "visits.clinical"]);
    assert_eq!(ask(), 403);
}

#[test]
fn a_delay_of_more_than_an_hour_is_refused() {
    let site = Site::unmade(&[]);
    let refused = site.init(&["--revocation-seconds", "3601"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("at most an hour"), "{said}");
}
