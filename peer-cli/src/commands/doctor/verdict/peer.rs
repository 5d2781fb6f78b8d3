//! The other side of `--with`.

use std::time::Duration;

use super::nat::Nat;
use super::{Verdict, ms};
use crate::exit::Exit;

/// How the other side of `--with` was reached.
#[derive(Clone, Debug)]
pub(in crate::commands::doctor) enum Reached {
    Direct { rtt: Duration, remote: String },
    Relayed { rtt: Duration, by: Option<String> },
    Not { message: String, exit: Exit },
}

pub(in crate::commands::doctor) fn peer(reached: &Reached, relay_only: bool, own: Nat) -> Verdict {
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

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::tests::check;
    use super::*;

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
