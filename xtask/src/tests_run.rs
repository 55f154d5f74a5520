//! `cargo xtask test`: everything that a fresh Debian machine with Rust lacks, then every test.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Debian packages that building or testing needs, with the reason shown to the person.
const DEBIAN: &[(&str, &str)] = &[
    ("pkg-config", "finds libssl"),
    ("libssl-dev", "the randomness of the privacy noise"),
    ("softhsm2", "a PKCS#11 token for the key-store tests"),
    ("chromium", "the browser in which the console is tested"),
    ("tcpdump", "a capture of the demo, searched for anything personal"),
    ("mosquitto", "an MQTT broker for the collector's tests"),
    ("curl", "a client that verifies the site's certificate"),
    ("iproute2", "network namespaces, for the test that cuts a link between validators"),
    ("postgresql", "a database server, for the tests of accounts"),
    ("postgresql-client", "psql, for the PostgreSQL wire tests"),
    ("python3-venv", "peers from PyPI: pyarrow, hvac, ADBC, PySpark"),
];

/// Commands that may come from elsewhere; Debian's package is installed when there is none.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("node", "nodejs", "builds and tests the console"),
    (
        "npm",
        "npm",
        "the console's packages, and the independent FHIRPath implementation that search is compared with",
    ),
    ("javac", "default-jdk-headless", "Spark, which reads the lake and is read by it"),
];

/// What is installed from crates.io: its name, its version, and what it is for.
const NEXTEST: [&str; 3] = ["nextest", "0.9.143", "runs the tests"];
const DENY: [&str; 3] = ["deny", "0.20.2", "checks licences, bans and sources of dependencies"];

/// Installs, checks, tests; the runner's summary comes last.
pub(crate) fn run(filters: &[String]) -> Result<()> {
    install_debian()?;
    install_subcommand(NEXTEST)?;
    step("format", Command::new("cargo").args(["fmt", "--all", "--check"]))?;
    crate::layers::check()?;
    deny()?;
    let mut tests = cargo();
    tests.args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(filters);
    step("tests", &mut tests)
}

/// Writes `docs/inventory.md` anew from the code; the tests check that it is unchanged.
pub(crate) fn inventory() -> Result<()> {
    let mut write = cargo();
    write.args(["nextest", "run", "--workspace", "-E", "package(salus-cli) & test(inventory::)"]);
    step("inventory", write.env("SALUS_INVENTORY", "write"))
}

/// Writes the OpenAPI documents of the explorer and of the site's console from their types, and the
/// pages' types from them.
pub(crate) fn openapi() -> Result<()> {
    let mut write = cargo();
    let tests = "test(/the_committed_openapi_document_(of_the_console_)?is_the_programs/)";
    write.args(["nextest", "run", "--workspace", "-E", tests]);
    step("openapi", write.env("SALUS_OPENAPI", "write"))?;
    let mut install = Command::new("npm");
    install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir("web");
    step("npm ci", &mut install)?;
    step("types", Command::new("npm").args(["run", "generate"]).current_dir("web"))
}

/// Makes the pictures of the consoles and of the demo anew, by the tests that walk through them.
pub(crate) fn screenshots() -> Result<()> {
    let mut walk = cargo();
    let tests = "test(an_auditor_reads_the_ledger_in_a_browser) | \
                 test(each_role_does_its_work_in_a_browser) | \
                 test(a_steward_releases_a_dataset_in_a_browser)";
    walk.args(["nextest", "run", "--workspace", "-E", tests]);
    step("screenshots", walk.env("SALUS_SCREENSHOTS", "write"))?;
    let mut demo = cargo();
    let test = "package(salus-cli) and test(ctrl_c_stops_every_process)";
    demo.args(["nextest", "run", "--workspace", "-E", test]);
    step("picture of the demo", demo.env("SALUS_SCREENSHOTS", "write"))
}

/// Clippy over all targets.
pub(crate) fn lint() -> Result<()> {
    let mut clippy = cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    step("clippy", &mut clippy)
}

/// Cargo as a person would start it.
///
/// What `cargo run` tells this program about itself is taken out of the environment again: build
/// scripts that look at it would run anew, and everything built upon them.
pub(crate) fn cargo() -> Command {
    const OF_A_PACKAGE: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        let bare = told == "CARGO" || told == "CARGO_CRATE_NAME" || told == "LD_LIBRARY_PATH";
        if bare || OF_A_PACKAGE.iter().any(|prefix| told.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    cargo
}

pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{name} does not start"))?;
    if status.success() { Ok(()) } else { bail!("{name} failed") }
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn is_installed(package: &str) -> bool {
    let format = "${Status}";
    let query = Command::new("dpkg-query").args(["-W", "-f", format, package]).output();
    query.is_ok_and(|q| String::from_utf8_lossy(&q.stdout).ends_with("ok installed"))
}

fn install_debian() -> Result<()> {
    if !succeeds(Command::new("dpkg-query").arg("--version")) {
        bail!("this is no Debian; install by hand what {DEBIAN:?} names, and run the tests there");
    }
    let absent =
        |command: &&(&str, &str, &str)| !succeeds(Command::new(command.0).arg("--version"));
    let commands = COMMANDS.iter().filter(absent).map(|&(_, package, why)| (package, why));
    let packages = DEBIAN.iter().copied().filter(|(name, _)| !is_installed(name));
    let missing: Vec<(&str, &str)> = packages.chain(commands).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for (name, why) in &missing {
        println!("installing Debian's {name}: {why}");
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let by_hand = || format!("run: sudo apt-get install {}", names.join(" "));
    let root = succeeds(Command::new("sh").args(["-c", "test \"$(id -u)\" = 0"]));
    let apt = |args: &[&str]| {
        let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
        if !root {
            command.args(["-n", "apt-get"]);
        }
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        command
    };
    step("apt-get update", &mut apt(&["update", "-q"])).with_context(by_hand)?;
    let install = ["install", "-y", "-q", "--no-install-recommends"];
    step("apt-get install", apt(&install).args(&names)).with_context(by_hand)
}

fn install_subcommand([name, version, purpose]: [&str; 3]) -> Result<()> {
    if succeeds(Command::new("cargo").args([name, "--version"])) {
        return Ok(());
    }
    println!("installing cargo-{name} {version} from crates.io: {purpose}");
    let package = format!("cargo-{name}");
    let mut install = cargo();
    install.args(["install", &package, "--locked", "--version", version]);
    step(&format!("cargo install {package}"), &mut install)
}

/// Whether every dependency is one that `deny.toml` lets in.
fn deny() -> Result<()> {
    install_subcommand(DENY)?;
    let mut deny = cargo();
    // The database of advisories is on another host; `cargo deny check advisories` asks it.
    deny.args(["deny", "--log-level", "error", "check", "licenses", "bans", "sources"]);
    step("cargo deny", &mut deny)
}
