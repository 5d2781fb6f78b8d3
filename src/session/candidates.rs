//! Which remote candidates reach the engine, and when.
//!
//! Pure. The engine opens connections to whatever a candidate names and takes any number of them, so a
//! peer could make it knock on doors of the local network; and it refuses candidates that come before
//! the description they belong to. This file filters, caps and holds them.

use super::PathPolicy;
use signaling_protocol::IceCandidate;
use std::net::{IpAddr, SocketAddr};

/// Longest candidate attribute. Real ones stay below 200 bytes.
const MAX_CANDIDATE: usize = 512;

/// Candidates for one generation. A machine with many interfaces and TURN has about 30.
const MAX_CANDIDATES: usize = 64;

/// Why a candidate was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Dropped {
    #[error("not a candidate attribute")]
    Malformed,
    #[error("only UDP is used")]
    NotUdp,
    #[error("its address is not one that a peer may have")]
    Address,
    #[error("relayed paths were excluded")]
    Relayed,
    #[error("it belongs to an earlier generation")]
    Stale,
    #[error("there are too many")]
    TooMany,
}

/// What a remote candidate may look like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CandidateRules {
    /// Whether the peer may be on this machine.
    pub(crate) loopback: bool,
    pub(crate) policy: PathPolicy,
}

impl CandidateRules {
    /// Checks one candidate attribute (RFC 8839 section 5.1).
    fn check(self, attribute: &str) -> Result<(), Dropped> {
        // The engine takes more characters for blanks, and would find other fields.
        let is_part = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if attribute.len() > MAX_CANDIDATE || !attribute.bytes().all(is_part) {
            return Err(Dropped::Malformed);
        }
        let fields: Vec<&str> = attribute
            .strip_prefix("candidate:")
            .unwrap_or(attribute)
            .split_ascii_whitespace()
            .collect();
        let [_, _, transport, _, address, port, "typ", kind, ..] = fields[..] else {
            return Err(Dropped::Malformed);
        };
        if !transport.eq_ignore_ascii_case("udp") {
            return Err(Dropped::NotUdp);
        }
        if !port.parse().is_ok_and(|port: u16| port > 0) {
            return Err(Dropped::Malformed);
        }
        if kind == "relay" && self.policy == PathPolicy::DirectOnly {
            return Err(Dropped::Relayed);
        }
        match address.parse() {
            Ok(ip) if self.allows(ip) => Ok(()),
            // Browsers hide their addresses behind mDNS names. We do not resolve them: such a browser
            // reaches us first and ICE learns its address from the check (RFC 8445 section 7.3.1.3).
            Err(_) if is_mdns_name(address) => Ok(()),
            _ => Err(Dropped::Address),
        }
    }

    fn allows(self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            ip if ip.is_loopback() => self.loopback,
            ip if ip.is_unspecified() || ip.is_multicast() => false,
            // 169.254/16 holds the metadata services of clouds.
            IpAddr::V4(ip) => !(ip.is_link_local() || ip.is_broadcast()),
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        }
    }
}

/// The address of a relayed candidate.
pub(crate) fn relay_address(attribute: &str) -> Option<SocketAddr> {
    let fields: Vec<&str> = attribute.split_ascii_whitespace().take(8).collect();
    let [_, _, _, _, address, port, "typ", "relay"] = fields[..] else {
        return None;
    };
    Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
}

/// `<uuid>.local` and nothing else (draft-ietf-mmusic-mdns-ice-candidates section 3.1.1).
fn is_mdns_name(address: &str) -> bool {
    address.strip_suffix(".local").is_some_and(|uuid| {
        uuid.len() == 36
            && uuid
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    })
}

/// The remote candidates of one peer connection.
#[derive(Debug)]
pub(crate) struct Candidates {
    rules: CandidateRules,
    /// The generation that the engine knows, once a description was applied.
    current: Option<String>,
    /// Generations that are over, so that late candidates are told from early ones.
    over: Vec<String>,
    /// Candidates that came before their description.
    held: Vec<IceCandidate>,
    /// Candidates of the current generation that the engine has.
    added: usize,
}

impl Candidates {
    pub(crate) fn new(rules: CandidateRules) -> Self {
        Self {
            rules,
            current: None,
            over: Vec::new(),
            held: Vec::new(),
            added: 0,
        }
    }

