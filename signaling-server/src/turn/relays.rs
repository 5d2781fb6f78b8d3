//! Relayed addresses that are alive. What one client relays to another client's relayed address is handed
//! over here and never meets a network: it needs no hairpin, and no exception for our own addresses.

use super::queue::Sender;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, RwLock},
};

/// A datagram from one relayed address to another.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) data: Vec<u8>,
}

/// Who has which relayed address.
#[derive(Debug, Default)]
pub(super) struct Relays(RwLock<HashMap<SocketAddr, Sender<Handed>>>);

/// One relayed address; dropping it makes it unknown.
#[derive(Debug)]
pub(super) struct RelayGuard {
    relays: Arc<Relays>,
    address: SocketAddr,
}

impl Relays {
    /// Makes an address known; `None` if it already is.
    pub(super) fn add(
        self: &Arc<Self>,
        address: SocketAddr,
        queue: Sender<Handed>,
    ) -> Option<RelayGuard> {
        let mut table = self
            .0
            .write()
            .expect("nothing panics while it holds the relays");
        if table.contains_key(&address) {
            return None;
        }
        table.insert(address, queue);
        Some(RelayGuard {
            relays: Arc::clone(self),
            address,
        })
    }

    /// Whether somebody has exactly this address.
    pub(super) fn has(&self, address: SocketAddr) -> bool {
        self.read().contains_key(&address)
    }

    /// Whether somebody has a port at this address.
    pub(super) fn has_ip(&self, ip: std::net::IpAddr) -> bool {
        self.read().keys().any(|address| address.ip() == ip)
    }

    /// Hands a datagram over if its destination is a relayed address.
    pub(super) fn hand(&self, from: SocketAddr, to: SocketAddr, data: &[u8]) -> bool {
        let table = self.read();
        let Some(queue) = table.get(&to) else {
            return false;
        };
        // overflow: dropped, as a full socket buffer does.
        queue.send(data.len(), || Handed {
            from,
            to,
            data: data.to_vec(),
        });
        true
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<SocketAddr, Sender<Handed>>> {
        self.0
            .read()
            .expect("nothing panics while it holds the relays")
    }
}

impl Drop for RelayGuard {
    fn drop(&mut self) {
        if let Ok(mut table) = self.relays.0.write() {
            table.remove(&self.address);
        }
    }
}
