//! The fuzzing corpus on stable.

use std::path::Path;

#[path = "../../../../fuzz/targets.rs"]
mod targets;

#[test]
fn no_input_of_the_corpus_panics() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, run) in [
        ("resource", targets::resource as fn(&[u8])),
        ("fhirpath", targets::fhirpath),
        ("search", targets::search),
        ("view", targets::view),
        ("patch", targets::patch),
    ] {
        let mut count = 0;
        for file in std::fs::read_dir(corpus.join(name)).unwrap() {
            run(&std::fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 5, "{name} has {count} inputs");
    }
}
