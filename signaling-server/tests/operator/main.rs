//! What an operator relies on: who may enter, TLS, proxies, figures, administration, settings.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod acme;
mod admin;
mod bench;
mod commands;
mod http;
mod proxies;
mod settings;
mod tls;
mod webhook;
