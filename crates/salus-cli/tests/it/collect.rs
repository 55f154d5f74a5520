//! Device reports into a hospital's lake, over a real broker, over HTTP and from files.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use salus_testkit::{Server, free_port, program};
use serde_json::Value as Json;

use crate::site::stands_below;
use crate::world::{ANY_PORTS, World};

const DEVICES: u32 = 60;

/// A broker on this machine that keeps what comes for a session that is away.
fn broker(world: &World) -> (Server, u16) {
    use std::os::unix::fs::PermissionsExt as _;
    let port = free_port();
    let folder = world.path("broker");
    std::fs::create_dir_all(&folder).unwrap();
    // Mosquitto gives up root, and has to write its files all the same.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let config = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\n\
         max_inflight_messages 100\n"
    );
    std::fs::write(folder.join("mosquitto.conf"), config).unwrap();
    let mut command = Command::new(program("mosquitto", "mosquitto"));
    command.arg("-c").arg(folder.join("mosquitto.conf"));
    let mut server = Server::spawn(command);
    server.wait_for_port(SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(10));
    (server, port)
}

fn hospital(world: &World, port: u16) {
    std::fs::create_dir_all(world.path("st-mary")).unwrap();
    let mut words = vec!["init", "--holder", "st-mary"];
    words.extend(ANY_PORTS);
    world.json("st-mary", &words);
    let config = format!(
        "publish_seconds = 1\n[http]\nlisten = \"127.0.0.1:0\"\n[mqtt]\nhost = \"127.0.0.1\"\n\
         port = {port}\nclient = \"st-mary\"\n[folder]\npath = \"drop\"\n"
    );
    std::fs::write(world.path("st-mary/collect.toml"), config).unwrap();
    std::fs::create_dir_all(world.path("st-mary/drop")).unwrap();
}

/// Rows of a dataset, as a technician counts them.
fn rows(world: &World, dataset: &str) -> u64 {
    let sql = format!("SELECT count(device_id) AS n FROM {dataset}");
    world.json("st-mary", &["sql", &sql, "--role", "technician"])[0]["n"].as_u64().unwrap()
}

