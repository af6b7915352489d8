//! The program: roles, configuration, the command line, supervision. Everything that reads the
//! environment, arguments or the host's files for configuration is here.

pub mod cli;
pub mod config;
pub mod credentials;
pub mod doctor;
pub mod logging;
pub mod ports;
pub mod pki;
pub mod state_dir;
