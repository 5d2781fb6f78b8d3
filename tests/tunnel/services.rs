//! What is exposed, and who connects to it.

use peerline::testing::Pair;
use peerline::tunnel::{
    Event, Lanes, Listener, RelayError, ResetCode, Service, Side, StreamError, Tunnel, connect,
    expose, list,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{channels, impatient, noise, outage, within};

/// A server that sends back what it gets, and where it is.
async fn echo_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut serving = JoinSet::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            serving.spawn(async move {
                let (mut read, mut write) = socket.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_survive_an_outage_and_a_restart_of_ice() {
    let (mut pair, links) = impatient(4 << 20).await;
    let mut connectivity = pair.guest.connectivity();
    let [ours, theirs] = channels(&mut pair).await;
    let address = echo_server().await.parse().unwrap();
    let service = Service::resolve("echo".parse().unwrap(), &address)
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let exposing = tokio::spawn({
        let (lanes, stop) = (Lanes::of(&mut pair.host), stop.clone());
        async move { expose(theirs, lanes, vec![service], &stop, |_| ()).await }
    });
    let Lanes { opener, incoming } = Lanes::of(&mut pair.guest);
    let tunnel = Tunnel::start(ours, Side::Opener, opener);
    let services = within("the list", list(&tunnel)).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let listeners = vec![Listener::Tcp(services[0].name.clone(), listener)];
    let (tell, mut told) = tokio::sync::mpsc::channel(16);
    let connecting = tokio::spawn({
        let stop = stop.clone();
        let tell = move |event| tell.try_send(event).unwrap();
        async move { connect(tunnel, services, listeners, None, incoming, &stop, tell).await }
    });
    let mut clients = JoinSet::new();
    for seed in 0..3 {
        clients.spawn(async move {
            let content = noise(3 << 20, seed);
            let mut socket = TcpStream::connect(to).await.unwrap();
            let (mut read, mut write) = socket.split();
            let mut answer = Vec::new();
            let writing = async {
                write.write_all(&content).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let (_, read) = tokio::join!(writing, read.read_to_end(&mut answer));
            read.unwrap();
            assert!(answer == content);
        });
    }
    let mut first = TcpStream::connect(to).await.unwrap();
    first.write_all(b"here").await.unwrap();
    within("an answer", first.read_exact(&mut [0; 4]))
        .await
        .unwrap();
    outage(&links, &mut connectivity).await;
    first.write_all(b"and still here").await.unwrap();
    within("an answer", first.read_exact(&mut [0; 14]))
        .await
        .unwrap();
    while let Some(client) = within("a client", clients.join_next()).await {
        client.unwrap();
    }
    for _ in 0..3 {
        let event = within("its end", told.recv()).await.unwrap();
        assert!(
            matches!(&event, Event::Closed { moved, .. } if moved.total() == 6 << 20),
            "{event:?}"
        );
    }
    stop.cancel();
    for side in [exposing, connecting] {
        let end = within("the end", side).await.unwrap();
        assert!(
            matches!(end, RelayError::Cancelled | RelayError::Tunnel(_)),
            "{end}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_exposed_is_refused_whoever_asks() {
    let mut pair = within("connecting", Pair::connect()).await.unwrap();
    let [ours, theirs] = channels(&mut pair).await;
    let mut services = Vec::new();
    for (name, address) in [("web", "127.0.0.1:80"), ("dns", "udp:127.0.0.1:53")] {
        let address = address.parse().unwrap();
        let service = Service::resolve(name.parse().unwrap(), &address).await;
        services.push(service.unwrap());
    }
    let lanes = Lanes::of(&mut pair.host);
    let stop = CancellationToken::new();
    tokio::spawn(async move { expose(theirs, lanes, services, &stop, |_| ()).await });
    let tunnel = Tunnel::start(ours, Side::Opener, None);
    for target in ["127.0.0.1:80", "WEB", "localhost:22", "dns", "web\0", "*"] {
        let mut stream = tunnel.open(target).await.unwrap();
        let refused = within("the refusal", stream.accepted()).await.unwrap_err();
        assert!(
            matches!(&refused, StreamError::Reset(reset) if reset.code == ResetCode::Refused),
            "{target:?}: {refused}"
        );
    }
}
