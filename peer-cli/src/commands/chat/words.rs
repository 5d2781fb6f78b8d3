//! What is typed: text, or a command that begins with a slash.

use peerline::chat::MAX_TEXT;

/// What somebody wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    /// Nothing: an empty line.
    Nothing,
    Say(&'a str),
    Act(&'a str),
    Rename(&'a str),
    Who,
    Help,
    Leave,
    /// A command that there is not, or one that lacks something.
    Unclear(&'static str),
}

/// For `/help`.
pub(super) const HELP: &str = "\
/me TEXT    say that you do something: * anna waves
/name NAME  be called otherwise
/who        who is here
/quit       leave; so does Ctrl-D
//TEXT      a message that begins with a slash";

/// Reads what was typed at a terminal. What is pasted in several lines is never a command.
pub(super) fn understand(typed: &str) -> Wish<'_> {
    let text = typed.trim_end();
    if text.trim_start().is_empty() {
        return Wish::Nothing;
    }
    let Some(command) = text.strip_prefix('/').filter(|_| !text.contains('\n')) else {
        return Wish::Say(text);
    };
    if command.starts_with('/') {
        return Wish::Say(command);
    }
    let (word, rest) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    let rest = rest.trim();
    match (word, rest) {
        ("me", "") => Wish::Unclear("/me needs words: /me waves"),
        ("me", what) => Wish::Act(what),
        ("name" | "nick", "") => Wish::Unclear("/name needs a name: /name anna"),
        ("name" | "nick", name) => Wish::Rename(name),
        ("who", _) => Wish::Who,
        ("help" | "?", _) => Wish::Help,
        ("quit" | "exit" | "leave", _) => Wish::Leave,
        _ => Wish::Unclear(
            "There is no such command; /help lists them, and // begins a message with a slash.",
        ),
    }
}

/// `text` as messages that are short enough, cut between lines if possible and between characters otherwise.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        if text.len() <= MAX_TEXT {
            return rest.take();
        }
        let mut end = MAX_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, next) = match text[..end].rfind('\n') {
            Some(line) if line > 0 => (&text[..line], &text[line + 1..]),
            _ => text.split_at(end),
        };
        rest = (!next.is_empty()).then_some(next);
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_text_unless_it_is_a_command() {
        for (typed, wish) in [
            ("hello\n", Wish::Say("hello")),
            ("  indented  ", Wish::Say("  indented")),
            ("", Wish::Nothing),
            (" \t\n", Wish::Nothing),
            ("/me waves  twice ", Wish::Act("waves  twice")),
            ("/me", Wish::Unclear("/me needs words: /me waves")),
            ("/name  Åse B", Wish::Rename("Åse B")),
            ("/who", Wish::Who),
            ("/quit", Wish::Leave),
            ("/?", Wish::Help),
            ("//etc is a path", Wish::Say("/etc is a path")),
            ("/etc/passwd\nroot:x:0", Wish::Say("/etc/passwd\nroot:x:0")),
            (" /me", Wish::Say(" /me")),
        ] {
            assert_eq!(understand(typed), wish, "{typed:?}");
        }
        assert!(matches!(understand("/dance"), Wish::Unclear(_)));
    }

    #[test]
    fn long_texts_are_cut_where_it_hurts_least() {
        let cut = |text: &str| pieces(text).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cut("short\nlines"), ["short\nlines"]);
        assert_eq!(cut(""), [""]);
        let line = "x".repeat(5000);
        assert_eq!(cut(&format!("{line}\n{line}\n{line}")), [&line[..]; 3]);
        let wide = "é".repeat(MAX_TEXT);
        let cut = cut(&wide);
        assert_eq!(cut.concat(), wide);
        assert!(cut.iter().all(|piece| piece.len() <= MAX_TEXT));
        assert_eq!(pieces(&"a".repeat(MAX_TEXT)).count(), 1);
    }
}
