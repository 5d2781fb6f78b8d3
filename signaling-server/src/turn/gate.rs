//! Judges the requests of one client before the protocol sees them: whose they are, to whom they want to
//! relay, and whether there is room. Refusals are signed like any other answer, so a request is first
//! authenticated here with the same key; what is not authentic passes, and the protocol refuses it with
//! 400, 401 or 438.

use super::{Shared, credentials::user_of, peers, quota::AllocationGuard};
use crate::sources::Source;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use turn_server_proto::{
    api::TurnServerApi,
    server::TurnServer,
    types::{
        attribute::{RequestedTransport, XorPeerAddress},
        message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND},
        stun::{
            attribute::{AttributeStaticType, ErrorCode, MessageIntegritySha256, Username},
            message::{
                IntegrityAlgorithm, IntegrityKey, LongTermCredentials, Message, MessageClass,
                MessageWriteVec,
            },
            prelude::{Attribute, AttributeFromRaw, MessageWrite, MessageWriteExt},
        },
    },
};

/// What long-term credentials are for (RFC 8489 section 9.2); it says nothing of the host.
pub(super) const REALM: &str = "peerline";

/// Names that one client address may try: its own, and fresh credentials for the same peer.
const MAX_USERS: usize = 8;

/// Peers that one client may relay to in any ten minutes; a peer has up to 64 candidates, and there are
/// restarts.
const MAX_PEERS: usize = 256;

/// How long the protocol remembers a peer: channels live 10 minutes (RFC 8656 section 12).
const PEER_LIFETIME: Duration = Duration::from_secs(600);

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The protocol may have it.
    Pass,
    /// It is answered with this.
    Answer(Vec<u8>),
    /// It is forgotten.
    Drop,
}

/// What is known of one client.
#[derive(Debug)]
pub(super) struct Gate {
    shared: Arc<Shared>,
    source: Source,
    users: Vec<LongTermCredentials>,
    peers: HashMap<SocketAddr, Instant>,
    allocation: Option<AllocationGuard>,
}

impl Gate {
    pub(super) fn new(shared: Arc<Shared>, source: Source) -> Self {
        Self {
            shared,
            source,
            users: Vec::new(),
            peers: HashMap::new(),
            allocation: None,
        }
    }

    /// Judges one message. `server` learns of users whose names are in time.
    pub(super) fn judge(
        &mut self,
        server: &mut TurnServer,
        bytes: &[u8],
        wall: SystemTime,
        now: Instant,
    ) -> Verdict {
        let Ok(message) = Message::from_bytes(bytes) else {
            // Channel data goes where its channel was bound to, which was judged then.
            return Verdict::Pass;
        };
        match (message.class(), message.method()) {
            (MessageClass::Indication, SEND) => match self.denied(&message) {
                true => Verdict::Drop,
                false => Verdict::Pass,
            },
            (MessageClass::Request, ALLOCATE | REFRESH | CREATE_PERMISSION | CHANNEL_BIND) => {
                self.judge_request(server, &message, wall, now)
            }
            // Binding is answered before; connections to peers (RFC 6062) are not offered.
            _ => Verdict::Drop,
        }
    }

    /// Whether datagrams may go to exactly this address. (Relayed addresses are not asked about.)
    pub(super) fn allows(&self, ip: IpAddr) -> bool {
        let config = &self.shared.config;
        peers::allows(&config.allow, &config.deny, ip)
    }

    /// The allocation is gone, or was never made.
    pub(super) fn release(&mut self) {
        self.allocation = None;
    }

