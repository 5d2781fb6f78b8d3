//! `signaling-server token create`: makes room tokens.

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use signaling_server::{Claims, KeySpec, MAX_AGE, Role, Scope, SigningKey, create_token};
use std::time::{Duration, SystemTime};

/// Make tokens that let their holders into rooms
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a new token
    Create(Create),
}

#[derive(Debug, Args)]
struct Create {
    /// The key to sign with: ID=EdDSA:FILE with a private key in PEM, or ID=HS256:FILE with a secret
    #[arg(long, env = "PEERLINE_SIGNING_KEY", value_name = "KEY")]
    key: KeySpec,

    /// The room that it is for; * is every room
    #[arg(long, value_name = "ROOM", value_parser = scope)]
    room: Scope,

    /// What it lets its holder do: make the room and enter it, or enter it while somebody is there
    #[arg(long, value_enum, default_value_t = RoleName::Host)]
    role: RoleName,

    /// How long it is good for, such as 90s, 15m, 12h or 7d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lifetime)]
    lifetime: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    Host,
    Guest,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Command::Create(Create {
        key,
        room,
        role,
        lifetime,
    }) = &arguments.command;
    let (id, key) = SigningKey::load(key).map_err(|error| anyhow!("--key: {error}"))?;
    let role = match role {
        RoleName::Host => Role::Host,
        RoleName::Guest => Role::Guest,
    };
    let claims = Claims::new(room.clone(), role, *lifetime, SystemTime::now());
    println!("{}", create_token(&key, &id, &claims).expose());
    Ok(())
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::try_from(text.to_owned())
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || "it is a number with s, m, h or d, of at most 31 days".to_owned();
    let (number, unit) = text
        .len()
        .checked_sub(1)
        .and_then(|at| text.split_at_checked(at))
        .ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let lifetime = Duration::from_secs(number.saturating_mul(seconds));
    match lifetime.is_zero() || lifetime > MAX_AGE {
        true => Err(wrong()),
        false => Ok(lifetime),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_an_end() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("15m", Some(900)),
            ("12h", Some(43_200)),
            ("31d", Some(31 * 86_400)),
            ("32d", None),
            ("0s", None),
            ("-1s", None),
            ("15", None),
            ("", None),
            ("m", None),
            ("1ü", None),
            ("99999999999999999999d", None),
            ("18446744073709551615d", None),
        ] {
            let got = lifetime(text).ok().map(|time| time.as_secs());
            assert_eq!(got, seconds, "{text}");
        }
    }
}
