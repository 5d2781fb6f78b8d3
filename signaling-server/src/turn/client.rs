//! One client: the task that owns its protocol state, its relayed sockets and its way back. It ends when
//! the client is gone, has had no allocation for a while, or sends what is no TURN.

use super::{
    Shared,
    gate::{Gate, REALM, Verdict},
    link::{Link, Take},
    queue::{self, Receiver, Sender},
    quota::{Bandwidth, GuestGuard},
    relayed::{Relayed, readable},
    relays::Handed,
    udp::{binding_answer, is_binding},
};
use crate::sources::Source;
use bytes::Bytes;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::time::sleep_until;
use turn_server_proto::{
    api::{Transmit, TurnServerApi, TurnServerPollRet},
    server::TurnServer,
    types::{Instant as ProtocolInstant, TransportType, prelude::DelayedTransmitBuild},
};

/// How long a client may have no allocation: some round trips on a bad network.
const GUEST_LIMIT: Duration = Duration::from_secs(10);

/// Datagrams taken from a relayed socket before others have their turn.
const BATCH: usize = 64;

/// How an Allocate request and its success response begin (RFC 8656 section 17).
const ALLOCATE: [u8; 2] = [0x00, 0x03];
const ALLOCATED: [u8; 2] = [0x01, 0x03];

/// Largest datagram of a peer.
const MAX_DATAGRAM: usize = 65_536;

/// One client of the TURN server.
pub(super) struct Client {
    shared: Arc<Shared>,
    link: Link,
    address: SocketAddr,
    /// What the protocol takes for the server's own address. It only tells sides apart.
    listen: SocketAddr,
    server: TurnServer,
    gate: Gate,
    base: Instant,
    relays: Vec<Relayed>,
    /// The answer to the last Allocate, for when it was lost.
    allocated: Vec<u8>,
    handed: (Sender<Handed>, Receiver<Handed>),
    up: Bandwidth,
    down: Bandwidth,
    guest: Option<GuestGuard>,
    guest_since: Instant,
    scratch: Vec<u8>,
}

impl Client {
    pub(super) fn new(
        shared: Arc<Shared>,
        link: Link,
        address: SocketAddr,
        guest: GuestGuard,
    ) -> Self {
        let now = Instant::now();
        let listen = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 1);
        let rate = shared.config.limits.bytes_per_second;
        Self {
            // To the protocol, streams are datagrams whose frames were cut already: it then offers no
            // connections to peers (RFC 6062), which we do not want.
            server: TurnServer::new(TransportType::Udp, listen, REALM.to_owned()),
            gate: Gate::new(Arc::clone(&shared), Source::of(address.ip())),
            shared,
            link,
            address,
            listen,
            base: now,
            relays: Vec::new(),
            allocated: Vec::new(),
            handed: queue::queue(),
            up: Bandwidth::new(rate, now),
            down: Bandwidth::new(rate, now),
            guest: Some(guest),
            guest_since: now,
            scratch: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) {
        if let Err(error) = self.serve().await {
            tracing::debug!(%error, "a TURN client ended");
        }
    }

    async fn serve(&mut self) -> io::Result<()> {
        let (mut frames, mut handed) = (Vec::new(), Vec::new());
        let mut deadline = self.upkeep();
        loop {
            if self.relays.is_empty() {
                let leave = self.guest_since + GUEST_LIMIT;
                if Instant::now() >= leave {
                    return Ok(());
                }
                deadline = deadline.min(leave);
            }
            let now = Instant::now();
            let (up, down) = (self.up.wait(now), self.down.wait(now));
            let take = if up.is_some() {
                Take::Nothing
            } else {
                Take::Frames
            };
            let room = down.is_none() && self.link.has_room();
            let wake = up.into_iter().chain(down).fold(deadline, Instant::min);
            tokio::select! {
                result = self.link.ready(&mut frames, take) => {
                    result?;
                    for frame in frames.drain(..) {
                        // At once: a request and its repetition may come together.
                        if self.take_from_client(&frame) {
                            deadline = self.upkeep();
                        }
                    }
                }
                index = readable(&self.relays), if room => self.take_from_peers(index),
                _ = self.handed.1.receive(&mut handed, BATCH), if room => {
                    for Handed { from, to, data } in handed.drain(..) {
                        self.give_to_client(from, to, &data);
                    }
                }
                () = sleep_until(wake.into()) => {
                    if wake >= deadline {
                        deadline = self.upkeep();
                    }
                }
            }
        }
    }

    fn now(&self) -> ProtocolInstant {
        ProtocolInstant::from_std(self.base)
    }

