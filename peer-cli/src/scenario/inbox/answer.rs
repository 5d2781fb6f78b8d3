//! Whether a page's answer is what was wanted.

use serde_json::Value;

use super::super::plan::{Matcher, Probe};
use super::{Look, SHOWN, quoted};

impl Matcher {
    /// Whether an answer of a page is right.
    pub(crate) fn matches(&self, found: &Value) -> bool {
        match (self, found) {
            (Self::Truth, Value::Null | Value::Bool(false)) => false,
            (Self::Truth, Value::Number(number)) => number.as_f64() != Some(0.0),
            (Self::Truth, Value::String(text)) => !text.is_empty(),
            (Self::Truth, _) => true,
            // 1 and 1.0 are the same to JavaScript.
            (Self::Is(Value::Number(wanted)), Value::Number(found)) => {
                wanted.as_f64() == found.as_f64()
            }
            (Self::Is(wanted), found) => wanted == found,
            (Self::Contains(text), Value::String(found)) => found.contains(text.as_str()),
            (Self::Contains(text), found) => found.to_string().contains(text.as_str()),
        }
    }
}

impl Probe {
    /// Whether the page's answer is what was wanted; if not, what it says.
    pub(crate) fn judge(&self, answer: &Value) -> Look {
        let (met, seen) = match self {
            // The script answers `true`, or why not.
            Self::Click { .. } | Self::Fill { .. } | Self::Visible { .. } => {
                let why = answer.as_str().map(str::to_owned);
                (
                    *answer == Value::Bool(true),
                    why.unwrap_or_else(|| answer.to_string()),
                )
            }
            Self::Text { matcher, .. } => match answer {
                Value::Null => (false, "no element is there".into()),
                answer => (matcher.matches(answer), shown(answer)),
            },
            Self::Check { matcher, .. } => (matcher.matches(answer), shown(answer)),
        };
        match met {
            true => Look::Met,
            false => Look::NotYet(seen),
        }
    }
}

fn shown(answer: &Value) -> String {
    match answer {
        Value::String(text) => format!("it was {}", quoted(text)),
        Value::Null => "it was null or undefined".into(),
        other => {
            let text: String = other.to_string().chars().take(SHOWN).collect();
            format!("it was {text}")
        }
    }
}
