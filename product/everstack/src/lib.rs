//! The program: roles, configuration, the command line, supervision. Everything that reads the
//! environment, arguments or the host's files for configuration is here.

pub mod audit;
pub mod cli;
pub mod client;
pub mod cloud;
pub mod config;
pub mod credentials;
pub mod doctor;
#[cfg(test)]
mod lab;
pub mod local;
pub mod logging;
pub mod pki;
pub mod ports;
pub mod roles;
pub mod sample;
pub mod state_dir;