    fn judge_request(
        &mut self,
        server: &mut TurnServer,
        message: &Message<'_>,
        wall: SystemTime,
        now: Instant,
    ) -> Verdict {
        let Ok(username) = message.attribute::<Username>() else {
            return Verdict::Pass;
        };
        let Some(user) = self.user(server, username.username(), wall) else {
            return match self.users.len() < MAX_USERS {
                true => Verdict::Pass,
                false => Verdict::Drop,
            };
        };
        let algorithm = match message.has_attribute(MessageIntegritySha256::TYPE) {
            true => IntegrityAlgorithm::Sha256,
            false => IntegrityAlgorithm::Sha1,
        };
        let key = user.to_key(REALM.to_owned()).make_key(algorithm);
        if message.validate_integrity_with_key(&key).is_err() {
            return Verdict::Pass;
        }
        let refusal = match message.method() {
            ALLOCATE => self.allocate(message, username.username()),
            CREATE_PERMISSION | CHANNEL_BIND if self.denied(message) => Some(ErrorCode::FORBIDDEN),
            CREATE_PERMISSION | CHANNEL_BIND => self.count_peers(message, now),
            _ => None,
        };
        match refusal {
            None => Verdict::Pass,
            Some(code) => {
                refused(message, code, &key, algorithm).map_or(Verdict::Drop, Verdict::Answer)
            }
        }
    }

    /// The credentials of a name that this client used before, or that is in time.
    fn user(
        &mut self,
        server: &mut TurnServer,
        name: &str,
        wall: SystemTime,
    ) -> Option<LongTermCredentials> {
        if let Some(known) = self.users.iter().find(|user| user.username() == name) {
            return Some(known.clone());
        }
        if self.users.len() == MAX_USERS {
            return None;
        }
        let password = self.shared.minter.password_of(name, wall)?;
        server.add_user(name.to_owned(), password.clone());
        let user = LongTermCredentials::new(name.to_owned(), password);
        self.users.push(user.clone());
        Some(user)
    }

    fn allocate(&mut self, message: &Message<'_>, username: &str) -> Option<u16> {
        let transport = message.attribute::<RequestedTransport>().ok()?;
        if transport.protocol() != RequestedTransport::UDP {
            return Some(ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL);
        }
        if self.allocation.is_some() {
            // A repeated request; the protocol answers 437.
            return None;
        }
        self.allocation = self.shared.quota.allocate(user_of(username), self.source);
        match self.allocation {
            Some(_) => None,
            None => Some(ErrorCode::ALLOCATION_QUOTA_REACHED),
        }
    }

    /// Whether any peer that a message names is one that nobody may reach here. A permission is for an
    /// address with all its ports, and anything else for one port: our own relayed ports are exempt.
    fn denied(&self, message: &Message<'_>) -> bool {
        let of_address = message.method() == CREATE_PERMISSION;
        peers_of(message).any(|peer| {
            let relays = &self.shared.relays;
            let ours = match of_address {
                true => relays.has_ip(peer.ip()),
                false => relays.has(peer),
            };
            !ours && !self.allows(peer.ip())
        })
    }

    fn count_peers(&mut self, message: &Message<'_>, now: Instant) -> Option<u16> {
        for mut peer in peers_of(message) {
            if message.method() == CREATE_PERMISSION {
                peer.set_port(0);
            }
            if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
                self.peers
                    .retain(|_, seen| now.saturating_duration_since(*seen) < PEER_LIFETIME);
                if self.peers.len() >= MAX_PEERS {
                    return Some(ErrorCode::INSUFFICIENT_CAPACITY);
                }
            }
            self.peers.insert(peer, now);
        }
        None
    }
}

fn peers_of(message: &Message<'_>) -> impl Iterator<Item = SocketAddr> {
    message
        .iter_attributes()
        .filter(|(_, attribute)| attribute.get_type() == XorPeerAddress::TYPE)
        .filter_map(|(_, attribute)| XorPeerAddress::from_raw(attribute).ok())
        .map(|peer| peer.addr(message.transaction_id()))
}

fn refused(
    message: &Message<'_>,
    code: u16,
    key: &IntegrityKey,
    algorithm: IntegrityAlgorithm,
) -> Option<Vec<u8>> {
    let mut answer = Message::builder_error(message, MessageWriteVec::with_capacity(128));
    answer
        .add_attribute(&ErrorCode::builder(code).build().ok()?)
        .ok()?;
    answer.add_message_integrity_with_key(key, algorithm).ok()?;
    Some(answer.finish())
}
