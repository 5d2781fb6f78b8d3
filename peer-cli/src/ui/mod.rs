//! The only place that prints. stdout is the result or the data, stderr is talk.
//!
//! Commands say *what* happened ([`Event`]); how it looks, for people or for scripts, and what a
//! terminal must be protected from, is decided here.

mod canvas;
mod clean;
mod event;
mod measured;
mod palette;
mod piped;
mod progress;
mod prompt;
mod qr;
mod receivers;
mod size;
mod streams;
#[cfg(test)]
mod tests;
mod tunnelled;
mod voice;

pub(crate) use canvas::Canvas;
pub(crate) use clean::clean;
pub(crate) use event::{Event, Flow, Flows, Route};
pub(crate) use measured::{Direction, Measured, RoundTrips, Throughput, Unmeasured};
pub(crate) use piped::Piped;
pub(crate) use receivers::Receivers;
pub(crate) use size::{Bytes, Rate, Span, count};
pub(crate) use tunnelled::Tunnelled;
pub(crate) use voice::{Answer, Audience, Ui};
