//! What peers do in a room, whoever runs it.

use crate::{host, next, within};
use peerline::signaling::memory::{self, Relayed};
use peerline::signaling::{Lost, Refusal, SendError, ServerUrl, Signaling, SignalingError};
use signaling_protocol::{
    ClientMessage, ErrorCode, Join, Joined, LeaveReason, PeerId, ServerMessage,
};

fn guest(joined: &Joined) -> Join {
    Join {
        room: Some(joined.room.clone()),
        create: Some(false),
        ..Join::default()
    }
}

fn refusal(error: &SignalingError) -> Option<ErrorCode> {
    match error {
        SignalingError::Refused(Refusal { code, .. }) => Some(*code),
        _ => None,
    }
}

/// A server that the same cases run on.
enum Server {
    Memory(memory::Server),
    Real(ServerUrl),
}

impl Server {
    async fn join(&self, join: Join) -> Result<(Signaling, Joined), SignalingError> {
        match self {
            Self::Memory(server) => server.join(join).await,
            Self::Real(url) => Signaling::join(url, join).await,
        }
    }
}

async fn two_peers_meet_talk_and_part(server: &Server) {
    let (mut host_side, host_joined) = server.join(host()).await.unwrap();
    let (guest_side, guest_joined) = server.join(guest(&host_joined)).await.unwrap();
    assert_eq!(guest_joined.peers[0].id, host_joined.own_id);
    let ServerMessage::PeerJoined { peer, .. } = next(&mut host_side).await.unwrap() else {
        panic!()
    };
    assert_eq!(peer.id, guest_joined.own_id);

    for n in 0..100 {
        let to = host_joined.own_id.clone();
        guest_side
            .send(ClientMessage::Sealed {
                to,
                data: n.to_string(),
            })
            .await
            .unwrap();
    }
    for n in 0..100 {
        let from = guest_joined.own_id.clone();
        let expected = ServerMessage::Sealed {
            from,
            data: n.to_string(),
        };
        assert_eq!(next(&mut host_side).await, Ok(expected));
    }

    let to: PeerId = "nobody".parse().unwrap();
    host_side
        .send(ClientMessage::Sealed {
            to,
            data: String::new(),
        })
        .await
        .unwrap();
    let answer = next(&mut host_side).await.unwrap();
    assert!(matches!(
        answer,
        ServerMessage::Error {
            code: ErrorCode::NoSuchPeer,
            ..
        }
    ));

    within(guest_side.leave()).await;
    let left = ServerMessage::PeerLeft {
        peer: guest_joined.own_id,
        reason: LeaveReason::Left,
    };
    assert_eq!(next(&mut host_side).await, Ok(left));
}

async fn who_may_not_enter_is_told_why(server: &Server) {
    let (_host, joined) = server.join(host()).await.unwrap();
    let (_guest, _) = server.join(guest(&joined)).await.unwrap();
    let room = Some(joined.room.clone());
    for (join, code) in [
        (guest(&joined), ErrorCode::RoomFull),
        (
            Join {
                room,
                create: Some(true),
                ..Join::default()
            },
            ErrorCode::RoomTaken,
        ),
        (
            Join {
                room: "none".parse().ok(),
                create: Some(false),
                ..Join::default()
            },
            ErrorCode::NoSuchRoom,
        ),
    ] {
        let error = server.join(join).await.unwrap_err();
        assert_eq!(refusal(&error), Some(code), "{error}");
    }
}

/// A dropped handle leaves as one that says so does.
async fn a_dropped_handle_leaves(server: &Server) {
    let (mut host_side, joined) = server.join(host()).await.unwrap();
    let (guest_side, guest_joined) = server.join(guest(&joined)).await.unwrap();
    assert!(matches!(
        next(&mut host_side).await,
        Ok(ServerMessage::PeerJoined { .. })
    ));
    drop(guest_side);
    let left = ServerMessage::PeerLeft {
        peer: guest_joined.own_id,
        reason: LeaveReason::Left,
    };
    assert_eq!(next(&mut host_side).await, Ok(left));
}

