//! The TURN servers.

use std::time::Duration;

use super::{Verdict, ms};
use crate::exit::Exit;

/// One TURN server, as it was used.
#[derive(Clone, Debug)]
pub(in crate::commands::doctor) struct Relay {
    pub(in crate::commands::doctor) url: String,
    /// A session with ourselves through it.
    pub(in crate::commands::doctor) relayed: Result<Duration, String>,
    /// Whether it answers over UDP at all, if it is reached so.
    pub(in crate::commands::doctor) answers: Option<bool>,
}

pub(in crate::commands::doctor) fn turn(relays: &[Relay]) -> Vec<Verdict> {
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

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::tests::{OK, check, no};
    use super::*;

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
}
