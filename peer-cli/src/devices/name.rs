//! What a device is called here: never to be taken for a code or a link.

use std::fmt;
use std::str::FromStr;

/// Longest name, in characters.
const LONGEST: usize = 32;

/// A code has a room and three words.
const PARTS_OF_A_CODE: usize = 4;

/// Words that `peer-cli pair` understands otherwise.
const COMMANDS: [&str; 4] = ["list", "remove", "rename", "help"];

/// The name of a device: in lower case, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DeviceName(String);

impl FromStr for DeviceName {
    /// Worded for the one who typed it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_lowercase();
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || name.len() > LONGEST || !name.chars().all(allowed) {
            return Err(format!(
                "a device is called by up to {LONGEST} letters, digits, '-' and '_', a letter first"
            ));
        }
        let parts = name.split(['-', '_']).filter(|part| !part.is_empty());
        if parts.count() == PARTS_OF_A_CODE {
            return Err("this could be a code; use fewer '-' or '_'".into());
        }
        if COMMANDS.contains(&name.as_str()) {
            return Err(format!("'{name}' is a command of its own"));
        }
        Ok(Self(name))
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use peerline::pairing::Invitation;

    use super::*;

    #[test]
    fn names_are_no_codes_and_codes_are_no_names() {
        for name in ["laptop", "Laptop", "my-new_pc2", "a", "crane-velvet-orbit"] {
            let parsed: DeviceName = name.parse().expect(name);
            assert_eq!(parsed.to_string(), name.to_lowercase());
            assert!(name.parse::<Invitation>().is_err(), "{name}");
        }
        for code in [
            "7-crane-velvet-orbit",
            "room-crane-velvet-orbit",
            "room_cran_velv-orbi",
            "room--crane-velvet-orbit",
            "https://h/#7-crane-velvet-orbit",
            "#7-crane-velvet-orbit",
        ] {
            assert!(code.parse::<Invitation>().is_ok(), "{code}");
            assert!(code.parse::<DeviceName>().is_err(), "{code}");
        }
        for wrong in [
            "",
            "7up",
            "-a",
            "a b",
            "ä",
            "a/b",
            "list",
            "Remove",
            &"a".repeat(33),
        ] {
            assert!(wrong.parse::<DeviceName>().is_err(), "{wrong}");
        }
    }
}
