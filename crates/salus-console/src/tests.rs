#![allow(clippy::unwrap_used)]

use super::{FILES, PAGE, file, is_built, is_immutable};

#[test]
fn a_machine_with_node_carries_a_console_without_inline_script() {
    assert!(is_built(), "this test needs Node 20 and npm (Debian: apt-get install nodejs npm)");
    let page = std::str::from_utf8(file(PAGE).unwrap().bytes).unwrap();
    assert!(page.contains("<script type=\"module\""), "{page}");
    // Each script element has a source, and nothing between its tags.
    for script in page.split("<script").skip(1) {
        let (head, rest) = script.split_once('>').unwrap();
        assert!(head.contains(" src=\"/assets/"), "an inline script: {script}");
        assert!(rest.trim_start().starts_with("</script>"), "an inline script: {script}");
    }
    assert!(!page.contains("<style") && !page.contains("style=\""), "{page}");
}

#[test]
fn no_file_names_another_origin_to_load_from() {
    for file in FILES.iter().filter(|file| file.path != "licences.md") {
        let Ok(text) = std::str::from_utf8(file.bytes) else { continue };
        for loader in ["import(\"http", "src=\"http", "url(http", "url(\"http", "fetch(\"http"] {
            assert!(!text.contains(loader), "{} loads from elsewhere: {loader}", file.path);
        }
    }
}

#[test]
fn only_files_named_after_their_content_are_kept_for_ever() {
    assert!(is_immutable("assets/index-3f2a.js") && !is_immutable(PAGE));
    assert!(FILES.iter().all(|file| !file.path.starts_with('/') && !file.bytes.is_empty()));
}
