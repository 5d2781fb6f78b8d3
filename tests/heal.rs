//! Sessions that lose their signaling server as well: it is restarted, and strangers are in the room.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use peerline::channel::{Channel, Delivery, Message};
use peerline::media::Codec;
use peerline::media::track::Sending;
use peerline::net::link::LinkConfig;
use peerline::net::{EmulatedLink, Network};
use peerline::pairing::Code;
use peerline::session::{Bye, ByeCode, Healing, Session, SessionConfig, SessionError};
use peerline::signaling::{ServerUrl, Signaling, SignalingError};
use signaling_protocol::{ClientMessage, ErrorCode, Join, Joined, RoomName, ServerMessage};
use signaling_server::{Config, Server};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Longest time that anything here may take: an outage, the way back to the server, and a slow machine.
const LIMIT: Duration = Duration::from_secs(60);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

/// A server on a port of its own, which it has again after it was killed.
struct Restartable {
    address: SocketAddr,
    task: Option<JoinHandle<()>>,
}

impl Restartable {
    fn start() -> Self {
        let mut server = Self {
            address: ([127, 0, 0, 1], 0).into(),
            task: None,
        };
        server.run();
        server
    }

    fn run(&mut self) {
        let config = Config {
            listen: self.address,
            ..Config::default()
        };
        let server = Server::bind(config).expect("the port is free");
        self.address = server.local_addr();
        self.task = Some(tokio::spawn(server.run(std::future::pending())));
    }

    /// Ends it without a word to anybody; nothing of its rooms is left.
    async fn kill(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    fn url(&self) -> ServerUrl {
        self.address.into()
    }
}

struct Pair {
    host: Session,
    guest: Session,
    room: RoomName,
    links: [EmulatedLink; 2],
}

async fn connect(server: &Restartable, healing: Healing) -> Pair {
    let links = [1, 2].map(|seed| {
        EmulatedLink::new(LinkConfig {
            seed,
            ..LinkConfig::default()
        })
    });
    let config = |side: usize| SessionConfig {
        loopback: true,
        codecs: Codec::ALL.to_vec(),
        healing,
        network: Network::Emulated(links[side].clone()),
        ..SessionConfig::default()
    };
    let join = Join {
        create: Some(true),
        capacity: Some(2),
        ..Join::default()
    };
    let (signaling, joined) = Signaling::join(&server.url(), join).await.unwrap();
    let code = Code::generate(joined.room.as_str()).unwrap();
    let guest = async {
        let join = Join {
            room: Some(joined.room.clone()),
            create: Some(false),
            ..Join::default()
        };
        let (signaling, joined) = Signaling::join(&server.url(), join).await.unwrap();
        Session::guest(signaling, &joined, &code, config(1)).await
    };
    let host = Session::host(signaling, &joined, code.clone(), config(0), || {});
    let (host, guest) = within("connecting", async { tokio::join!(host, guest) }).await;
    Pair {
        host: host.unwrap(),
        guest: guest.unwrap(),
        room: joined.room,
        links,
    }
}

impl Pair {
    async fn channel(&mut self) -> (Channel, Channel) {
        let ours = self.guest.open("kept", "", Delivery::Reliable).await;
        let theirs = within("the channel", self.host.accept()).await;
        (ours.unwrap(), theirs.unwrap().channel)
    }

    fn set_outage(&self, outage: bool) {
        self.links.iter().for_each(|link| link.set_outage(outage));
    }

