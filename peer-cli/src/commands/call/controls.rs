//! Keys at a terminal, lines from a script.

use std::io::{self, BufRead, Read};
use std::thread;

use tokio::sync::mpsc;

use crate::ui::Ui;

/// Wishes that wait. Whoever types faster is not heard.
const QUEUE: usize = 16;

/// Longest line of a script.
const LONGEST: u64 = 4096;

/// What somebody wants. `None` is the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    HangUp,
    Mute(Option<bool>),
    Camera(Option<bool>),
    Stats,
}

impl Wish {
    fn of_key(key: u8) -> Option<Self> {
        Some(match key {
            b'q' | b'Q' | 4 => Self::HangUp,
            b'm' | b'M' | b' ' => Self::Mute(None),
            b'c' | b'C' => Self::Camera(None),
            b's' | b'S' => Self::Stats,
            _ => return None,
        })
    }

    fn of_line(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(match words.as_slice() {
            ["hangup" | "quit"] => Self::HangUp,
            ["mute"] => Self::Mute(Some(true)),
            ["unmute"] => Self::Mute(Some(false)),
            ["camera", "on"] => Self::Camera(Some(true)),
            ["camera", "off"] => Self::Camera(Some(false)),
            ["stats"] => Self::Stats,
            _ => return None,
        })
    }
}

/// Listens until it is dropped.
pub(super) struct Controls {
    wishes: mpsc::Receiver<Wish>,
    _keys: Option<keys::Keys>,
}

impl Controls {
    /// At a terminal, keys act at once. Otherwise lines are read; that they end means nothing. Nothing is read
    /// if stdin is `taken` by a source.
    pub(super) fn start(ui: &Ui, taken: bool) -> Self {
        let (sender, wishes) = mpsc::channel(QUEUE);
        if taken {
            return Self {
                wishes,
                _keys: None,
            };
        }
        let keys = match ui.can_ask() {
            true => keys::Keys::take(),
            false => None,
        };
        let by_key = keys.is_some();
        // A read cannot be called off: the thread ends with the process.
        thread::spawn(move || match by_key {
            true => read_keys(&sender),
            false => read_lines(io::stdin().lock(), &sender),
        });
        Self {
            wishes,
            _keys: keys,
        }
    }

    /// The next wish.
    pub(super) async fn next(&mut self) -> Wish {
        match self.wishes.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await,
        }
    }
}

fn read_keys(wishes: &mpsc::Sender<Wish>) {
    for key in io::stdin().lock().bytes().map_while(Result::ok) {
        if let Some(wish) = Wish::of_key(key)
            && wishes.blocking_send(wish).is_err()
        {
            return;
        }
    }
}

fn read_lines(mut input: impl BufRead, wishes: &mpsc::Sender<Wish>) {
    loop {
        let mut line = Vec::new();
        match input.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line);
        match Wish::of_line(&line) {
            Some(wish) if wishes.blocking_send(wish).is_err() => return,
            Some(_) => {}
            None => tracing::warn!(line = line.trim(), "an unknown command on stdin"),
        }
    }
}

#[cfg(unix)]
mod keys {
    use rustix::termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
    };

    /// A terminal that hands over each key, and shows none. Dropping it makes it as it was.
    pub(super) struct Keys(Termios);

    impl Keys {
        pub(super) fn take() -> Option<Self> {
            let stdin = rustix::stdio::stdin();
            let before = tcgetattr(stdin).ok()?;
            let mut raw = before.clone();
            // Ctrl-C stays what it is.
            raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            raw.special_codes[SpecialCodeIndex::VMIN] = 1;
            raw.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(stdin, OptionalActions::Now, &raw).ok()?;
            Some(Self(before))
        }
    }

    impl Drop for Keys {
        fn drop(&mut self) {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
        }
    }
}

#[cfg(not(unix))]
mod keys {
    /// Keys need the Enter key here, so lines are read.
    pub(super) struct Keys(std::convert::Infallible);

    impl Keys {
        pub(super) fn take() -> Option<Self> {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_lines_say_the_same() {
        for (key, line, wish) in [
            (b'q', "hangup", Wish::HangUp),
            (b's', " stats ", Wish::Stats),
        ] {
            assert_eq!(Wish::of_key(key), Some(wish));
            assert_eq!(Wish::of_line(line), Some(wish));
        }
        assert_eq!(Wish::of_key(b'm'), Some(Wish::Mute(None)));
        assert_eq!(Wish::of_line("unmute"), Some(Wish::Mute(Some(false))));
        assert_eq!(
            Wish::of_line("camera  off"),
            Some(Wish::Camera(Some(false)))
        );
        for nothing in ["", "camera", "dance", "mute now"] {
            assert_eq!(Wish::of_line(nothing), None, "{nothing}");
        }
        assert_eq!(Wish::of_key(0x1b), None);
    }

    #[test]
    fn lines_are_read_to_their_end() {
        let (sender, mut wishes) = mpsc::channel(QUEUE);
        read_lines(&b"mute\r\nnonsense\n\xff\nstats"[..], &sender);
        assert_eq!(wishes.try_recv(), Ok(Wish::Mute(Some(true))));
        assert_eq!(wishes.try_recv(), Ok(Wish::Stats));
        assert!(wishes.try_recv().is_err());
    }
}
