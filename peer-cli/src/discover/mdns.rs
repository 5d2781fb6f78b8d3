//! Announcing a room on the local network, and listening for one, by multicast DNS (RFC 6762, 6763).
//!
//! The room is the public part of a code, or that of a device for a day; words and secrets are never announced. A machine without multicast
//! works without this: nothing here fails a command.

use std::net::IpAddr;

use mdns_sd::{Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};

/// The service type of an embedded server.
const SERVICE: &str = "_peerline._tcp.local.";

/// The TXT key that holds the room.
const ROOM: &str = "room";

/// A room on the air. Dropping it takes it off.
pub(crate) struct Announcement {
    daemon: ServiceDaemon,
    name: String,
}

impl Announcement {
    /// Says that the server at `port` of this host has `room`. Opens sockets on every interface
    /// and may block for some milliseconds.
    pub(crate) fn start(room: &str, port: u16) -> mdns_sd::Result<Self> {
        let daemon = ServiceDaemon::new()?;
        // Two senders may use the same room on different servers; the name must differ all the same.
        let instance = format!("{room}-{:08x}", rand::random::<u32>());
        let host = format!("peerline-{instance}.local.");
        let properties = [(ROOM, room)];
        let mut service = ServiceInfo::new(SERVICE, &instance, &host, "", port, &properties[..])?
            .enable_addr_auto();
        // Probing for a name conflict takes 750 ms, and 32 random bits have made one improbable.
        service.set_requires_probe(false);
        let name = service.get_fullname().to_owned();
        daemon.register(service)?;
        Ok(Self { daemon, name })
    }
}

impl Announcement {
    /// Says goodbye, so that nobody finds the room any more, and waits until that was sent.
    pub(crate) async fn withdraw(self) {
        if let Ok(sent) = self.daemon.unregister(&self.name) {
            let _ = sent.recv_async().await;
        }
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Both only queue a command. Unsent goodbyes do no harm: the records expire by themselves.
        let _ = self.daemon.unregister(&self.name);
        let _ = self.daemon.shutdown();
    }
}

/// Servers that announce one of these rooms.
pub(crate) struct Listener {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    rooms: Vec<String>,
}

/// Where an announced server says it is.
pub(crate) struct Announced {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: u16,
}

impl Listener {
    /// Starts to listen for any of `rooms`; the question goes out at once.
    pub(crate) fn start(rooms: &[&str]) -> mdns_sd::Result<Self> {
        let daemon = ServiceDaemon::new()?;
        let events = daemon.browse(SERVICE)?;
        Ok(Self {
            daemon,
            events,
            rooms: rooms.iter().map(|room| (*room).to_owned()).collect(),
        })
    }

    /// The next server with such a room, maybe one that was named before with fewer addresses; `None`
    /// when there will be no more.
    pub(crate) async fn next(&self) -> Option<Announced> {
        loop {
            match self.events.recv_async().await.ok()? {
                ServiceEvent::ServiceResolved(service)
                    if service
                        .get_property_val_str(ROOM)
                        .is_some_and(|room| self.rooms.iter().any(|wanted| wanted == room)) =>
                {
                    let addresses = service.addresses.iter().map(|ip| ip.to_ip_addr()).collect();
                    return Some(Announced {
                        addresses,
                        port: service.port,
                    });
                }
                _ => {}
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.daemon.shutdown();
    }
}
