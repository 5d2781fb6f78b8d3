//! `forward --whip-listen`, `--whip` and `--whep`: rooms that are joined by HTTP.

use serde_json::Value;

use crate::harness::{End, Peer, Signaling};

fn start(server: &Signaling, command: &str, room: &str, words: &[&str]) -> Peer {
    let fixed = [command, "--room", room, "--server", &server.url];
    Peer::start(&[&fixed[..], words].concat())
}

async fn started(peer: &mut Peer, direction: &str, times: usize) {
    for _ in 0..times {
        loop {
            let track = peer.event("track").await;
            if track["direction"] == direction && track["state"] == "started" {
                break;
            }
        }
    }
}

const SENDING: [&str; 4] = ["--video", "test", "--audio", "test"];
const WATCHING: [&str; 6] = ["--video", "none", "--audio", "none", "--duration", "4"];

/// Both kinds came for nearly all of the time.
#[track_caller]
fn saw(end: &End) {
    let frames = |kind: &str| end.last()["received"][kind]["frames"].as_u64();
    assert_eq!(end.code, Some(0), "{end:#?}");
    assert!(frames("video") > Some(75), "{end:#?}");
    assert!(frames("audio") > Some(125), "{end:#?}");
}

/// Where programs publish and play.
async fn listening(forward: &mut Peer) -> (String, String) {
    let whip = forward.event("whip").await;
    let url = |name: &str| whip[name].as_str().expect("a URL").to_owned();
    (url("publish"), url("play"))
}

#[tokio::test]
async fn a_room_is_published_to_another_and_played_into_a_third() {
    let server = Signaling::start();
    let listen = ["--whip-listen", "127.0.0.1:0", "--whip-token", "secret"];
    let mut stage = start(&server, "forward", "stage", &listen);
    let (publish, play) = listening(&mut stage).await;
    stage.event("waiting").await;
    // Both wait for something to send and to play.
    let out = ["--whip", &publish, "--bearer", "secret"];
    let mut studio = start(&server, "forward", "studio", &out);
    let into = ["--whep", &play, "--bearer", "secret"];
    let mut balcony = start(&server, "forward", "balcony", &into);
    let refused = balcony.event("whip").await;
    assert_eq!(refused["state"], "refused", "{refused}");
    studio.event("waiting").await;

    let sender = start(&server, "call", "studio", &SENDING);
    started(&mut stage, "in", 2).await;
    started(&mut balcony, "in", 2).await;
    for room in ["stage", "balcony"] {
        let mut watching = start(&server, "call", room, &WATCHING);
        started(&mut watching, "in", 2).await;
        saw(&watching.end().await);
    }
    sender.interrupt();
    sender.end().await;
    // What is not published any more ends there as well.
    let ended = |track: &Value| track["state"] == "ended";
    while !ended(&stage.event("track").await) {}
    for forward in [studio, balcony, stage] {
        forward.interrupt();
        let end = forward.end().await;
        assert_eq!(end.code, Some(0), "{end:#?}");
        assert_eq!(end.last()["event"], "forward-done");
    }
}

#[tokio::test]
async fn a_wrong_token_ends_it_and_says_so() {
    let server = Signaling::start();
    let listen = ["--whip-listen", "127.0.0.1:0", "--whip-token", "secret"];
    let mut stage = start(&server, "forward", "stage", &listen);
    let (_, play) = listening(&mut stage).await;
    let wrong = ["--whep", &play, "--bearer", "guess"];
    let end = start(&server, "forward", "balcony", &wrong).end().await;
    end.failed(3, "whip-refused");
    stage.interrupt();
    stage.end().await;
}
