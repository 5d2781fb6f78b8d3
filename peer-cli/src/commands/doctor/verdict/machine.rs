//! This machine: its addresses, its network's multicast, its programs and devices.

use std::net::IpAddr;
use std::time::Duration;

use super::{Verdict, ms};

/// The addresses of this machine.
pub(in crate::commands::doctor) fn interfaces(found: &Result<Vec<IpAddr>, String>) -> Verdict {
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
pub(in crate::commands::doctor) fn mdns(heard: &Result<Duration, String>) -> Verdict {
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

/// What plays, shows and records.
pub(in crate::commands::doctor) fn ffmpeg(ffmpeg: bool, ffplay: bool) -> Verdict {
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

pub(in crate::commands::doctor) fn devices(camera: bool, sound: bool) -> Verdict {
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

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::tests::{OK, check, no};
    use super::*;

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
}
