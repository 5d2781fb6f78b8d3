//! Arguments of STUN and TURN.

use crate::access::{long_enough, secret};
use anyhow::{Result, ensure};
use clap::Args;
use signaling_protocol::Secret;
use signaling_server::{Network, Tls, TurnConfig, TurnLimits};
use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

#[derive(Debug, Args)]
pub(crate) struct TurnArguments {
    /// Relay for peers that cannot reach each other: STUN and TURN over UDP and TCP (and TLS, with
    /// --tls-cert) on this address and port [default: [::]:3478]
    #[arg(
        long,
        env = "PEERLINE_TURN",
        value_name = "ADDR",
        value_delimiter = ',',
        num_args = 0..=1,
        default_missing_value = "[::]:3478",
        help_heading = "TURN"
    )]
    turn: Vec<SocketAddr>,

    /// Name or address of this TURN server that peers are told; the one in the certificate, for TLS
    #[arg(
        long,
        env = "PEERLINE_TURN_HOST",
        value_name = "HOST",
        value_parser = host,
        help_heading = "TURN"
    )]
    turn_host: Option<String>,

    /// Address that this machine has outside, if a NAT is between (one for each of IPv4 and IPv6)
    #[arg(
        long = "turn-external-ip",
        env = "PEERLINE_TURN_EXTERNAL_IP",
        value_name = "IP",
        value_delimiter = ',',
        help_heading = "TURN"
    )]
    turn_external_ips: Vec<IpAddr>,

    /// First port to relay through
    #[arg(
        long,
        env = "PEERLINE_TURN_MIN_PORT",
        value_name = "PORT",
        default_value_t = *TurnConfig::default().relay_ports.start(),
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "TURN"
    )]
    turn_min_port: u16,

    /// Last port to relay through
    #[arg(
        long,
        env = "PEERLINE_TURN_MAX_PORT",
        value_name = "PORT",
        default_value_t = *TurnConfig::default().relay_ports.end(),
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "TURN"
    )]
    turn_max_port: u16,

    /// Relay to these addresses although they are private or reserved, such as 10.0.0.0/8 (may be
    /// repeated)
    #[arg(
        long = "turn-allow-peer",
        env = "PEERLINE_TURN_ALLOW_PEER",
        value_name = "RANGE",
        value_delimiter = ',',
        help_heading = "TURN"
    )]
    turn_allow: Vec<Network>,

    /// Never relay to these addresses (may be repeated)
    #[arg(
        long = "turn-deny-peer",
        env = "PEERLINE_TURN_DENY_PEER",
        value_name = "RANGE",
        value_delimiter = ',',
        help_heading = "TURN"
    )]
    turn_deny: Vec<Network>,

    /// Most relayed connections (allocations) of one peer
    #[arg(
        long,
        env = "PEERLINE_TURN_USER_QUOTA",
        value_name = "COUNT",
        default_value_t = TurnLimits::default().allocations_per_user,
        help_heading = "TURN"
    )]
    turn_user_quota: u32,

    /// Most relayed connections (allocations) altogether
    #[arg(
        long,
        env = "PEERLINE_TURN_TOTAL_QUOTA",
        value_name = "COUNT",
        default_value_t = TurnLimits::default().allocations,
        help_heading = "TURN"
    )]
    turn_total_quota: usize,

    /// Most bytes a second through one allocation, each way
    #[arg(
        long,
        env = "PEERLINE_TURN_BANDWIDTH",
        value_name = "BYTES",
        default_value_t = TurnLimits::default().bytes_per_second,
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "TURN"
    )]
    turn_bandwidth: u64,

    /// Secret that TURN passwords are made with, if other servers share it (`use-auth-secret` of
    /// coturn); better given in the environment, where others cannot see it
    #[arg(
        long,
        env = "PEERLINE_TURN_SECRET",
        value_name = "SECRET",
        value_parser = secret,
        hide_env_values = true,
        help_heading = "TURN"
    )]
    turn_secret: Option<Secret>,

    /// TURN server elsewhere that shares --turn-secret, such as
    /// turns:turn.example.org:443?transport=tcp (may be repeated)
    #[arg(
        long = "turn-uri",
        env = "PEERLINE_TURN_URI",
        value_name = "URI",
        value_delimiter = ',',
        value_parser = turn_uri,
        help_heading = "TURN"
    )]
    turn_uris: Vec<String>,
}

impl TurnArguments {
    /// The TURN server inside, if it was asked for.
    pub(crate) fn inside(&self, tls: Option<Tls>) -> Result<Option<TurnConfig>> {
        if self.turn.is_empty() {
            return Ok(None);
        }
        Ok(Some(TurnConfig {
            listen: self.turn.clone(),
            host: self.turn_host.clone(),
            external_ips: self.turn_external_ips.clone(),
            relay_ports: self.ports()?,
            tls,
            allow: self.turn_allow.clone(),
            deny: self.turn_deny.clone(),
            limits: TurnLimits {
                allocations: self.turn_total_quota,
                allocations_per_user: self.turn_user_quota,
                bytes_per_second: self.turn_bandwidth,
                ..TurnLimits::default()
            },
        }))
    }

    /// The TURN servers elsewhere, and the secret.
    pub(crate) fn elsewhere(&self) -> Result<(Vec<String>, Option<Secret>)> {
        long_enough("--turn-secret", self.turn_secret.as_ref())?;
        Ok((self.turn_uris.clone(), self.turn_secret.clone()))
    }

    fn ports(&self) -> Result<RangeInclusive<u16>> {
        let (first, last) = (self.turn_min_port, self.turn_max_port);
        ensure!(
            first <= last,
            "--turn-min-port {first} is above --turn-max-port {last}"
        );
        Ok(first..=last)
    }
}

fn host(text: &str) -> Result<String, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    match bare.unwrap_or(text).parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => Ok(format!("[{ip}]")),
        Ok(IpAddr::V4(ip)) => Ok(ip.to_string()),
        Err(_)
            if !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) =>
        {
            Ok(text.to_owned())
        }
        Err(_) => Err("a host is a name or an address, without a port".to_owned()),
    }
}

fn turn_uri(text: &str) -> Result<String, String> {
    let of_turn = match text.split_once(':') {
        Some(("turn" | "turns", rest)) => {
            let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
            !host.is_empty() && ["", "transport=udp", "transport=tcp"].contains(&query)
        }
        _ => false,
    };
    match of_turn {
        true => Ok(text.to_owned()),
        false => Err(
            "a TURN server is turn:host:port or turns:host:port, with ?transport=udp or =tcp at most"
                .to_owned(),
        ),
    }
}
