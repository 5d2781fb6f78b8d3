//! SOCKS 5 (RFC 1928), as far as programs need it to reach what is exposed: connections, without a password.

use super::frame::ResetCode;
use super::service::{Listed, ServiceName};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const VERSION: u8 = 5;
const NO_PASSWORD: u8 = 0;
const NONE_ACCEPTABLE: u8 = 0xff;
const CONNECT: u8 = 1;

/// What a program is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Connected = 0,
    Failed = 1,
    NotAllowed = 2,
    Unreachable = 4,
    UnknownCommand = 7,
    UnknownAddress = 8,
}

impl From<ResetCode> for Reply {
    fn from(code: ResetCode) -> Self {
        match code {
            ResetCode::Refused => Self::NotAllowed,
            ResetCode::Unreachable => Self::Unreachable,
            _ => Self::Failed,
        }
    }
}

/// What a program asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// A name, or an address as text.
    host: String,
    port: u16,
}

impl Request {
    /// The service that it means: one of this name on any port, or one whose name is host and port.
    pub(super) fn service<'a>(&self, services: &'a [Listed]) -> Option<&'a ServiceName> {
        let with_port = match self.host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, self.port).to_string(),
            Err(_) => format!("{}:{}", self.host, self.port),
        };
        let mut streams = services.iter().filter(|service| service.kind.is_stream());
        let meant = |name: &str| name.eq_ignore_ascii_case(&self.host) || name == with_port;
        let found = streams.find(|service| meant(service.name.as_str()));
        found.map(|service| &service.name)
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Hears what a program asks for. What is not understood was answered already.
///
/// # Errors
/// The program went away, speaks something else, or asks for something else.
pub(super) async fn request(
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<Request> {
    let not_socks = || io::Error::new(io::ErrorKind::InvalidData, "it does not speak SOCKS 5");
    if socket.read_u8().await? != VERSION {
        return Err(not_socks());
    }
    let mut methods = vec![0; socket.read_u8().await?.into()];
    socket.read_exact(&mut methods).await?;
    if !methods.contains(&NO_PASSWORD) {
        socket.write_all(&[VERSION, NONE_ACCEPTABLE]).await?;
        let error = "it does not go without a password";
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    socket.write_all(&[VERSION, NO_PASSWORD]).await?;

    let [version, command, _, kind] = read(socket).await?;
    if version != VERSION {
        return Err(not_socks());
    }
    let host = match kind {
        1 => IpAddr::from(Ipv4Addr::from(read(socket).await?)).to_string(),
        4 => IpAddr::from(Ipv6Addr::from(read::<16>(socket).await?)).to_string(),
        3 => {
            let mut name = vec![0; socket.read_u8().await?.into()];
            socket.read_exact(&mut name).await?;
            String::from_utf8(name).map_err(|_| not_socks())?
        }
        _ => return refuse(socket, Reply::UnknownAddress).await,
    };
    let port = socket.read_u16().await?;
    if command != CONNECT {
        return refuse(socket, Reply::UnknownCommand).await;
    }
    Ok(Request { host, port })
}

async fn refuse<T>(socket: &mut (impl AsyncWrite + Unpin), reply: Reply) -> io::Result<T> {
    answer(socket, reply).await?;
    let error = "it asks for more than connections";
    Err(io::Error::new(io::ErrorKind::Unsupported, error))
}

/// Answers a request. Where the connection comes from there, is not told.
pub(super) async fn answer(socket: &mut (impl AsyncWrite + Unpin), reply: Reply) -> io::Result<()> {
    let nowhere = [1, 0, 0, 0, 0, 0, 0];
    let message = [&[VERSION, reply as u8, 0][..], &nowhere].concat();
    socket.write_all(&message).await
}

async fn read<const N: usize>(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    socket.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::service::Kind;
    use proptest::prelude::*;

    /// What is understood of these bytes, and what is answered.
    async fn hear(bytes: &[u8]) -> (io::Result<Request>, Vec<u8>) {
        let (mut program, mut ours) = tokio::io::duplex(4096);
        program.write_all(bytes).await.unwrap();
        program.shutdown().await.unwrap();
        let heard = request(&mut ours).await;
        drop(ours);
        let mut answer = Vec::new();
        program.read_to_end(&mut answer).await.unwrap();
        (heard, answer)
    }

    #[tokio::test]
    async fn requests_of_every_kind() {
        for (bytes, words) in [
            (&b"\x05\x01\0\x05\x01\0\x03\x03web\0\x50"[..], "web:80"),
            (
                b"\x05\x02\x02\0\x05\x01\0\x01\x0a\0\0\x01\x01\xbb",
                "10.0.0.1:443",
            ),
            (
                b"\x05\x01\0\x05\x01\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x16",
                "::1:22",
            ),
        ] {
            let (heard, answer) = hear(bytes).await;
            assert_eq!(heard.unwrap().words(), words);
            assert_eq!(answer, b"\x05\0");
        }
    }

    #[tokio::test]
    async fn what_is_not_understood_is_refused() {
        for (bytes, expected) in [
            (&b""[..], &b""[..]),
            (b"\x04\x01", b""),
            (b"GET / HTTP/1.1", b""),
            (b"\x05\x01\x02", b"\x05\xff"),
            (
                b"\x05\x01\0\x05\x02\0\x03\x01x\0\x50",
                b"\x05\0\x05\x07\0\x01\0\0\0\0\0\0",
            ),
            (
                b"\x05\x01\0\x05\x01\0\x02",
                b"\x05\0\x05\x08\0\x01\0\0\0\0\0\0",
            ),
            (b"\x05\x01\0\x05\x01\0\x03\x02\xff\xff\0\x50", b"\x05\0"),
        ] {
            let (heard, answer) = hear(bytes).await;
            assert!(heard.is_err(), "{bytes:?}");
            assert_eq!(answer, expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(hear(&bytes));
        }
    }

    #[test]
    fn only_what_is_listed_is_meant() {
        let listed = |name: &str, kind| Listed {
            name: name.parse().unwrap(),
            kind,
        };
        let services = [
            listed("web", Kind::Tcp),
            listed("dns", Kind::Udp),
            listed("localhost:22", Kind::Tcp),
            listed("[::1]:80", Kind::Tcp),
        ];
        for (host, port, expected) in [
            ("web", 80, Some("web")),
            ("WEB", 8080, Some("web")),
            ("localhost", 22, Some("localhost:22")),
            ("::1", 80, Some("[::1]:80")),
            ("localhost", 23, None),
            ("dns", 53, None),
            ("example.org", 80, None),
        ] {
            let host = host.to_owned();
            let request = Request { host, port };
            let found = request.service(&services).map(ServiceName::as_str);
            assert_eq!(found, expected, "{request:?}");
        }
    }
}
