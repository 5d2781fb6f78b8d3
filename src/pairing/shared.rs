//! One code for several guests: each of them pairs for itself, and they can be wrong once between them.

use super::code::Code;
use super::exchange::{self, Action, Input, PairingError};
use super::host::{Host, MAX_SHARES};
use super::record::{AbortReason, Record};
use std::sync::{Arc, Mutex, PoisonError};

/// A code that is good for as many guests as its owner likes, until it is [closed](Self::close) or somebody
/// guesses wrong. Each guest gets keys of its own, by a key agreement of its own. Clones are the same code.
#[derive(Debug, Clone)]
pub struct SharedCode {
    code: Code,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Shares that were answered, and with which nobody has paired yet.
    unfinished: u8,
    /// Why nobody else can pair.
    over: Option<PairingError>,
}

impl SharedCode {
    /// Shares a code.
    pub fn new(code: Code) -> Self {
        let state = Arc::default();
        Self { code, state }
    }

    /// The code.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// Lets nobody else pair.
    pub fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.over.get_or_insert(PairingError::CodeUsed);
    }

    /// Why nobody else can pair, if so.
    pub fn over(&self) -> Option<PairingError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.over
    }
}

/// The host of one guest, who may share its code with others.
#[derive(Debug)]
pub(crate) struct SharedHost<P> {
    host: Host<P>,
    code: Option<SharedCode>,
    paired: bool,
}

/// With nobody to share with.
impl<P> From<Host<P>> for SharedHost<P> {
    fn from(host: Host<P>) -> Self {
        Self {
            host,
            code: None,
            paired: false,
        }
    }
}

impl<P: Clone + PartialEq> SharedHost<P> {
    pub(crate) fn new(code: SharedCode) -> Self {
        Self {
            host: Host::new(code.code.clone()),
            code: Some(code),
            paired: false,
        }
    }

    /// As [`Host::handle`]. What one guest does and what it means for all happens at once: of guesses that
    /// come together, the first wrong one is the only one that is looked at.
    pub(crate) fn handle(&mut self, from: &P, input: impl Into<Input>) -> Vec<Action> {
        let input = input.into();
        let Some(code) = &self.code else {
            return self.host.handle(from, input);
        };
        let mut state = code.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.over.is_some() && !self.paired {
            return exchange::fail(AbortReason::CodeUsed, PairingError::CodeUsed);
        }
        let is_share = matches!(input, Input::Record(Record::ShareGuest { .. }));
        if is_share && state.unfinished == MAX_SHARES {
            state.over = Some(PairingError::TooManyGuests);
            return exchange::fail(AbortReason::CodeUsed, PairingError::TooManyGuests);
        }
        let actions = self.host.handle(from, input);
        for action in &actions {
            match action {
                Action::Send(Record::ShareHost { .. }) => state.unfinished += 1,
                Action::Paired(_) => {
                    self.paired = true;
                    state.unfinished -= 1;
                }
                Action::Failed(error) if !self.paired => state.over = Some(*error),
                _ => {}
            }
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::Guest;

    const CODE: &str = "7-crane-velvet-orbit";

    /// One guest, as far as its confirm, which is not handed over yet.
    fn at_the_door(code: &SharedCode, guess: &str) -> (SharedHost<u8>, Guest, Record) {
        let mut host = SharedHost::new(code.clone());
        let (mut guest, share) = Guest::start(&guess.parse().unwrap());
        let answer = sent(host.handle(&1, Input::Record(share)));
        let confirm = sent(guest.handle(Input::Record(answer)));
        (host, guest, confirm)
    }

    fn sent(actions: Vec<Action>) -> Record {
        let sent = actions.into_iter().find_map(|action| match action {
            Action::Send(record) => Some(record),
            _ => None,
        });
        sent.expect("sends something")
    }

    fn paired(actions: &[Action]) -> bool {
        actions
            .iter()
            .any(|action| matches!(action, Action::Paired(_)))
    }

    fn failure(actions: &[Action]) -> Option<PairingError> {
        actions.iter().find_map(|action| match action {
            Action::Failed(error) => Some(*error),
            _ => None,
        })
    }

    #[test]
    fn guests_pair_side_by_side() {
        let code = SharedCode::new(CODE.parse().unwrap());
        let mut doors: Vec<_> = (0..20).map(|_| at_the_door_of_ten(&code)).collect();
        assert!(doors.iter_mut().all(|door| *door));
        assert_eq!(code.over(), None);
    }

    /// Two that come together, and pair in the other order.
    fn at_the_door_of_ten(code: &SharedCode) -> bool {
        let (mut first, _, one) = at_the_door(code, CODE);
        let (mut second, _, two) = at_the_door(code, CODE);
        paired(&second.handle(&1, Input::Record(two)))
            && paired(&first.handle(&1, Input::Record(one)))
    }

    #[test]
    fn of_guesses_that_come_together_one_is_looked_at() {
        let code = SharedCode::new(CODE.parse().unwrap());
        let (mut wrong, _, guess) = at_the_door(&code, "7-crane-velvet-zoo");
        let (mut right, _, confirm) = at_the_door(&code, CODE);
        let (mut before, _, early) = at_the_door(&code, CODE);
        assert!(paired(&before.handle(&1, Input::Record(early))));
        let actions = wrong.handle(&1, Input::Record(guess));
        assert_eq!(failure(&actions), Some(PairingError::WrongCode));
        assert_eq!(code.over(), Some(PairingError::WrongCode));
        // Also a right one is refused now, and nothing of what was right before is lost.
        let actions = right.handle(&1, Input::Record(confirm));
        assert_eq!(failure(&actions), Some(PairingError::CodeUsed));
        assert!(!paired(&actions));
        assert!(before.handle(&1, Input::PeerLeft).is_empty());
    }

    #[test]
    fn a_closed_code_and_too_many_unfinished_guests() {
        let code = SharedCode::new(CODE.parse().unwrap());
        let (mut late, _, confirm) = at_the_door(&code, CODE);
        code.close();
        let actions = late.handle(&1, Input::Record(confirm));
        assert_eq!(failure(&actions), Some(PairingError::CodeUsed));

        let code = SharedCode::new(CODE.parse().unwrap());
        let doors: Vec<_> = (0..MAX_SHARES).map(|_| at_the_door(&code, CODE)).collect();
        let (_, share) = Guest::start(&CODE.parse().unwrap());
        let mut host = SharedHost::new(code.clone());
        let actions = host.handle(&1, Input::Record(share));
        assert_eq!(failure(&actions), Some(PairingError::TooManyGuests));
        assert_eq!(code.over(), Some(PairingError::TooManyGuests));
        drop(doors);
    }
}
