//! A ledger founded by organisations with certificates of their own.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use salus_model::{Clock as _, Timestamp};
use salus_node::SystemClock;
use salus_validator::dev::Authority;

use crate::node::Served;
use crate::world::World;

pub(crate) fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// An organisation's certificate and key as files, as a real authority hands them out.
pub(crate) fn certify(
    world: &World,
    authority: &Authority,
    name: &str,
    until: Timestamp,
) -> [String; 2] {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let from = SystemClock.now().saturating_add_micros(-60_000_000);
    let certificate = authority.certify(name, &key, from, until).unwrap();
    let (certificate_file, key_file) =
        (world.text(&format!("{name}.pem")), world.text(&format!("{name}.key")));
    std::fs::write(&certificate_file, pem(certificate.as_bytes())).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    [certificate_file, key_file]
}

pub(crate) fn request(world: &World, files: &[String; 2], name: &str, roles: &[&str]) {
    let out = world.text("");
    let [certificate, key] = files;
    let mut words =
        vec!["ledger", "request", name, "--certificate", certificate, "--key", key, "--out", &out];
    for role in roles {
        words.extend(["--role", role]);
    }
    world.json("none", &words);
}

#[test]
fn a_ledger_is_founded_by_organisations_with_certificates_of_their_own() {
    let world = World::empty();
    let authority = Authority::new("A real authority").unwrap();
    let root = world.text("root.pem");
    std::fs::write(&root, pem(authority.root().as_bytes())).unwrap();
    let year = SystemClock.now().saturating_add_micros(365 * 86_400_000_000);
    let members: [(&str, &[&str]); 2] =
        [("hub", &["administrator", "officer"]), ("operator", &["validator"])];
    for (name, roles) in members {
        let files = certify(&world, &authority, name, year);
        request(&world, &files, name, roles);
    }
    let (hub, operator) = (world.text("hub.request"), world.text("operator.request"));
    let genesis = world.text("genesis.cbor");
    let requests = ["ledger", "found", "--request", &hub, "--request", &operator, "--agree", "1"];
    // Under another authority's root no member of it counts.
    let stranger = Authority::new("Another authority").unwrap();
    let other_root = world.text("other.pem");
    std::fs::write(&other_root, pem(stranger.root().as_bytes())).unwrap();
    let none = world.text("no.cbor");
    let words = [&requests[..], &["--root", &other_root, "--out", &none]].concat();
    let (code, said) = world.failure("none", &words);
    assert!(code == 2 && said.contains("cannot be admitted"), "{code} {said}");

    let words = [&requests[..], &["--root", &root, "--out", &genesis]].concat();
    let founded = world.json("none", &words);
    assert_eq!(founded["validators"], 1);

    // Whoever is no validator of the genesis makes no validator's folder.
    let ports = [salus_testkit::free_port(), salus_testkit::free_port()];
    let [listen, api] = ports.map(|port| format!("127.0.0.1:{port}"));
    let folder = world.text("val");
    let init =
        ["ledger", "init", &folder, "--genesis", &genesis, "--listen", &listen, "--api", &api];
    let keys = world.text("hub.keys");
    let (code, said) = world.failure("none", &[&init[..], &["--keys", &keys]].concat());
    assert!(code == 2 && said.contains("no validator"), "{code} {said}");
    let own = world.text("operator.keys");
    world.json("none", &[&init[..], &["--keys", &own]].concat());
    assert!(!world.path("operator.keys").exists(), "its keys are in two places");

    let mut served = Served::spawn(world.command("none", &["ledger", "serve", &folder]));
    served.json();
    std::fs::create_dir_all(world.path("hub")).unwrap();
    world.json("hub", &["init", "--holder", "hub"]);
    let url = format!("https://{api}");
    world.json("hub", &["ledger", "join", &keys, "--genesis", &genesis, "--validator", &url]);
    let status = world.json("hub", &["ledger", "status"]);
    assert_eq!(status[0]["state"], "serves", "{status}");
    assert_eq!(status[0]["warnings"], serde_json::json!([]));
    // A site is on one ledger.
    request(&world, &certify(&world, &authority, "again", year), "again", &["research"]);
    let again = world.text("again.keys");
    let join = ["ledger", "join", &again, "--genesis", &genesis, "--validator", &url];
    let (code, said) = world.failure("hub", &join);
    assert!(code == 2 && said.contains("already"), "{code} {said}");
}

#[test]
fn a_certificate_that_ends_within_thirty_days_is_told_by_status_and_by_doctor() {
    let world = World::empty();
    let authority = Authority::new("A real authority").unwrap();
    let root = world.text("root.pem");
    std::fs::write(&root, pem(authority.root().as_bytes())).unwrap();
    let in_days = |days| SystemClock.now().saturating_add_micros(days * 86_400_000_000);
    let members: [(&str, &[&str], i64); 4] = [
        ("hub", &["administrator"], 365),
        ("operator", &["validator"], 20),
        ("late-clinic", &["holder"], 31),
        ("soon-clinic", &["holder"], 29),
    ];
    let genesis = world.text("genesis.cbor");
    let mut found = vec!["ledger", "found", "--agree", "1", "--root", &root, "--out", &genesis];
    let requests = members.map(|(name, _, _)| world.text(&format!("{name}.request")));
    for ((name, roles, days), file) in members.iter().zip(&requests) {
        request(&world, &certify(&world, &authority, name, in_days(*days)), name, roles);
        found.extend(["--request", file]);
    }
    world.json("none", &found);
    let ports = [salus_testkit::free_port(), salus_testkit::free_port()];
    let [listen, api] = ports.map(|port| format!("127.0.0.1:{port}"));
    let (folder, own) = (world.text("val"), world.text("operator.keys"));
    let init = ["ledger", "init", &folder, "--genesis", &genesis, "--keys", &own];
    world.json("none", &[&init[..], &["--listen", &listen, "--api", &api]].concat());
    let mut served = Served::spawn(world.command("none", &["ledger", "serve", &folder]));
    served.json();
    std::fs::create_dir_all(world.path("hub")).unwrap();
    world.json("hub", &["init", "--holder", "hub"]);
    let (url, keys) = (format!("https://{api}"), world.text("hub.keys"));
    world.json("hub", &["ledger", "join", &keys, "--genesis", &genesis, "--validator", &url]);
    let status = world.json("hub", &["ledger", "status"]);
    let warned = status[0]["warnings"].to_string();
    for (name, told) in
        [("operator", true), ("soon-clinic", true), ("late-clinic", false), ("hub", false)]
    {
        let sentence = format!("certificate of {name} expires");
        assert_eq!(warned.contains(&sentence), told, "{name}: {warned}");
    }
    let doctor = world.command("hub", &["doctor"]).output().unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(said.contains("certificate of soon-clinic expires"), "{said}");
    assert!(!said.contains("certificate of late-clinic"), "{said}");
}
