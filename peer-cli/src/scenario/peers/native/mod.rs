//! Native peers: sessions of the library in this process, over emulated links.

mod clip;
mod end;
mod files;
mod member;

use std::path::PathBuf;
use std::sync::Arc;

use peerline::media::Codec;
use peerline::net::{EmulatedLink, Network};
use peerline::pairing::Code;
use peerline::session::{Healing, Session, SessionConfig, SessionError};
use peerline::signaling::{ServerUrl, Signaling};
use signaling_protocol::Join;
use tokio::sync::mpsc;

use super::Order;
use crate::scenario::inbox::OnLine;
use crate::scenario::plan::{PeerId, State};
use crate::scenario::report::Reporter;
use crate::scenario::timeline::Input;

pub(in super::super) use member::{Membership, join};

/// One end of a line.
pub(in super::super) struct End {
    pub(in super::super) reporter: Reporter,
    /// Who is at the other end.
    pub(in super::super) with: PeerId,
    pub(in super::super) orders: mpsc::Receiver<Order>,
    /// What this end sends goes through it.
    pub(in super::super) link: EmulatedLink,
    pub(in super::super) healing: Healing,
    /// Files of this peer.
    pub(in super::super) home: Arc<Home>,
}

/// Where a peer has its files.
#[derive(Debug)]
pub(in super::super) struct Home {
    /// Of this peer: `sent` and `received` are below it.
    pub(in super::super) directory: PathBuf,
    /// Where the scenario is: its paths are relative to that.
    pub(in super::super) scenario: PathBuf,
    /// Seed of random files.
    pub(in super::super) seed: u64,
}

/// Connects both ends of a line, host first, and does what they are told until nobody is there any more.
pub(in super::super) async fn run_line(server: ServerUrl, line: usize, ends: [End; 2]) {
    let [host, guest] = ends.each_ref().map(|end| SessionConfig {
        codecs: Codec::ALL.to_vec(),
        loopback: true,
        healing: end.healing,
        network: Network::Emulated(end.link.clone()),
        ..SessionConfig::default()
    });
    let [first, second] = ends;
    let [host, guest] = match connect(&server, host, guest).await {
        Ok(sessions) => sessions,
        Err(error) => {
            first
                .reporter
                .broken(format!("it could not be connected: {error}"))
                .await;
            return;
        }
    };
    for end in [&first, &second] {
        let connected = OnLine::State(State::Connected, None);
        end.reporter.on_line(end.with, connected).await;
    }
    first.reporter.tell(Input::Connected(line)).await;
    tokio::join!(end::run(first, host), end::run(second, guest));
}

async fn connect(
    server: &ServerUrl,
    host: SessionConfig,
    guest: SessionConfig,
) -> Result<[Session; 2], SessionError> {
    let create = Join {
        create: Some(true),
        capacity: Some(2),
        ..Join::default()
    };
    let (signaling, joined) = Signaling::join(server, create).await?;
    let code =
        Code::generate(joined.room.as_str()).expect("servers pick rooms that codes can name");
    let join = Join {
        room: Some(joined.room.clone()),
        create: Some(false),
        ..Join::default()
    };
    let coming = async {
        let (signaling, joined) = Signaling::join(server, join).await?;
        Session::guest(signaling, &joined, &code, guest).await
    };
    let waiting = Session::host(signaling, &joined, code.clone(), host, || ());
    let (host, guest) = tokio::try_join!(waiting, coming)?;
    Ok([host, guest])
}
