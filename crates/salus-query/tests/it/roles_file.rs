//! A roles file is refused with its place, and the one in force stays.

use salus_query::Roles;

use crate::world::{LIMITS, ROLES, World};

fn refused(text: &str) -> String {
    Roles::parse("roles.toml", text, &LIMITS).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn each_mistake_is_named_with_line_and_remedy() {
    let told = refused(&ROLES.replace("format = 1", "format = 9"));
    assert!(told.starts_with("roles.toml, line 2, column 10: the format is 1"), "{told}");

    let told = refused(&ROLES.replace("resource.path ==", "resource.pfad =="));
    assert!(told.starts_with("roles.toml, line 6, column"), "{told}");
    assert!(told.contains("the policy does not fit") && told.contains("pfad"), "{told}");

    let told = refused(&ROLES.replace("  unless {", "  unles {"));
    assert!(told.starts_with("roles.toml, line 6, column 3: the policy does not parse"), "{told}");

    let told = refused(&ROLES.replace("Role::\"accounts\"", "Role::\"acounts\""));
    assert!(told.contains("names role 'acounts'; declare it with [role.acounts]"), "{told}");
    assert!(told.starts_with("roles.toml, line 9"), "{told}");

    let told = refused(&ROLES.replace("mask = true", "masks = true"));
    assert!(told.contains("unknown field `masks`") && told.contains("line 23"), "{told}");

    let told = refused(&ROLES.replace("SELECT patient FROM", "DELETE FROM"));
    assert!(told.contains("the row rule: "), "{told}");

    let told = refused(&format!("{ROLES}\n[role.policy]\nmask = true\n"));
    assert!(told.contains("role 'policy' evaluates row rules"), "{told}");

    let told = refused(
        &ROLES
            .replace("\"read-column\"", "x")
            .replace("action,", "action == Salus::Action::\"write\","),
    );
    assert!(told.contains("the policy does not fit"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_leaves_the_roles_in_force() {
    let world = World::new().await;
    let bad = ROLES.replace("permit(principal in Salus::Role::\"dietitian\"", "permit(principl");
    assert!(world.gateway.reload_roles("roles.toml", &bad).is_err());
    assert_eq!(world.rows("ann", "SELECT count(*) FROM meals").await, ["3"]);
    assert!(world.sql("ann", "SELECT insurance FROM meals").await.is_err());

    let wider = ROLES.replace("unless { resource.path == \"insurance\" }", "when { true }");
    world.gateway.reload_roles("roles.toml", &wider).unwrap();
    assert_eq!(world.rows("ann", "SELECT DISTINCT insurance FROM meals").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_fails_to_evaluate_denies() {
    let world = World::new().await;
    // Cedar alone would skip this forbid, for the overflow, and let the permit stand.
    let text = ROLES.replace(
        "permit(principal in Salus::Role::\"accounts\"",
        "forbid(principal, action, resource in Salus::Dataset::\"billing\") \
         when { 9223372036854775807 + 1 > 0 };\npermit(principal in Salus::Role::\"accounts\"",
    );
    world.gateway.reload_roles("roles.toml", &text).unwrap();
    assert!(world.refusal("eve", "SELECT * FROM billing").await.contains("no dataset 'billing'"));
}
