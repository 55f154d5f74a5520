//! Builds `web/` into the program, or says in one line why not.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// What the build reads. The list is exact, so that nothing else makes it run again.
const INPUTS: &[&str] = &[
    "index.html",
    "package.json",
    "package-lock.json",
    "public",
    "src",
    "tsconfig.json",
    "vite.config.ts",
];
const OLDEST_NODE: u32 = 20;

type Reason = String;

fn main() {
    let web = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("../../web");
    let out = PathBuf::from(var("OUT_DIR"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SALUS_CONSOLE");
    for input in INPUTS {
        println!("cargo::rerun-if-changed={}", web.join(input).display());
    }
    let wish = env::var("SALUS_CONSOLE").unwrap_or_default();
    let built = if wish == "none" {
        Err("SALUS_CONSOLE=none".to_owned())
    } else {
        build(&web, &out.join("web"))
    };
    let files = match built {
        Ok(dist) => list(&dist).unwrap_or_else(|error| panic!("the console's files: {error}")),
        Err(reason) if wish == "required" => panic!("the console was not built: {reason}"),
        Err(reason) => {
            println!("cargo::warning=the console is left out of the program: {reason}");
            Vec::new()
        }
    };
    let table = table(&files).unwrap_or_else(|error| panic!("the console's table: {error}"));
    fs::write(out.join("files.rs"), table)
        .unwrap_or_else(|error| panic!("the console's table: {error}"));
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// Copies the sources out of the tree, installs what the lock file names, and runs Vite.
fn build(web: &Path, work: &Path) -> Result<PathBuf, Reason> {
    check_node()?;
    let failed = |error: io::Error| format!("its sources cannot be copied: {error}");
    fs::create_dir_all(work).map_err(failed)?;
    for input in INPUTS {
        let to = work.join(input);
        if to.is_dir() {
            fs::remove_dir_all(&to).map_err(failed)?;
        }
        copy(&web.join(input), &to).map_err(failed)?;
    }
    let lock = fs::read(work.join("package-lock.json")).map_err(failed)?;
    let installed = work.join("installed.lock");
    if fs::read(&installed).ok().as_ref() != Some(&lock) {
        // Without the tools of tests and type checks, and without anybody's install scripts.
        let quiet = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"];
        run(work, "npm", &[&["ci"], quiet.as_slice()].concat())?;
        fs::write(&installed, &lock).map_err(failed)?;
    }
    run(work, "npm", &["run", "--silent", "bundle"])?;
    Ok(work.join("dist"))
}

fn check_node() -> Result<(), Reason> {
    let missing = || format!("it needs Node {OLDEST_NODE} or newer, and npm");
    let output = Command::new("node").arg("--version").output().map_err(|_| missing())?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major: Option<u32> =
        version.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
    match major {
        Some(found) if found >= OLDEST_NODE => {}
        Some(found) => return Err(format!("{}; this is Node {found}", missing())),
        None => return Err(missing()),
    }
    let mut npm = Command::new("npm");
    let answers = npm.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if answers.is_ok_and(|status| status.success()) { Ok(()) } else { Err(missing()) }
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<(), Reason> {
    let what = format!("{program} {}", arguments.first().copied().unwrap_or_default());
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .map_err(|error| format!("{what} does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.to_lowercase().contains("error"));
    Err(format!(
        "{what} failed: {}",
        line.or(said.lines().next_back()).unwrap_or("no reason given")
    ))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return if from.exists() { fs::copy(from, to).map(drop) } else { Ok(()) };
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Every file below the folder, by its path with slashes.
fn list(dist: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let (mut files, mut folders) = (Vec::new(), vec![dist.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(below) = path.strip_prefix(dist) {
                let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
                files.push((parts.join("/"), path));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn table(files: &[(String, PathBuf)]) -> Result<String, std::fmt::Error> {
    let mut text = String::from("/// Every file of the console; none when it was not built.\n");
    text.push_str("pub static FILES: &[File] = &[\n");
    for (path, file) in files {
        writeln!(
            text,
            "    File {{ path: {path:?}, content_type: {:?}, bytes: include_bytes!({:?}) }},",
            content_type(path),
            file.display().to_string(),
        )?;
    }
    text.push_str("];\n");
    Ok(text)
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("md" | "txt") => "text/plain; charset=utf-8",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
