//! One source, many receivers, who help each other: `docs/protocol.md` section 5.8.
//!
//! | part | kind | what it decides |
//! |---|---|---|
//! | `blocks` | pure | numbers of blocks, and sets of them |
//! | `plan` | pure | the sender: which block goes to whom |
//! | `crowd` | handle | what the sender's transfers share |
//! | `pool` | pure | a receiver: which block it asks whom for, and what it hands out |
//! | `helper` | pure | the words between two receivers |
//! | `helpers` | edge | a receiver's lines to others |
//! | `meet` | edge | from an introduction to such a line |

pub(super) mod blocks;
pub(super) mod crowd;
pub(super) mod helper;
pub(super) mod helpers;
pub(super) mod meet;
pub(super) mod plan;
pub(super) mod pool;
