//! Peers that are pages, in a headless Chromium that is told what to do over the DevTools protocol.

mod browser;
mod files;
mod tab;

pub(crate) use browser::Browsers;
pub(in super::super) use files::Files;
pub(in super::super) use tab::{Tab, run};
