//! What the other side gave us, a code or a link, and what we give the other side.

use std::str::FromStr;

use peerline::pairing::{Code, Invitation};
use peerline::signaling::ServerUrl;

use crate::devices::DeviceName;

/// A code, and the server it is good for when it came as a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The code.
    pub(crate) code: Code,
    /// The server of the link.
    pub(crate) server: Option<ServerUrl>,
}

impl FromStr for Target {
    /// Worded for the one who typed it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invitation: Invitation = text.parse().map_err(|error| format!("{error}"))?;
        let server = match &invitation.server {
            None => None,
            Some(page) => {
                let server = page.parse::<ServerUrl>();
                Some(server.map_err(|error| format!("the link cannot be used: {error}"))?)
            }
        };
        Ok(Self {
            code: invitation.code,
            server,
        })
    }
}

/// Whom a sender may name: somebody who waits under a code, or a device that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recipient {
    Code(Target),
    Device(DeviceName),
}

impl FromStr for Recipient {
    /// Worded for the one who typed it.
    type Err = String;

    /// A link is a URL; no code is a name, nor a name a code.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(name) => Ok(Self::Device(name)),
            Err(_) => text.parse().map(Self::Code),
        }
    }
}

/// The line that the other side types, `command` being the verb: `receive-file`. A server is named
/// when the other side could not find it by itself.
pub(crate) fn command_for_peer(command: &str, code: &Code, server: Option<&ServerUrl>) -> String {
    match server {
        None => format!("peer-cli {command} {code}"),
        Some(server) => {
            let pin = server.pin();
            let pin = pin.map(|pin| format!(" --server-fingerprint {pin}"));
            format!(
                "peer-cli {command} {code} --server {}{}",
                shell_word(server.page()),
                pin.unwrap_or_default()
            )
        }
    }
}

/// `text` as one word of a POSIX shell: it may be pasted by somebody who did not read it.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> ServerUrl {
        text.parse().expect("a valid server")
    }

    #[test]
    fn codes_and_links_are_read() {
        let code: Code = "7-crane-velvet-orbit".parse().unwrap();
        for (text, expected) in [
            ("7-crane-velvet-orbit", None),
            (" 7 CRAN velv orbi", None),
            (
                "https://h.example/#7-crane-velvet-orbit",
                Some("https://h.example"),
            ),
            (
                "http://10.0.0.2:8787/line#7-crane-velvet-orbit",
                Some("http://10.0.0.2:8787/line"),
            ),
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!(target.code, code);
            assert_eq!(target.server, expected.map(server), "{text}");
        }
    }

    #[test]
    fn a_recipient_is_one_of_three() {
        let code = |text: &str| Recipient::Code(text.parse().unwrap());
        for text in [
            "7-crane-velvet-orbit",
            "room crane velvet orbit",
            "https://h/#7-crane-velvet-orbit",
        ] {
            assert_eq!(text.parse(), Ok(code(text)), "{text}");
        }
        let laptop = Recipient::Device("laptop".parse().unwrap());
        assert_eq!("Laptop".parse(), Ok(laptop));
        for (text, reason) in [
            ("7-crane-velvet", "3 part(s)"),
            ("7-crane-velvit-orbit", "velvet"),
            ("https://h.example/", "no code"),
        ] {
            let error = text.parse::<Recipient>().unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_is_neither_says_why() {
        for (text, reason) in [
            ("", "empty"),
            ("7-crane-velvet", "3 part(s)"),
            ("https://h.example/", "no code"),
            ("ftp://h/#7-crane-velvet-orbit", "http, https"),
            ("https://u:p@h/#7-crane-velvet-orbit", "password"),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_line_for_the_other_side_can_be_pasted() {
        let code: Code = "7-crane-velvet-orbit".parse().unwrap();
        for (text, ending) in [
            (None, ""),
            (
                Some("https://h.example/line"),
                " --server https://h.example/line/",
            ),
            (
                Some("https://h/a;rm$(x)'"),
                r" --server 'https://h/a;rm$(x)'\''/'",
            ),
        ] {
            let named = text.map(server);
            let line = command_for_peer("receive-file", &code, named.as_ref());
            assert_eq!(
                line,
                format!("peer-cli receive-file 7-crane-velvet-orbit{ending}")
            );
        }
    }
}
