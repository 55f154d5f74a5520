//! `docs/inventory.md`: every way by which data or names leave, made from the code, each with the
//! test that shows its refusal. Run with `SALUS_INVENTORY=write` (or `cargo xtask inventory`) to
//! write it anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use salus_api::{
    Access, HttpRoute, console, flight, joint, monitor, published, questions, sql, studies, transit,
};
use salus_node::METRICS;

/// The test that shows the refusal of an entry. An entry without one fails the test below; so does
/// one whose test is no more.
const SHOWN_BY: &[(&str, &str)] = &[
    (
        "http ",
        "refusals::each_http_route_refuses_no_token_a_strange_one_a_revoked_one_and_one_without_the_right",
    ),
    ("question ", "question_door::where_the_site_wants_it_questions_come_from_members_alone"),
    (
        "question POST /v1/questions",
        "permits::without_a_permit_that_covers_it_no_question_is_answered",
    ),
    (
        "question POST /v1/questions/plan",
        "question_door::where_the_site_wants_it_questions_come_from_members_alone",
    ),
    ("published ", "question_door::where_the_site_wants_it_questions_come_from_members_alone"),
    ("joint ", "holders::who_is_not_trusted_takes_no_part_in_a_joint_answer"),
    ("collector ", "collect::whoever_is_not_enrolled_reports_nothing"),
    (
        "console ",
        "console::each_route_of_the_console_refuses_strangers_other_origins_and_other_roles",
    ),
    ("study ", "studio::a_script_studies_with_a_stewards_token_and_no_other"),
    (
        "transit ",
        "refusals::each_route_of_the_key_server_refuses_no_token_a_strange_one_and_one_without_the_operation",
    ),
    ("fhir ", "fhir::errors::every_route_but_metadata_refuses_without_a_token"),
    ("fhir POST /fhir-hooks/", "fhir_pull::a_server_tells_of_changes_and_the_pull_begins_at_once"),
    ("fhir bulk ", "fhir_pull::an_export_answers_to_its_owner_alone"),
    ("oauth ", "clients::tests::no_other_key_and_no_other_algorithm_signs"),
    ("validator ", "alone::only_members_connect_and_a_revoked_one_is_turned_away_at_once"),
    ("witness ", "witness::add_checkpoint_answers_as_tlog_witness_says"),
    ("explorer ", "explorer::the_console_answers_its_own_page_with_its_token_and_nobody_else"),
    ("flight ", "flight::each_call_refuses_a_token_that_was_never_issued"),
    ("pgwire startup", "postgres::without_tls_no_password_is_asked_for"),
    ("pgwire simple query", "postgres::refusals_have_an_sqlstate_and_say_why"),
    ("pgwire extended query", "postgres::a_token_that_is_revoked_ends_a_session_that_goes_on"),
    ("pgwire cancel", "postgres::a_cancel_request_stops_the_statement"),
    ("socket ", "audit::operators_work_through_the_node_that_runs"),
    ("metric ", "refusals::counters_count_and_name_nobody"),
    ("log ", "refusals::log_lines_are_json_where_asked_and_carry_no_record"),
    ("command init", "keystores::a_token_never_crosses_a_network_in_the_clear"),
    ("command demo", "demo::the_unattended_tour_is_well_and_nothing_personal_crosses_the_network"),
    ("command node run", "tls::the_authoritys_key_lies_nowhere_in_the_clear"),
    (
        "command node certificate",
        "tls::every_service_is_verified_with_the_sites_certificate_and_no_other",
    ),
    ("command import", "tabular::an_import_wants_its_schema_confirmed"),
    ("command sql", "tabular::an_analyst_gets_null_and_a_stranger_role_a_refusal"),
    (
        "command dataset",
        "shred::a_destroyed_dataset_is_got_back_by_no_command_and_no_backup_of_the_lake",
    ),
    (
        "command keys serve",
        "refusals::each_route_of_the_key_server_refuses_no_token_a_strange_one_and_one_without_the_operation",
    ),
    ("command keys export-policy", "tabular::wrong_requests_have_their_exit_codes_and_remedies"),
    ("command client", "clients::tests::registrations_are_checked"),
    ("command keys token", "keystores::hvac_uses_the_command_over_tls"),
    ("command keys", "tabular::wrong_requests_have_their_exit_codes_and_remedies"),
    ("command query", "permits::without_a_permit_that_covers_it_no_question_is_answered"),
    ("command permit", "permits::who_may_not_decide_decides_nothing"),
    ("command gate", "gate::one_approval_is_too_few_a_second_lets_it_out_and_a_refusal_stops_it"),
    (
        "command gate submit",
        "gated_files::plots_and_models_say_what_could_not_be_checked_and_only_the_holder_looks",
    ),
    (
        "command gate look",
        "gated::an_anonymised_release_waits_for_two_reviewers_and_goes_out_on_their_approvals_once",
    ),
    (
        "command gate report",
        "gated::an_anonymised_release_waits_for_two_reviewers_and_goes_out_on_their_approvals_once",
    ),
    (
        "command gate fetch",
        "gated_files::a_table_of_counts_is_checked_submitted_approved_and_fetched_once",
    ),
    ("command holder", "permits::a_node_that_is_another_is_not_believed"),
    ("command optout", "permits::who_opts_out_is_not_counted_and_is_named_nowhere"),
    ("command ledger", "permits::forged_and_foreign_receipts_prove_nothing"),
    (
        "command ledger witness",
        "ledger_tools::a_witness_cosigns_one_history_and_proves_that_there_are_two",
    ),
    (
        "command ledger check-fork",
        "ledger_tools::a_witness_cosigns_one_history_and_proves_that_there_are_two",
    ),
    ("command ledger propose", "ledger_tools::members_decide_together_and_nobody_decides_alone"),
    ("command ledger endorse", "ledger_tools::members_decide_together_and_nobody_decides_alone"),
    ("command ledger submit", "ledger_tools::members_decide_together_and_nobody_decides_alone"),
    ("command ledger explore", "ledger_tools::the_explorer_is_shown_to_members_alone"),
    (
        "command ledger channel",
        "ledger_tools::a_channel_is_founded_by_all_that_are_in_it_and_entered_by_nobody_else",
    ),
    ("command dataset share", "permits::who_may_not_decide_decides_nothing"),
    (
        "command account",
        "console::nothing_is_given_before_the_second_factor_and_the_page_runs_no_foreign_script",
    ),
    ("command staff", "psql::staff_ask_through_psql_until_their_token_is_taken_away"),
    ("command audit", "audit::operators_work_through_the_node_that_runs"),
    ("command collect", "collect::whoever_is_not_enrolled_reports_nothing"),
    ("command joint", "holders::who_is_not_trusted_takes_no_part_in_a_joint_answer"),
    ("command risk", "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing"),
    ("command anonymise", "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing"),
    ("command synthesise", "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing"),
    ("command sample", "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing"),
    (
        "command synthesise-together",
        "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing",
    ),
    ("command recode", "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing"),
    ("command transform", "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing"),
    ("command attack", "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing"),
    ("command review", "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing"),
    ("command release", "release::what_permit_profile_or_account_do_not_allow_is_not_released"),
    ("command twin", "release::a_twin_is_paid_for_once_and_open_to_everybody"),
    (
        "command published",
        "release::a_dataset_is_released_under_a_permit_and_everybody_can_fetch_what_came_of_it",
    ),
    ("command unbias", "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing"),
    ("command exam", "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing"),
    ("command genome", "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing"),
    ("command deidentify", "plain_files::wrong_requests_have_their_exit_codes_and_write_nothing"),
    ("command doctor", "doctor::a_key_store_that_does_not_open_or_is_open_to_others"),
    ("command completions", "inventory::the_inventory_is_whole_and_unchanged"),
];

