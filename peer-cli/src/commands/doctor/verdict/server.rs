//! The signaling server: the ways to it, its clock and its page.

use std::time::Duration;

use super::{Verdict, ms};
use crate::exit::Exit;

/// The ways to the signaling server.
#[derive(Clone, Debug)]
pub(in crate::commands::doctor) struct Ways {
    pub(in crate::commands::doctor) server: String,
    pub(in crate::commands::doctor) websocket: Result<Duration, String>,
    pub(in crate::commands::doctor) events: Result<Duration, String>,
    pub(in crate::commands::doctor) polls: Result<Duration, String>,
}

pub(in crate::commands::doctor) fn server(ways: &Ways) -> Verdict {
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
pub(in crate::commands::doctor) fn clock(ahead: Option<i64>) -> Verdict {
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

/// Whether browsers that open the server's page may use everything.
pub(in crate::commands::doctor) fn page(url: &str, is_secure: bool, is_here: bool) -> Verdict {
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

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::tests::{OK, check, no};
    use super::*;

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
}
