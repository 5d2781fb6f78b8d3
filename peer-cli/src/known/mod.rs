//! From the name of a device to a line with it. No code is needed: both sides know each other from `pair`.

mod door;

use std::sync::Arc;
use std::time::SystemTime;

use peerline::device::{Calling, Identity, day};
use peerline::session::Session;
use peerline::signaling::{ServerUrl, Signaling, SignalingError};
use signaling_protocol::{ErrorCode, Joined};

use crate::connect::{Context, Place, join_existing};
use crate::devices::{Device, DeviceName, Devices};
use crate::discover;
use crate::exit::{Exit, Failure};
use crate::line::Line;
pub(crate) use door::{Door, host};

/// Opens a line to a device that waits.
pub(crate) async fn guest(context: &Context<'_>, name: &DeviceName) -> Result<Line, Failure> {
    let devices = Devices::load()?;
    let (identity, device) = devices.find(name)?;
    let place = Place::default();
    let visit = visit(context, identity, device, &place);
    let connected = context.limited(visit).await;
    place.given_back(&connected).await;
    let connected = connected.map_err(|failure| worded(failure, name));
    Line::with(context, connected, Some(name.clone()), None).await
}

async fn visit(
    context: &Context<'_>,
    identity: &Arc<Identity>,
    device: &Device,
    place: &Place,
) -> Result<Session, Failure> {
    // The two clocks may differ, and the other side moves only when its day is over.
    let today = day(SystemTime::now());
    let days = [today, today.saturating_sub(1), today.saturating_add(1)];
    let mut calls: Vec<_> = days
        .into_iter()
        .map(|day| Calling::new(identity, &device.who, day))
        .collect();
    let rooms: Vec<&str> = calls.iter().map(Calling::room).collect();
    let found = match context.common.server() {
        Some(server) => join_one(context, server, &rooms).await?,
        None => {
            let join = |server| join_one(context, server, &rooms);
            Some(discover::find(&rooms, join).await?)
        }
    };
    let Some(found) = found else {
        return Err(Failure::new(Exit::NoSignaling, NOT_FOUND, "not there"));
    };
    tracing::info!(server = %found.server, "joined");
    place.taken(&found.signaling);
    let call = calls.swap_remove(found.room);
    let config = context.session_config(&found.server);
    Session::guest_known(found.signaling, &found.joined, call, config)
        .await
        .map_err(|error| Failure::from(&error))
}

/// A room that is there.
struct Found {
    server: ServerUrl,
    signaling: Signaling,
    joined: Joined,
    /// Its place among those that were looked for.
    room: usize,
}

/// Enters the first of `rooms` that this server has.
async fn join_one(
    context: &Context<'_>,
    server: ServerUrl,
    rooms: &[&str],
) -> Result<Option<Found>, Failure> {
    for (place, room) in rooms.iter().enumerate() {
        let token = context.common.token_for(&server);
        match join_existing(&server, room, token).await {
            Ok((signaling, joined)) => {
                return Ok(Some(Found {
                    server,
                    signaling,
                    joined,
                    room: place,
                }));
            }
            Err(SignalingError::Refused(refusal)) if refusal.code == ErrorCode::NoSuchRoom => {}
            Err(error) => return Err(Failure::from(&error)),
        }
    }
    Ok(None)
}

/// What [`discover`] says of a room that is nowhere.
const NOT_FOUND: &str = "not-found";

/// What went wrong on the way to a device, in words for one who typed its name and no code.
fn worded(failure: Failure, name: &DeviceName) -> Failure {
    match failure.kind {
        NOT_FOUND => {
            let message = format!("'{name}' does not wait for this device");
            Failure::new(Exit::NoSignaling, "not-there", message)
                .hint("start receive-file --from or receive-file --listen there, with the same --server or none on both sides")
                .retry()
        }
        "unknown-device" => forgotten(name),
        "wrong-code" | "wrong-device" | "tampered" | "unsupported-version" => {
            let message = format!(
                "what waits there could not prove to be '{name}', and no data was exchanged"
            );
            Failure::new(Exit::WrongCode, "wrong-device", message)
                .hint("somebody may be in the middle, so use a server that you trust; or pair anew")
        }
        "code-used" | "room-full" | "pairing-timeout" => {
            let message = format!("'{name}' is busy with somebody else");
            Failure::new(Exit::Interrupted, "busy", message)
                .hint("try again later")
                .retry()
        }
        _ => failure,
    }
}

/// What ended a line to a device: of one that had just been removed the goodbye is that of a wrong code.
pub(crate) fn ended(failure: Failure, name: &DeviceName) -> Failure {
    match failure.kind {
        "wrong-code" => forgotten(name),
        _ => failure,
    }
}

fn forgotten(name: &DeviceName) -> Failure {
    let message = format!("'{name}' does not know this device any more, or waits for another one");
    let hint = format!("peer-cli pair remove {name}, then peer-cli pair on both sides");
    Failure::new(Exit::WrongCode, "unknown-device", message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_name_the_device() {
        let name: DeviceName = "laptop".parse().unwrap();
        for (kind, exit, expected) in [
            (NOT_FOUND, Exit::NoSignaling, "not-there"),
            ("unknown-device", Exit::WrongCode, "unknown-device"),
            ("wrong-code", Exit::WrongCode, "wrong-device"),
            ("tampered", Exit::WrongCode, "wrong-device"),
            ("room-full", Exit::Interrupted, "busy"),
        ] {
            let failure = worded(Failure::new(Exit::Bug, kind, "x"), &name);
            assert_eq!((failure.exit, failure.kind), (exit, expected));
            assert!(failure.message.contains("'laptop'"), "{failure}");
            assert!(!failure.hint.is_empty());
        }
        let other = Failure::new(Exit::NoPath, "no-path", "x");
        assert_eq!(worded(other.clone(), &name), other);
    }
}
