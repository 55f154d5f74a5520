use std::process::Command;

#[test]
fn the_unattended_tour_is_well() {
    let run = Command::new(env!("CARGO_BIN_EXE_salus")).args(["demo", "--check"]).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    println!("{text}");
    assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
    assert!(text.contains("steps are well"), "{text}");
    assert!(!text.contains("FAILED"), "{text}");
}
