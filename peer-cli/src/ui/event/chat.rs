//! What is said in a room, and who is there (`chat`).

use serde::Serialize;

use super::{Route, Wording};
use crate::ui::clean::clean;
use crate::ui::palette::Palette;
use crate::ui::size::{Span, count};

/// This side is in a room, for the first time or again.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entered {
    /// What it is called there.
    pub(crate) name: String,
    /// The others.
    pub(crate) others: Vec<String>,
    /// How many messages of before follow.
    pub(crate) old: u64,
    /// How many it has missed that are not kept any more.
    pub(crate) missed: u64,
}

/// Somebody else said something.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Message {
    /// Who.
    pub(crate) name: String,
    /// What: anything, in any number of lines.
    pub(crate) text: String,
    /// `text`, or `action`: what the sender does.
    pub(crate) kind: &'static str,
    /// When, in milliseconds since 1970, by the clock of the sender.
    pub(crate) at: u64,
    /// Whether it was said before this side came.
    pub(crate) old: bool,
    /// Whether the bell is to be rung.
    #[serde(skip)]
    pub(crate) bell: bool,
}

/// Somebody else has come, left or changed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Member {
    /// Who.
    pub(crate) name: String,
    /// `came`, `away` (it cannot be reached, and may come back), `left` or `renamed`.
    pub(crate) state: &'static str,
    /// What it is called now, if it is `renamed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
}

/// This side has left, or the room is closed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Chatted {
    /// Messages of this side.
    pub(crate) said: u64,
    /// Messages of the others while it was here.
    pub(crate) heard: u64,
    pub(crate) seconds: f64,
    /// How the others were reached: relayed, if one of them was.
    pub(crate) path: Route,
}

impl Message {
    /// The lines on stdout. Those after the first are indented, so that no message looks like one of somebody else.
    pub(in crate::ui) fn shown(&self, palette: Palette) -> String {
        const INDENT: &str = "\n    ";
        let lines: Vec<String> = self
            .text
            .split('\n')
            .map(|line| clean(line.trim_end_matches('\r')))
            .collect();
        let (name, text) = (clean(&self.name), lines.join(INDENT));
        let shown = match self.kind {
            "action" => format!("* {} {text}", palette.tint(&name)),
            _ => format!("{}: {text}", palette.tint(&name)),
        };
        if self.old { palette.dim(&shown) } else { shown }
    }
}

impl Wording for Message {}

impl Wording for Entered {
    fn line(&self, _: Palette) -> Option<String> {
        let others = match self.others.as_slice() {
            [] => "nobody else".to_owned(),
            others => clean(&others.join(", ")),
        };
        let mut line = format!("You are {}, with {others}.", clean(&self.name));
        if self.old > 0 {
            line += &format!(" {} of before:", count(self.old, "message"));
        }
        if self.missed > 0 {
            line += &format!(
                " {} that you missed cannot be had any more.",
                count(self.missed, "message")
            );
        }
        Some(line)
    }
}

impl Wording for Member {
    fn line(&self, _: Palette) -> Option<String> {
        let name = clean(&self.name);
        Some(match (self.state, &self.to) {
            ("renamed", Some(to)) => format!("{name} is called {} now.", clean(to)),
            ("away", _) => format!("{name} cannot be reached."),
            ("left", _) => format!("{name} has left."),
            _ => format!("{name} is here."),
        })
    }
}

impl Wording for Chatted {
    fn line(&self, _: Palette) -> Option<String> {
        let counts = format!(
            "Done: {} said, {} heard",
            count(self.said, "message"),
            self.heard
        );
        let path = match self.path {
            Route::Unknown => String::new(),
            path => format!(", {}", path.word()),
        };
        Some(format!("{counts} in {}{path}", Span::of(self.seconds)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::said;
    use super::*;

    fn message(name: &str, text: &str, kind: &'static str) -> Message {
        Message {
            name: name.into(),
            text: text.into(),
            kind,
            at: 5,
            old: false,
            bell: true,
        }
    }

    #[test]
    fn json_and_wording() {
        said(
            message("anna", "hi\x1b[2J", "text"),
            json!({"event": "message", "name": "anna", "text": "hi\x1b[2J", "kind": "text", "at": 5, "old": false}),
            None,
        );
        said(
            Entered {
                name: "anna".into(),
                others: vec!["bob".into()],
                old: 1,
                missed: 2,
            },
            json!({"event": "entered", "name": "anna", "others": ["bob"], "old": 1, "missed": 2}),
            Some(
                "You are anna, with bob. 1 message of before: 2 messages that you missed cannot be had any more.",
            ),
        );
        said(
            Member {
                name: "bob".into(),
                state: "renamed",
                to: Some("carl".into()),
            },
            json!({"event": "member", "name": "bob", "state": "renamed", "to": "carl"}),
            Some("bob is called carl now."),
        );
        said(
            Chatted {
                said: 1,
                heard: 2,
                seconds: 3.0,
                path: Route::Direct,
            },
            json!({"event": "done", "said": 1, "heard": 2, "seconds": 3.0, "path": "direct"}),
            Some("Done: 1 message said, 2 heard in 3.0 s, direct"),
        );
    }

    #[test]
    fn a_message_cannot_pretend_to_be_another_one() {
        for (text, kind, shown) in [
            ("hi", "text", "anna: hi"),
            ("waves", "action", "* anna waves"),
            ("one\r\nbob: two\n", "text", "anna: one\n    bob: two\n    "),
            (
                "\x1b]52;c;x\x07\rbob: hi",
                "text",
                "anna: \\u{1b}]52;c;x\\u{7}\\u{d}bob: hi",
            ),
            ("<img onerror=x>", "text", "anna: <img onerror=x>"),
        ] {
            assert_eq!(message("anna", text, kind).shown(Palette::Plain), shown);
        }
        let marks = message("anna", &format!("a{}", "\u{301}".repeat(4000)), "text");
        let drawn = marks
            .shown(Palette::Plain)
            .chars()
            .filter(|c| *c == '\u{301}')
            .count();
        assert_eq!(drawn, 4);
    }
}
