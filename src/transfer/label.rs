//! The names of a transfer's channels.

use std::fmt;

use rand::RngExt;

/// Protocol of a control channel.
pub const CONTROL_PROTOCOL: &str = "peerline-files/1";

/// Protocol of a lane.
pub const LANE_PROTOCOL: &str = "peerline-lane/1";

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// 82 bits: two transfers never share a staging directory by chance.
const ID_LENGTH: usize = 16;

/// Names one transfer: 8 to 32 characters of `[a-z0-9]`, so it is also a safe file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransferId(String);

impl TransferId {
    /// A fresh identifier from the thread's cryptographic generator.
    pub fn random() -> Self {
        let mut rng = rand::rng();
        let letter = |_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]);
        Self((0..ID_LENGTH).map(letter).collect())
    }

    /// Reads an identifier.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = (8..=32).contains(&text.len()) && text.bytes().all(|b| ALPHABET.contains(&b));
        allowed.then(|| Self(text.to_owned()))
    }

    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Label of the control channel.
    pub fn control_label(&self) -> String {
        format!("files/{}", self.0)
    }

    /// Label of the lane with this number; the first is 0.
    pub fn lane_label(&self, lane: u16) -> String {
        format!("lane/{}/{lane}", self.0)
    }
}

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the label of a channel says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// The control channel of a transfer.
    Control(TransferId),
    /// A lane of a transfer and its number.
    Lane(TransferId, u16),
}

impl Label {
    /// Reads the label of a channel that the other side opened; `None` if it is not a transfer's.
    pub fn parse(label: &str) -> Option<Self> {
        if let Some(id) = label.strip_prefix("files/") {
            return TransferId::parse(id).map(Self::Control);
        }
        let (id, number) = label.strip_prefix("lane/")?.split_once('/')?;
        let lane: u16 = number.parse().ok()?;
        // `+0` and `00` would make two labels for one lane.
        (lane.to_string() == number).then_some(())?;
        TransferId::parse(id).map(|id| Self::Lane(id, lane))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_back() {
        let id = TransferId::random();
        assert_eq!(
            Label::parse(&id.control_label()),
            Some(Label::Control(id.clone()))
        );
        assert_eq!(Label::parse(&id.lane_label(7)), Some(Label::Lane(id, 7)));
        assert_ne!(TransferId::random(), TransferId::random());
    }

    #[test]
    fn other_labels_are_refused() {
        let long = format!("files/{}", "a".repeat(33));
        for label in [
            "",
            "files/",
            "files/short",
            "files/UPPERCASE",
            "files/../../etc",
            "files/abcdefgh/0",
            long.as_str(),
            "lane/abcdefgh",
            "lane/abcdefgh/",
            "lane/abcdefgh/+0",
            "lane/abcdefgh/00",
            "lane/abcdefgh/65536",
            "lane/abc/0",
            "control",
        ] {
            assert_eq!(Label::parse(label), None, "{label}");
        }
    }
}