/// What each command gives out. A command that is not here fails the test below.
const COMMANDS: &[(&str, &str)] = &[
    ("init", "nothing of a record"),
    ("demo", "synthetic records"),
    ("node run", "addresses"),
    ("node certificate", "the authority's public certificate"),
    ("import", "counts; with --propose, column names and types; records go into the lake"),
    ("sql", "rows, as the role allows, on record"),
    ("collect run", "its address and public key; reports go into the lake"),
    ("collect key", "the public key that devices seal to"),
    ("collect enrol", "a count"),
    ("collect revoke", "a count"),
    ("collect profile", "what the steward publishes of the dataset of devices"),
    ("collect simulate", "simulated reports, sealed, or into a plain file"),
    ("collect status", "exact counts of the own fleet, as the role allows, on record"),
    ("collect alerts", "devices of the own fleet by name, as the role allows, on record"),
    ("dataset list", "names, row counts, sizes"),
    ("dataset show", "column names and their keys' names"),
    ("dataset verify", "findings, no values"),
    ("dataset compact", "counts"),
    ("dataset shred", "names of what is destroyed"),
    ("dataset share", "a salted commitment to each version, and the account, onto the ledger"),
    ("query", "a noised answer with its price, opened for the permit's person; a receipt"),
    ("permit apply", "the terms and a new key onto the ledger"),
    ("permit grant", "a decision onto the ledger"),
    ("permit refuse", "a decision onto the ledger"),
    ("permit amend", "the terms onto the ledger"),
    ("permit revoke", "a decision and its reason onto the ledger"),
    ("permit list", "what the ledger says of permits"),
    ("permit key", "a permit's keys into a sealed file of mode 600, and its code, once"),
    ("permit show", "what the ledger says of a permit and of its budget"),
    ("gate list", "what the ledger says of reviews"),
    (
        "gate show",
        "what the ledger says of a review; of the checks' report, which its holder gave the reviewer",
    ),
    ("gate approve", "a decision onto the ledger"),
    ("gate refuse", "a decision onto the ledger"),
    ("gate rule", "a rule onto the ledger"),
    (
        "gate submit",
        "a salted hash of the file and of the checks' report, onto the ledger; the report into a file, for reviewers",
    ),
    ("gate report", "the checks' report into a file of mode 600, for reviewers; no record"),
    (
        "gate look",
        "what is not released yet into a file of mode 600, for the holder's own people at the site; on record",
    ),
    ("gate fetch", "a file that reviewers approved, with its receipt"),
    ("holder add", "nothing of a record"),
    ("holder remove", "nothing of a record"),
    ("holder list", "names and addresses of holders' nodes"),
    ("joint keys", "this site's public keys"),
    ("joint trust-party", "names and public keys of those trusted"),
    ("joint trust-holder", "names and public keys of those trusted"),
    ("joint honest", "names and public keys of those trusted"),
    ("joint distrust", "names and public keys of those trusted"),
    ("joint list", "names and public keys of those trusted"),
    ("optout add", "a salted root of the list onto the ledger; how many, never who"),
    ("optout withdraw", "a salted root of the list onto the ledger; how many, never who"),
    ("optout list", "who opted out, to an operator, on record"),
    ("ledger dev", "keys, sealed with a passphrase"),
    ("ledger request", "a public key with its certificate; the keys into a sealed file"),
    ("ledger found", "the first members' public keys and certificates"),
    ("ledger init", "keys, sealed with a passphrase"),
    ("ledger peers", "the validators' public keys and addresses"),
    ("ledger snapshot", "the ledger's state and history, into a file"),
    ("ledger config", "the ledger's configuration: public keys, policies, limits"),
    ("ledger serve", "the ledger, to members"),
    ("ledger join", "nothing of a record"),
    ("ledger propose admit", "a public key with its certificate, into a file"),
    ("ledger propose set-roles", "a decision, into a file"),
    ("ledger propose revoke-member", "a decision, into a file"),
    ("ledger propose bind-key", "a public key with its certificate, into a file"),
    ("ledger propose revoke-key", "a decision, into a file"),
    ("ledger propose publish-crl", "an authority's public list, into a file"),
    ("ledger propose configure", "a decision, into a file"),
    ("ledger propose activate", "a decision, into a file"),
    ("ledger endorse", "a signature into the proposal"),
    ("ledger submit", "the proposal onto the ledger"),
    ("ledger status", "how the validators are"),
    ("ledger verify receipt", "what a receipt proves"),
    ("ledger verify checkpoint", "what a checkpoint proves"),
    ("ledger verify export", "how many blocks hold"),
    ("ledger export", "the ledger's blocks"),
    ("ledger watch", "the ledger's blocks"),
    ("ledger explore", "what the ledger holds, to a member or a validator's owner"),
    ("ledger witness init", "keys, sealed with a passphrase"),
    ("ledger witness serve", "cosignatures of checkpoints: sizes and roots, no transaction"),
    ("ledger check-fork", "which validators signed two histories"),
    ("ledger channel draft", "the first members' public keys and certificates"),
    ("ledger channel agree", "a signature into the charter"),
    ("ledger channel show", "who is in a channel and who has agreed; what it begins with"),
    ("ledger channel join", "keys, sealed with a passphrase"),
    ("ledger channel membership", "keys, sealed with a passphrase"),
    ("keys list", "names, states and versions of keys"),
    ("keys rotate", "counts"),
    ("keys revoke", "nothing of a record"),
    ("keys reinstate", "nothing of a record"),
    ("keys shred", "nothing of a record"),
    ("keys serve", "wraps and unwraps keys over HTTP"),
    ("keys token issue", "a token, once"),
    ("keys token revoke", "nothing of a record"),
    ("keys token list", "accessors, never tokens"),
    ("keys export-policy", "names of columns and of their keys"),
    ("client add", "nothing of a record"),
    ("client remove", "nothing of a record"),
    ("client list", "ids, roles and public keys of programs"),
    ("account create", "a code by which its person chooses a password, once"),
    ("account list", "login names, roles and organisations of people"),
    ("account role", "nothing of a record"),
    ("account bind", "nothing of a record"),
    ("account reset", "a code by which its person chooses a password, once"),
    ("account revoke", "nothing of a record"),
    ("staff issue", "a token, once"),
    ("staff revoke", "a count"),
    ("staff list", "names and roles of staff, never tokens"),
    ("audit list", "who asked what; statements may name patients; on record"),
    ("audit show", "one access record whole; on record"),
    ("audit verify", "numbers and a digest"),
    ("audit export", "access records into a file of mode 600; on record"),
    ("audit expire", "counts"),
    (
        "risk",
        "risks and scores of a plain file that its holder names; of the values, column names only",
    ),
    (
        "anonymise",
        "levels, losses and scores of a plain file, and its anonymous version into a file of mode 600",
    ),
    ("recode", "counts, and a plain file recoded by a scheme into a file of mode 600"),
    ("transform", "what was done, and the changed plain file into a file of mode 600"),
    ("synthesise", "ε spent and quality, and synthetic records into a file of mode 600"),
    ("sample", "synthetic records of a private model into a file of mode 600"),
    ("synthesise-together plan", "names of hospitals and columns, public values, ε"),
    (
        "synthesise-together answer",
        "noisy counts of the own records, once for each question, and ε spent; its account stays",
    ),
    ("synthesise-together ask", "the second question, made of noisy counts"),
    ("synthesise-together fit", "a private model, made of noisy counts, into a file of mode 600"),
    ("attack", "risks and a score of plain files; no values"),
    ("review", "counts that are small or follow from others, and the plain table without them"),
    (
        "release",
        "risks, scores and bias of a plain file, and what its plan publishes with a certificate into files of mode 600; of a dataset under a permit the same to its steward, receipt and charge",
    ),
    ("twin", "a synthetic twin's columns, ε, charge and receipt"),
    ("published list", "columns, ε, permits and receipts of released tables"),
    ("published fetch", "a released table and its certificate into files of mode 600"),
    (
        "unbias",
        "rates of groups by their values, and the mended plain file into a file of mode 600",
    ),
    ("exam", "counts, and questions about synthetic patients into files of mode 600"),
    (
        "genome",
        "a score of allele frequencies, and the frequencies into a file of mode 600; no sample's name",
    ),
    (
        "deidentify fhir",
        "counts by kind, and FHIR resources without identifiers into files of mode 600",
    ),
    ("deidentify text", "counts by kind, and a text without names into a file of mode 600"),
    ("doctor", "states, no values"),
    ("completions", "the commands' own words"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Rust sources of the crates, tests apart.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join("crates")];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !matches!(name.as_str(), "tests" | "testdata" | "examples") {
                waiting.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let relative = path.strip_prefix(root()).unwrap().display().to_string();
                if relative.contains("/src/") && !relative.contains("salus-testkit") {
                    found.push((relative, std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
    }
    found.sort();
    found
}

/// A test's name, when there is such a test function in the workspace.
fn test_exists(name: &str) -> bool {
    let (module, function) = name.rsplit_once("::").unwrap();
    let file = format!("{}.rs", module.replace("::", "/"));
    let crates = std::fs::read_dir(root().join("crates")).unwrap();
    crates.map(|e| e.unwrap().path()).any(|package| {
        ["tests/it", "src"].iter().any(|place| {
            std::fs::read_to_string(package.join(place).join(&file))
                .is_ok_and(|text| text.contains(&format!("fn {function}(")))
        })
    })
}

fn shown_by(entry: &str) -> &'static str {
    let fitting = SHOWN_BY.iter().filter(|(prefix, _)| entry.starts_with(prefix));
    let longest = fitting.max_by_key(|(prefix, _)| prefix.len());
    let (_, test) = longest.unwrap_or_else(|| panic!("'{entry}' has no test of its refusal"));
    assert!(test_exists(test), "'{entry}' names a test that is no more: {test}");
    test
}

/// One table of the inventory: the entries, each with what is said of it.
fn table(out: &mut String, title: &str, kind: &str, rows: &[(String, String)]) {
    writeln!(
        out,
        "\n## {title}\n\n| What | Gives out, or asks for | Refusal shown by |\n| --- | --- | --- |"
    )
    .unwrap();
    for (what, said) in rows {
        let test = shown_by(&format!("{kind} {what}"));
        writeln!(out, "| `{what}` | {said} | `{test}` |").unwrap();
    }
}

fn http(routes: &[HttpRoute]) -> Vec<(String, String)> {
    let row = |route: &HttpRoute| {
        let asks = match route.access {
            Access::Public => "nothing asked for; tells only whether the service runs",
            Access::Token => "a staff token; then column by column as Cedar allows",
            Access::Permit => {
                "a signature with a permit's key; the ledger says what it covers; where the site \
                 wants it, a member's certificate too"
            }
            Access::Published => {
                "tells what the steward publishes; where the site wants it, asks for a member's \
                 certificate"
            }
            Access::Shares => {
                "shares that holders signed and sealed to this party; one sum for an invitation; \
                 where the site wants it, a member's certificate too"
            }
            Access::Role => "a staff token with the role of `[monitoring]`",
            Access::SignIn => "a password or an invitation; tries are counted",
            Access::AnySession => "a session of the console, of one's own origin",
            Access::Session(roles) => {
                let words: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
                let asks = format!(
                    "a session of the console, of one's own origin, as {}",
                    words.join(", ")
                );
                return (format!("{} {}", route.method, route.path), asks);
            }
        };
        (format!("{} {}", route.method, route.path), asks.to_owned())
    };
    routes.iter().map(row).collect()
}

/// The routes that a source file makes, with their methods.
fn made_in(sources: &[(String, String)], file: &str) -> Vec<String> {
    let (_, text) = sources.iter().find(|(path, _)| path == file).unwrap();
    let made: Vec<String> = text
        .split(".route(")
        .skip(1)
        .map(|rest| {
            let (path, after) = rest.trim_start().trim_start_matches('"').split_once('"').unwrap();
            // Up to the next call of the chain.
            let after = after.split("\n        .").next().unwrap();
            let verbs = ["get", "post", "put", "patch", "delete"];
            let made = verbs.iter().filter(|verb| {
                let found = |before: char| after.contains(&format!("{before}{verb}("));
                found(' ') || found('.')
            });
            let methods: Vec<String> = made.map(|verb| verb.to_uppercase()).collect();
            assert!(!methods.is_empty(), "{file}: a route without a method: {path}");
            format!("{} {path}", methods.join(" "))
        })
        .collect();
    assert!(!made.is_empty(), "{file} makes no route");
    made
}

/// FHIR, bulk data, OAuth, a validator, its explorer and a witness.
fn other_http(sources: &[(String, String)]) -> [Vec<(String, String)>; 6] {
    let api = "crates/salus-api/src";
    let rows = |file: String, asks: &dyn Fn(&str) -> &'static str| {
        let made = made_in(sources, &file).into_iter();
        made.map(|route| (route.clone(), asks(&route).to_owned())).collect::<Vec<_>>()
    };
    [
        rows(format!("{api}/fhir/mod.rs"), &|route| match route {
            "GET /fhir/metadata" => "nothing asked for; tells what the server can do",
            "POST /fhir-hooks/{source}" => "the secret that this source's server was given",
            _ => "a token; then resource by resource as role and row rules allow",
        }),
        rows(
            format!("{api}/fhir/bulk/mod.rs"),
            &|_| "a token; an export answers to who began it, resource by resource as above",
        ),
        rows(format!("{api}/oauth.rs"), &|route| match route {
            "POST /oauth/token" => "an assertion signed with a registered key, used once",
            _ => "nothing asked for; tells where tokens are given",
        }),
        rows(
            "crates/salus-validator/src/api/routes.rs".to_owned(),
            &|_| "mutual TLS with a certificate of a member that the ledger knows",
        ),
        rows("crates/salus-validator/src/witness/http.rs".to_owned(), &|route| match route {
            "POST /add-checkpoint" => "a checkpoint with the votes that its ledger demands",
            _ => "nothing asked for; checkpoints are public",
        }),
        rows(
            "crates/salus-validator/src/explorer/routes.rs".to_owned(),
            &|_| "a member's certificate, or on a loopback address the console's token",
        ),
    ]
}

/// The calls of Flight SQL that the server answers itself; the library refuses all others.
fn flight_calls(sources: &[(String, String)]) -> Vec<(String, String)> {
    let (_, text) = sources.iter().find(|(path, _)| path.ends_with("flight/server.rs")).unwrap();
    let (_, service) = text.split_once("impl FlightSqlService for").unwrap();
    let calls =
        service.split("async fn ").skip(1).map(|rest| rest.split(['(', '<']).next().unwrap());
    calls
        .filter(|call| *call != "register_sql_info")
        .map(|call| (call.to_owned(), "a staff token".to_owned()))
        .collect()
}

/// Every call of the logging macros, with its fields' names and its message.
fn log_lines(sources: &[(String, String)]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, text) in sources {
        for level in ["error", "warn", "info", "debug", "trace"] {
            let call = format!("tracing::{level}!(");
            for (at, _) in text.match_indices(&call) {
                let inside = &text[at + call.len()..];
                let inside = &inside[..inside.find(");").unwrap_or(inside.len())];
                let flat = inside.split_whitespace().collect::<Vec<_>>().join(" ");
                let (fields, message) = flat.split_once('"').unwrap_or((flat.as_str(), ""));
                let message = message.trim_end_matches([',', ' ', '"']);
                let fields = fields.trim().trim_end_matches(',').replace('|', "\\|");
                let fields =
                    if fields.is_empty() { "no field".to_owned() } else { format!("`{fields}`") };
                found.push((format!("{level}: {message}"), format!("{fields} ({path})")));
            }
        }
        let imported = text.contains("use tracing::");
        assert!(!imported, "{path}: write tracing::level!(…), so that the inventory finds it");
    }
    found.sort();
    found
}

