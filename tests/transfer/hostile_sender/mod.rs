//! Senders that break the protocol, against our receiver. Whatever they do, it ends with the right
//! code, and the disk is as it was.

mod blocks;
mod endings;
mod offers;
mod script;
mod streams;
mod zeros;
