//! Text from elsewhere, made safe for a terminal.
//!
//! File names, peer names and error texts come from the network or from disks that others filled.
//! Escape sequences in them could rewrite the screen, the title or the clipboard (OSC 52), and
//! bidirectional controls could make `gpj.exe` read as `exe.jpg`.

use std::fmt::Write as _;

use peerline::transfer::display_name;

/// `text` with everything escaped that a terminal would not simply print.
pub(crate) fn clean(text: &str) -> String {
    display_name(text, usize::MAX)
}

/// JSON text with everything but printable ASCII as `\u` escapes: a raw look at it is safe on any
/// terminal, and a parser gets the true text.
pub(super) fn ascii_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if c == ' ' || c.is_ascii_graphic() {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(safe, "\\u{unit:04x}").expect("writing to a String cannot fail");
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_acts_on_it() {
        for (name, shown) in [
            ("Grüße an Åse 写真 😀.txt", "Grüße an Åse 写真 😀.txt"),
            ("a\x1b]52;c;ZXZpbA==\x07", "a\\u{1b}]52;c;ZXZpbA==\\u{7}"),
            ("a\u{9b}31mb\n", "a\\u{9b}31mb\\u{a}"),
            ("cod\u{202e}gpj.exe", "cod\\u{202e}gpj.exe"),
            ("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}"),
        ] {
            assert_eq!(clean(name), shown);
        }
    }

    #[test]
    fn json_stays_the_same_text_in_ascii() {
        let text = "Grüße 😀 \u{7f}\u{9b}\u{202e} \"\\ \n";
        let json = ascii_json(&serde_json::to_string(text).unwrap());
        assert!(
            json.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
