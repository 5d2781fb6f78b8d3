//! Devices that know each other and need no code: `docs/protocol.md` section 7.
//!
//! Two devices that are connected by a code [introduce](introduce()) themselves to each other once. From then
//! on each is an [`Acquaintance`] of the other: one is [`Awaiting`] in a room that only those know whom it told
//! of it, the other is [`Calling`] there, and [`Session::host_known`](crate::session::Session::host_known) and
//! [`guest_known`](crate::session::Session::guest_known) connect them. Both must have the secret that the two
//! agreed on, and sign the session with their own key, before anything else is said.
//!
//! Everything but [`introduce`](introduce()) is pure. It does not know names, files or the clock: the day is
//! passed in.
//!
//! | part | what it decides |
//! |---|---|
//! | [`Identity`], [`PublicKey`] | who a device is |
//! | `introduction`, [`introduce`](introduce()) | how two devices get to know each other |
//! | [`Acquaintance`], [`Inbox`] | what one keeps of the other |
//! | [`Calling`], [`Awaiting`], `proof` | how they meet again, and prove who they are |

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
#[cfg(test)]
mod hostile;
mod identity;
mod introduce;
mod introduction;
mod meeting;
mod proof;
mod secret;
#[cfg(test)]
mod vectors;

pub use identity::{Identity, KeyError, PublicKey};
pub use introduce::introduce;
pub use introduction::{CHANNEL, IntroductionError, PROTOCOL};
pub use meeting::{Acquaintance, Awaiting, Calling, day};
pub(crate) use proof::{Known, Proof};
pub use secret::{Inbox, PairSecret, Seed};
