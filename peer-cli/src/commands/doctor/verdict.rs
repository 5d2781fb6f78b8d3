//! What was found, and what it means: pure.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::exit::Exit;

/// How well it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Pass,
    /// Something works less well, or not at all for some.
    Warn,
    /// Something that was asked for does not work.
    Fail,
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) message: String,
    /// What to do; empty if there is nothing to do.
    pub(super) advice: &'static str,
    /// What the command ends with if this is its first failure.
    pub(super) exit: Exit,
}

impl Verdict {
    fn new(
        check: &'static str,
        level: Level,
        message: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self {
            check,
            level,
            message: message.into(),
            advice,
            exit: Exit::NoPath,
        }
    }

    fn pass(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Level::Pass, message, "")
    }

    fn warn(check: &'static str, message: impl Into<String>, advice: &'static str) -> Self {
        Self::new(check, Level::Warn, message, advice)
    }

    fn fail(
        check: &'static str,
        exit: Exit,
        message: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        let verdict = Self::new(check, Level::Fail, message, advice);
        Self { exit, ..verdict }
    }
}

/// The addresses of this machine.
pub(super) fn interfaces(found: &Result<Vec<IpAddr>, String>) -> Verdict {
    const CHECK: &str = "interfaces";
    const CONNECT: &str =
        "connect this machine to a network; until then only programs on it can be reached";
    let addresses = match found {
        Ok(addresses) => addresses,
        Err(why) => return Verdict::warn(CHECK, format!("cannot be listed: {why}"), ""),
    };
    let usable: Vec<&IpAddr> = addresses.iter().filter(|ip| is_usable(ip)).collect();
    if usable.is_empty() {
        return Verdict::warn(CHECK, "no address but this machine's own", CONNECT);
    }
    let v4 = usable.iter().filter(|ip| ip.is_ipv4()).count();
    let (v6, names) = (usable.len() - v4, usable.iter().take(4));
    let names: Vec<String> = names.map(ToString::to_string).collect();
    Verdict::pass(
        CHECK,
        format!("{v4} IPv4 and {v6} IPv6: {}", names.join(", ")),
    )
}

fn is_usable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

/// Whether an announcement of this machine comes back to it over multicast.
pub(super) fn mdns(heard: &Result<Duration, String>) -> Verdict {
    const ADVICE: &str = "give the other side the code together with --server, or a link; a firewall may drop UDP port 5353, and guest networks often do";
    match heard {
        Ok(took) => Verdict::pass(
            "mdns",
            format!("an announcement came back in {}", ms(*took)),
        ),
        Err(why) => Verdict::warn(
            "mdns",
            format!("codes alone are not found on this network: {why}"),
            ADVICE,
        ),
    }
}

/// The ways to the signaling server.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    pub(super) server: String,
    pub(super) websocket: Result<Duration, String>,
    pub(super) events: Result<Duration, String>,
    pub(super) polls: Result<Duration, String>,
}

pub(super) fn server(ways: &Ways) -> Verdict {
    const CHECK: &str = "server";
    let all = [
        ("WebSocket", &ways.websocket),
        ("events", &ways.events),
        ("polls", &ways.polls),
    ];
    let worked: Vec<String> = all
        .iter()
        .filter_map(|(name, way)| {
            way.as_ref()
                .ok()
                .map(|took| format!("{name} {}", ms(*took)))
        })
        .collect();
    let Some((broken, why)) = all
        .iter()
        .find_map(|(name, way)| Some((name, way.as_ref().err()?)))
    else {
        return Verdict::pass(CHECK, format!("{}: {}", ways.server, worked.join(", ")));
    };
    if worked.is_empty() {
        return Verdict::fail(CHECK, Exit::NoSignaling, why.clone(), "");
    }
    let message = format!("{}: {}; no {broken}: {why}", ways.server, worked.join(", "));
    let advice = match ways.websocket {
        Ok(_) => "nothing: WebSockets come through; something on the way holds other requests back",
        Err(_) => {
            "nothing has to be done, it works more slowly; ask whoever runs the proxy to let WebSockets through"
        }
    };
    Verdict::warn(CHECK, message, advice)
}

