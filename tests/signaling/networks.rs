//! Proxies that do to a connection what networks do.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a proxy does.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Resets the first connections behind so many bytes from the server, and lets the others be.
    Cuts(Vec<usize>),
    /// Answers every request for a WebSocket by itself.
    RefusesUpgrade,
    /// The same, and keeps event streams to itself.
    RefusesUpgradeAndStreams,
    /// Lets WebSockets open, and then resets them.
    CutsWebSockets,
}

/// A proxy in front of a server. It lives as long as the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// How often it did what it is there for.
    pub(crate) interfered: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) fn interfered(&self) -> usize {
        self.interfered.load(Ordering::SeqCst)
    }
}

pub(crate) async fn proxy(server: SocketAddr, behaviour: Behaviour) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let interfered = Arc::new(AtomicUsize::new(0));
    let proxy = Proxy {
        address,
        interfered: Arc::clone(&interfered),
    };
    tokio::spawn(async move {
        let mut count = 0;
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let (behaviour, interfered) = (behaviour.clone(), Arc::clone(&interfered));
            tokio::spawn(async move {
                if serve(near, server, behaviour, count).await {
                    interfered.fetch_add(1, Ordering::SeqCst);
                }
            });
            count += 1;
        }
    });
    proxy
}

/// Whether it interfered.
async fn serve(
    mut near: TcpStream,
    server: SocketAddr,
    behaviour: Behaviour,
    number: usize,
) -> bool {
    let Ok(mut far) = TcpStream::connect(server).await else {
        return false;
    };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match near.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let (upgrade, stream) = (text.contains("upgrade:"), text.contains("/events "));
    let most = match behaviour {
        Behaviour::Cuts(lengths) => lengths.get(number).copied().unwrap_or(usize::MAX),
        Behaviour::RefusesUpgrade | Behaviour::RefusesUpgradeAndStreams if upgrade => {
            let refusal =
                b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            // A client that has gone needs no answer.
            let _ = near.write_all(refusal).await;
            return true;
        }
        Behaviour::RefusesUpgradeAndStreams if stream => 0,
        Behaviour::CutsWebSockets if upgrade => 130,
        _ => usize::MAX,
    };
    if far.write_all(&head).await.is_err() {
        return false;
    }
    if most != usize::MAX && !stream {
        for socket in [&near, &far] {
            let socket = socket2::SockRef::from(socket);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    let ((mut near_out, mut near_in), (mut far_out, mut far_in)) = (near.split(), far.split());
    let down = async {
        let cut = pass(&mut far_out, &mut near_in, most).await;
        if stream && most == 0 {
            std::future::pending::<()>().await;
        }
        cut
    };
    let (mut up, mut cut) = (
        pin!(pass(&mut near_out, &mut far_in, usize::MAX)),
        pin!(down),
    );
    tokio::select! {
        _ = &mut up => stream && most == 0,
        cut = &mut cut => cut,
    }
}

/// Whether there was more than was to be passed on.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut left: usize,
) -> bool {
    let mut buffer = [0; 4096];
    while left > 0 {
        let most = left.min(buffer.len());
        match from.read(&mut buffer[..most]).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => {
                left -= count;
                if to.write_all(&buffer[..count]).await.is_err() {
                    return false;
                }
            }
        }
    }
    true
}
