//! Each thing that the doctor looks at, gone wrong, and told with how to mend it.

use std::fs::FileTimes;
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use crate::site::Site;

/// What the doctor says of one thing that is not well.
fn mend(site: &Site, what: &str) -> String {
    let output = site.salus(&["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(4), "{text}");
    let ill: Vec<&str> = text.lines().filter(|l| l.starts_with("MEND")).collect();
    let line = ill.iter().find(|l| l["MEND".len()..].trim_start().starts_with(what));
    (*line.unwrap_or_else(|| panic!("nothing of {what}: {text}"))).to_owned()
}

fn edit(site: &Site, from: &str, to: &str) {
    let path = site.path("site/salus.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_site_that_is_well_is_told_so() {
    let site = Site::new();
    let well = site.json(&["doctor"]);
    let found: Vec<&str> =
        well.as_array().unwrap().iter().map(|f| f["what"].as_str().unwrap()).collect();
    for what in [
        "configuration",
        "clock",
        "disk",
        "disk space",
        "certificate",
        "roles",
        "key store",
        "key times",
        "http port",
        "postgres port",
        "flight port",
        "access log",
        "lake",
    ] {
        assert!(found.contains(&what), "{what} is not looked at: {found:?}");
    }
    assert!(well.as_array().unwrap().iter().all(|f| f["ok"] == true), "{well}");
    assert!(well.to_string().contains("wraps and unwraps"), "{well}");
}

#[test]
fn a_faulty_configuration_and_none_at_all() {
    let site = Site::new();
    edit(&site, "holder = ", "holder_name = ");
    let said = mend(&site, "configuration");
    assert!(said.contains("salus.toml") && said.contains("line"), "{said}");
    std::fs::remove_file(site.path("site/salus.toml")).unwrap();
    assert!(mend(&site, "configuration").contains("salus init"));
}

#[test]
fn a_key_store_that_does_not_open_or_is_open_to_others() {
    let site = Site::new();
    let wrong = site
        .command(&["doctor"])
        .env("SALUS_PASSPHRASE", "incorrect horse battery")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&wrong.stdout).into_owned();
    assert!(!wrong.status.success() && text.contains("MEND  key store"), "{text}");
    assert!(text.contains("passphrase") && !text.contains("incorrect"), "{text}");
    let mode = |path: &str, mode| {
        let to = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(site.path(path), to).unwrap();
    };
    mode("site/keys/keystore", 0o644);
    assert!(mend(&site, "key store").contains("chmod 600"));
    mode("site/keys/keystore", 0o600);
    mode("site/keys", 0o777);
    assert!(mend(&site, "key store").contains("chmod 700"));
}

#[test]
fn a_port_that_is_taken() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (field, what) in
        [("http", "http port"), ("postgres", "postgres port"), ("flight", "flight port")]
    {
        let (free, used) =
            (format!("{field} = \"127.0.0.1:0\""), format!("{field} = \"{address}\""));
        edit(&site, &free, &used);
        let said = mend(&site, what);
        assert!(said.contains(&address) && said.contains("change salus.toml"), "{said}");
        edit(&site, &used, &free);
    }
}

#[test]
fn a_clock_behind_the_sites_own_files() {
    let site = Site::new();
    let later = SystemTime::now() + Duration::from_secs(3 * 3600);
    let file = std::fs::File::options().append(true).open(site.path("site/authority")).unwrap();
    file.set_times(FileTimes::new().set_modified(later)).unwrap();
    let said = mend(&site, "clock");
    assert!(said.contains("3.0 h") && said.contains("NTP"), "{said}");
}

#[test]
fn a_folder_that_takes_no_writes() {
    let site = Site::new();
    // A folder in the probe's place: it cannot be made or removed as a file, by root neither.
    std::fs::create_dir(site.path("site/.doctor")).unwrap();
    assert!(mend(&site, "disk").contains("permissions"));
    std::fs::remove_dir(site.path("site/.doctor")).unwrap();
    edit(&site, "folder = \"lake\"", "folder = \"nowhere/lake\"");
    assert!(mend(&site, "disk space").contains("cannot be told"));
}

#[test]
fn a_certificate_that_ends_soon_or_is_none() {
    let site = Site::unmade(&[]);
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let certificate = site.private("tls.pem", &pem);
    let key = site.private("tls.key", &key.serialize_pem());
    let made = site.init(&["--tls-certificate", &certificate, "--tls-key", &key]);
    assert!(made.status.success());
    let said = mend(&site, "certificate");
    assert!(said.contains("2021-01-01") && said.contains("renew"), "{said}");
    std::fs::write(&certificate, "no certificate").unwrap();
    assert!(mend(&site, "certificate").contains("tls.pem"));
}

#[test]
fn a_broken_access_log_and_a_broken_lake() {
    let site = Site::new();
    site.import("visits", "patient_id,pulse\np1,70\n");
    site.json(&["sql", "SELECT pulse FROM visits"]);
    for entry in std::fs::read_dir(site.path("site/audit")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if bytes.len() > 200 {
            std::fs::write(
                &path,
                [&bytes[..bytes.len() / 2], &[0; 7], &bytes[bytes.len() / 2..]].concat(),
            )
            .unwrap();
        }
    }
    let said = mend(&site, "access log");
    assert!(said.contains("damaged") || said.contains("broken"), "{said}");
    std::fs::remove_dir_all(site.path("site/lake")).unwrap();
    std::fs::write(site.path("site/lake"), "a file").unwrap();
    assert!(!mend(&site, "").is_empty());
}

#[test]
fn roles_that_are_refused() {
    let site = Site::new();
    std::fs::write(site.path("site/roles.toml"), "format = 1\npolicies = 'permit('\n").unwrap();
    assert!(mend(&site, "roles").contains("roles.toml, line 2"));
}

#[test]
fn a_disk_that_is_nearly_full_and_one_that_is() {
    let unshare = salus_testkit::program("unshare", "util-linux");
    let site = Site::new();
    // The site on a file system of 8 MiB, which only the commands below see.
    let script = "mount -t tmpfs -o size=8m none \"$SITE.small\" && cp -a \"$SITE/.\" \"$SITE.small\" \
                  && { [ -z \"$FILL\" ] || head -c 16m /dev/zero > \"$SITE.small/fill\" || true; } \
                  && \"$SALUS\" --site \"$SITE.small\" doctor";
    let folder = site.text_path("site");
    std::fs::create_dir(format!("{folder}.small")).unwrap();
    let told = |fill: &str| {
        let run = std::process::Command::new(&unshare)
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .env("SITE", &folder)
            .env("FILL", fill)
            .env("SALUS", env!("CARGO_BIN_EXE_salus"))
            .env("SALUS_PASSPHRASE", "correct horse battery")
            .env("USER", "tester")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(4), "{text}{said}");
        text
    };
    let nearly = told("");
    assert!(nearly.contains("MEND  disk space") && nearly.contains("at least 1 GiB"), "{nearly}");
    assert!(nearly.contains("ok    disk  "), "{nearly}");
    let full = told("yes");
    assert!(full.contains("MEND  disk  ") && full.contains("No space left"), "{full}");
    assert!(full.contains("free space"), "{full}");
}
