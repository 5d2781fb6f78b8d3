//! The only place that prints. stdout is the result or the data, stderr is talk.
//!
//! Commands say *what* happened ([`event`]); how it looks, for people or for scripts, and what a
//! terminal must be protected from, is decided here.

mod canvas;
mod clean;
pub(crate) mod event;
mod palette;
mod patience;
mod progress;
mod prompt;
mod qr;
mod receivers;
mod size;
mod streams;
#[cfg(test)]
mod tests;
mod voice;

pub(crate) use canvas::Canvas;
pub(crate) use clean::clean;
pub(crate) use event::Route;
pub(crate) use receivers::Receivers;
pub(crate) use size::{Bytes, Rate, Span, count};
pub(crate) use voice::{Answer, Audience, Ui};