async fn run_cases(server: &Server) {
    two_peers_meet_talk_and_part(server).await;
    who_may_not_enter_is_told_why(server).await;
    a_dropped_handle_leaves(server).await;
}

#[tokio::test]
async fn rooms_in_memory() {
    run_cases(&Server::Memory(memory::Server::new())).await;
}

#[tokio::test]
async fn rooms_on_a_server_and_what_its_end_looks_like() {
    let config = signaling_server::Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..signaling_server::Config::default()
    };
    let bound = signaling_server::Server::bind(config.clone()).unwrap();
    let address = bound.local_addr();
    let server = Server::Real(bound.local_addr().into());
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(bound.run(async { stopped.await.unwrap() }));
    run_cases(&server).await;

    let (mut member, _) = server.join(host()).await.unwrap();
    stop.send(()).unwrap();
    let draining = next(&mut member).await;
    assert!(
        matches!(draining, Ok(ServerMessage::Draining { .. })),
        "{draining:?}"
    );
    within(running).await.unwrap();

    // A server that comes up again there knows nobody.
    let again = signaling_server::Config {
        listen: address,
        ..config
    };
    let again = signaling_server::Server::bind(again).unwrap();
    let running = tokio::spawn(again.run(std::future::pending()));
    let lost = next(&mut member).await.unwrap_err();
    assert!(
        matches!(&lost, Lost::Refused(refusal) if refusal.code == ErrorCode::ResumeFailed),
        "{lost}"
    );
    assert_eq!(member.trouble(), Some(lost));
    running.abort();
}

#[tokio::test]
async fn a_message_that_the_server_would_refuse_is_not_sent() {
    let (signaling, _) = memory::Server::new().join(host()).await.unwrap();
    let large = ClientMessage::Chat {
        to: None,
        content: "x".repeat(65_536),
    };
    let refused = signaling.send(large).await.unwrap_err();
    assert!(
        matches!(refused, SendError::TooLarge { limit: 65_536, .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_tap_drops_repeats_changes_and_redirects() {
    let server = memory::Server::with_tap(|relayed| {
        let ServerMessage::Chat { from, content } = &relayed.message else {
            return vec![relayed];
        };
        let with = |content: &str| ServerMessage::Chat {
            from: from.clone(),
            content: content.into(),
        };
        match content.as_str() {
            "drop" => vec![],
            "repeat" => vec![relayed.clone(), relayed],
            "change" => vec![Relayed {
                message: with("changed"),
                ..relayed
            }],
            "reflect" => vec![Relayed {
                to: relayed.from.clone(),
                ..relayed
            }],
            _ => vec![relayed],
        }
    });
    let (mut a, joined) = server.join(host()).await.unwrap();
    let (b, _) = server.join(guest(&joined)).await.unwrap();
    let mut b = b;
    assert!(matches!(
        next(&mut a).await,
        Ok(ServerMessage::PeerJoined { .. })
    ));
    for content in ["drop", "repeat", "change", "reflect", "honest"] {
        b.send(ClientMessage::Chat {
            to: None,
            content: content.into(),
        })
        .await
        .unwrap();
    }
    for expected in ["repeat", "repeat", "changed", "honest"] {
        let Ok(ServerMessage::Chat { content, .. }) = next(&mut a).await else {
            panic!()
        };
        assert_eq!(content, expected);
    }
    let Ok(ServerMessage::Chat { content, .. }) = next(&mut b).await else {
        panic!()
    };
    assert_eq!(content, "reflect");
}

#[tokio::test]
async fn a_stopped_memory_server_is_noticed() {
    let server = memory::Server::new();
    let (mut member, _) = server.join(host()).await.unwrap();
    server.stop();
    assert_eq!(next(&mut member).await, Err(Lost::Closed));
    assert_eq!(member.send(ClientMessage::Ping).await, Err(SendError::Lost));
}
