//! How two devices get to know each other over a session that a code has verified. Pure.
//!
//! Each says its key and its inbox, then signs the session and both keys, and only then keeps the other. The
//! guest is the first to say that it has; so whichever of the two says that it is done, the other has kept it.

use super::identity::{Identity, PublicKey};
use super::meeting::Acquaintance;
use super::proof::{Known, Proof};
use super::secret::{Inbox, PairSecret};
use crate::pairing::{Binding, Role};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Label of the channel, which the guest opens.
pub const CHANNEL: &str = "device";

/// What it speaks.
pub const PROTOCOL: &str = "peerline-device/1";

/// Version of the introduction.
const VERSION: u32 = 1;

/// Bytes in the longest message that is read; the longest there is has some 200.
pub(super) const LONGEST: usize = 4096;

/// Two devices did not get to know each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntroductionError {
    /// The other side broke the protocol.
    #[error("the other side broke the protocol of introductions: {0}")]
    Protocol(&'static str),
    /// A newer version.
    #[error("the other side introduces itself in version {0}, which this program does not speak")]
    Version(u32),
    /// Its signature is not that of its key, for this session.
    #[error("the other side does not have the key that it showed")]
    NotItsKey,
    /// Both sides are the same device.
    #[error("the other side is this very device")]
    Itself,
    /// The session ended first.
    #[error("the other side left before both devices knew each other")]
    Ended,
    /// The other side said nothing for too long.
    #[error("the other side did not introduce itself in time")]
    TimedOut,
    /// It could not be kept; the reason is the caller's.
    #[error("{0}")]
    NotKept(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Message {
    Identity {
        version: u32,
        key: String,
        inbox: String,
    },
    Proof {
        signature: String,
    },
    Kept,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Input<'a> {
    /// The other side said this.
    Said(&'a str),
    /// [`Action::Keep`] was done.
    Kept,
}

/// What to do, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Say this.
    Say(String),
    /// Keep the other device, and say so with [`Input::Kept`].
    Keep(Acquaintance),
    /// Both have kept each other.
    Done,
}

/// One side of an introduction.
pub(super) struct Introduction {
    identity: Arc<Identity>,
    role: Role,
    binding: Binding,
    state: State,
}

enum State {
    /// The other side has not said who it is.
    Unknown,
    /// It has, and must prove it.
    Claimed { known: Known, inbox: Inbox },
    /// It has, and is being kept. It may have kept us by now.
    Proven { kept_us: bool },
    /// It is kept, and must say that it has kept us.
    Kept,
    /// It is over.
    Ended,
}

impl Introduction {
    /// Begins; the text is to be said.
    pub(super) fn start(identity: Arc<Identity>, role: Role, binding: Binding) -> (Self, String) {
        let hello = Message::Identity {
            version: VERSION,
            key: identity.key().to_string(),
            inbox: identity.inbox().reveal().to_string(),
        };
        let introduction = Self {
            identity,
            role,
            binding,
            state: State::Unknown,
        };
        (introduction, to_text(&hello))
    }

    /// Decides what to do. After an error there is nothing more to do.
    pub(super) fn handle(&mut self, input: &Input<'_>) -> Result<Vec<Action>, IntroductionError> {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let message = match input {
            Input::Said(text) => Some(parse(text)?),
            Input::Kept => None,
        };
        match (state, message) {
            (State::Unknown, Some(Message::Identity { version, .. })) if version != VERSION => {
                Err(IntroductionError::Version(version))
            }
            (State::Unknown, Some(Message::Identity { key, inbox, .. })) => {
                self.claimed(&key, &inbox)
            }
            (State::Claimed { known, inbox }, Some(Message::Proof { signature })) => {
                self.proven(&known, inbox, &signature)
            }
            (State::Proven { kept_us: false }, Some(Message::Kept)) if self.role == Role::Host => {
                self.state = State::Proven { kept_us: true };
                Ok(vec![])
            }
            (State::Proven { kept_us }, None) => Ok(self.kept(kept_us)),
            (State::Kept, Some(Message::Kept)) => Ok(self.both_kept()),
            _ => Err(IntroductionError::Protocol("a message out of turn")),
        }
    }

    fn claimed(&mut self, key: &str, inbox: &str) -> Result<Vec<Action>, IntroductionError> {
        let malformed = |_| IntroductionError::Protocol("a key that is none");
        let peer: PublicKey = key.parse().map_err(malformed)?;
        let inbox = inbox.parse().map_err(malformed)?;
        if peer == self.identity.key() {
            return Err(IntroductionError::Itself);
        }
        let known = Known::new(Arc::clone(&self.identity), peer, self.role);
        let signature = known.sign(Proof::Introduction, &self.binding);
        self.state = State::Claimed { known, inbox };
        Ok(vec![Action::Say(to_text(&Message::Proof { signature }))])
    }

    fn proven(
        &mut self,
        known: &Known,
        inbox: Inbox,
        signature: &str,
    ) -> Result<Vec<Action>, IntroductionError> {
        if !known.verify(Proof::Introduction, &self.binding, signature) {
            return Err(IntroductionError::NotItsKey);
        }
        let (guest, host) = known.keys();
        let secret = self.binding.device_secret(guest.bytes(), host.bytes());
        self.state = State::Proven { kept_us: false };
        Ok(vec![Action::Keep(Acquaintance {
            key: known.peer(),
            inbox,
            secret: PairSecret::from(*secret),
        })])
    }

    fn kept(&mut self, kept_us: bool) -> Vec<Action> {
        if kept_us {
            return self.both_kept();
        }
        self.state = State::Kept;
        match self.role {
            Role::Guest => vec![Action::Say(to_text(&Message::Kept))],
            Role::Host => vec![],
        }
    }

    fn both_kept(&mut self) -> Vec<Action> {
        match self.role {
            Role::Guest => vec![Action::Done],
            Role::Host => vec![Action::Say(to_text(&Message::Kept)), Action::Done],
        }
    }
}

impl fmt::Debug for Introduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Introduction(…)")
    }
}