    /// The peer trickled a candidate: gives it back if the engine may have it now.
    pub(crate) fn trickled(
        &mut self,
        candidate: IceCandidate,
    ) -> Result<Option<IceCandidate>, Dropped> {
        if candidate.candidate.is_empty() {
            return Ok(None);
        }
        self.rules.check(&candidate.candidate)?;
        let generation = generation(&candidate);
        if generation.is_some_and(|ufrag| self.over.iter().any(|over| over == ufrag)) {
            return Err(Dropped::Stale);
        }
        let now = match (&self.current, generation) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(current), Some(ufrag)) => current == ufrag,
        };
        if !now {
            if self.held.len() == MAX_CANDIDATES {
                return Err(Dropped::TooMany);
            }
            self.held.push(candidate);
            return Ok(None);
        }
        self.count(candidate).map(Some)
    }

    /// Whether a description with this fragment restarts ICE.
    pub(crate) fn is_restart(&self, ufrag: &str) -> bool {
        self.current
            .as_deref()
            .is_some_and(|current| current != ufrag)
    }

    /// A description was applied: the candidates that may now be added, those it held and those that
    /// waited for it.
    pub(crate) fn described(&mut self, ufrag: &str, inside: Vec<String>) -> Vec<IceCandidate> {
        if self.current.as_deref() != Some(ufrag) {
            if let Some(over) = self.current.replace(ufrag.to_owned()) {
                // A restart every few seconds for a day is not a peer's right; 16 is plenty to tell
                // late candidates apart.
                self.over.truncate(15);
                self.over.insert(0, over);
            }
            self.added = 0;
        }
        let inside = inside.into_iter().map(|candidate| IceCandidate {
            candidate,
            sdp_mid: None,
            sdp_m_line_index: Some(0),
            username_fragment: None,
        });
        let waiting: Vec<_> = inside.chain(std::mem::take(&mut self.held)).collect();
        waiting
            .into_iter()
            .filter_map(|candidate| match self.trickled(candidate) {
                Ok(candidate) => candidate,
                Err(reason) => {
                    tracing::debug!(%reason, "dropped a remote candidate");
                    None
                }
            })
            .collect()
    }

    fn count(&mut self, candidate: IceCandidate) -> Result<IceCandidate, Dropped> {
        if self.added == MAX_CANDIDATES {
            return Err(Dropped::TooMany);
        }
        self.added += 1;
        Ok(candidate)
    }
}

