//! `kill -9` of a whole cloud (`everstack up`), at each commit by its name and at random times, and a look
//! at what is left. `cargo xtask test` runs this inside a wrapper with its own network, process and mount
//! namespaces, so that nothing outlives it; outside it fails at once.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it speaks as the usual harness does, which cannot be its own child"
)]

mod at_commits;
mod at_random;
mod cloud;
mod doomed;
mod ledger;
mod with_machines;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use base::World;
use futures_util::{FutureExt, future::BoxFuture};

type Test = (&'static str, fn(World) -> BoxFuture<'static, ()>);

const TESTS: &[Test] = &[
    ("killed_at_each_commit", |world| at_commits::killed_at_each_commit(world).boxed()),
    ("killed_at_random_times", |world| at_random::killed_at_random_times(world).boxed()),
    ("killed_beside_machines", |world| with_machines::killed_beside_machines(world).boxed()),
];

fn main() -> ExitCode {
    if let Some(directory) = std::env::var_os(doomed::DIRECTORY) {
        return doomed::main(directory.into());
    }
    if std::env::var_os("EVERSTACK_REAL").is_none() {
        eprintln!("These tests kill real processes: run them by `cargo xtask test`.");
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

fn run(test: fn(World) -> BoxFuture<'static, ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test(World::real()));
}
