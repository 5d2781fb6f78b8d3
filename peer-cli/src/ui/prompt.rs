//! Questions to the person at the terminal.

use std::io::{self, BufRead, Read};

use tokio::sync::oneshot;

/// Longest answer that is read; a code has under 60 characters.
const LONGEST: u64 = 4096;

/// Reads one line from stdin, without its line end; `None` when stdin has ended.
///
/// A read from a terminal cannot be called off. It therefore sits on a thread of its own, which
/// nothing waits for: when the caller gives up (Ctrl-C), the thread ends with the process.
pub(super) async fn line() -> io::Result<Option<String>> {
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new()
        .name("prompt".into())
        .spawn(move || {
            // The receiver is gone when the question was called off.
            let _ = answer.send(read(&mut io::stdin().lock()));
        })?;
    answered.await.unwrap_or(Ok(None))
}

fn read(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    input.take(LONGEST).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}

/// Whether an answer to a `[y/N]` question means yes. Everything unclear is a no.
pub(super) fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        for (answer, yes) in [
            ("y", true),
            ("Y", true),
            (" yes ", true),
            ("YES", true),
            ("", false),
            ("n", false),
            ("no", false),
            ("yess", false),
            ("yes please", false),
            ("y\u{1b}", false),
        ] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }

    #[test]
    fn a_line_is_bounded_trimmed_and_tells_the_end_from_an_empty_answer() {
        let line = |bytes: &[u8]| read(&mut io::BufReader::new(bytes)).expect("reads");
        assert_eq!(line(b""), None);
        assert_eq!(line(b"\n").as_deref(), Some(""));
        assert_eq!(line(b"7-a-b-c\r\nmore").as_deref(), Some("7-a-b-c"));
        assert_eq!(line(b"no newline").as_deref(), Some("no newline"));
        assert_eq!(line(b"\xff\n").as_deref(), Some("\u{fffd}"));
        assert_eq!(
            line(&[b'x'; 100_000]).map(|text| text.len()),
            Some(LONGEST as usize)
        );
    }
}
