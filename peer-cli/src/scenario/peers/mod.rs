//! The peers of a scenario: tasks that do what they are told and tell what they see. What it means is decided in
//! [`timeline`](super::timeline).

pub(super) mod native;
pub(crate) mod page;
pub(super) mod program;

use super::plan::Act;

/// Orders that wait for a peer. Steps come one after the other, so there is hardly ever more than one.
pub(super) const ORDERS: usize = 16;

/// What a peer is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Do this, and tell when it is done.
    Act(Act),
    /// Answer with the value of an expression.
    Ask(String),
    /// Save what a page looks like.
    Picture(std::path::PathBuf),
}
