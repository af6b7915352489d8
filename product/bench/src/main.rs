//! Measures a cloud from outside, over real sockets, as its users see it. Starts the clouds that it
//! needs, each in a state directory of its own under the directory that it is given, and ends them.
//!
//! `bench EVERSTACK-PROGRAM DIRECTORY OUTPUT.json [SCENARIO…]`
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a measuring tool of its own, on the real clock, that prints its results"
)]

mod client;
mod cloud;
mod figures;
mod scenarios;

use std::{path::PathBuf, process::ExitCode};

use figures::Figures;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(program), Some(dir), Some(output)) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: bench EVERSTACK-PROGRAM DIRECTORY OUTPUT.json [SCENARIO…]");
        return ExitCode::from(2);
    };
    let only: Vec<String> = args.collect();
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("bench: {error}");
                return ExitCode::FAILURE;
            }
        };
    let mut figures = Figures::default();
    let place = cloud::Place { program: PathBuf::from(program), dir: PathBuf::from(dir) };
    let outcome = runtime.block_on(scenarios::run(&place, &only, &mut figures));
    if let Err(error) = std::fs::write(&output, figures.json()) {
        eprintln!("bench: {output}: {error}");
        return ExitCode::FAILURE;
    }
    println!("{}", figures.table());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
