//! How two sides meet: a server, a code, and who is there.

use serde::Serialize;

use super::Wording;
use crate::ui::clean::clean;
use crate::ui::palette::Palette;

/// The embedded signaling server is up.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Listening {
    /// Its address as others on the network reach it.
    pub(crate) server: String,
}

/// The code for the other side.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Code {
    /// `room-word-word-word`.
    pub(crate) code: String,
    /// The same as a link to the page.
    pub(crate) link: String,
    /// The exact line for a terminal on the other side.
    pub(crate) command: String,
}

/// The next one can come (`receive-file --listen` and `--from`).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Waiting {
    /// The known devices that are waited for; none beside a code.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) devices: Vec<String>,
}

/// Somebody with the right code is there.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Peer {
    /// The program, as it calls itself.
    pub(crate) agent: String,
    /// `native` or `browser`.
    pub(crate) engine: String,
    /// What it is called here, if it is a device that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<String>,
}

/// Words that are equal on both sides exactly when nobody is in the middle.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Phrase {
    /// Six words.
    pub(crate) phrase: String,
}

impl Wording for Listening {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!("Signaling server: {}", self.server))
    }
}

impl Wording for Code {
    fn line(&self, palette: Palette) -> Option<String> {
        Some(format!(
            "Code: {}\nLink: {}\n\nOn the other side:\n\n  {}\n",
            palette.bold(&self.code),
            self.link,
            self.command
        ))
    }
}

/// What is waited for is said as a note.
impl Wording for Waiting {}

impl Wording for Peer {
    fn line(&self, _: Palette) -> Option<String> {
        let agent = clean(&self.agent);
        Some(match &self.device {
            Some(device) => format!("Other side: {} ({agent})", clean(device)),
            None => format!("Other side: {agent}"),
        })
    }
}

impl Wording for Phrase {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!("Words, the same on both sides: {}", self.phrase))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::said;
    use super::*;

    #[test]
    fn json_and_wording() {
        said(
            Listening {
                server: "http://10.0.0.2:8787".into(),
            },
            json!({"event": "listening", "server": "http://10.0.0.2:8787"}),
            Some("Signaling server: http://10.0.0.2:8787"),
        );
        said(
            Code {
                code: "7-a-b-c".into(),
                link: "http://h/#7-a-b-c".into(),
                command: "peer-cli receive-file 7-a-b-c".into(),
            },
            json!({"event": "code", "code": "7-a-b-c", "link": "http://h/#7-a-b-c", "command": "peer-cli receive-file 7-a-b-c"}),
            Some(
                "Code: 7-a-b-c\nLink: http://h/#7-a-b-c\n\nOn the other side:\n\n  peer-cli receive-file 7-a-b-c\n",
            ),
        );
        said(
            Waiting { devices: vec![] },
            json!({"event": "waiting"}),
            None,
        );
        said(
            Waiting {
                devices: vec!["laptop".into()],
            },
            json!({"event": "waiting", "devices": ["laptop"]}),
            None,
        );
        said(
            Peer {
                agent: "evil\x1b[2J".into(),
                engine: "native".into(),
                device: None,
            },
            json!({"event": "peer", "agent": "evil\x1b[2J", "engine": "native"}),
            Some("Other side: evil\\u{1b}[2J"),
        );
        said(
            Peer {
                agent: "peer-cli/1".into(),
                engine: "native".into(),
                device: Some("laptop".into()),
            },
            json!({"event": "peer", "agent": "peer-cli/1", "engine": "native", "device": "laptop"}),
            Some("Other side: laptop (peer-cli/1)"),
        );
        said(
            Phrase {
                phrase: "one two".into(),
            },
            json!({"event": "phrase", "phrase": "one two"}),
            Some("Words, the same on both sides: one two"),
        );
    }
}
