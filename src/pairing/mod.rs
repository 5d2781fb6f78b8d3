//! From a short code to a key that the server cannot know: `docs/protocol.md` section 2.
//!
//! Everything here is pure: records go in, actions come out. It knows no socket, no clock and no
//! WebRTC. The one who made the code runs a [`Host`], the one who was given it a [`Guest`]; each ends
//! with [`Action::Paired`] or with [`Action::Failed`], and a failed one never answers again.
//!
//! | part | what it decides |
//! |---|---|
//! | [`Code`], [`Invitation`] | reading and writing codes and links |
//! | [`Record`] | what travels in `sealed` messages |
//! | [`Guest`], [`Host`], [`SharedCode`] | who may pair, and when a code is used up |
//! | [`Sealer`], [`Opener`] | messages that only the other side can read |
//! | [`CertificateKeys`], [`Phrase`] | that nobody sits between the two DTLS ends |

mod certificates;
mod code;
mod cpace;
mod exchange;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod guest;
mod host;
mod key;
mod link;
mod password;
mod phrase;
mod record;
mod sealed;
mod sealed_message;
mod shared;
mod words;

#[cfg(test)]
mod adversary;
#[cfg(test)]
mod vectors;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use certificates::test_binding;
pub use certificates::{Binding, CertificateKeys, Fingerprint};
pub use code::{Code, CodeError};
pub use exchange::{Action, Input, Paired, PairingError};
pub use guest::Guest;
pub use host::{Host, MAX_SHARES};
pub use key::Role;
pub use link::Invitation;
pub(crate) use password::DevicePassword;
pub use phrase::Phrase;
pub use record::{AbortReason, MAX_RECORD_TEXT, Record, RecordError};
pub use sealed::{MAX_PLAINTEXT, OpenError, Opener, SealError, Sealer};
pub use sealed_message::{ByeCode, Engine, MessageError, SealedMessage};
pub use shared::SharedCode;
pub(crate) use shared::SharedHost;
pub use words::suggest;
