//! What a sender offers: the channels of its transfer, and what a person is shown of it.

use std::time::Duration;

use peerline::channel::Channel;
use peerline::session::{Incoming, IncomingChannel};
use peerline::transfer::{
    CONTROL_PROTOCOL, Channels, Kind, LANE_PROTOCOL, Label, Manifest, TransferId, display_name,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::exit::{Exit, Failure};
use crate::line::Line;
use crate::ui::{Bytes, Ui, count, event};

/// How long a connected sender may take to begin: a person may be comparing words there, or a large
/// tree is still being listed. That the sender is alive, the session watches.
const OFFER_LIMIT: Duration = Duration::from_secs(600);

/// How long the second of a transfer's two channels may come after the first; the sender opens them in
/// one go, so this only has to cover lost packets.
const SECOND_CHANNEL_LIMIT: Duration = Duration::from_secs(15);

/// Names that are shown before the question; more would scroll it away.
const NAMES_SHOWN: usize = 12;

/// Columns of one name.
const NAME_WIDTH: usize = 72;

/// The two channels of the first transfer that the sender opens. Others are closed: a newer program may
/// offer more than this one understands.
pub(super) async fn channels(line: &mut Line) -> Result<Channels, Failure> {
    let mut control: Option<(TransferId, Channel)> = None;
    let mut lane: Option<(TransferId, Channel)> = None;
    loop {
        let limit = match (&control, &lane) {
            (None, None) => OFFER_LIMIT,
            _ => SECOND_CHANNEL_LIMIT,
        };
        let Ok(incoming) = timeout(limit, line.session.accept()).await else {
            let failure = Failure::new(
                Exit::Interrupted,
                "no-offer",
                "the other side offered no files",
            );
            return Err(failure.hint("run the command again on both sides").retry());
        };
        let Some(IncomingChannel { channel, protocol }) = incoming else {
            let end = line.session.ended().await;
            return Err(Failure::from(&*end));
        };
        match (Label::parse(channel.label()), protocol.as_str()) {
            (Some(Label::Control(id)), CONTROL_PROTOCOL) if control.is_none() => {
                control = Some((id, channel));
            }
            (Some(Label::Lane(id, 0)), LANE_PROTOCOL) if lane.is_none() => {
                lane = Some((id, channel));
            }
            _ => tracing::info!(
                label = channel.label(),
                protocol,
                "closed an unknown channel"
            ),
        }
        match (control, lane) {
            (Some((id, control)), Some((lane_id, lane))) if id == lane_id => {
                return Ok(Channels { control, lane });
            }
            (Some(_), Some(_)) => {
                let message = "the other side mixed up the channels of its transfers";
                return Err(Failure::new(Exit::Bug, "protocol", message)
                    .hint("use the same version on both sides"));
            }
            rest => (control, lane) = rest,
        }
    }
}

/// Hands the lanes that the sender opens to their transfer, which knows its own; never returns, because a
/// session that ends says so on the transfer's channels.
pub(super) async fn lanes(mut incoming: Incoming, lanes: mpsc::Sender<Channel>) {
    while let Some(IncomingChannel { channel, protocol }) = incoming.next().await {
        match Label::parse(channel.label()) {
            Some(Label::Lane(..)) if protocol == LANE_PROTOCOL => {
                // Full or closed: a lane that nobody reads is dropped, and the sender notices.
                let _ = lanes.try_send(channel);
            }
            _ => tracing::info!(
                label = channel.label(),
                protocol,
                "closed an unknown channel"
            ),
        }
    }
    std::future::pending().await
}

/// What is offered, in a few words.
pub(super) fn words(manifest: &Manifest) -> String {
    let title = display_name(manifest.title(), NAME_WIDTH);
    let files = count(manifest.files().into(), "file");
    if manifest.is_stream() {
        format!("{title} ({files} of unknown size)")
    } else {
        let size = event::size(manifest.bytes(), data(manifest));
        format!("{title} ({files}, {size})")
    }
}

/// What is in no hole, if not everything is.
fn data(manifest: &Manifest) -> Option<u64> {
    Some(manifest.data()).filter(|data| *data < manifest.bytes())
}

/// What is offered: the event, and for people the first names.
pub(super) fn show(ui: &Ui, manifest: &Manifest) {
    ui.say(event::Offer {
        title: manifest.title().to_owned(),
        files: manifest.files().into(),
        directories: manifest.directories().into(),
        bytes: manifest.bytes(),
        data: data(manifest),
    });
    let entries = manifest.entries();
    for entry in entries.iter().take(NAMES_SHOWN) {
        let path = display_name(entry.path.as_str(), NAME_WIDTH);
        ui.note(&match entry.kind {
            Kind::File { .. } if manifest.is_stream() => format!("  {path}  size unknown"),
            Kind::File { size } => format!("  {path}  {}", Bytes(size)),
            Kind::Directory => format!("  {path}/"),
        });
    }
    if let Some(more @ 1..) = entries.len().checked_sub(NAMES_SHOWN) {
        ui.note(&format!("  and {} more", count(more as u64, "name")));
    }
}
