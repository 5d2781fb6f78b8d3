//! Arguments of access and administration.

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use signaling_protocol::Secret;
use signaling_server::{AccessConfig, KeySpec, Limits, Network, ProxyHeader, TokenKeys, Webhook};
use std::{fs, io::Read};

/// Fewest characters of a secret that people or machines show.
pub(crate) const SHORTEST_SECRET: usize = 16;

/// Most bytes that are read of a file with a secret.
const FILE_BYTES: u64 = 4096;

#[derive(Debug, Args)]
pub(crate) struct AccessArguments {
    /// Let in only who brings this secret as token; @FILE reads it from a file, as everywhere a secret is
    /// asked for
    #[arg(
        long,
        env = "PEERLINE_ACCESS_SECRET",
        value_name = "SECRET",
        value_parser = secret,
        hide_env_values = true,
        help_heading = "Access"
    )]
    access_secret: Option<Secret>,

    /// Let in only who brings a token signed with this key: ID=EdDSA:FILE with a public key in PEM, or
    /// ID=HS256:FILE with a secret (may be repeated)
    #[arg(
        long = "token-key",
        env = "PEERLINE_TOKEN_KEYS",
        value_name = "KEY",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    token_keys: Vec<KeySpec>,

    /// Let in only whom this web service lets in
    #[arg(
        long,
        env = "PEERLINE_AUTH_WEBHOOK",
        value_name = "URL",
        help_heading = "Access"
    )]
    auth_webhook: Option<String>,

    /// What the service is shown as `Authorization: Bearer`
    #[arg(
        long,
        env = "PEERLINE_AUTH_WEBHOOK_SECRET",
        value_name = "SECRET",
        value_parser = secret,
        hide_env_values = true,
        help_heading = "Access"
    )]
    auth_webhook_secret: Option<Secret>,

    /// What opens the admin API, the dashboard at /admin, and /metrics
    #[arg(
        long,
        env = "PEERLINE_ADMIN_TOKEN",
        value_name = "SECRET",
        value_parser = secret,
        hide_env_values = true,
        help_heading = "Access"
    )]
    admin_token: Option<Secret>,

    /// Believe proxies in this range where a request comes from, such as 10.0.0.0/8 (may be repeated)
    #[arg(
        long = "trusted-proxy",
        env = "PEERLINE_TRUSTED_PROXIES",
        value_name = "RANGE",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    pub(crate) trusted_proxies: Vec<Network>,

    /// The header in which they say it
    #[arg(
        long,
        env = "PEERLINE_PROXY_HEADER",
        value_name = "HEADER",
        value_enum,
        default_value_t = HeaderName::XForwardedFor,
        help_heading = "Access"
    )]
    proxy_header: HeaderName,

    /// Most rooms altogether
    #[arg(
        long,
        env = "PEERLINE_MAX_ROOMS",
        value_name = "COUNT",
        default_value_t = Limits::default().rooms,
        help_heading = "Limits"
    )]
    max_rooms: usize,

    /// Most connections of one address (IPv6: one /64)
    #[arg(
        long,
        env = "PEERLINE_ADDRESS_CONNECTIONS",
        value_name = "COUNT",
        default_value_t = Limits::default().per_address.connections,
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Limits"
    )]
    address_connections: u32,

    /// Most joins of one address in a minute
    #[arg(
        long,
        env = "PEERLINE_ADDRESS_JOINS",
        value_name = "COUNT",
        default_value_t = Limits::default().per_address.joins_per_minute,
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Limits"
    )]
    address_joins: u32,

    /// Most rooms that one address keeps alive
    #[arg(
        long,
        env = "PEERLINE_ADDRESS_ROOMS",
        value_name = "COUNT",
        default_value_t = Limits::default().per_address.rooms,
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Limits"
    )]
    address_rooms: u32,

    /// Most joins into one room in a minute
    #[arg(
        long,
        env = "PEERLINE_ROOM_JOINS",
        value_name = "COUNT",
        default_value_t = Limits::default().room_joins_per_minute,
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Limits"
    )]
    room_joins: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HeaderName {
    XForwardedFor,
    Forwarded,
}

impl AccessArguments {
    /// Who may enter.
    pub(crate) fn access(&self) -> Result<AccessConfig> {
        long_enough("--access-secret", self.access_secret.as_ref())?;
        long_enough("--auth-webhook-secret", self.auth_webhook_secret.as_ref())?;
        if let Some(url) = &self.auth_webhook {
            let webhook = Webhook::new(url, self.auth_webhook_secret.clone());
            let webhook = webhook.map_err(|error| anyhow::anyhow!("--auth-webhook: {error}"))?;
            return Ok(AccessConfig::Webhook(webhook));
        }
        if self.access_secret.is_none() && self.token_keys.is_empty() {
            return Ok(AccessConfig::Open);
        }
        let keys = TokenKeys::load(&self.token_keys)
            .map_err(|error| anyhow::anyhow!("--token-key: {error}"))?;
        Ok(AccessConfig::Tokens {
            secret: self.access_secret.clone(),
            keys,
        })
    }

    pub(crate) fn admin_token(&self) -> Result<Option<Secret>> {
        long_enough("--admin-token", self.admin_token.as_ref())?;
        Ok(self.admin_token.clone())
    }

    pub(crate) fn proxy_header(&self) -> ProxyHeader {
        match self.proxy_header {
            HeaderName::XForwardedFor => ProxyHeader::XForwardedFor,
            HeaderName::Forwarded => ProxyHeader::Forwarded,
        }
    }

    pub(crate) fn limit(&self, limits: &mut Limits) {
        limits.rooms = self.max_rooms;
        limits.room_joins_per_minute = self.room_joins;
        limits.per_address.connections = self.address_connections;
        limits.per_address.joins_per_minute = self.address_joins;
        limits.per_address.rooms = self.address_rooms;
    }
}

/// Refuses a secret that can be guessed. Not clap's task: it would print it.
pub(crate) fn long_enough(flag: &str, secret: Option<&Secret>) -> Result<()> {
    ensure!(
        secret.is_none_or(|secret| secret.expose().len() >= SHORTEST_SECRET),
        "{flag} is shorter than {SHORTEST_SECRET} characters: make one with `openssl rand -hex 32`"
    );
    Ok(())
}

/// A secret, or what is in the file that is named behind `@`.
pub(crate) fn secret(text: &str) -> Result<Secret, String> {
    let Some(path) = text.strip_prefix('@') else {
        return Ok(Secret::new(text));
    };
    let mut content = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES).read_to_string(&mut content))
        .map_err(|error| format!("cannot read the secret: {error}"))?;
    Ok(Secret::new(content.trim()))
}