    /// Takes a frame of the client; true if it may have changed what the protocol waits for.
    fn take_from_client(&mut self, frame: &Bytes) -> bool {
        if is_binding(frame) {
            if let Some(answer) = binding_answer(frame, self.address) {
                self.link.send(&answer);
            }
            return false;
        }
        // RFC 8656 section 7.2: a repeated Allocate is answered as before.
        let id = frame.get(8..20);
        if frame.starts_with(&ALLOCATE) && id.is_some() && id == self.allocated.get(8..20) {
            self.link.send(&self.allocated);
            return false;
        }
        let now = Instant::now();
        let is_message = frame.first().is_some_and(|first| *first < 0x40);
        if is_message {
            match self
                .gate
                .judge(&mut self.server, frame, SystemTime::now(), now)
            {
                Verdict::Pass => {}
                Verdict::Answer(answer) => {
                    self.link.send(&answer);
                    return false;
                }
                Verdict::Drop => return false,
            }
        }
        let transmit = Transmit::new(&frame[..], TransportType::Udp, self.address, self.listen);
        let Some(out) = self.server.recv(transmit, self.now()) else {
            return is_message;
        };
        self.scratch.resize(out.data.len(), 0);
        let (from, to) = (out.from, out.to);
        out.data.write_into(&mut self.scratch);
        match self.relays.iter().position(|relay| relay.address == from) {
            Some(relay) => self.give_to_peer(relay, to, now),
            None => self.link.send(&self.scratch),
        }
        is_message
    }

    /// Sends what is in `scratch` from a relayed address to a peer.
    fn give_to_peer(&mut self, relay: usize, peer: SocketAddr, now: Instant) {
        let relay = &self.relays[relay];
        self.up.charge(self.scratch.len(), now);
        self.shared.metrics.turn_up.inc_by(length(&self.scratch));
        if self.shared.relays.hand(relay.address, peer, &self.scratch)
            || !self.gate.allows(peer.ip())
        {
            return;
        }
        // A full buffer and an unreachable peer lose the datagram, as networks do.
        let _ = relay.socket.try_send_to(&self.scratch, peer);
    }

    fn take_from_peers(&mut self, index: usize) {
        let mut buffer = std::mem::take(&mut self.scratch);
        buffer.resize(MAX_DATAGRAM, 0);
        for _ in 0..BATCH {
            let Ok((length, peer)) = self.relays[index].socket.try_recv_from(&mut buffer) else {
                break;
            };
            let address = self.relays[index].address;
            self.give_to_client(peer, address, &buffer[..length]);
        }
        self.scratch = buffer;
    }

    fn give_to_client(&mut self, peer: SocketAddr, relay: SocketAddr, data: &[u8]) {
        let transmit = Transmit::new(data, TransportType::Udp, peer, relay);
        if let Some(out) = self.server.recv(transmit, self.now()) {
            self.down.charge(data.len(), Instant::now());
            self.shared.metrics.turn_down.inc_by(length(data));
            self.link.send(&out.build().data);
        }
    }

    /// Does what the protocol waits for, and says when it wants to be asked again.
    fn upkeep(&mut self) -> Instant {
        let wait = loop {
            match self.server.poll(self.now()) {
                TurnServerPollRet::AllocateSocket {
                    transport,
                    listen_addr,
                    client_addr,
                    allocation_transport,
                    family,
                } => {
                    let queue = &self.handed.0;
                    let allocated = Relayed::open(&self.shared, self.address, family, queue);
                    let allocated = allocated.map(|relayed| {
                        let address = relayed.address;
                        self.relays.push(relayed);
                        address
                    });
                    let now = self.now();
                    self.server.allocated_socket(
                        transport,
                        listen_addr,
                        client_addr,
                        allocation_transport,
                        family,
                        allocated,
                        now,
                    );
                }
                TurnServerPollRet::SocketClose { listen_addr, .. } => {
                    self.relays.retain(|relay| relay.address != listen_addr);
                }
                // Only for TCP allocations, which the gate refuses.
                TurnServerPollRet::TcpConnect { .. } | TurnServerPollRet::TcpClose { .. } => {}
                TurnServerPollRet::WaitUntil(until) => {
                    break until.saturating_duration_since(self.now());
                }
            }
        };
        let now = self.now();
        while let Some(out) = self.server.poll_transmit(now) {
            self.link.send(&out.data);
            if out.data.starts_with(&ALLOCATED) {
                self.allocated = out.data;
            }
        }
        if !self.relays.is_empty() {
            self.guest = None;
        } else if self.guest.is_none() {
            // Its allocation ended; it may make another one, without a guest's place for it.
            self.guest_since = Instant::now();
            self.guest = self.shared.quota.guest(Source::of(self.address.ip()));
        }
        if self.relays.is_empty() {
            self.gate.release();
            self.allocated.clear();
        }
        // What has just passed is due at once, but not again and again.
        Instant::now() + wait.max(Duration::from_millis(100))
    }
}

fn length(data: &[u8]) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}
