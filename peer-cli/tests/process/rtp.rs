//! `forward --rtp-in` and `--rtp-out` with ffmpeg on the other end.

use std::process::Stdio;

use tokio::process::Command;

use crate::harness::{Peer, Place, Signaling};
use crate::media_files::probe;

fn ffmpeg(words: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-y", "-v", "error"])
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn ffmpeg_sends_into_a_room_and_records_what_comes_out_of_it() {
    let server = Signaling::start();
    let place = Place::new();
    let (sdp, film) = (place.path("room.sdp"), place.path("room.mkv"));
    let [sdp_text, film_text] = [&sdp, &film].map(|path| path.to_str().expect("UTF-8"));
    // Nobody else has these ports: they were free a moment ago, and are in the middle of those that nobody asks for.
    let out = free_ports();
    let out = format!("127.0.0.1:{out}");
    let words = [
        "forward",
        "--room",
        "talk",
        "--server",
        &server.url,
        "--rtp-in",
        "vp8:0",
        "--rtp-out",
        &out,
        "--sdp",
        sdp_text,
    ];
    let mut forward = Peer::start(&words);
    let address = forward.event("rtp").await["address"]
        .as_str()
        .unwrap()
        .to_owned();
    forward.event("waiting").await;
    let words = [
        "call",
        "--room",
        "talk",
        "--server",
        &server.url,
        "--video",
        "test",
        "--audio",
        "test",
    ];
    let mut member = Peer::start(&words);
    // A picture and a sound go out.
    forward.event("rtp").await;
    forward.event("rtp").await;
    let words = [
        "-protocol_whitelist",
        "file,udp,rtp",
        "-i",
        sdp_text,
        "-t",
        "5",
        "-c",
        "copy",
        film_text,
    ];
    let status = ffmpeg(&words).status().await.expect("ffmpeg is installed");
    assert!(status.success());
    let probed = probe(&film);
    assert_eq!(probed.codecs, ["opus", "vp8"]);
    assert!(probed.pictures > 60, "{} pictures", probed.pictures);

    let target = format!("rtp://{address}?pkt_size=1200");
    let source = "testsrc2=size=320x180:rate=30";
    let words = [
        "-re",
        "-f",
        "lavfi",
        "-i",
        source,
        "-c:v",
        "libvpx",
        "-deadline",
        "realtime",
        "-g",
        "30",
        "-f",
        "rtp",
        &target,
    ];
    let mut sending = ffmpeg(&words)
        .stdout(Stdio::null())
        .spawn()
        .expect("ffmpeg is installed");
    while member.event("track").await["direction"] != "in" {}
    let stats = {
        member.interrupt();
        member.end().await
    };
    assert_eq!(stats.code, Some(130));
    sending.kill().await.unwrap();
    forward.interrupt();
    let end = forward.end().await;
    assert_eq!(end.code, Some(0), "{end:#?}");
}

/// The first of four ports in a row that were free.
fn free_ports() -> u16 {
    loop {
        let first = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let rest = (1..4)
            .map(|more| std::net::UdpSocket::bind(("127.0.0.1", port.checked_add(more)?)).ok());
        if rest.collect::<Option<Vec<_>>>().is_some() {
            return port;
        }
    }
}
