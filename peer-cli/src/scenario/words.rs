//! What a step does or waits for, in words. Pure.

use super::inbox::{numbered, quoted};
use super::plan::{Act, Expected, Load, Matcher, PeerId, Probe, Scenario};

/// What a step waits for, as in "expected ...".
pub(super) fn expected(scenario: &Scenario, peer: PeerId, expected: &Expected) -> String {
    let (me, name) = (scenario.name_of(peer), |peer: &PeerId| {
        scenario.name_of(*peer)
    });
    let from = |peer: &Option<PeerId>| {
        peer.as_ref()
            .map(|peer| format!(" from {}", name(peer)))
            .unwrap_or_default()
    };
    match expected {
        Expected::Message {
            from,
            channel,
            text,
            count: 1,
        } => {
            format!(
                "{me} to get {} from {} on channel `{channel}`",
                quoted(text),
                name(from)
            )
        }
        Expected::Message {
            from,
            channel,
            text,
            count,
        } => format!(
            "{me} to get {} to {} from {} on channel `{channel}`, once each and in order",
            quoted(&numbered(text, 1)),
            quoted(&numbered(text, *count)),
            name(from)
        ),
        Expected::Opened {
            from: peer,
            channel,
        } => {
            format!("channel `{channel}`{} to open at {me}", from(peer))
        }
        Expected::State {
            with: Some(with),
            state,
        } => {
            format!("the line of {me} with {} to be {state}", name(with))
        }
        Expected::State { with: None, state } => format!("{me} to be {state}"),
        Expected::Received {
            from,
            bytes: Some(bytes),
        } => {
            format!("{me} to receive {bytes} bytes from {}", name(from))
        }
        Expected::Received { from, bytes: None } => {
            format!("{me} to receive something from {}", name(from))
        }
        Expected::Sent { to } => format!("{me} to have its transfer to {} confirmed", name(to)),
        Expected::Frames {
            from: peer,
            kind,
            count,
        } => {
            format!("{me} to get {count} frames of {kind}{}", from(peer))
        }
        Expected::Output(text) => format!("{me} to print a line with {}", quoted(text)),
        Expected::Exit(code) => format!("{me} to end with exit code {code}"),
        Expected::Console(text) => format!("a line with {} in the console of {me}", quoted(text)),
        Expected::Page(probe) => format!("{} of {me}", page(probe)),
    }
}

fn page(probe: &Probe) -> String {
    match probe {
        Probe::Click { selector } => format!("to click `{selector}`"),
        Probe::Fill { selector, .. } => format!("to fill `{selector}`"),
        Probe::Visible { selector } => format!("to see `{selector}`"),
        Probe::Text { selector, matcher } => format!("the text of `{selector}`{}", to_be(matcher)),
        Probe::Check {
            expression,
            matcher,
        } => format!("{}{}", quoted(expression), to_be(matcher)),
    }
}

fn to_be(matcher: &Matcher) -> String {
    match matcher {
        Matcher::Truth => " to be true".into(),
        Matcher::Is(value) => format!(" to be {value}"),
        Matcher::Contains(text) => format!(" to contain {}", quoted(text)),
    }
}

/// What a peer is made to do, as in "expected ...".
pub(super) fn act(scenario: &Scenario, peer: PeerId, act: &Act) -> String {
    let (me, name) = (scenario.name_of(peer), |peer: &PeerId| {
        scenario.name_of(*peer)
    });
    match act {
        Act::Start => format!("{me} to start"),
        Act::Leave => format!("{me} to leave"),
        Act::Kill => format!("{me} to be killed"),
        Act::Open { to, channel, .. } => {
            format!("{me} to open channel `{channel}` to {}", name(to))
        }
        Act::Send { to, channel, .. } => {
            format!("{me} to send to {} on channel `{channel}`", name(to))
        }
        Act::Transfer {
            to,
            load: Load::Random { bytes, .. },
        } => {
            format!("{me} to begin to send {bytes} bytes to {}", name(to))
        }
        Act::Transfer {
            to,
            load: Load::Path(path),
        } => {
            format!("{me} to begin to send '{path}' to {}", name(to))
        }
        Act::Call { to, .. } => format!("{me} to call {}", name(to)),
        Act::Write(_) => format!("{me} to be written to"),
    }
}
