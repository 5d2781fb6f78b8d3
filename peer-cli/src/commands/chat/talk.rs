//! From what is typed to what is said, until somebody wants to leave.

use std::time::Duration;

use peerline::chat::{Chat, Kind, Name};

use super::input::{Input, Inputs};
use super::screen::Screen;
use super::words::{self, Wish, understand};
use crate::exit::{Exit, Failure};
use crate::ui::{Route, count};

/// How long nobody may take anything while this side wants to leave.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// This side has left.
    Left,
    /// Ctrl-C.
    Interrupted,
    /// The one who made the room has left.
    Closed,
}

/// How it went.
pub(super) struct Outcome {
    pub(super) ending: Ending,
    /// Messages of this side that somebody lacks.
    pub(super) undelivered: u64,
    pub(super) path: Route,
}

/// Says what is typed or read. Dropped, what was read and not said is lost. `end` is what the end of stdin means.
pub(super) async fn talk(
    inputs: &mut Inputs,
    chat: &Chat,
    screen: &Screen,
    end: Option<Ending>,
) -> Ending {
    let mut name = screen.name();
    loop {
        let input = tokio::select! {
            input = inputs.next() => input,
            changed = name.changed() => {
                if changed.is_ok() {
                    inputs.call(&name.borrow_and_update());
                }
                continue;
            }
        };
        let wish = match &input {
            Input::Typed(text) => understand(text),
            Input::Line(text) => Wish::Say(text),
            Input::Interrupt => return Ending::Interrupted,
            Input::End => match end {
                Some(end) => return end,
                None => std::future::pending().await,
            },
        };
        let ui = screen.ui();
        match wish {
            Wish::Nothing => {}
            Wish::Say(text) => say(chat, screen, Kind::Text, text).await,
            Wish::Act(text) => say(chat, screen, Kind::Action, text).await,
            Wish::Rename(name) => chat.rename(&Name::new(name)),
            Wish::Who => screen.who(&chat.others()),
            Wish::Help => words::HELP.lines().for_each(|line| ui.note(line)),
            Wish::Unclear(what) => ui.note(what),
            Wish::Leave => return Ending::Left,
        }
    }
}

async fn say(chat: &Chat, screen: &Screen, kind: Kind, text: &str) {
    for piece in words::pieces(text) {
        match chat.say(kind, piece.to_owned()).await {
            Ok(()) => screen.spoke(),
            Err(error) => tracing::error!(%error, "a piece is too long"),
        }
    }
}

/// What the command ends with.
pub(super) fn verdict(ending: Ending, undelivered: u64) -> Result<(), Failure> {
    match ending {
        Ending::Interrupted => Err(Failure::ctrl_c()),
        _ if undelivered > 0 => {
            let count = count(undelivered, "message");
            let message = format!("{count} may not have reached everybody");
            let failure = Failure::new(Exit::Interrupted, "undelivered", message);
            Err(failure.hint("ask the others what they have seen last"))
        }
        Ending::Left | Ending::Closed => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_heard_has_left_in_peace() {
        for (ending, undelivered, exit) in [
            (Ending::Left, 0, None),
            (Ending::Closed, 0, None),
            (Ending::Left, 2, Some(Exit::Interrupted)),
            (Ending::Closed, 1, Some(Exit::Interrupted)),
            (Ending::Interrupted, 0, Some(Exit::CtrlC)),
        ] {
            let verdict = verdict(ending, undelivered).err();
            assert_eq!(verdict.map(|failure| failure.exit), exit, "{ending:?}");
        }
    }
}
