//! What the types forbid: each program in `tests/compile-fail` must not compile, with the error beside it.

#[test]
fn types_forbid_it() {
    trybuild::TestCases::new().compile_fail("../../tests/compile-fail/*.rs");
}
