//! The agent and its QEMU driver with real machines, an agent of its own process among them, which is
//! killed at will. `cargo xtask test` runs this inside a wrapper with its own network, process and mount
//! namespaces, so that nothing outlives it; outside it fails at once.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it speaks as the usual harness does, which cannot be its own child"
)]

mod controller;
mod lab;
mod life;
mod node;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
};

use base::World;

/// What each test gets.
pub struct Setting {
    /// The world: the real one.
    pub world: World,
    /// A new directory that QEMU's user may pass.
    pub directory: PathBuf,
    /// A qcow2 image that boots to `login:`.
    pub image: PathBuf,
}

type Test = (&'static str, fn(&tokio::runtime::Runtime, Setting));

const TESTS: &[Test] = &[
    ("qemu_conforms", |runtime, setting| runtime.block_on(lab::conforms(setting))),
    ("copies_instead_of_overlays", |runtime, setting| runtime.block_on(lab::copies(setting))),
    ("a_machines_life", |runtime, setting| runtime.block_on(life::life(setting))),
    ("kept_from_the_host", |runtime, setting| runtime.block_on(life::hardening(setting))),
    ("killed_while_it_starts_machines", |runtime, setting| {
        runtime.block_on(life::killed_while_starting(setting));
    }),
    ("hostile_images_fail", |runtime, setting| runtime.block_on(life::hostile_images(setting))),
];

fn main() -> ExitCode {
    if let Some(directory) = std::env::var_os(node::DIRECTORY) {
        return node::main(directory.into());
    }
    if std::env::var_os("EVERSTACK_REAL").is_none() {
        eprintln!("These tests start real machines: run them by `cargo xtask test`.");
        return ExitCode::FAILURE;
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let chosen = TESTS
        .iter()
        .filter(|(name, _)| filter.as_ref().is_none_or(|filter| name.contains(filter)))
        .collect::<Vec<_>>();
    println!("\nrunning {} tests", chosen.len());
    let mut failed = Vec::new();
    for (name, test) in &chosen {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(*test)));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word}");
        if outcome.is_err() {
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        println!("\nfailures:\n    {}\n", failed.join("\n    "));
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        chosen.len() - failed.len(),
        failed.len(),
        TESTS.len() - chosen.len(),
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(test: fn(&tokio::runtime::Runtime, Setting)) {
    use std::os::unix::fs::PermissionsExt;
    let image = std::env::var_os("EVERSTACK_TEST_IMAGE").expect("EVERSTACK_TEST_IMAGE names it");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let open = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(directory.path(), open).expect("permissions");
    let setting = Setting {
        world: World::real(),
        directory: directory.path().to_path_buf(),
        image: image.into(),
    };
    test(&runtime, setting);
    // Asserted rather than left to the wrapper: a machine that nobody knows is the worst of leaks.
    let left = node::qemus(directory.path());
    assert!(left.is_empty(), "machines are left running: {left:?}");
}