fn to_text(message: &Message) -> String {
    serde_json::to_string(message).expect("strings and numbers serialise")
}

fn parse(text: &str) -> Result<Message, IntroductionError> {
    let too_long = text.len() > LONGEST;
    let message = (!too_long)
        .then(|| serde_json::from_str(text).ok())
        .flatten();
    message.ok_or(IntroductionError::Protocol("a message that makes no sense"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::test_binding;
    use std::collections::VecDeque;

    struct Side {
        introduction: Introduction,
        kept: Option<Acquaintance>,
        done: bool,
    }

    impl Side {
        fn new(identity: &Arc<Identity>, role: Role, binding: u8) -> (Self, String) {
            let (introduction, hello) =
                Introduction::start(Arc::clone(identity), role, test_binding(binding));
            let side = Self {
                introduction,
                kept: None,
                done: false,
            };
            (side, hello)
        }

        /// What it says to that.
        fn hear(&mut self, text: &str) -> Result<Vec<String>, IntroductionError> {
            let mut actions = VecDeque::from(self.introduction.handle(&Input::Said(text))?);
            let mut said = vec![];
            while let Some(action) = actions.pop_front() {
                match action {
                    Action::Say(text) => said.push(text),
                    Action::Done => self.done = true,
                    Action::Keep(device) => {
                        self.kept = Some(device);
                        actions.extend(self.introduction.handle(&Input::Kept)?);
                    }
                }
            }
            Ok(said)
        }
    }

    /// Two sides of sessions with these bindings, with `change` between them; the first error.
    fn run(
        identities: [&Arc<Identity>; 2],
        bindings: [u8; 2],
        change: impl Fn(Role, String) -> String,
    ) -> (Side, Side, Option<IntroductionError>) {
        let (mut guest, from_guest) = Side::new(identities[0], Role::Guest, bindings[0]);
        let (mut host, from_host) = Side::new(identities[1], Role::Host, bindings[1]);
        let mut queue = VecDeque::from([(Role::Guest, from_guest), (Role::Host, from_host)]);
        while let Some((from, text)) = queue.pop_front() {
            let text = change(from, text);
            let (side, role) = match from {
                Role::Guest => (&mut host, Role::Host),
                Role::Host => (&mut guest, Role::Guest),
            };
            match side.hear(&text) {
                Ok(said) => queue.extend(said.into_iter().map(|text| (role, text))),
                Err(error) => return (guest, host, Some(error)),
            }
        }
        (guest, host, None)
    }

    fn two() -> [Arc<Identity>; 2] {
        [0, 1].map(|_| Arc::new(Identity::generate()))
    }

    #[test]
    fn both_keep_each_other_with_the_same_secret() {
        let [one, two] = two();
        let (guest, host, error) = run([&one, &two], [1, 1], |_, text| text);
        assert_eq!(error, None);
        assert!(guest.done && host.done);
        let (of_guest, of_host) = (guest.kept.unwrap(), host.kept.unwrap());
        assert_eq!((of_guest.key, of_host.key), (two.key(), one.key()));
        assert_eq!(of_guest.secret, of_host.secret);
        assert_eq!(
            (of_guest.inbox, of_host.inbox),
            (two.inbox().clone(), one.inbox().clone())
        );
        let (again, ..) = run([&one, &two], [2, 2], |_, text| text);
        assert_ne!(
            again.kept.unwrap().secret,
            of_guest.secret,
            "another session"
        );
    }

    #[test]
    fn whoever_is_between_two_sessions_introduces_nobody() {
        let [one, two] = two();
        let (guest, host, error) = run([&one, &two], [1, 2], |_, text| text);
        assert_eq!(error, Some(IntroductionError::NotItsKey));
        assert!(guest.kept.is_none() && host.kept.is_none());
    }

    #[test]
    fn a_key_that_is_somebody_elses_is_not_kept() {
        let [one, two] = two();
        let shown = Identity::generate();
        let own = one.key().to_string();
        let (_, host, error) = run([&one, &two], [1, 1], |from, text| match from {
            Role::Guest => text.replace(&own, &shown.key().to_string()),
            Role::Host => text,
        });
        assert_eq!(error, Some(IntroductionError::NotItsKey));
        assert!(host.kept.is_none());
        let (_, _, error) = run([&one, &one], [1, 1], |_, text| text);
        assert_eq!(error, Some(IntroductionError::Itself));
    }

    #[test]
    fn what_is_out_of_turn_or_nonsense_ends_it() {
        let kept = r#"{"type":"kept"}"#;
        let newer = r#"{"type":"identity","version":2}"#;
        let version = r#"{"type":"identity","version":2,"key":"","inbox":""}"#;
        for text in [
            "",
            "{}",
            kept,
            newer,
            r#"{"type":"proof","signature":""}"#,
            r#"{"type":"identity","version":1,"key":"AA","inbox":"AA"}"#,
            &" ".repeat(LONGEST + 1),
        ] {
            let (mut host, _) = Side::new(&two()[0], Role::Host, 1);
            let error = host.hear(text).unwrap_err();
            assert!(matches!(error, IntroductionError::Protocol(_)), "{text}");
            assert!(host.hear(text).is_err(), "it is over");
        }
        let (mut host, _) = Side::new(&two()[0], Role::Host, 1);
        assert_eq!(host.hear(version), Err(IntroductionError::Version(2)));
    }

    #[test]
    fn the_guest_waits_for_the_host_and_a_hasty_host_is_wrong() {
        let [one, two] = two();
        let (mut guest, hello) = Side::new(&one, Role::Guest, 1);
        let (mut host, from_host) = Side::new(&two, Role::Host, 1);
        let proof = host.hear(&hello).unwrap();
        guest.hear(&from_host).unwrap();
        // It has proven itself, and says that it has kept us before we said so: only a guest may.
        let said = guest.hear(&proof[0]).unwrap();
        assert_eq!(said, [r#"{"type":"kept"}"#]);
        assert!(!guest.done);
        assert!(host.hear(r#"{"type":"kept"}"#).is_err());
    }
}
