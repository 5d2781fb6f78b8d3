//! The address translation between here and the Internet.

use std::net::SocketAddr;

use super::Verdict;

/// What STUN servers saw of one socket.
#[derive(Clone, Debug, Default)]
pub(in crate::commands::doctor) struct Mappings {
    /// The address of the socket.
    pub(in crate::commands::doctor) local: Option<SocketAddr>,
    /// By server: what it saw, or why not.
    pub(in crate::commands::doctor) seen: Vec<(String, Result<SocketAddr, String>)>,
}

/// How addresses are translated between here and the Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands::doctor) enum Nat {
    None,
    /// The same address towards everybody.
    Cone,
    /// Another address towards each.
    Symmetric,
    /// There is one, of which one server cannot tell.
    Some,
    /// UDP does not come back.
    Blocked,
    /// Nobody could be asked.
    Unknown,
}

impl Mappings {
    pub(in crate::commands::doctor) fn nat(&self) -> Nat {
        let seen: Vec<SocketAddr> = self
            .seen
            .iter()
            .filter_map(|(_, seen)| seen.as_ref().ok().copied())
            .collect();
        match seen.as_slice() {
            [] if self.seen.is_empty() => Nat::Unknown,
            [] => Nat::Blocked,
            [first, ..] if Some(*first) == self.local => Nat::None,
            [_] => Nat::Some,
            [first, rest @ ..] if rest.iter().all(|other| other == first) => Nat::Cone,
            _ => Nat::Symmetric,
        }
    }
}

pub(in crate::commands::doctor) fn nat(mappings: &Mappings) -> Verdict {
    const CHECK: &str = "nat";
    const TWO: &str = "name two STUN servers, with --stun twice, to learn more";
    const RELAY: &str = "have a TURN server at hand (--turn, or one of the signaling server) that is reached over TCP or TLS, too";
    let first = mappings
        .seen
        .iter()
        .find_map(|(_, seen)| seen.as_ref().ok());
    let address = first.map_or_else(String::new, ToString::to_string);
    match mappings.nat() {
        Nat::Unknown => Verdict::warn(CHECK, "no STUN server is known", TWO),
        Nat::Blocked => {
            let servers: Vec<&str> = mappings
                .seen
                .iter()
                .map(|(server, _)| server.as_str())
                .collect();
            let message = format!(
                "no answer over UDP from {}: it is blocked, or they are down",
                servers.join(", ")
            );
            Verdict::warn(CHECK, message, RELAY)
        }
        Nat::None => Verdict::pass(CHECK, format!("none: others see {address}")),
        Nat::Cone => Verdict::pass(
            CHECK,
            format!(
                "the same address towards everybody, {address}: direct connections work with most"
            ),
        ),
        Nat::Symmetric => Verdict::warn(
            CHECK,
            "another address towards each server (symmetric): no direct connection with those who have the same",
            RELAY,
        ),
        Nat::Some => Verdict::warn(
            CHECK,
            format!("there is one, others see {address}; of what kind one server cannot tell"),
            TWO,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn nats() {
        let local = "10.0.0.2:5000".parse().ok();
        let seen = |addresses: &[Option<&str>]| Mappings {
            local,
            seen: addresses
                .iter()
                .map(|address| {
                    let seen = address.ok_or_else(|| "no answer".to_owned());
                    ("stun:h".to_owned(), seen.map(|text| text.parse().unwrap()))
                })
                .collect(),
        };
        let (here, one, two) = (Some("10.0.0.2:5000"), Some("1.2.3.4:7"), Some("1.2.3.4:8"));
        for (mappings, kind, level) in [
            (seen(&[]), Nat::Unknown, Level::Warn),
            (seen(&[None, None]), Nat::Blocked, Level::Warn),
            (seen(&[here, here]), Nat::None, Level::Pass),
            (seen(&[here]), Nat::None, Level::Pass),
            (seen(&[one, one]), Nat::Cone, Level::Pass),
            (seen(&[one, None, one]), Nat::Cone, Level::Pass),
            (seen(&[one, two]), Nat::Symmetric, Level::Warn),
            (seen(&[one, None]), Nat::Some, Level::Warn),
        ] {
            assert_eq!(mappings.nat(), kind);
            let verdict = nat(&mappings);
            assert_eq!(verdict.level, level, "{verdict:?}");
            assert_eq!(verdict.advice.is_empty(), level == Level::Pass);
        }
    }
}
