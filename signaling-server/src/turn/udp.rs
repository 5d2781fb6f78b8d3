//! Clients that come by UDP: one socket for all, a task for each.

use super::{
    Shared,
    client::Client,
    link::Link,
    queue::{self, Sender},
};
use crate::{bucket::TokenBucket, sources::Source};
use bytes::Bytes;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::UdpSocket, task::JoinSet};
use turn_server_proto::types::{
    message::ALLOCATE,
    stun::{
        attribute::{Fingerprint, XorMappedAddress},
        message::{BINDING, Message, MessageClass, MessageWriteVec},
        prelude::{AttributeStaticType, MessageWrite, MessageWriteExt},
    },
};

/// Sources whose rate is remembered. Above it, buckets that are full are forgotten.
const MAX_SOURCES: usize = 16_384;

/// Answers a second that one source gets without having an allocation: a client asks a few times for each
/// interface, and an answer to a forged source must not be worth the forgery.
const ANSWERS_PER_SECOND: u32 = 50;

/// Largest datagram.
const MAX_DATAGRAM: usize = 65_536;

/// Serves until it is dropped.
pub(super) async fn serve(shared: Arc<Shared>, socket: Arc<UdpSocket>) {
    let mut clients: HashMap<SocketAddr, Sender<Bytes>> = HashMap::new();
    let mut tasks: JoinSet<SocketAddr> = JoinSet::new();
    let mut strangers = Strangers::default();
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let (length, from) = tokio::select! {
            Some(ended) = tasks.join_next() => {
                match ended {
                    Ok(client) => drop(clients.remove(&client)),
                    // A panic is our bug and that client's problem only.
                    Err(_) => clients.retain(|_, queue| !queue.is_closed()),
                }
                continue;
            }
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                // An ICMP error about some client.
                Err(_) => continue,
            },
        };
        let datagram = &buffer[..length];
        if let Some(queue) = clients.get(&from)
            && !is_binding(datagram)
        {
            // overflow: dropped, as a full socket buffer does.
            queue.send(length, || Bytes::copy_from_slice(datagram));
            continue;
        }
        let Some(request) = Request::of(datagram) else {
            continue;
        };
        let source = Source::of(from.ip());
        if !strangers.may_be_answered(source, Instant::now()) {
            continue;
        }
        match request {
            Request::Binding => {
                if let Some(answer) = binding_answer(datagram, from) {
                    let _ = socket.try_send_to(&answer, from);
                }
            }
            Request::Allocate => {
                let Some(guest) = shared.quota.guest(source) else {
                    continue;
                };
                let (queue, from_client) = queue::queue();
                queue.send(length, || Bytes::copy_from_slice(datagram));
                let link = Link::Datagrams {
                    from_client,
                    socket: Arc::clone(&socket),
                    client: from,
                };
                clients.insert(from, queue);
                let address = SocketAddr::new(from.ip().to_canonical(), from.port());
                let client = Client::new(Arc::clone(&shared), link, address, guest);
                tasks.spawn(async move {
                    client.run().await;
                    from
                });
            }
        }
    }
}

/// What is served to somebody unknown.
enum Request {
    Binding,
    Allocate,
}

impl Request {
    fn of(datagram: &[u8]) -> Option<Self> {
        let message = Message::from_bytes(datagram).ok()?;
        match (message.class(), message.method()) {
            (MessageClass::Request, BINDING) => Some(Self::Binding),
            (MessageClass::Request, ALLOCATE) => Some(Self::Allocate),
            _ => None,
        }
    }
}

/// A cheap look, for each datagram.
pub(super) fn is_binding(frame: &[u8]) -> bool {
    frame.starts_with(&[0x00, 0x01])
}

/// The answer to a Binding request (RFC 8489 section 6.3.1), or to one with attributes that we do not
/// know.
pub(super) fn binding_answer(request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let message = Message::from_bytes(request).ok()?;
    let buffer = || MessageWriteVec::with_capacity(64);
    if let Some(error) =
        Message::check_attribute_types(&message, &[Fingerprint::TYPE], &[], buffer())
    {
        return Some(error.finish());
    }
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    let mut answer = Message::builder_success(&message, buffer());
    let address = XorMappedAddress::new(from, message.transaction_id());
    answer.add_attribute(&address).ok()?;
    answer.add_fingerprint().ok()?;
    Some(answer.finish())
}

/// How often those without an allocation are answered.
#[derive(Default)]
struct Strangers(HashMap<Source, TokenBucket>);

impl Strangers {
    fn may_be_answered(&mut self, source: Source, now: Instant) -> bool {
        if source == Source::Loopback {
            return true;
        }
        if self.0.len() >= MAX_SOURCES && !self.0.contains_key(&source) {
            self.0.retain(|_, bucket| !bucket.is_full(now));
            if self.0.len() >= MAX_SOURCES {
                return false;
            }
        }
        let bucket = self.0.entry(source).or_insert_with(|| {
            TokenBucket::new(
                ANSWERS_PER_SECOND,
                Duration::from_secs(1),
                2 * ANSWERS_PER_SECOND,
                now,
            )
        });
        bucket.take(now)
    }
}
