//! The `everstack` program: reads the command line and the configuration, and becomes what it is told to.

use std::{path::PathBuf, process::ExitCode};

use base::{Error, Result, World};
use clap::Parser;
use everstack::{
    cli::{Admin, Cli, Command, ConfigCommand},
    config::{Config, Layers, show},
    doctor, logging, roles,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place that tells a person why a command failed")]
fn complain(error: &Error) {
    eprintln!("everstack: {error}");
}

fn run(cli: &Cli) -> Result<u8> {
    let layers = layers(cli)?;
    let config = layers.config()?;
    match &cli.command {
        Command::Config { command: ConfigCommand::Show(listing) } => {
            roles::say(&show(&layers, listing.json))?;
            return Ok(0);
        }
        Command::Doctor(listing) => {
            let findings = doctor::examine(&config);
            roles::say(&doctor::render(&findings, listing.json))?;
            return Ok(doctor::exit_code(&findings));
        }
        Command::Admin { command: Admin::NodeCertificate { name } } => {
            roles::node_certificate(&config, name)?;
            return Ok(0);
        }
        _ => {}
    }
    logging::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::internal("threads cannot be started").with_source(error))?;
    let code = runtime.block_on(become_role(cli, &config))?;
    // A thread that blocks on a disk must not hold up the end.
    runtime.shutdown_background();
    Ok(code)
}

async fn become_role(cli: &Cli, config: &Config) -> Result<u8> {
    let world = World::real();
    match &cli.command {
        Command::Up(up) => roles::up(&world, config, up.sample).await.map(|()| 0),
        Command::Controller(_) => roles::controller(&world, config).await.map(|()| 0),
        Command::Node => roles::node(&world, config).await.map(|()| 0),
        Command::Down(down) => roles::down(&world, config, down.wipe).await.map(|()| 0),
        Command::Status(listing) => {
            let (text, ready) = roles::status(&world, config, listing.json).await?;
            roles::say(&text)?;
            Ok(u8::from(!ready))
        }
        Command::Admin { command: Admin::Password { user } } => {
            roles::password(&world, config, user).await.map(|()| 0)
        }
        // Answered before.
        Command::Config { .. } | Command::Doctor(_) | Command::Admin { .. } => Ok(0),
    }
}

/// Defaults, the file, the environment, flags.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn layers(cli: &Cli) -> Result<Layers> {
    let root = rustix::process::geteuid().is_root();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut layers =
        Layers::new(&Config::defaults(root, home, std::env::var("PATH").unwrap_or_default()));
    let standard = PathBuf::from("/etc/everstack.toml");
    let file = cli.common.config.clone().or_else(|| standard.exists().then_some(standard));
    if let Some(path) = file {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Error::bad_request(format!("{}: {error}", path.display())))?;
        layers.file(path, &text)?;
    }
    layers.environment(std::env::vars())?;
    cli.flags(&mut layers)?;
    Ok(layers)
}
