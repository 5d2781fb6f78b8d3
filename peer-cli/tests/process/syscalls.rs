//! What `peer-cli` asks of the kernel, as `strace` sees it: what is on the disk before a file is in place, and how packets
//! leave and arrive.

use std::fs;
use std::path::Path;

use crate::harness::{Peer, Place, Signaling, clean, noise};

/// A finished call: what it was called with, its result, and in which lines of the log it began and ended.
#[derive(Debug)]
struct Call {
    text: String,
    result: i64,
    began: usize,
    ended: usize,
}

/// The calls of a log of `strace -f`, in the order of their ends.
fn calls(log: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut open: Vec<(&str, String, usize)> = Vec::new();
    for (number, line) in log.lines().enumerate() {
        let (thread, line) = line.split_once(' ').expect("a thread");
        let line = line.trim_start();
        if let Some(begun) = line.strip_suffix("<unfinished ...>") {
            open.push((thread, begun.to_owned(), number));
            continue;
        }
        let (begun, began) = match line.starts_with("<... ") {
            true => {
                let position = open.iter().position(|(of, ..)| *of == thread);
                let (_, begun, began) = open.swap_remove(position.expect("it began"));
                (begun, began)
            }
            false => (String::new(), number),
        };
        // Signals and ends of threads have none.
        let Some((rest, result)) = line.rsplit_once(" = ") else {
            continue;
        };
        let result = result.split(' ').next().and_then(|text| text.parse().ok());
        calls.push(Call {
            text: begun + rest,
            result: result.unwrap_or(-1),
            began,
            ended: number,
        });
    }
    calls
}

/// `peer-cli` with these words, watched.
fn watched(log: &Path, trace: &str, words: &[&str]) -> Peer {
    let (log, trace) = (log.to_str().unwrap(), format!("trace={trace}"));
    let strace = ["strace", "-f", "-qq", "-y", "-s", "0", "-o", log, "-e"];
    let peer = env!("CARGO_BIN_EXE_peer-cli");
    Peer::run(clean(&[&strace[..], &[&trace, "--", peer], words].concat()))
}

/// Moves `what` from the place's `in` to its `out`, with the receiver watched. Returns its calls.
async fn received(place: &Place, what: &str, trace: &str) -> Vec<Call> {
    let server = Signaling::start();
    let mut sender = Peer::send(&server, &[&place.path("in").join(what)]);
    let code = sender.code().await;
    let (out, log) = (place.out(), place.path("log"));
    let out = out.to_str().unwrap();
    let words = ["receive-file", &code, "--server", &server.url, "--yes"];
    let receiver = watched(&log, trace, &[&words[..], &["--out", out]].concat());
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    received.is_done();
    calls(&fs::read_to_string(log).unwrap())
}

/// A crash of the machine at any moment leaves nothing in place that is not whole.
#[tokio::test]
async fn what_arrives_is_on_the_disk_before_it_is_in_place() {
    let place = Place::new();
    place.file("in/large", noise(6 << 20, 1));
    for number in 0..300 {
        place.file(&format!("in/tree/{number}"), noise(4096, number));
    }
    const TRACE: &str = "write,pwrite64,rename,renameat,renameat2,syncfs,fsync,fdatasync";
    let out = place.out();
    let out = out.to_str().unwrap().to_owned();
    for what in ["large", "tree"] {
        let calls = received(&place, what, TRACE).await;
        let of = |name: &str| {
            let name = format!("{name}(");
            move |call: &&Call| call.text.starts_with(&name)
        };
        let moved: Vec<_> = calls
            .iter()
            .filter(of("renameat2"))
            .filter(|call| call.text.contains(&format!("\"{what}\", ")))
            .collect();
        let [moved] = moved[..] else {
            panic!("{what} was moved {} times", moved.len());
        };
        assert_eq!(moved.result, 0);
        // Its bytes, wherever they were written.
        let staged = format!("/tree/{what}");
        let written = calls
            .iter()
            .filter(|call| call.text.contains("write") && call.text.contains(&staged))
            .map(|call| call.ended)
            .max()
            .expect("it was written");
        assert!(written < moved.began, "{what}: bytes after the move");
        let synced = |call: &&Call| {
            let whole = call.text.starts_with("syncfs(");
            let alone = call.text.starts_with("fsync(") || call.text.starts_with("fdatasync(");
            call.result == 0 && (whole || alone && call.text.contains(&staged))
        };
        let before = |call: &&Call| call.began > written && call.ended < moved.began;
        assert!(
            calls.iter().filter(synced).any(|call| before(&call)),
            "{what}: no sync between the last byte and the move"
        );
        // And the move itself, before the other side hears of it and what was staged is removed.
        let there = calls.iter().filter(of("fsync"));
        let there = there.filter(|call| call.text.contains(&format!("<{out}>")));
        let gone = calls.iter().filter(of("renameat"));
        let gone: Vec<_> = gone.filter(|call| call.text.contains(".gone")).collect();
        assert_eq!(gone.len(), 1, "{what}");
        let mut after = there.filter(|call| call.began > moved.ended);
        assert!(
            after.any(|call| call.result == 0 && call.ended < gone[0].began),
            "{what}: the move was not synced"
        );
    }
}

/// Four of the largest packets leave in one call and arrive in one (UDP_SEGMENT, UDP_GRO), and none is ever cut on its way.
#[tokio::test]
async fn packets_of_bulk_leave_and_arrive_several_at_a_time() {
    /// Longest that a datagram of ours is, over loopback.
    const PACKET: i64 = 16_376;
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/large", noise(64 << 20, 1));
    let [left, right] = ["sender", "receiver"].map(|side| place.path(side));
    let words = ["send-file", file.to_str().unwrap(), "--server", &server.url];
    let mut sender = watched(&left, "setsockopt,sendmsg", &words);
    let code = sender.code().await;
    let out = place.out();
    let words = ["receive-file", &code, "--server", &server.url, "--yes"];
    let words = [&words[..], &["--out", out.to_str().unwrap()]].concat();
    let receiver = watched(&right, "setsockopt,recvmsg,recvmmsg", &words);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    assert_eq!(sent.is_done()["packet"], PACKET);
    received.is_done();

    let [sent, received] = [left, right].map(|log| calls(&fs::read_to_string(log).unwrap()));
    let bulk: Vec<_> = sent
        .iter()
        .filter(|call| call.text.starts_with("sendmsg(") && call.result > PACKET)
        .collect();
    let bytes: i64 = bulk.iter().map(|call| call.result).sum();
    assert!(
        bytes > 48 << 20,
        "{bytes} bytes left several packets at a time"
    );
    // SOL_UDP and UDP_SEGMENT.
    let cut = |call: &&&Call| call.text.contains("cmsg_level=SOL_UDP, cmsg_type=0x67");
    assert_eq!(bulk.iter().filter(cut).count(), bulk.len());

    let arrivals = received
        .iter()
        .filter(|call| call.text.starts_with("recvm") && call.result > 0)
        .count();
    let packets = usize::try_from(bytes / PACKET).unwrap();
    assert!(
        arrivals < packets,
        "{packets} packets arrived in {arrivals} calls"
    );
    for calls in [&sent, &received] {
        // Every socket for packets refuses to have them cut by routers: RFC 8899 section 3.
        let told = |option: &str| {
            let options = calls.iter().filter(|call| call.text.contains(option));
            options.filter(|call| call.result == 0).count()
        };
        let sockets = told("UDP_GRO, [1]");
        assert!(sockets > 0);
        assert!(told("IP_MTU_DISCOVER, [3]") >= sockets);
    }
}
