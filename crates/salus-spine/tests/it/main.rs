//! Each shortcut around the spine does not build.

#[test]
fn shortcuts_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
