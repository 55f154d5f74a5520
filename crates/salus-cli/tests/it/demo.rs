use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What stands in names, ids and a question of the demo, and must be seen nowhere outside.
const PLANTED: [&str; 2] = ["Plantedperson", "Plantedward"];
/// What the test itself sends in the clear, to show that it sees what it looks for.
const CONTROL: &str = "Plantedcontrol";

/// A capture of everything on the loopback interface.
struct Capture {
    tcpdump: Child,
    file: tempfile::TempDir,
}

impl Capture {
    fn start() -> Self {
        let file = tempfile::tempdir().unwrap();
        let mut tcpdump = Command::new("tcpdump")
            .args(["-i", "lo", "-n", "-U", "-B", "65536", "-s", "0", "-w"])
            .arg(file.path().join("lo.pcap"))
            .args(["-Z", "root", "tcp"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump is missing: apt-get install tcpdump");
        let mut said = BufReader::new(tcpdump.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("listening"), "tcpdump needs the right to capture: {line}");
        // Its last words go nowhere; it must not wait for somebody to read them.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { tcpdump, file }
    }

    fn stop(mut self) -> Vec<u8> {
        let id = self.tcpdump.id().to_string();
        std::thread::sleep(Duration::from_millis(500));
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.tcpdump.wait().unwrap();
        std::fs::read(self.file.path().join("lo.pcap")).unwrap()
    }
}

fn say_in_the_clear(word: &str) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut to = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    to.write_all(word.as_bytes()).unwrap();
    let (from, _) = listener.accept().unwrap();
    let mut heard = vec![0; word.len()];
    std::io::Read::read_exact(&mut { from }, &mut heard).unwrap();
}

#[test]
fn the_unattended_tour_is_well_and_nothing_personal_crosses_the_network() {
    let capture = Capture::start();
    say_in_the_clear(CONTROL);
    let run = Command::new(env!("CARGO_BIN_EXE_salus")).args(["demo", "--check"]).output().unwrap();
    let seen = capture.stop();
    let text = String::from_utf8_lossy(&run.stdout);
    println!("{text}");
    assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
    assert!(text.contains("steps are well"), "{text}");
    assert!(!text.contains("FAILED"), "{text}");
    let stands = |word: &str| seen.windows(word.len()).any(|w| w == word.as_bytes());
    println!("{} bytes of traffic were looked through", seen.len());
    assert!(seen.len() > 500_000 && stands(CONTROL), "the capture sees nothing");
    for word in PLANTED {
        assert!(!stands(word), "'{word}' crossed the network in the clear");
    }
}

/// The demo that a person watches, up to its last line.
fn demo(folder: &Path) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_salus"))
        .arg("demo")
        .arg("--folder")
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("Ctrl-C stops everything") {
        let read = out.read_line(&mut text).unwrap();
        assert!(read > 0, "the demo ended: {text}");
    }
    // Held open for as long as the demo runs.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    (child, text)
}

/// Draws what the demo printed up to its first refusal, as README.md shows it.
fn draw(text: &str, folder: &Path) {
    let end = text.find("Loaded ").unwrap_or(text.len());
    let shown = text[..end].trim_end().replace(folder.to_str().unwrap(), "salus-demo");
    let drawn = anstyle_svg::Term::new().render_svg(&format!("$ cargo run -- demo\n\n{shown}\n"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/screenshots/demo.svg");
    std::fs::write(file, drawn).unwrap();
}

/// How many other processes have this folder in their command line.
fn running_on(folder: &Path, besides: u32) -> usize {
    let folder = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let on = processes.filter(|entry| {
        let id = entry.file_name().to_string_lossy().into_owned();
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        id.parse::<u32>().is_ok_and(|id| id != besides)
            && String::from_utf8_lossy(&line).contains(folder)
    });
    on.count()
}

fn wait_until_none_runs(folder: &Path) {
    let until = Instant::now() + Duration::from_secs(15);
    while running_on(folder, 0) > 0 {
        assert!(Instant::now() < until, "processes of the demo were left behind");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn ctrl_c_stops_every_process_and_the_demo_starts_again_on_its_folder() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("demo");
    let (mut child, text) = demo(&folder);
    println!("{text}");
    if std::env::var("SALUS_SCREENSHOTS").is_ok_and(|word| word == "write") {
        draw(&text, &folder);
    }
    for part in ["From nothing to the first receipt", "is refused", "Charged", "ledger verify"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let processes = running_on(&folder, child.id());
    assert_eq!(processes, 11, "four validators, a hub, three hospitals and their collectors");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    wait_until_none_runs(&folder);

    // Again, on what is there; and then it is killed itself.
    let (mut child, text) = demo(&folder);
    assert!(!text.contains("Loaded "), "everything is there already: {text}");
    assert!(text.contains("From nothing to the first receipt"), "{text}");
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until_none_runs(&folder);
}
