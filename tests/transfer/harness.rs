//! Two sides in one process, and a look at the disk before and after.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use peerline::channel::{Channel, Message};
use peerline::transfer::{
    Channels, Decision, Digest, Event, Manifest, PartialState, ReceiveOptions, Source, Summary,
    TransferError, TransferId, partials, receive, send,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Many times what any of these tests takes on a busy machine; one that hangs fails.
const DEADLINE: Duration = Duration::from_secs(300);

pub(crate) async fn deadline<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work)
        .await
        .expect("finished before the deadline")
}

/// The sender's and the receiver's ends.
pub(crate) fn channels() -> (Channels, Channels) {
    let id = TransferId::random();
    let (control, far_control) = Channel::pair(&id.control_label());
    let (lane, far_lane) = Channel::pair(&id.lane_label(0));
    (
        Channels { control, lane },
        Channels {
            control: far_control,
            lane: far_lane,
        },
    )
}

pub(crate) fn options(out: &Path) -> ReceiveOptions {
    ReceiveOptions {
        out: out.to_owned(),
        overwrite: false,
        limits: peerline::transfer::Limits::default(),
    }
}

pub(crate) fn overwrite(out: &Path) -> ReceiveOptions {
    ReceiveOptions {
        out: out.to_owned(),
        overwrite: true,
        limits: peerline::transfer::Limits::default(),
    }
}

pub(crate) async fn accept(_: &Manifest) -> Decision {
    Decision::Accept
}

pub(crate) fn scan(paths: &[PathBuf]) -> Source {
    Source::scan(paths).expect("can be sent")
}

/// How a transfer ended on one side.
pub(crate) struct Side {
    pub(crate) result: Result<Summary, TransferError>,
    pub(crate) events: Vec<Event>,
}

/// Runs one side and collects its events.
pub(crate) async fn observe(
    run: impl AsyncFnOnce(mpsc::Sender<Event>) -> Result<Summary, TransferError>,
) -> Side {
    let (sender, mut receiver) = mpsc::channel(8);
    let mut events = Vec::new();
    let collect = async {
        while let Some(event) = receiver.recv().await {
            events.push(event);
        }
    };
    let (result, ()) = tokio::join!(run(sender), collect);
    Side { result, events }
}

pub(crate) async fn run_sender(channels: Channels, source: Source) -> Side {
    observe(async |events| send(channels, source, events, CancellationToken::new()).await).await
}

pub(crate) async fn run_receiver(channels: Channels, options: ReceiveOptions) -> Side {
    observe(async |events| {
        receive(channels, options, accept, events, CancellationToken::new()).await
    })
    .await
}

/// A whole transfer: the sender's and the receiver's account of it.
pub(crate) async fn transfer(paths: &[PathBuf], options: ReceiveOptions) -> (Side, Side) {
    let (near, far) = channels();
    deadline(async { tokio::join!(run_sender(near, scan(paths)), run_receiver(far, options)) })
        .await
}

/// As [`transfer`], with every lane message passing through `tamper`.
pub(crate) async fn tampered_transfer(
    paths: &[PathBuf],
    options: ReceiveOptions,
    mut tamper: impl FnMut(Bytes) -> Bytes,
) -> (Side, Side) {
    relayed_transfer(paths, options, |bytes| Some(tamper(bytes)), |text| text).await
}

/// As [`transfer`], with every lane message passing through `lane`, which ends the connection by
/// `None`, and every control message of the sender through `control`.
pub(crate) async fn relayed_transfer(
    paths: &[PathBuf],
    options: ReceiveOptions,
    mut on_lane: impl FnMut(Bytes) -> Option<Bytes>,
    mut on_control: impl FnMut(String) -> String,
) -> (Side, Side) {
    let (near, mut near_far) = channels();
    let (mut far_near, far) = channels();
    let relay = async {
        loop {
            tokio::select! {
                message = near_far.control.recv() => match message {
                    Some(Message::Text(text)) => {
                        forward(&far_near.control, Message::Text(on_control(text))).await;
                    }
                    Some(message) => forward(&far_near.control, message).await,
                    None => break,
                },
                message = far_near.control.recv() => match message {
                    Some(message) => forward(&near_far.control, message).await,
                    None => break,
                },
                message = near_far.lane.recv() => if let Some(Message::Binary(bytes)) = message {
                    match on_lane(bytes) {
                        Some(bytes) => forward(&far_near.lane, Message::Binary(bytes)).await,
                        None => break,
                    }
                },
            }
        }
        drop((near_far, far_near));
    };
    let sides = async { tokio::join!(run_sender(near, scan(paths)), run_receiver(far, options)) };
    let (sides, ()) = deadline(async { tokio::join!(sides, relay) }).await;
    sides
}

async fn forward(to: &Channel, message: Message) {
    // Whoever has ended does not need it.
    let _ = match message {
        Message::Text(text) => to.send_text(text).await,
        Message::Binary(bytes) => to.send(bytes).await,
    };
}

/// Everything below a directory: kind, and the content of files or the target of links.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let what = if kind.is_symlink() {
                format!("link to {}", fs::read_link(&path).unwrap().display())
            } else if kind.is_dir() {
                left.push(path.clone());
                "directory".to_owned()
            } else if kind.is_file() {
                Digest::of(&fs::read(&path).unwrap()).to_string()
            } else {
                "special".to_owned()
            };
            found.insert(path.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    found
}

/// As [`snapshot`], without what is kept of unfinished transfers.
pub(crate) fn in_place(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = snapshot(root);
    found.retain(|path, _| !path.iter().any(|name| name == ".peerline"));
    found
}

/// The unfinished transfers below a directory that can be resumed, and the bytes that each has.
pub(crate) fn kept(out: &Path) -> Vec<(TransferId, u64)> {
    let found = partials(out).unwrap().into_iter();
    found
        .filter_map(|partial| match partial.state {
            PartialState::Resumable { bytes, .. } => Some((partial.id, bytes)),
            _ => None,
        })
        .collect()
}

/// A directory with `out/` in it, and a neighbour that nothing may touch.
pub(crate) fn place() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(parent.path().join("neighbour"), "untouched").unwrap();
    (parent, out)
}

/// Bytes that look random and differ by seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
