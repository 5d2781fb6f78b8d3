//! Transfers of native peers: what is sent, where it goes, and whether it arrived as it was.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use peerline::channel::{Channel, Delivery};
use peerline::session::Session;
use peerline::transfer::{
    CONTROL_PROTOCOL, Channels, Decision, LANE_PROTOCOL, Label, LaneCount, Lanes, Limits,
    ReceiveOptions, Source, Summary, TransferError, TransferId, receive_over, send_over,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Home;
use super::end::Tell;
use crate::scenario::inbox::{OnLine, Receipt};
use crate::scenario::plan;

/// Transfers at a time whose channels are not all there yet.
const BEGUN: usize = 16;

/// Extra lanes that wait for their transfer.
const LANES: usize = 16;

/// Progress that nobody reads waits in vain.
const STEPS: usize = 16;

/// What is about to be sent.
pub(super) struct Load(Source);

impl Load {
    /// Random files are made, in a directory of this peer, the same for the same seed.
    pub(super) async fn prepare(home: &Arc<Home>, load: plan::Load) -> Result<Self, String> {
        let home = home.clone();
        let preparing = tokio::task::spawn_blocking(move || {
            let path = match load {
                plan::Load::Random { bytes, files } => random(&home, bytes, files)
                    .map_err(|error| format!("cannot write what is to be sent: {error}"))?,
                plan::Load::Path(path) => home.scenario.join(path),
            };
            let source = Source::scan(&[path]).map_err(|error| error.to_string())?;
            Ok(Self(source))
        });
        preparing.await.map_err(|error| error.to_string())?
    }
}

/// One file, or a directory of several; what is there of an earlier time is the same.
fn random(home: &Home, bytes: u64, files: u32) -> io::Result<PathBuf> {
    let sent = home.directory.join("sent");
    let name = format!("random-{bytes}-{files}");
    let mut random = StdRng::seed_from_u64(home.seed ^ bytes);
    if files == 1 {
        fs::create_dir_all(&sent)?;
        let path = sent.join(name);
        write(&path, bytes, &mut random)?;
        return Ok(path);
    }
    let directory = sent.join(name);
    fs::create_dir_all(&directory)?;
    for file in 0..u64::from(files) {
        // What cannot be divided goes to the first ones.
        let share = bytes / u64::from(files) + u64::from(file < bytes % u64::from(files));
        write(&directory.join(format!("{file:05}")), share, &mut random)?;
    }
    Ok(directory)
}

fn write(path: &std::path::Path, mut bytes: u64, random: &mut StdRng) -> io::Result<()> {
    let mut file = io::BufWriter::new(fs::File::create(path)?);
    let mut block = [0; 64 << 10];
    while bytes > 0 {
        let length = bytes.min(block.len() as u64) as usize;
        random.fill_bytes(&mut block[..length]);
        file.write_all(&block[..length])?;
        bytes -= length as u64;
    }
    file.flush()
}

/// Opens the channels of a transfer. What comes back sends it, and tells how that went.
pub(super) async fn send(
    session: &Session,
    load: Load,
    tell: Tell,
) -> Result<impl Future<Output = ()> + use<>, String> {
    let id = TransferId::random();
    let open = async |label: String, protocol| {
        let opened = session.open(label, protocol, Delivery::Reliable).await;
        opened.map_err(|error| error.to_string())
    };
    let channels = Channels {
        control: open(id.control_label(), CONTROL_PROTOCOL).await?,
        lane: open(id.lane_label(0), LANE_PROTOCOL).await?,
    };
    let path = session.path().await;
    let lanes = Lanes {
        opener: Some(Box::new(session.lanes())),
        count: LaneCount::Auto,
        round_trip: path.map_or(Duration::ZERO, |path| path.round_trip),
        limit: None,
    };
    Ok(async move {
        let (steps, _) = mpsc::channel(STEPS);
        let sent = send_over(channels, lanes, load.0, steps, CancellationToken::new()).await;
        tell.say(match sent {
            Ok(summary) => OnLine::Sent(receipt(&summary)),
            Err(error) => OnLine::Failed(error.to_string()),
        })
        .await;
    })
}

/// A transfer whose channels are all there.
pub(super) struct Begun {
    channels: Channels,
    lanes: mpsc::Receiver<Channel>,
}

/// Transfers whose channels come one by one.
#[derive(Default)]
pub(super) struct Arrivals {
    waiting: HashMap<TransferId, Waiting>,
    /// Where extra lanes of those that have begun go.
    more: HashMap<TransferId, mpsc::Sender<Channel>>,
}

#[derive(Default)]
struct Waiting {
    control: Option<Channel>,
    lane: Option<Channel>,
}

impl Arrivals {
    /// Takes a channel of a transfer; the transfer, if it can begin now.
    pub(super) fn take(&mut self, channel: Channel) -> Option<Begun> {
        let label = Label::parse(channel.label())?;
        let (Label::Control(id) | Label::Lane(id, _)) = &label;
        let id = id.clone();
        if let Some(more) = self.more.get(&id) {
            // overflow: a lane that nobody reads is dropped, and the sender notices.
            let _ = more.try_send(channel);
            return None;
        }
        if self.waiting.len() == BEGUN && !self.waiting.contains_key(&id) {
            return None;
        }
        let waiting = self.waiting.entry(id.clone()).or_default();
        match label {
            Label::Control(_) => waiting.control = Some(channel),
            Label::Lane(..) => waiting.lane = Some(channel),
        }
        let both = waiting.control.is_some() && waiting.lane.is_some();
        let Waiting {
            control: Some(control),
            lane: Some(lane),
        } = both.then(|| self.waiting.remove(&id))??
        else {
            return None;
        };
        let (more, lanes) = mpsc::channel(LANES);
        self.more.insert(id, more);
        Some(Begun {
            channels: Channels { control, lane },
            lanes,
        })
    }
}

/// Receives into the peer's directory, and tells how that went. What an earlier one left there is replaced.
pub(super) async fn receive(begun: Begun, home: Arc<Home>, tell: Tell) {
    let received = async {
        let out = home.directory.join("received");
        fs::create_dir_all(&out).map_err(|error| error.to_string())?;
        let options = ReceiveOptions {
            out,
            overwrite: true,
            limits: Limits::default(),
        };
        let (steps, _) = mpsc::channel(STEPS);
        let accept = async |_: &peerline::transfer::Manifest| Decision::Accept;
        let cancel = CancellationToken::new();
        let receiving = receive_over(begun.channels, begun.lanes, options, accept, steps, cancel);
        receiving
            .await
            .map_err(|error: TransferError| error.to_string())
    };
    let received: Result<Summary, String> = received.await;
    tell.say(match received {
        Ok(summary) => OnLine::Received(receipt(&summary)),
        Err(why) => OnLine::Failed(why),
    })
    .await;
}

fn receipt(summary: &Summary) -> Receipt {
    Receipt {
        bytes: summary.bytes,
        files: summary.files,
        digest: summary.digest.to_string(),
    }
}