/// The commands, as the binary itself tells them.
fn commands(prefix: &[String]) -> Vec<String> {
    let help =
        Command::new(env!("CARGO_BIN_EXE_salus")).args(prefix).arg("--help").output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    let Some((_, listed)) = text.split_once("\nCommands:\n") else { return vec![prefix.join(" ")] };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    let mut found = Vec::new();
    for name in names.filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help") {
        let mut words = prefix.to_vec();
        words.push(name.to_owned());
        found.extend(commands(&words));
    }
    found
}

fn command_rows() -> Vec<(String, String)> {
    let found = commands(&[]);
    let row = |command: &String| {
        let known = COMMANDS.iter().find(|(name, _)| name == command);
        let (_, gives) = known.unwrap_or_else(|| {
            panic!("the command '{command}' is not listed: say what it gives out")
        });
        (command.clone(), (*gives).to_owned())
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    let gone = COMMANDS.iter().find(|(name, _)| !found.iter().any(|f| f == name));
    assert!(gone.is_none(), "{gone:?} is listed and is no command");
    rows
}

/// The variants of an enum in a source file.
fn variants(sources: &[(String, String)], file: &str, name: &str) -> Vec<String> {
    let (_, text) = sources.iter().find(|(path, _)| path.ends_with(file)).unwrap();
    let (_, body) = text.split_once(&format!("enum {name} {{")).unwrap();
    let body = &body[..body.find("\n}").unwrap()];
    let names = body.lines().filter(|l| l.starts_with("    ") && !l.starts_with("     "));
    let names = names.map(str::trim).filter(|l| l.starts_with(char::is_uppercase));
    names.map(|l| l.split(['(', '{', ',', ' ']).next().unwrap().to_owned()).collect()
}

fn document() -> String {
    let sources = sources();
    let mut out = String::from(
        "# Inventory\n\nEvery way by which data, names or counts leave a site, made from the code \
         by `cargo xtask inventory`. An entry that is not here, or whose refusal no test shows, \
         fails the tests.\n",
    );
    let node: Vec<HttpRoute> = sql::ROUTES.iter().chain(&monitor::ROUTES).copied().collect();
    table(&mut out, "HTTP of `node run`", "http", &http(&node));
    let asked = http(&questions::ROUTES);
    table(&mut out, "Questions under permits, HTTP of `node run` on a ledger", "question", &asked);
    let rows = http(&published::ROUTES);
    table(&mut out, "Released tables, HTTP of `node run` on a ledger", "published", &rows);
    let title = "Sums of shares, HTTP of `node run` where the operator has named holders";
    table(&mut out, title, "joint", &http(&joint::ROUTES));
    let reports = made_in(&sources, "crates/salus-collect/src/http.rs");
    let asks = "reports that enrolled devices signed, sealed to the collector";
    let reports: Vec<_> = reports.into_iter().map(|route| (route, asks.to_owned())).collect();
    table(&mut out, "HTTP of `collect run`", "collector", &reports);
    let rows = http(&console::ROUTES).into_iter().map(|(what, asks)| match asks.as_str() {
        "nothing asked for; tells what the steward publishes" => {
            (what, "nothing asked for; the page itself, the same for everybody".to_owned())
        }
        _ => (what, asks),
    });
    let rows: Vec<_> = rows.collect();
    table(&mut out, "The console, HTTP of `node run`", "console", &rows);
    let rows = http(&studies::ROUTES).into_iter().map(|(what, _)| {
        (what, "a staff token of the role `steward`, for operations; own studies alone".to_owned())
    });
    let rows: Vec<_> = rows.collect();
    table(&mut out, "Studies before a release, HTTP of `node run`", "study", &rows);
    let [fhir, bulk, oauth, validator, witness, explorer] = other_http(&sources);
    table(&mut out, "FHIR over HTTP of `node run`", "fhir", &fhir);
    table(&mut out, "Bulk data over HTTP of `node run`", "fhir bulk", &bulk);
    table(&mut out, "Sign-in of programs over HTTP of `node run`", "oauth", &oauth);
    table(&mut out, "HTTP of a ledger validator", "validator", &validator);
    table(&mut out, "HTTP of a witness", "witness", &witness);
    let title = "HTTP of the ledger explorer, below `/v1/explorer`";
    table(&mut out, title, "explorer", &explorer);
    let transit: Vec<_> = transit::ROUTES
        .iter()
        .map(|r| {
            let asks = r.operation.map_or("a valid token, or nothing".to_owned(), |o| {
                format!("a token whose policy grants `{}` on the key", o.as_str())
            });
            (format!("{} {}", r.methods, r.path), asks)
        })
        .collect();
    table(&mut out, "HTTP of `keys serve`", "transit", &transit);
    table(&mut out, "Flight SQL", "flight", &flight_calls(&sources));
    let wire = ["startup", "simple query", "extended query", "cancel"].map(|m| {
        let asks = match m {
            "cancel" => "the connection's own secret",
            _ => "TLS, a staff token as password, a role of one's own as user",
        };
        (m.to_owned(), asks.to_owned())
    });
    table(&mut out, "PostgreSQL wire", "pgwire", &wire);
    let calls: Vec<_> = variants(&sources, "operations/call.rs", "Call")
        .into_iter()
        .map(|call| (call, "proof that the caller can use the site's master key".to_owned()))
        .collect();
    assert!(calls.len() >= 7, "{calls:?}");
    table(&mut out, "Operators' socket", "socket", &calls);
    table(&mut out, "Commands", "command", &command_rows());
    let metrics: Vec<_> = METRICS
        .iter()
        .map(|m| {
            let labels = if m.labels.is_empty() {
                "no label".to_owned()
            } else {
                format!("labels {}", m.labels.join(", "))
            };
            (m.name.to_owned(), format!("{}; {labels}", m.help))
        })
        .collect();
    table(&mut out, "Counters of `/v1/metrics`", "metric", &metrics);
    table(&mut out, "Log lines", "log", &log_lines(&sources));
    out
}

#[test]
fn the_inventory_is_whole_and_unchanged() {
    let (path, now) = (root().join("docs/inventory.md"), document());
    if std::env::var_os("SALUS_INVENTORY").is_some_and(|v| v == "write") {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == now, "docs/inventory.md is not what the code says; run: cargo xtask inventory");
}

/// Where routes are made, in these files and nowhere else: from tables, or found by `made_in`.
const ROUTERS: &[&str] = &[
    "crates/salus-api/src/route.rs",
    "crates/salus-api/src/flight.rs",
    "crates/salus-api/src/transit/mod.rs",
    "crates/salus-api/src/fhir/mod.rs",
    "crates/salus-api/src/fhir/bulk/mod.rs",
    "crates/salus-api/src/oauth.rs",
    "crates/salus-validator/src/api/routes.rs",
    "crates/salus-validator/src/explorer/console.rs",
    "crates/salus-validator/src/explorer/routes.rs",
    "crates/salus-validator/src/witness/http.rs",
    "crates/salus-collect/src/http.rs",
];

#[test]
fn no_route_is_made_but_from_a_table() {
    let makes = [".route(", ".route_service(", ".nest(", ".nest_service(", ".fallback("];
    let found: BTreeSet<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.contains("axum") && makes.iter().any(|m| text.contains(m)))
        .map(|(path, _)| path)
        .collect();
    let known: BTreeSet<String> = ROUTERS.iter().map(|p| (*p).to_owned()).collect();
    assert_eq!(found, known, "make routes from a table of HttpRoute, and list it in the inventory");
    // Routes of tables come from the fold over the table alone.
    let sources = sources();
    let (_, tables) =
        sources.iter().find(|(path, _)| path.ends_with("salus-api/src/route.rs")).unwrap();
    assert_eq!(tables.matches(".route(").count(), 1);
    assert!(tables.contains("router.route(route.path, handler(route.access, *endpoint))"));
    assert!(flight::PATH.starts_with("/arrow.flight.protocol.FlightService/"));
}