fn until(world: &World, dataset: &str, wanted: u64) {
    let begun = Instant::now();
    loop {
        let found = rows(world, dataset);
        if found == wanted {
            return;
        }
        let waited = begun.elapsed() < Duration::from_secs(60);
        assert!(waited && found < wanted, "{dataset} has {found} rows in place of {wanted}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The fleet's first so many reports of each device; they count up, so that more bring two new ones.
fn simulate(world: &World, rounds: &str, more: &[&str]) -> Json {
    let (devices, secret) = (DEVICES.to_string(), world.text("devices.secret"));
    let mut words = vec!["collect", "simulate", "--devices", &devices, "--rounds", rounds];
    words.extend(["--secret", &secret]);
    words.extend(more);
    world.json("st-mary", &words)
}

#[test]
fn reports_of_every_way_reach_the_lake_once_and_technicians_see_them() {
    let world = World::empty();
    let (_broker, port) = broker(&world);
    hospital(&world, port);
    let key = world.json("st-mary", &["collect", "key"]);
    assert_eq!(key["key"].as_str().unwrap().len(), 64);
    // In the first collector's life: over HTTP, and once more, as a device that heard no answer.
    let mut collector = world.serve("st-mary", &["collect", "run"]);
    assert_eq!(collector.told("key"), key["key"].as_str().unwrap());
    std::fs::write(world.path("collector.pem"), collector.told("certificate")).unwrap();
    let (http, ca) = (collector.told("http"), world.text("collector.pem"));
    let made = simulate(&world, "2", &["--enrol"]);
    assert_eq!(made["enrolled"], true);
    // The list is taken up within a second, while the collector runs.
    std::thread::sleep(Duration::from_millis(2_500));
    let sent =
        simulate(&world, "2", &["--http", &http, "--ca", &ca, "--until", "2026-09-01T00:00:00Z"]);
    let each = u64::from(DEVICES) * 2;
    assert_eq!(sent["sent"].as_u64(), Some(each));
    simulate(&world, "2", &["--http", &http, "--ca", &ca, "--until", "2026-09-01T00:00:00Z"]);
    until(&world, "devices_history", each);
    assert_eq!(rows(&world, "devices"), u64::from(DEVICES));

    // The collector is killed, as by a power cut; meanwhile the broker keeps what comes over MQTT.
    collector.kill();
    let mqtt = format!("127.0.0.1:{port}");
    simulate(&world, "4", &["--mqtt", &mqtt, "--until", "2026-10-01T00:00:00Z"]);
    collector = world.serve("st-mary", &["collect", "run"]);
    until(&world, "devices_history", each * 2);
    assert_eq!(rows(&world, "devices"), u64::from(DEVICES));

    // And a table in the folder, with a line that is none.
    let (table, scratch) = (world.path("st-mary/drop/third.csv"), world.text("third.csv"));
    simulate(&world, "6", &["--csv", &scratch, "--until", "2026-11-01T00:00:00Z"]);
    let text = std::fs::read_to_string(&scratch).unwrap();
    let broken = text
        .lines()
        .nth(1)
        .unwrap()
        .replace("portable", "floating")
        .replace("wearable", "floating");
    std::fs::write(&scratch, format!("{text}{broken}\n")).unwrap();
    std::fs::rename(&scratch, &table).unwrap();
    until(&world, "devices_history", each * 3);
    assert!(!table.exists(), "no plaintext stays in the folder");
    let quarantined = world.json(
        "st-mary",
        &["sql", "SELECT field, reason FROM devices_quarantine", "--role", "steward"],
    );
    assert_eq!(quarantined.as_array().unwrap().len(), 1, "{quarantined}");
    assert_eq!(quarantined[0]["field"], "category");

    what_staff_see(&world);
    // What is on the collector's disk is ciphertext.
    for word in ["Kestrel Medical", "infusion pump", "usage_hours"] {
        assert!(!stands_below(&world.path("st-mary/collector"), word), "{word}");
        assert!(!stands_below(&world.path("st-mary/lake"), word), "{word}");
    }
    collector.kill();
}

fn what_staff_see(world: &World) {
    let status = world.json("st-mary", &["collect", "status"]);
    assert_eq!(status["devices"].as_u64(), Some(DEVICES.into()), "{status}");
    let sum: u64 =
        status["os_versions"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(sum, u64::from(DEVICES));
    let alerts = world.json("st-mary", &["collect", "alerts"]);
    let of = |kind: &str| {
        let is = |a: &&Json| a["kind"].get(kind).is_some();
        alerts.as_array().unwrap().iter().filter(is).count() as u64
    };
    assert_eq!(Some(of("known-vulnerabilities")), status["known_vulnerabilities"].as_u64());
    assert_eq!(Some(of("low-battery")), status["low_battery"].as_u64());
    // Exact: as the gateway itself counts it.
    let low = "SELECT count(*) AS n FROM devices WHERE active AND battery_percent < 20";
    let low = world.json("st-mary", &["sql", low, "--role", "technician"]);
    assert_eq!(low[0]["n"].as_u64(), Some(of("low-battery")));
    let cves = "SELECT count(*) AS n FROM devices WHERE active AND known_cve_count > 0";
    let cves = world.json("st-mary", &["sql", cves, "--role", "technician"]);
    assert_eq!(cves[0]["n"].as_u64(), Some(of("known-vulnerabilities")));
    // A technician sees devices and no patient; and who may not see devices sees no fleet.
    let who = "SELECT count(patient_id) AS named, count(device_id) AS devices FROM devices";
    let who = world.json("st-mary", &["sql", who, "--role", "technician"]);
    assert_eq!(
        (who[0]["named"].as_u64(), who[0]["devices"].as_u64()),
        (Some(0), Some(DEVICES.into()))
    );
    let (code, said) = world.failure("st-mary", &["collect", "alerts", "--role", "analyst"]);
    assert_eq!(code, 3, "{said}");
    let (code, said) = world.failure("st-mary", &["collect", "status", "--role", "nobody"]);
    assert_eq!(code, 3, "{said}");
    let audit = world.json("st-mary", &["audit", "list"]);
    assert!(audit.to_string().contains("SELECT * FROM devices"), "every look is on record");
}

#[test]
fn whoever_is_not_enrolled_reports_nothing() {
    let world = World::empty();
    let (_broker, port) = broker(&world);
    hospital(&world, port);
    let collector = world.serve("st-mary", &["collect", "run"]);
    std::fs::write(world.path("collector.pem"), collector.told("certificate")).unwrap();
    let (http, ca) = (collector.told("http"), world.text("collector.pem"));
    let until_ = ["--until", "2026-09-01T00:00:00Z"];
    let send = |secret: &str| {
        let secret = world.text(secret);
        let mut words = vec!["collect", "simulate", "--devices", "5", "--rounds", "1"];
        words.extend(["--secret", &secret, "--http", &http, "--ca", &ca]);
        words.extend(until_);
        world.json("st-mary", &words);
    };
    // Unknown devices; and devices of the right names with keys of their own.
    send("one.secret");
    let enrol = world.text("two.secret");
    let words =
        ["collect", "simulate", "--devices", "5", "--rounds", "1", "--secret", &enrol, "--enrol"];
    world.json("st-mary", &words);
    std::thread::sleep(Duration::from_millis(2_500));
    send("one.secret");
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(rows(&world, "devices_history"), 0);
    send("two.secret");
    until(&world, "devices_history", 5);
    // One that was revoked reports no more.
    let listed = std::fs::read_to_string(world.path("st-mary/devices.toml")).unwrap();
    let device = listed.lines().nth(1).unwrap().split_whitespace().next().unwrap();
    let device = device.trim_matches('"').to_owned();
    let left = world.json("st-mary", &["collect", "revoke", &device]);
    assert_eq!(left["devices"].as_u64(), Some(4), "{left}");
    let (code, said) = world.failure("st-mary", &["collect", "revoke", &device]);
    assert!(code == 2 && said.contains("not enrolled"), "{code} {said}");
    std::thread::sleep(Duration::from_millis(2_500));
    let secret = world.text("two.secret");
    let mut words = vec!["collect", "simulate", "--devices", "5", "--rounds", "3"];
    words.extend(["--secret", &secret, "--http", &http, "--ca", &ca]);
    words.extend(["--until", "2026-10-01T00:00:00Z"]);
    world.json("st-mary", &words);
    until(&world, "devices_history", 5 + 4 * 2);
    // A second collector does not get at the first one's journal.
    let (code, said) = world.failure("st-mary", &["collect", "run"]);
    assert_eq!(code, 4, "{said}");
    // A broker elsewhere is not spoken to in the clear.
    collector.kill();
    let config = std::fs::read_to_string(world.path("st-mary/collect.toml")).unwrap();
    let elsewhere = config.replace("host = \"127.0.0.1\"", "host = \"broker.example.org\"");
    std::fs::write(world.path("st-mary/collect.toml"), elsewhere).unwrap();
    let (code, said) = world.failure("st-mary", &["collect", "run"]);
    assert!(code == 2 && said.contains("ca"), "{code} {said}");
}

#[test]
fn the_profile_of_devices_is_one_that_questions_can_be_asked_of() {
    let world = World::empty();
    hospital(&world, 1);
    let domains = world.text("domains.toml");
    let words = ["collect", "simulate", "--devices", "3", "--rounds", "1", "--domains", &domains];
    world.json("st-mary", &words);
    let printed = world.json("st-mary", &["collect", "profile", "--domains", &domains]);
    let toml = printed["toml"].as_str().unwrap();
    let profiles = salus_private::Profiles::parse(toml).unwrap();
    let devices = salus_model::DatasetId::new("devices").unwrap();
    let statement = "SELECT os_version, count(*) FROM devices GROUP BY os_version";
    let statement = salus_private::sql::parse(statement).unwrap();
    let spend = salus_dp::Spend::Rho(salus_model::MicroRho::new(1000));
    let profile = profiles.of(&devices).unwrap();
    statement.question(profile, spend, salus_dp::Mechanism::Gaussian).unwrap();
    std::fs::write(&domains, "colour = [\"red\"]\n").unwrap();
    let (code, said) = world.failure("st-mary", &["collect", "profile", "--domains", &domains]);
    assert!(code == 2 && said.contains("colour"), "{code} {said}");
}
