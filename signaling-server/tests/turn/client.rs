//! A TURN client that does what a test tells it, right or wrong.

use crate::server::DEADLINE;
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::Value;
use std::{collections::VecDeque, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use turn_server_proto::types::{
    attribute::{
        ChannelNumber, Data, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress,
    },
    message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND},
    stun::{
        attribute::{ErrorCode, Nonce, Realm, Username},
        message::{
            IntegrityAlgorithm, LongTermCredentials, Message, MessageClass, MessageType,
            MessageWriteVec, Method, TransactionId,
        },
        prelude::{Attribute, MessageWrite, MessageWriteExt},
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

pub(crate) const TRANSPORTS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

enum Wire {
    Udp(UdpSocket),
    Stream(Box<dyn Duplex>, Vec<u8>),
}

pub(crate) struct Client {
    wire: Wire,
    user: Option<LongTermCredentials>,
    challenge: Option<(String, String)>,
    /// Data that came while an answer was awaited.
    data: VecDeque<Vec<u8>>,
    pub(crate) relayed: Option<SocketAddr>,
    /// The last request.
    pub(crate) last: Vec<u8>,
}

/// The number of a refusal.
pub(crate) type Refused = u16;

impl Client {
    pub(crate) async fn connect(
        server: SocketAddr,
        transport: Transport,
        trust: Arc<ClientConfig>,
    ) -> Self {
        let wire = match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                socket.connect(server).await.unwrap();
                Wire::Udp(socket)
            }
            Transport::Tcp => Wire::Stream(
                Box::new(TcpStream::connect(server).await.unwrap()),
                Vec::new(),
            ),
            Transport::Tls => {
                let stream = TcpStream::connect(server).await.unwrap();
                let name = ServerName::from(server.ip());
                let stream = TlsConnector::from(trust)
                    .connect(name, stream)
                    .await
                    .unwrap();
                Wire::Stream(Box::new(stream), Vec::new())
            }
        };
        Self {
            wire,
            user: None,
            challenge: None,
            data: VecDeque::new(),
            relayed: None,
            last: Vec::new(),
        }
    }

    /// Uses the credentials of an `RTCIceServer` from now on.
    pub(crate) fn log_in(&mut self, server: &Value) {
        let text = |name: &str| server[name].as_str().unwrap().to_owned();
        self.log_in_as(text("username"), text("credential"));
    }

    pub(crate) fn log_in_as(&mut self, name: String, password: String) {
        self.user = Some(LongTermCredentials::new(name, password));
    }

    pub(crate) async fn allocate(&mut self) -> Result<SocketAddr, Refused> {
        self.allocate_transport(RequestedTransport::UDP).await
    }

    pub(crate) async fn allocate_transport(&mut self, protocol: u8) -> Result<SocketAddr, Refused> {
        let answer = self
            .request(ALLOCATE, &[&RequestedTransport::new(protocol)])
            .await?;
        let message = Message::from_bytes(&answer).unwrap();
        let relayed = message.attribute::<XorRelayedAddress>().unwrap();
        let relayed = relayed.addr(message.transaction_id());
        self.relayed = Some(relayed);
        Ok(relayed)
    }

    pub(crate) async fn refresh(&mut self, seconds: u32) -> Result<u32, Refused> {
        let answer = self.request(REFRESH, &[&Lifetime::new(seconds)]).await?;
        let message = Message::from_bytes(&answer).unwrap();
        Ok(message.attribute::<Lifetime>().unwrap().seconds())
    }

    pub(crate) async fn permit(&mut self, peer: SocketAddr) -> Result<(), Refused> {
        self.peer_request(CREATE_PERMISSION, peer, None).await
    }

    pub(crate) async fn bind(&mut self, channel: u16, peer: SocketAddr) -> Result<(), Refused> {
        self.peer_request(CHANNEL_BIND, peer, Some(channel)).await
    }

    async fn peer_request(
        &mut self,
        method: Method,
        peer: SocketAddr,
        channel: Option<u16>,
    ) -> Result<(), Refused> {
        // The address is encoded with the transaction id, so each attempt makes its own.
        for attempt in 0..2 {
            let id = TransactionId::generate();
            let kind = MessageType::from_class_method(MessageClass::Request, method);
            let mut message = Message::builder(kind, id, MessageWriteVec::new());
            message
                .add_attribute(&XorPeerAddress::new(peer, id))
                .unwrap();
            if let Some(channel) = channel {
                message.add_attribute(&ChannelNumber::new(channel)).unwrap();
            }
            match self.exchange(message).await {
                Err(401 | 438) if attempt == 0 => {}
                result => return result.map(|_| ()),
            }
        }
        unreachable!("the second attempt returns")
    }

    /// One request with the credentials; the first challenge is answered.
    async fn request(
        &mut self,
        method: Method,
        attributes: &[&dyn AddTo],
    ) -> Result<Vec<u8>, Refused> {
        for attempt in 0..2 {
            let mut message = Message::builder_request(method, MessageWriteVec::new());
            for attribute in attributes {
                attribute.add_to(&mut message);
            }
            match self.exchange(message).await {
                Err(401 | 438) if attempt == 0 => {}
                result => return result,
            }
        }
        unreachable!("the second attempt returns")
    }

    async fn exchange(&mut self, mut message: MessageWriteVec) -> Result<Vec<u8>, Refused> {
        if let (Some(user), Some((realm, nonce))) = (&self.user, &self.challenge) {
            let key = user
                .to_key(realm.clone())
                .make_key(IntegrityAlgorithm::Sha1);
            message
                .add_attribute(&Username::new(user.username()).unwrap())
                .unwrap();
            message.add_attribute(&Realm::new(realm).unwrap()).unwrap();
            message.add_attribute(&Nonce::new(nonce).unwrap()).unwrap();
            message
                .add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1)
                .unwrap();
        }
        let request = message.finish();
        let id = Message::from_bytes(&request).unwrap().transaction_id();
        self.send_raw(&request).await;
        self.last.clone_from(&request);
        loop {
            let frame = self.receive().await.expect("the server answers");
            let Ok(answer) = Message::from_bytes(&frame) else {
                self.data.push_back(frame);
                continue;
            };
            if !answer.is_response() || answer.transaction_id() != id {
                self.data.push_back(frame);
                continue;
            }
            if let (Ok(realm), Ok(nonce)) =
                (answer.attribute::<Realm>(), answer.attribute::<Nonce>())
            {
                self.challenge = Some((realm.realm().to_owned(), nonce.nonce().to_owned()));
            }
            return match answer.has_class(MessageClass::Error) {
                true => Err(answer.attribute::<ErrorCode>().unwrap().code()),
                false => Ok(frame),
            };
        }
    }

    /// A Send indication.
    pub(crate) async fn send_to(&mut self, peer: SocketAddr, data: &[u8]) {
        let id = TransactionId::generate();
        let kind = MessageType::from_class_method(MessageClass::Indication, SEND);
        let mut message = Message::builder(kind, id, MessageWriteVec::new());
        message
            .add_attribute(&XorPeerAddress::new(peer, id))
            .unwrap();
        message.add_attribute(&Data::new(data)).unwrap();
        self.send_raw(&message.finish()).await;
    }

    /// Channel data, padded on streams.
    pub(crate) async fn send_on(&mut self, channel: u16, data: &[u8]) {
        let length = u16::try_from(data.len()).unwrap();
        let mut frame = [&channel.to_be_bytes()[..], &length.to_be_bytes(), data].concat();
        if matches!(self.wire, Wire::Stream(..)) {
            frame.resize(frame.len().next_multiple_of(4), 0);
        }
        self.send_raw(&frame).await;
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Udp(socket) => {
                socket.send(bytes).await.unwrap();
            }
            Wire::Stream(stream, _) => {
                // The server may have hung up on what came before.
                let _ = stream.write_all(bytes).await;
                let _ = stream.flush().await;
            }
        }
    }

    /// The next payload, in whichever form it comes.
    pub(crate) async fn data(&mut self) -> Vec<u8> {
        let frame = match self.data.pop_front() {
            Some(frame) => frame,
            None => self.receive().await.expect("data comes"),
        };
        match Message::from_bytes(&frame) {
            Ok(message) => message.attribute::<Data>().unwrap().data().to_vec(),
            Err(_) => {
                let length = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
                frame[4..4 + length].to_vec()
            }
        }
    }

    /// The next frame, or `None` when the server has hung up.
    pub(crate) async fn receive(&mut self) -> Option<Vec<u8>> {
        let received = async {
            match &mut self.wire {
                Wire::Udp(socket) => {
                    let mut buffer = vec![0; 65_536];
                    let length = socket.recv(&mut buffer).await.unwrap();
                    buffer.truncate(length);
                    Some(buffer)
                }
                Wire::Stream(stream, rest) => loop {
                    if rest.len() >= 4 {
                        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
                        let whole = match rest[0] {
                            0..0x40 => 20 + length,
                            _ => 4 + length.next_multiple_of(4),
                        };
                        if rest.len() >= whole {
                            return Some(rest.drain(..whole).collect());
                        }
                    }
                    match stream.read_buf(rest).await {
                        Ok(0) | Err(_) => return None,
                        Ok(_) => {}
                    }
                },
            }
        };
        timeout(DEADLINE, received)
            .await
            .expect("something happens in time")
    }
}

/// Attributes of different types in one list.
trait AddTo: Sync {
    fn add_to(&self, message: &mut MessageWriteVec);
}

impl<T: turn_server_proto::types::stun::prelude::AttributeWrite + Attribute + Sync> AddTo for T {
    fn add_to(&self, message: &mut MessageWriteVec) {
        message.add_attribute(self).unwrap();
    }
}
