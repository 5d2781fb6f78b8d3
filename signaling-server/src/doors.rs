//! What may change while a server runs: who may enter, from which pages, and who administers it.

use crate::{
    access::{Access, AccessConfig},
    config::Origins,
};
use signaling_protocol::Secret;

/// One state of it; a reload puts another one in its place.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) origins: Origins,
    pub(crate) access: Access,
    pub(crate) admin_token: Option<Secret>,
}

impl Doors {
    pub(crate) fn new(origins: Origins, access: AccessConfig, admin_token: Option<Secret>) -> Self {
        Self {
            origins,
            access: Access::new(access),
            admin_token,
        }
    }
}
