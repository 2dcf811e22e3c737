//! Installs into a prefix, moves it, and builds programs that know nothing but the prefix.

mod common;

use std::path::Path;
use std::process::Command;

use common::{compiler, has, library, root, run};

/// Installs, and then moves everything: nothing may name the old place.
fn install(dir: &Path) -> std::path::PathBuf {
    let (first, second) = (dir.join("first"), dir.join("second"));
    let mut command = Command::new("sh");
    command.arg(root().join("waldo-capi/install.sh")).arg(&first);
    run(command.env("WALDO_ARCHIVE", library("libwaldo.a")));
    std::fs::rename(&first, &second).unwrap();
    second
}

fn pkg_config(prefix: &Path, options: &[&str]) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    command.args(options).arg("waldo").env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    run(&mut command).split_whitespace().map(str::to_owned).collect()
}

fn symbols(file: &Path, options: &[&str]) -> Vec<String> {
    let mut command = Command::new("nm");
    command.args(["--defined-only", "--extern-only", "--format=posix"]).args(options).arg(file);
    let printed = run(&mut command);
    let names = printed.lines().filter_map(|line| line.split_once(' ')).map(|(name, _)| name);
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names
}

#[test]
fn an_installed_library_is_found_and_linked() {
    if !has("pkg-config") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let prefix = install(dir.path());
    let source = root().join("tests/capi/roundtrip.c");

    let shared = dir.path().join("shared");
    let mut command = compiler("CC", "cc");
    command.arg("-std=gnu11").arg(&source).arg("-o").arg(&shared);
    run(command.args(pkg_config(&prefix, &["--cflags", "--libs"])).arg("-lpthread"));
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new(&shared);
    run(command.current_dir(&place).env("LD_LIBRARY_PATH", prefix.join("lib")));

    // The C++ layer, which nothing but the prefix knows of.
    if has("g++") {
        let program = dir.path().join("layer");
        let mut command = Command::new("g++");
        command.arg("-std=c++17").arg(root().join("tests/cpp/layer.cpp")).arg("-o").arg(&program);
        run(command.args(pkg_config(&prefix, &["--cflags", "--libs"])).arg("-lpthread"));
        let mut command = Command::new(&program);
        run(command.env("LD_LIBRARY_PATH", prefix.join("lib")));
    }

    // The static library, beside another one that was written in Rust.
    let other = dir.path().join("other.rs");
    std::fs::write(
        &other,
        "#[unsafe(no_mangle)] pub extern \"C\" fn other(n: usize) -> usize { vec![1_u8; n].len() }",
    )
    .unwrap();
    let archive = dir.path().join("libother.a");
    let mut command = compiler("RUSTC", "rustc");
    command.args(["--edition=2024", "--crate-type=staticlib", "-O", "-o"]);
    run(command.arg(&archive).arg(&other));
    let user = dir.path().join("user.c");
    let text = "#include <stddef.h>\n\
        size_t other(size_t); size_t use_other(size_t n); \
        size_t use_other(size_t n) { return other(n); }\n\
        __attribute__((constructor)) static void first(void) \
        { if (use_other(7) != 7) __builtin_trap(); }\n";
    std::fs::write(&user, text).unwrap();
    let both = dir.path().join("both");
    let mut command = compiler("CC", "cc");
    command.arg("-std=gnu11").arg(&source).arg(&user).arg("-o").arg(&both);
    command.args(pkg_config(&prefix, &["--cflags"])).arg(prefix.join("lib/libwaldo.a"));
    command.arg(&archive);
    let private = pkg_config(&prefix, &["--libs", "--static"]);
    run(command.args(private.iter().filter(|flag| *flag != "-lwaldo")));
    let place = tempfile::tempdir().unwrap();
    run(Command::new(&both).current_dir(&place));
}

/// A program that unloads the library while threads of it live.
#[test]
fn an_unloaded_library_stays_for_its_threads() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = install(dir.path());
    let program = dir.path().join("unload");
    let mut command = compiler("CC", "cc");
    command.args(["-std=gnu11", "-g"]).arg("-I").arg(prefix.join("include"));
    command.arg(root().join("tests/capi/unload.c")).arg("-o").arg(&program);
    run(command.args(["-lpthread", "-ldl"]));
    let place = tempfile::tempdir().unwrap();
    run(Command::new(&program).arg(prefix.join("lib/libwaldo.so")).current_dir(&place));
}

#[test]
fn both_libraries_export_the_listed_symbols_only() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = install(dir.path());
    let listed = std::fs::read_to_string(root().join("waldo-capi/symbols.txt")).unwrap();
    let listed: Vec<String> = listed.lines().map(str::to_owned).collect();
    assert_eq!(symbols(&prefix.join("lib/libwaldo.a"), &[]), listed);
    let mut versioned: Vec<String> =
        listed.iter().map(|name| format!("{name}@@WALDO_0.1")).collect();
    versioned.push("WALDO_0.1@@WALDO_0.1".to_owned());
    versioned.sort_unstable();
    let shared = prefix.join("lib/libwaldo.so");
    let mut found = symbols(&shared, &["--dynamic", "--with-symbol-versions"]);
    found.iter_mut().filter(|name| *name == "WALDO_0.1").for_each(|name| {
        name.push_str("@@WALDO_0.1");
    });
    assert_eq!(found, versioned);
    let printed = run(Command::new("readelf").arg("--dynamic").arg(&shared));
    assert!(printed.contains("[libwaldo.so.0]"), "SONAME");
    assert!(printed.contains("NODELETE"), "nodelete");
}

#[test]
fn cmake_finds_it() {
    if !has("cmake") || !has("g++") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let prefix = install(dir.path());
    let (c, cpp) = (root().join("tests/capi/header_twice.c"), root().join("tests/cpp/layer.cpp"));
    let text = format!(
        "cmake_minimum_required(VERSION 3.10)\nproject(user C CXX)\n\
         set(CMAKE_CXX_STANDARD 17)\nfind_package(Threads REQUIRED)\n\
         find_package(Waldo 0.1 REQUIRED)\n\
         foreach(kind shared static)\n\
         add_executable(user-${{kind}} {})\n\
         target_link_libraries(user-${{kind}} waldo::${{kind}})\n\
         add_executable(layer-${{kind}} {})\n\
         target_link_libraries(layer-${{kind}} waldo::${{kind}} Threads::Threads)\nendforeach()\n",
        c.display(),
        cpp.display()
    );
    std::fs::write(dir.path().join("CMakeLists.txt"), text).unwrap();
    let build = dir.path().join("build");
    let mut command = Command::new("cmake");
    command.arg("-S").arg(dir.path()).arg("-B").arg(&build);
    run(command.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())));
    run(Command::new("cmake").arg("--build").arg(&build));
    for kind in ["shared", "static"] {
        run(&mut Command::new(build.join(format!("user-{kind}"))));
        run(&mut Command::new(build.join(format!("layer-{kind}"))));
    }
}
