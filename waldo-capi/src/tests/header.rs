//! The header: generated from the source, and the same as the one that is checked in.
//!
//! `WALDO_WRITE_HEADER=1 cargo test -p waldo-capi header` writes it.

use std::path::Path;

use super::root;

fn generate() -> String {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(own.join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in [
        "version", "status", "error", "options", "ticket", "queue", "store", "log", "append",
        "manage", "reader", "read", "chunk", "metadata",
    ] {
        builder = builder.with_src(own.join("src").join(file).with_extension("rs"));
    }
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_header_is_up_to_date() {
    let path = root().join("include/waldo.h");
    let generated = generate();
    if std::env::var_os("WALDO_WRITE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == generated,
        "include/waldo.h differs from the source; \
         WALDO_WRITE_HEADER=1 cargo test -p waldo-capi header writes it anew"
    );
}

#[test]
fn the_header_has_every_function_and_no_macro() {
    let header = std::fs::read_to_string(root().join("include/waldo.h")).unwrap();
    for name in include_str!("../../symbols.txt").lines() {
        assert!(header.contains(&format!("{name}(")), "{name} is missing");
    }
    let is_guard = |line: &str| line == "#define WALDO_H";
    let mut macros = header.lines().filter(|line| line.starts_with("#define") && !is_guard(line));
    assert_eq!(macros.next(), None, "a constant that is only a macro");
}
