//! Scenarios: files that say who takes part, what happens, and what has to come of it (`peer-cli test`).
//!
//! | part | kind | what it is |
//! |---|---|---|
//! | `document`, `read`, `plan` | pure | from TOML to what is run; what is wrong is told with its line |
//! | `timeline`, `inbox` | pure | which step is on, what has been seen, and the verdict |
//! | `watch` | pure | what a page does with WebRTC, and what is wrong with it by name |
//! | `script`, `words` | pure | what pages are asked, and how steps are described |
//! | `world`, `peers`, `server` | task each | native sessions, pages, programs, the signaling server |
//! | `journal` | edge | what happened, for who looks into a failure |
//!
//! *Must not know:* how results are printed, and what else runs at the same time.

mod document;
mod inbox;
mod journal;
mod peers;
pub(crate) mod plan;
mod read;
mod report;
mod script;
mod server;
mod timeline;
mod watch;
mod words;
mod world;

pub(crate) use peers::page::Browsers;
pub(crate) use read::read;
pub(crate) use timeline::{Failure, Verdict};
pub(crate) use world::run;
