//! Datagrams, each as it was sent or not at all, over a channel that repeats nothing.
//!
//! A [`Portal`] is where programs send to here; it gives each of them a flow. A [`Gate`] is where they arrive: each
//! flow has a socket there, so that answers find their way back. Whatever does not fit into a queue is dropped, as
//! a router would.

use super::flows::Flows;
use super::service::{Listed, Service, ServiceName, Target};
use crate::channel::{Channel, ChannelReceiver, ChannelSender, MAX_MESSAGE, Message};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// Number of the service and of the flow.
const HEADER: usize = 6;

/// The pause of a socket that cannot receive, so that one that is broken does not keep a core busy.
const FAILED: Duration = Duration::from_millis(10);

/// One datagram on its way.
#[derive(Debug, PartialEq, Eq)]
struct Datagram {
    /// The service, by its place in the list.
    service: u16,
    flow: u32,
    content: Bytes,
}

impl Datagram {
    fn write(service: u16, flow: u32, content: &[u8]) -> Bytes {
        let mut message = BytesMut::with_capacity(HEADER + content.len());
        message.put_u16(service);
        message.put_u32(flow);
        message.put_slice(content);
        message.freeze()
    }

    fn read(message: Message) -> Option<Self> {
        let Message::Binary(mut content) = message else {
            return None;
        };
        Some(Self {
            service: content.try_get_u16().ok()?,
            flow: content.try_get_u32().ok()?,
            content,
        })
    }
}

async fn next(receiver: &mut ChannelReceiver) -> Option<Datagram> {
    loop {
        // Something else is a fault of the peer, and no use can be made of it.
        if let Some(datagram) = Datagram::read(receiver.recv().await?) {
            return Some(datagram);
        }
    }
}

/// The next datagram of a socket. A refusal that somebody answered to an earlier one (ICMP) is no end.
async fn receive<'a>(socket: &UdpSocket, buffer: &'a mut [u8]) -> (&'a [u8], SocketAddr) {
    loop {
        match socket.recv_from(buffer).await {
            Ok((length, from)) => return (&buffer[..length], from),
            Err(error) => {
                tracing::debug!(%error, "a datagram was not received");
                sleep(FAILED).await;
            }
        }
    }
}

/// Flows of a portal: which socket, and who sent there.
type Senders = Arc<Mutex<(u32, Flows<(usize, SocketAddr)>)>>;

/// The side where programs send to.
pub(super) struct Portal {
    channel: Channel,
    /// The place of the service in the list, and the socket.
    sockets: Vec<(u16, Arc<UdpSocket>)>,
}

impl Portal {
    /// Sockets of which no service is in the list are dropped.
    pub(super) fn new(
        channel: Channel,
        services: &[Listed],
        sockets: Vec<(ServiceName, UdpSocket)>,
    ) -> Self {
        let place = |name: &ServiceName| services.iter().position(|service| service.name == *name);
        let known = sockets.into_iter().filter_map(|(name, socket)| {
            let place = u16::try_from(place(&name)?).ok()?;
            Some((place, Arc::new(socket)))
        });
        Self {
            channel,
            sockets: known.collect(),
        }
    }

    /// Until the channel closes, or dropped.
    pub(super) async fn run(self) {
        let (sender, mut receiver) = self.channel.split();
        let senders: Senders = Arc::new(Mutex::new((0, Flows::new())));
        let mut reading = JoinSet::new();
        for (index, (service, socket)) in self.sockets.iter().cloned().enumerate() {
            let (sender, senders) = (sender.clone(), senders.clone());
            reading.spawn(async move {
                let mut buffer = vec![0; MAX_MESSAGE];
                loop {
                    let (content, from) = receive(&socket, &mut buffer).await;
                    let flow = flow_of(&senders, index, from);
                    // overflow: dropped.
                    let _ = sender.try_send(Datagram::write(service, flow, content));
                }
            });
        }
        while let Some(answer) = next(&mut receiver).await {
            let known = {
                let mut senders = senders.lock().unwrap_or_else(PoisonError::into_inner);
                senders.1.used(Instant::now(), answer.flow).copied()
            };
            if let Some((index, to)) = known {
                // overflow: dropped.
                let _ = self.sockets[index].1.try_send_to(&answer.content, to);
            }
        }
    }
}

fn flow_of(senders: &Senders, index: usize, from: SocketAddr) -> u32 {
    let mut senders = senders.lock().unwrap_or_else(PoisonError::into_inner);
    let (next, flows) = &mut *senders;
    let now = Instant::now();
    flows
        .find(now, |known| *known == (index, from))
        .unwrap_or_else(|| {
            let flow = *next;
            *next = next.wrapping_add(1);
            flows.add(now, flow, (index, from));
            flow
        })
}

/// The side where they arrive.
pub(super) struct Gate {
    channel: Channel,
    services: Arc<[Service]>,
}

/// A socket for the datagrams of one flow, and who passes on what comes back.
struct Flow {
    service: u16,
    socket: Arc<UdpSocket>,
    _answering: AbortOnDropHandle<()>,
}

impl Gate {
    pub(super) fn new(channel: Channel, services: Arc<[Service]>) -> Self {
        Self { channel, services }
    }

    /// Until the channel closes, or dropped.
    pub(super) async fn run(self) {
        let (sender, mut receiver) = self.channel.split();
        let mut flows: Flows<Flow> = Flows::new();
        while let Some(datagram) = next(&mut receiver).await {
            let now = Instant::now();
            let target = self.services.get(usize::from(datagram.service));
            let Some(Target::Udp(address)) = target.map(Service::target) else {
                continue;
            };
            let known = flows.used(now, datagram.flow);
            if known.is_none_or(|flow| flow.service != datagram.service) {
                match Flow::open(*address, &datagram, sender.clone()).await {
                    Ok(flow) => flows.add(now, datagram.flow, flow),
                    Err(error) => {
                        tracing::warn!(%error, "no socket for datagrams");
                        continue;
                    }
                }
            }
            if let Some(flow) = flows.used(now, datagram.flow) {
                // overflow: dropped.
                let _ = flow.socket.try_send(&datagram.content);
            }
        }
    }
}

impl Flow {
    async fn open(
        address: SocketAddr,
        first: &Datagram,
        sender: ChannelSender,
    ) -> io::Result<Self> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = Arc::new(UdpSocket::bind(any).await?);
        // Only what is exposed is heard.
        socket.connect(address).await?;
        let (service, flow) = (first.service, first.flow);
        let answering = {
            let socket = socket.clone();
            async move {
                let mut buffer = vec![0; MAX_MESSAGE];
                loop {
                    let (content, _) = receive(&socket, &mut buffer).await;
                    // overflow: dropped.
                    let _ = sender.try_send(Datagram::write(service, flow, content));
                }
            }
        };
        Ok(Self {
            service,
            socket,
            _answering: AbortOnDropHandle::new(tokio::spawn(answering)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(service: u16, flow: u32, content in proptest::collection::vec(any::<u8>(), 0..100)) {
            let message = Datagram::write(service, flow, &content);
            let read = Datagram::read(Message::Binary(message));
            prop_assert_eq!(read, Some(Datagram { service, flow, content: content.into() }));
        }
    }

    #[test]
    fn the_wire_is_the_protocol_text() {
        assert_eq!(Datagram::write(1, 2, b"x"), &b"\0\x01\0\0\0\x02x"[..]);
        for message in [
            Message::Text("text".into()),
            Message::Binary(Bytes::from_static(b"\0\0\0\0\0")),
        ] {
            assert_eq!(Datagram::read(message), None);
        }
    }
}