/// The clock of this machine beside the server's; positive when ours is ahead.
pub(super) fn clock(ahead: Option<i64>) -> Verdict {
    const CHECK: &str = "clock";
    const ADVICE: &str = "set the clock: certificates and tokens are good for a time only";
    match ahead {
        None => Verdict::warn(CHECK, "the server did not say what time it is", ""),
        // To the second, both ways.
        Some(off) if off.unsigned_abs() <= 30 => Verdict::pass(CHECK, "as the server's"),
        Some(off) => {
            let which = if off > 0 { "ahead of" } else { "behind" };
            let message = format!("{} s {which} the server's", off.unsigned_abs());
            Verdict::warn(CHECK, message, ADVICE)
        }
    }
}

/// What STUN servers saw of one socket.
#[derive(Clone, Debug, Default)]
pub(super) struct Mappings {
    /// The address of the socket.
    pub(super) local: Option<SocketAddr>,
    /// By server: what it saw, or why not.
    pub(super) seen: Vec<(String, Result<SocketAddr, String>)>,
}

/// How addresses are translated between here and the Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nat {
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
    pub(super) fn nat(&self) -> Nat {
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

pub(super) fn nat(mappings: &Mappings) -> Verdict {
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

/// One TURN server, as it was used.
#[derive(Clone, Debug)]
pub(super) struct Relay {
    pub(super) url: String,
    /// A session with ourselves through it.
    pub(super) relayed: Result<Duration, String>,
    /// Whether it answers over UDP at all, if it is reached so.
    pub(super) answers: Option<bool>,
}

pub(super) fn turn(relays: &[Relay]) -> Vec<Verdict> {
    const CHECK: &str = "turn";
    const NONE: &str = "name one with --turn, or have the signaling server bring one (signaling-server --turn): some pairs of networks have no other path";
    if relays.is_empty() {
        return vec![Verdict::warn(CHECK, "no TURN server is known", NONE)];
    }
    let judge = |relay: &Relay| match (&relay.relayed, relay.answers) {
        (Ok(took), _) => Verdict::pass(CHECK, format!("{} relays, in {}", relay.url, ms(*took))),
        (Err(_), Some(true)) => Verdict::fail(
            CHECK,
            Exit::NoPath,
            format!("{} answers and does not relay", relay.url),
            "check user name and password (--turn-user, PEERLINE_TURN_PASSWORD), and which addresses and ports it may relay to",
        ),
        (Err(why), _) => Verdict::fail(
            CHECK,
            Exit::NoPath,
            format!("{} cannot be used: {why}", relay.url),
            "check its address and port, and whether a firewall is in between; try ?transport=tcp or turns:",
        ),
    };
    relays.iter().map(judge).collect()
}

/// What plays, shows and records.
pub(super) fn ffmpeg(ffmpeg: bool, ffplay: bool) -> Verdict {
    const ADVICE: &str =
        "install the package ffmpeg; --video test and --audio test of peer-cli call need nothing";
    match (ffmpeg, ffplay) {
        (true, true) => Verdict::pass("ffmpeg", "ffmpeg and ffplay are installed"),
        (true, false) => Verdict::warn(
            "ffmpeg",
            "ffplay is missing: peer-cli call has no --view window",
            ADVICE,
        ),
        (false, _) => Verdict::warn(
            "ffmpeg",
            "not installed: peer-cli call cannot use cameras, microphones and most files",
            ADVICE,
        ),
    }
}

pub(super) fn devices(camera: bool, sound: bool) -> Verdict {
    match (camera, sound) {
        (false, false) => Verdict::warn(
            "devices",
            "no camera and no sound",
            "plug some in, or send files and --video test with peer-cli call",
        ),
        (false, true) => Verdict::warn(
            "devices",
            "sound, and no camera",
            "plug one in, or use --video none, test or a file",
        ),
        (true, false) => Verdict::warn(
            "devices",
            "a camera, and no sound",
            "plug in a microphone, or use --audio none, test or a file",
        ),
        (true, true) => Verdict::pass("devices", "a camera and sound"),
    }
}

/// Whether browsers that open the server's page may use everything.
pub(super) fn page(url: &str, is_secure: bool, is_here: bool) -> Verdict {
    const ADVICE: &str = "serve it over https (--tls-cert, --tls-self-signed, or a proxy); browsers give cameras and microphones to secure pages only. Files and chats work all the same";
    match (is_secure, is_here) {
        (true, _) => Verdict::pass("page", format!("{url} is secure: calls work in browsers")),
        (false, true) => Verdict::pass(
            "page",
            format!("{url} counts as secure for browsers on this machine, and for no others"),
        ),
        (false, false) => Verdict::warn("page", format!("{url} is not secure"), ADVICE),
    }
}

/// How the other side of `--with` was reached.
#[derive(Clone, Debug)]
pub(super) enum Reached {
    Direct { rtt: Duration, remote: String },
    Relayed { rtt: Duration, by: Option<String> },
    Not { message: String, exit: Exit },
}

pub(super) fn peer(reached: &Reached, relay_only: bool, own: Nat) -> Verdict {
    const CHECK: &str = "peer";
    match reached {
        Reached::Direct { rtt, remote } => {
            Verdict::pass(CHECK, format!("direct, to {remote}, {}", ms(*rtt)))
        }
        Reached::Relayed { rtt, by } => {
            let by = by
                .as_ref()
                .map_or_else(String::new, |by| format!(" over {by}"));
            let why = match (relay_only, own) {
                (true, _) => "because of --relay-only",
                (_, Nat::Blocked) => "because UDP is blocked here",
                (_, Nat::Symmetric) => {
                    "because the NAT here has another address for each, and the other side's is strict as well"
                }
                (_, Nat::None | Nat::Cone) => {
                    "because of the other side's network: here nothing is in the way"
                }
                (_, Nat::Some | Nat::Unknown) => {
                    "because no direct path was found; why is not known without two STUN servers (--stun)"
                }
            };
            let advice = match own {
                _ if relay_only => "",
                Nat::None | Nat::Cone => "run peer-cli doctor on the other side",
                _ => {
                    "use another network, or forward a UDP port; what is relayed is as safe, and slower"
                }
            };
            Verdict::warn(CHECK, format!("relayed{by}, {}, {why}", ms(*rtt)), advice)
        }
        Reached::Not { message, exit } => {
            let advice =
                "run peer-cli bench there for a new code, and peer-cli doctor on both sides";
            Verdict::fail(CHECK, *exit, message.clone(), advice)
        }
    }
}

fn ms(time: Duration) -> String {
    format!("{:.0} ms", (time.as_secs_f64() * 1000.0).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Result<Duration, String> = Ok(Duration::from_millis(12));

    fn no<T>() -> Result<T, String> {
        Err("nothing listens there".to_owned())
    }

    #[track_caller]
    fn check(verdict: &Verdict, level: Level, words: &str) {
        assert_eq!(verdict.level, level, "{verdict:?}");
        assert!(verdict.message.contains(words), "{verdict:?}");
        assert!(!verdict.message.ends_with('.') && !verdict.message.contains('\n'));
    }

    #[test]
    fn this_machine() {
        let ips = |text: &[&str]| Ok(text.iter().map(|ip| ip.parse().unwrap()).collect());
        for (found, level, words) in [
            (
                ips(&["127.0.0.1", "::1", "169.254.1.1", "fe80::1"]),
                Level::Warn,
                "no address",
            ),
            (
                ips(&["127.0.0.1", "192.168.1.7", "2001:db8::1"]),
                Level::Pass,
                "1 IPv4 and 1 IPv6: 192.168.1.7",
            ),
            (no(), Level::Warn, "nothing listens"),
        ] {
            check(&interfaces(&found), level, words);
        }
        check(&mdns(&OK), Level::Pass, "12 ms");
        check(&mdns(&no()), Level::Warn, "not found");
        for (installed, level) in [
            ((true, true), Level::Pass),
            ((true, false), Level::Warn),
            ((false, false), Level::Warn),
        ] {
            assert_eq!(ffmpeg(installed.0, installed.1).level, level);
        }
        for (camera, sound, level) in [
            (true, true, Level::Pass),
            (false, true, Level::Warn),
            (true, false, Level::Warn),
            (false, false, Level::Warn),
        ] {
            assert_eq!(devices(camera, sound).level, level);
        }
    }

    #[test]
    fn the_server() {
        let ways = |websocket, events, polls| Ways {
            server: "http://h".to_owned(),
            websocket,
            events,
            polls,
        };
        for (ways, level, words) in [
            (
                ways(OK, OK, OK),
                Level::Pass,
                "WebSocket 12 ms, events 12 ms, polls 12 ms",
            ),
            (
                ways(no(), OK, OK),
                Level::Warn,
                "events 12 ms, polls 12 ms; no WebSocket",
            ),
            (
                ways(no(), no(), OK),
                Level::Warn,
                "polls 12 ms; no WebSocket",
            ),
            (ways(OK, no(), OK), Level::Warn, "no events"),
            (ways(no(), no(), no()), Level::Fail, "nothing listens"),
        ] {
            check(&server(&ways), level, words);
        }
        assert_eq!(server(&ways(no(), no(), no())).exit, Exit::NoSignaling);
        for (ahead, level, words) in [
            (Some(0), Level::Pass, "as the server's"),
            (Some(-30), Level::Pass, "as"),
            (Some(31), Level::Warn, "31 s ahead of"),
            (Some(-3600), Level::Warn, "3600 s behind"),
            (Some(i64::MIN), Level::Warn, "behind"),
            (None, Level::Warn, "did not say"),
        ] {
            check(&clock(ahead), level, words);
        }
        for (secure, here, level) in [
            (true, false, Level::Pass),
            (false, true, Level::Pass),
            (false, false, Level::Warn),
        ] {
            assert_eq!(page("http://h", secure, here).level, level);
        }
    }

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

    #[test]
    fn relays() {
        let relay = |relayed, answers| Relay {
            url: "turn:h".to_owned(),
            relayed,
            answers,
        };
        check(&turn(&[])[0], Level::Warn, "no TURN server");
        let verdicts = turn(&[
            relay(OK, Some(true)),
            relay(no(), Some(true)),
            relay(no(), Some(false)),
            relay(no(), None),
        ]);
        for (verdict, (level, words)) in verdicts.iter().zip([
            (Level::Pass, "turn:h relays, in 12 ms"),
            (Level::Fail, "answers and does not relay"),
            (Level::Fail, "cannot be used"),
            (Level::Fail, "cannot be used"),
        ]) {
            check(verdict, level, words);
        }
        assert!(verdicts[1].advice.contains("password") && verdicts[2].advice.contains("firewall"));
    }

    #[test]
    fn the_other_side() {
        let rtt = Duration::from_millis(30);
        let direct = Reached::Direct {
            rtt,
            remote: "10.0.0.3:1".to_owned(),
        };
        check(
            &peer(&direct, false, Nat::Symmetric),
            Level::Pass,
            "direct, to 10.0.0.3:1, 30 ms",
        );
        let relayed = Reached::Relayed {
            rtt,
            by: Some("tcp".to_owned()),
        };
        for (only, own, words) in [
            (true, Nat::Cone, "--relay-only"),
            (false, Nat::Blocked, "UDP is blocked here"),
            (false, Nat::Symmetric, "the NAT here"),
            (false, Nat::Cone, "the other side's network"),
            (false, Nat::None, "the other side's network"),
            (false, Nat::Unknown, "not known"),
            (false, Nat::Some, "not known"),
        ] {
            check(&peer(&relayed, only, own), Level::Warn, words);
        }
        let not = Reached::Not {
            message: "the code is wrong".to_owned(),
            exit: Exit::WrongCode,
        };
        let verdict = peer(&not, false, Nat::Cone);
        check(&verdict, Level::Fail, "the code is wrong");
        assert_eq!(verdict.exit, Exit::WrongCode);
    }
}
