//! The parsers of `peer-cli`, which is a program without a library.
#![allow(dead_code, unused_imports, reason = "only its parsers are called")]

#[path = "../../peer-cli/src/address.rs"]
mod address;
#[path = "../../peer-cli/src/amount.rs"]
mod amount;
#[path = "../../peer-cli/src/invitation.rs"]
mod invitation;
#[path = "../../peer-cli/src/stun.rs"]
mod stun;

#[path = "../../peer-cli/src/devices"]
mod devices {
    mod name;

    pub(crate) use name::DeviceName;
}

#[path = "../../peer-cli/src/scenario"]
mod scenario {
    mod document;
    pub(crate) mod plan;
    mod read;
    mod watch;

    pub(crate) use read::read;
}

#[path = "../../peer-cli/src/fuzzing.rs"]
mod targets;

/// A target for each kind of input.
pub mod fuzzing {
    /// A word of the command line.
    pub fn command_line(data: &[u8]) {
        crate::targets::command_line(data);
    }

    /// A scenario file.
    pub fn scenario_file(data: &[u8]) {
        crate::targets::scenario_file(data);
    }

    /// A datagram that is a question or an answer of STUN.
    pub fn stun_datagram(data: &[u8]) {
        crate::targets::stun_datagram(data);
    }
}
