//! The last words of a session.

use super::Driver;
use crate::channel::Message;
use crate::pairing::SealedMessage;
use crate::session::Bye;
use crate::session::control::ControlMessage;
use crate::session::engine::{EngineEvent, EngineState};
use std::time::Duration;

/// How long a side that said goodbye waits for the other to hang up, which it does at once: long enough
/// for SCTP to repeat lost last words twice (its shortest timeout is 1 s).
const GOODBYE_LIMIT: Duration = Duration::from_secs(4);

impl Driver {
    /// Says why it ends, and waits until the peer has read it.
    pub(super) async fn say_goodbye(&mut self, bye: Bye) {
        let sealed = SealedMessage::Bye {
            code: bye.code,
            message: bye.message.clone(),
        };
        if !self.in_band() {
            let _ = self.link.send(&sealed).await;
        }
        // On a path that is lost nobody hears it.
        let lost = self.watchdog.interruption().is_some();
        if self.greeted && !lost && self.control.send(&ControlMessage::Bye(bye)).is_ok() {
            // The engine does not wait for what is queued when it closes; the peer's hanging up says
            // that it has read our last words.
            let hung_up = async {
                loop {
                    tokio::select! {
                        message = self.control.next() => match message {
                            // It says goodbye too: both have said all they had to.
                            Some(Message::Text(text))
                                if !matches!(ControlMessage::parse(&text), Some(ControlMessage::Bye(_))) => {}
                            _ => break,
                        },
                        event = self.engine.next_event() => if matches!(
                            event,
                            EngineEvent::State(
                                EngineState::Closed | EngineState::Failed | EngineState::Disconnected
                            )
                        ) { break },
                    }
                }
            };
            let _ = tokio::time::timeout(GOODBYE_LIMIT, hung_up).await;
        }
    }
}