/// The generation a candidate says it belongs to.
fn generation(candidate: &IceCandidate) -> Option<&str> {
    candidate.username_fragment.as_deref().or_else(|| {
        let mut fields = candidate.candidate.split_ascii_whitespace();
        fields.by_ref().find(|field| *field == "ufrag")?;
        fields.next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: CandidateRules = CandidateRules {
        loopback: false,
        policy: PathPolicy::Any,
    };

    fn host(address: &str, port: &str) -> String {
        format!("candidate:1 1 udp 2122 {address} {port} typ host")
    }

    fn candidate(ufrag: Option<&str>, number: u16) -> IceCandidate {
        IceCandidate {
            candidate: host("192.0.2.1", &number.to_string()),
            sdp_mid: Some("0".into()),
            sdp_m_line_index: Some(0),
            username_fragment: ufrag.map(str::to_owned),
        }
    }

    #[test]
    fn only_addresses_that_a_peer_may_have_pass() {
        let name = "0b3c2d1e-1111-2222-3333-444455556666.local";
        let cases = [
            ("192.168.1.7", "9", Ok(())),
            ("2001:db8::1", "9", Ok(())),
            ("fd00::2", "9", Ok(())),
            (name, "9", Ok(())),
            ("127.0.0.1", "9", Err(Dropped::Address)),
            ("::1", "9", Err(Dropped::Address)),
            ("::ffff:127.0.0.1", "9", Err(Dropped::Address)),
            ("0.0.0.0", "9", Err(Dropped::Address)),
            ("::", "9", Err(Dropped::Address)),
            ("169.254.169.254", "9", Err(Dropped::Address)),
            ("::ffff:169.254.169.254", "9", Err(Dropped::Address)),
            ("fe80::1", "9", Err(Dropped::Address)),
            ("224.0.0.1", "9", Err(Dropped::Address)),
            ("ff02::1", "9", Err(Dropped::Address)),
            ("255.255.255.255", "9", Err(Dropped::Address)),
            ("printer.local", "9", Err(Dropped::Address)),
            ("example.com", "9", Err(Dropped::Address)),
            ("192.0.2.1", "0", Err(Dropped::Malformed)),
            ("192.0.2.1", "70000", Err(Dropped::Malformed)),
        ];
        for (address, port, expected) in cases {
            assert_eq!(
                RULES.check(&host(address, port)),
                expected,
                "{address}:{port}"
            );
        }
    }

    #[test]
    fn relays_are_told_apart() {
        let relay = host("192.0.2.1", "9").replace("host", "relay raddr 10.0.0.1 rport 8");
        assert_eq!(relay_address(&relay), "192.0.2.1:9".parse().ok());
        assert_eq!(relay_address(&host("192.0.2.1", "9")), None);
        assert_eq!(relay_address("candidate:"), None);
    }

    #[test]
    fn transports_types_and_shapes_are_checked() {
        let direct = CandidateRules {
            policy: PathPolicy::DirectOnly,
            ..RULES
        };
        let local = CandidateRules {
            loopback: true,
            ..RULES
        };
        let relay = host("192.0.2.1", "9").replace("host", "relay");
        let tcp = "candidate:1 1 tcp 1 127.0.0.1 22 typ host tcptype passive";
        let cases = [
            (RULES, tcp.to_owned(), Err(Dropped::NotUdp)),
            (RULES, relay.clone(), Ok(())),
            (direct, relay, Err(Dropped::Relayed)),
            (local, host("127.0.0.1", "9"), Ok(())),
            (RULES, "candidate:".into(), Err(Dropped::Malformed)),
            (RULES, "garbage".into(), Err(Dropped::Malformed)),
            (
                RULES,
                host("192.0.2.1", "9").replace("typ", "\0yp"),
                Err(Dropped::Malformed),
            ),
            (
                RULES,
                host("192.0.2.1", "9").replace(
                    "candidate:1",
                    "candidate:1\u{2003}1\u{2003}tcp\u{2003}1\u{2003}127.0.0.1\u{2003}22\u{2003}typ\u{2003}host",
                ),
                Err(Dropped::Malformed),
            ),
            (
                RULES,
                format!("{} {}", host("192.0.2.1", "9"), "x".repeat(600)),
                Err(Dropped::Malformed),
            ),
        ];
        for (rules, attribute, expected) in cases {
            assert_eq!(rules.check(&attribute), expected, "{attribute}");
        }
    }

    #[test]
    fn candidates_wait_for_their_description_and_die_with_their_generation() {
        let mut candidates = Candidates::new(RULES);
        assert_eq!(candidates.trickled(candidate(Some("one"), 1)), Ok(None));
        assert_eq!(candidates.trickled(candidate(None, 2)), Ok(None));
        assert_eq!(candidates.trickled(candidate(Some("two"), 3)), Ok(None));
        let added = candidates.described("one", vec![host("192.0.2.9", "9")]);
        assert_eq!(added.len(), 3);
        assert!(
            candidates
                .trickled(candidate(Some("one"), 4))
                .unwrap()
                .is_some()
        );
        assert_eq!(
            candidates.described("two", Vec::new()),
            [candidate(Some("two"), 3)]
        );
        assert_eq!(
            candidates.trickled(candidate(Some("one"), 5)),
            Err(Dropped::Stale)
        );
    }

    #[test]
    fn neither_waiting_nor_adding_is_unbounded() {
        let mut candidates = Candidates::new(RULES);
        let held = (1..1000)
            .filter(|n| candidates.trickled(candidate(None, *n)).is_ok())
            .count();
        let added = candidates
            .described("one", vec![host("192.0.2.9", "9"); 1000])
            .len();
        let late = (1..1000)
            .filter(|n| candidates.trickled(candidate(None, *n)).is_ok())
            .count();
        assert_eq!((held, added, late), (MAX_CANDIDATES, MAX_CANDIDATES, 0));
    }

    proptest! {
        #[test]
        fn any_text_passes_or_is_dropped(text in "(candidate:)?[ -~\u{0}]{0,80}") {
            let _ = RULES.check(&text);
        }
    }
}
