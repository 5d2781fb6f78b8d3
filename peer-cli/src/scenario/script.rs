//! What is asked of a page, as JavaScript. Pure.

use peerline::media::Kind;
use serde_json::Value;

use super::plan::{Expected, PeerKind, Probe};

/// What to ask a page to see whether something is there; `None` if no page has to be asked.
pub(super) fn expression(kind: &PeerKind, expected: &Expected) -> Option<String> {
    match (kind, expected) {
        (PeerKind::Page { .. }, Expected::Frames { kind, .. }) => {
            let kind = match kind {
                Kind::Audio => "audio",
                Kind::Video => "video",
            };
            Some(format!("__peerline.frames({})", literal(kind)))
        }
        (PeerKind::Page { .. }, Expected::Page(probe)) => Some(of_probe(probe)),
        _ => None,
    }
}

/// Elements have to be as a person would find them before they are used: there, visible, enabled.
fn of_probe(probe: &Probe) -> String {
    const ENABLED: &str = "if (element.disabled) return 'it is disabled';";
    match probe {
        Probe::Click { selector } => {
            visible(selector, &format!("{ENABLED} element.click(); return true;"))
        }
        Probe::Fill { selector, text } => {
            // The element's own setter, so that frameworks that watch it hear of it.
            let act = format!(
                "{ENABLED}
                const own = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(element), 'value');
                element.focus();
                if (own?.set) own.set.call(element, {0}); else element.textContent = {0};
                for (const type of ['input', 'change']) element.dispatchEvent(new Event(type, {{ bubbles: true }}));
                return true;",
                literal(text)
            );
            visible(selector, &act)
        }
        Probe::Visible { selector } => visible(selector, "return true;"),
        Probe::Text { selector, .. } => format!(
            "(() => {{
                const element = document.querySelector({});
                if (element === null) return null;
                return /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName) ? element.value : element.innerText;
            }})()",
            literal(selector)
        ),
        // Not in parentheses: a statement has its value, too.
        Probe::Check { expression, .. } => expression.clone(),
    }
}

fn visible(selector: &str, act: &str) -> String {
    format!(
        "(() => {{
            const element = document.querySelector({});
            if (element === null) return 'no element is there';
            const {{ width, height }} = element.getBoundingClientRect();
            if (width === 0 || height === 0 || getComputedStyle(element).visibility !== 'visible') return 'it cannot be seen';
            {act}
        }})()",
        literal(selector)
    )
}

/// A string of JavaScript, which JSON's are.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}
