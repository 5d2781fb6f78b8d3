//! What has been seen on a line with another native peer.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use super::super::plan::State;
use super::{Look, OnLine, Receipt, ended, keep, numbered, of_kind, quoted};

#[derive(Clone, Debug, Default)]
pub(super) struct LineSeen {
    pub(super) state: Option<(State, Option<String>)>,
    pub(super) opened: Vec<String>,
    pub(super) messages: BTreeMap<String, VecDeque<String>>,
    pub(super) last_message: Option<(String, String)>,
    /// Of a step that expects numbered messages: how many have come.
    pub(super) counted: u32,
    pub(super) received: VecDeque<Receipt>,
    pub(super) sent: VecDeque<Receipt>,
    pub(super) failed: VecDeque<String>,
    pub(super) frames: [u64; 2],
}

impl LineSeen {
    pub(super) fn note(&mut self, what: OnLine) {
        match what {
            OnLine::State(state, why) => self.state = Some((state, why)),
            OnLine::Opened(label) => self.opened.push(label),
            OnLine::Message { channel, text } => {
                self.last_message = Some((channel.clone(), text.clone()));
                keep(self.messages.entry(channel).or_default(), text);
            }
            OnLine::Received(receipt) => self.received.push_back(receipt),
            OnLine::Sent(receipt) => self.sent.push_back(receipt),
            OnLine::Failed(why) => self.failed.push_back(why),
            OnLine::Frames(kind, total) => self.frames[of_kind(kind)] = total,
        }
    }

    pub(super) fn look_for_message(
        &mut self,
        from: &str,
        channel: &str,
        text: &str,
        count: u32,
    ) -> Look {
        let messages = self.messages.entry(channel.to_owned()).or_default();
        if count == 1 {
            if let Some(index) = messages.iter().position(|message| message == text) {
                messages.drain(..=index);
                return Look::Met;
            }
        } else {
            while self.counted < count {
                let Some(message) = messages.front() else {
                    break;
                };
                let due = numbered(text, self.counted + 1);
                if *message != due {
                    let message = quoted(message);
                    return Look::Never(format!("in place of {} came {message}", quoted(&due)));
                }
                self.counted += 1;
                messages.pop_front();
            }
            if self.counted == count {
                self.counted = 0;
                return Look::Met;
            }
        }
        let mut seen = match &self.last_message {
            Some((on, last)) if on == channel => {
                format!("the last message there was {}", quoted(last))
            }
            Some((on, last)) => format!(
                "nothing came there; the last message from {from} was {} on `{on}`",
                quoted(last)
            ),
            None => format!("no message came from {from}"),
        };
        if count > 1 {
            let _ = write!(seen, ", {} of {count} have come", self.counted);
        }
        self.ended(&seen)
    }

    /// It can still come, unless the line is over.
    pub(super) fn ended(&self, seen: &str) -> Look {
        ended(self.state.as_ref(), seen)
    }
}

/// A transfer that is complete and fits; why there can be none.
pub(super) fn take_receipt(
    done: &mut VecDeque<Receipt>,
    failed: &mut VecDeque<String>,
    fits: impl Fn(&Receipt) -> bool,
) -> Option<Look> {
    if let Some(index) = done.iter().position(fits) {
        done.remove(index);
        return Some(Look::Met);
    }
    if let Some(why) = failed.pop_front() {
        return Some(Look::Never(format!("the transfer failed: {why}")));
    }
    let other = done.back()?;
    Some(Look::NotYet(format!(
        "{} bytes in {} files are complete",
        other.bytes, other.files
    )))
}
