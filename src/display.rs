//! Text from the other side, made fit for a terminal.

use unicode_width::UnicodeWidthChar;

/// Combining marks kept on one character; more is drawn over the lines around it.
const MAX_MARKS: usize = 4;

/// `text` with everything escaped as `\u{..}` that a terminal would not simply print (controls,
/// escape sequences, bidirectional controls, invisible and unassigned characters, heaps of
/// combining marks), cut to `width` columns; a cut is shown by `…`.
pub fn display_name(text: &str, width: usize) -> String {
    let mut shown = String::new();
    let mut columns = 0;
    let mut marks = MAX_MARKS;
    // Where the cut goes if the rest does not fit: the last length that leaves a column for `…`.
    let mut cut = 0;
    for c in text.chars() {
        let plain = prints(c) && (c.width() != Some(0) || marks < MAX_MARKS);
        let before = shown.len();
        if plain {
            shown.push(c);
            let wide = c.width().unwrap_or(0);
            columns += wide;
            marks = if wide == 0 { marks + 1 } else { 0 };
        } else {
            shown.extend(c.escape_unicode());
            columns += shown.len() - before;
            marks = MAX_MARKS;
        }
        if columns > width {
            shown.truncate(cut);
            if width > 0 {
                shown.push('…');
            }
            return shown;
        }
        if columns < width {
            cut = shown.len();
        }
    }
    shown
}

fn prints(c: char) -> bool {
    if is_bidi_control(c) || c == '\u{FFFD}' || c.width().is_none() {
        return false;
    }
    // `str::escape_debug` leaves printable characters alone, and combining marks unless they come
    // first; quotes and backslashes are escaped there but are harmless here.
    let mut buffer = [b'a'; 5];
    let length = 1 + c.encode_utf8(&mut buffer[1..]).len();
    let probe = std::str::from_utf8(&buffer[..length]).expect("an ASCII letter and a character");
    matches!(c, '\'' | '"' | '\\') || probe.escape_debug().count() == 2
}

/// Whether this character changes the direction of text: names that hold one can pretend to end in
/// another extension.
pub(crate) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}' | '\u{061C}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows() {
        for (text, width, shown) in [
            ("plain name.txt", 80, "plain name.txt"),
            ("it's \"a\\b\"", 80, "it's \"a\\b\""),
            ("\x1b[2J", 80, "\\u{1b}[2J"),
            ("a\r\n\x07b", 80, "a\\u{d}\\u{a}\\u{7}b"),
            ("\u{9b}31m", 80, "\\u{9b}31m"),
            ("exe\u{202e}gpj", 80, "exe\\u{202e}gpj"),
            ("\u{2066}\u{61c}", 80, "\\u{2066}\\u{61c}"),
            ("\u{200b}\u{feff}", 80, "\\u{200b}\\u{feff}"),
            ("日本語", 80, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("e\u{301}te\u{301}", 80, "e\u{301}te\u{301}"),
            ("\u{301}x", 80, "\\u{301}x"),
            ("हिन्दी", 80, "हिन्दी"),
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abcd…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
            ("", 0, ""),
        ] {
            assert_eq!(display_name(text, width), shown, "{text:?} in {width}");
        }
        let heap = format!("a{}", "\u{301}".repeat(1000));
        assert!(display_name(&heap, 80).chars().count() < 100);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_harmless_and_fits(text in any::<String>(), width in 0usize..60) {
            let shown = display_name(&text, width);
            prop_assert!(shown.chars().all(|c| !c.is_control() && !is_bidi_control(c)));
            let columns: usize = shown.chars().map(|c| c.width().unwrap_or(0)).sum();
            prop_assert!(columns <= width);
        }
    }
}