    async fn close(self) {
        self.guest.close(Bye::new(ByeCode::Done, "done")).await;
        let end = within("the host's end", self.host.ended()).await;
        assert!(
            matches!(&*end, SessionError::Bye(bye) if bye.code == ByeCode::Done),
            "{end}"
        );
    }
}

const TIMES: u32 = 4;

/// Long enough for ICE to give up at its usual speed; a restart over a server helps sooner than its own checks.
async fn outage() {
    // Not a wait for something to happen: this is how long the network is gone.
    tokio::time::sleep(Duration::from_secs(34) / TIMES).await;
}

/// Something that is said before, during and after an interruption arrives once, in order.
async fn says(from: &Channel, to: &mut Channel, words: &str) {
    from.send_text(words.into()).await.unwrap();
    assert_eq!(
        within(words, to.recv()).await,
        Some(Message::Text(words.into()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_restarts_ice_for_those_whom_it_has_forgotten() {
    let mut server = Restartable::start();
    let mut pair = connect(&server, Healing::default().faster(TIMES)).await;
    let (ours, mut theirs) = pair.channel().await;
    says(&ours, &mut theirs, "before").await;
    server.kill().await;
    says(&ours, &mut theirs, "without a server").await;
    server.run();
    pair.set_outage(true);
    outage().await;
    pair.set_outage(false);
    says(&ours, &mut theirs, "on a new path").await;
    // Whatever was lost with the first server, the second one carries on.
    pair.set_outage(true);
    outage().await;
    pair.set_outage(false);
    says(&ours, &mut theirs, "on another").await;
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_a_restart_of_ice_is_no_obstacle() {
    let mut server = Restartable::start();
    let mut pair = connect(&server, Healing::default().faster(TIMES)).await;
    let (ours, mut theirs) = pair.channel().await;
    says(&ours, &mut theirs, "before").await;
    pair.set_outage(true);
    // Offers are made and answered by then, and cannot lead to a path.
    outage().await;
    server.kill().await;
    server.run();
    pair.set_outage(false);
    says(&ours, &mut theirs, "after").await;
    pair.close().await;
}

/// Restarts the server until somebody who knows the room is in it before one of its two peers.
async fn enter_first(server: &mut Restartable, room: &RoomName) -> (Signaling, Joined) {
    loop {
        server.kill().await;
        server.run();
        let join = Join {
            room: Some(room.clone()),
            create: None,
            capacity: Some(2),
            ..Join::default()
        };
        match Signaling::join(&server.url(), join).await {
            // Both were faster.
            Err(SignalingError::Refused(refusal)) if refusal.code == ErrorCode::RoomFull => {}
            entered => return entered.unwrap(),
        }
    }
}

/// Somebody who knows the room, and was faster than one of the two.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_in_the_room_can_do_nothing_but_be_in_the_way() {
    let mut server = Restartable::start();
    let mut pair = connect(&server, Healing::default().faster(2)).await;
    let (ours, mut theirs) = pair.channel().await;
    says(&ours, &mut theirs, "before").await;
    let (mut stranger, joined) = within("entering", enter_first(&mut server, &pair.room)).await;
    let mut met = joined.peers.first().map(|peer| peer.id.clone());
    while met.is_none() {
        let next = within("a victim", stranger.next()).await.unwrap();
        if let ServerMessage::PeerJoined { peer, .. } = next {
            met = Some(peer.id);
        }
    }
    // No record at all, a share, a sealed record that does not open, and an abort.
    for data in ["", "AQE", "BAAAAAAAAAAJAAAAAAAAAAAAAAAAAAAAAAAAAA", "BQM"] {
        let sealed = ClientMessage::Sealed {
            to: met.clone().unwrap(),
            data: data.into(),
        };
        stranger.send(sealed).await.unwrap();
    }
    says(&ours, &mut theirs, "meanwhile").await;
    stranger.leave().await;
    pair.set_outage(true);
    tokio::time::sleep(Duration::from_secs(34) / 2).await;
    pair.set_outage(false);
    says(&ours, &mut theirs, "after").await;
    pair.close().await;
}

/// Its offer waits for a path that only another offer brings.
#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_is_added_when_the_path_is_gone_is_sent_when_it_is_back() {
    for side in [0, 1] {
        let server = Restartable::start();
        let mut pair = connect(&server, Healing::default().faster(TIMES)).await;
        let (ours, mut theirs) = pair.channel().await;
        says(&ours, &mut theirs, "before").await;
        pair.set_outage(true);
        let tracks = [&pair.host, &pair.guest][side].tracks();
        let mut track = within("adding", tracks.add(Codec::Vp8)).await.unwrap();
        outage().await;
        pair.set_outage(false);
        says(&ours, &mut theirs, "after").await;
        within("the negotiation", async {
            while track.sending() != Sending::Yes {
                assert_ne!(track.changed().await, Sending::Refused);
            }
        })
        .await;
        pair.close().await;
    }
}
