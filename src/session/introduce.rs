//! From a room to a [`Link`]: waits for the peer and runs the pairing exchange over signaling.

use super::SessionError;
use super::link::Link;
use crate::pairing::{
    Action, CertificateKeys, Guest, Input, Paired, PairingError, Phrase, Record, SealedMessage,
    Sealer, SharedHost,
};
use crate::signaling::{Signaling, SignalingError};
use signaling_protocol::{ClientMessage, IceServer, Joined, PeerId, ServerMessage};
use std::time::Duration;
use tokio::time::Instant;

/// From a guest's share to the last confirm: `docs/protocol.md` section 6.
const PAIRING_LIMIT: Duration = Duration::from_secs(30);

/// Two peers that know the same code, or the same secret of two devices.
#[derive(Debug)]
pub(crate) struct Introduced {
    pub(crate) link: Link,
    pub(crate) certificates: CertificateKeys,
    pub(crate) phrase: Phrase,
    /// Which of the devices that the host waits for has come.
    pub(crate) device: usize,
}

/// Pairs as the one who was given the code: `guest`, who begins with `share`. `offer` is sent together with the guest's proof, so it
/// saves a round trip; the host can read it only if it knows the code.
pub(crate) async fn guest(
    mut signaling: Signaling,
    joined: &Joined,
    (mut guest, share): (Guest, Record),
    offer: &SealedMessage,
) -> Result<Introduced, SessionError> {
    let host = joined
        .peers
        .first()
        .ok_or(SessionError::PeerLeft)?
        .id
        .clone();
    send(&signaling, &host, &share).await;
    let deadline = Instant::now() + PAIRING_LIMIT;
    let mut sealing = None;
    loop {
        let input = match next_input(&mut signaling, Some(deadline), &mut Vec::new()).await? {
            Some((from, input)) if from == host => input,
            Some(_) => continue,
            None => Input::TimedOut,
        };
        for action in guest.handle(input) {
            match action {
                Action::Send(record) => send(&signaling, &host, &record).await,
                Action::MaySeal(mut sealer) => {
                    let record = seal(&mut sealer, offer)?;
                    send(&signaling, &host, &record).await;
                    sealing = Some(sealer);
                }
                Action::Paired(paired) => {
                    let sealer = sealing.take().ok_or(PairingError::Tampered)?;
                    return Ok(introduced(signaling, host, sealer, paired));
                }
                Action::Refused(_) => {}
                Action::Failed(error) => return fail(signaling, error).await,
            }
        }
    }
}

/// Pairs as the one who made the code: waits for as long as it takes for a guest that knows it.
/// `attends` is called with `true` when a guest has begun to pair, and with `false` when it has gone or was turned
/// away. With it may come fresh `ice_servers`.
pub(crate) async fn host(
    mut signaling: Signaling,
    mut host: SharedHost<PeerId>,
    mut attends: impl FnMut(bool),
    ice_servers: &mut Vec<IceServer>,
) -> Result<Introduced, SessionError> {
    let mut exchange: Option<(PeerId, Instant)> = None;
    let mut sealing = None;
    loop {
        let deadline = exchange.as_ref().map(|(_, deadline)| *deadline);
        let (from, input) = match next_input(&mut signaling, deadline, ice_servers).await? {
            Some(next) => next,
            None => match exchange.take() {
                Some((guest, _)) => {
                    attends(false);
                    (guest, Input::TimedOut)
                }
                None => continue,
            },
        };
        let left = input == Input::PeerLeft;
        let mut refused = false;
        for action in host.handle(&from, input) {
            match action {
                Action::Send(record) => {
                    if matches!(record, Record::ShareHost { .. }) {
                        attends(true);
                        exchange = Some((from.clone(), Instant::now() + PAIRING_LIMIT));
                    }
                    send(&signaling, &from, &record).await;
                }
                Action::MaySeal(sealer) => sealing = Some(sealer),
                Action::Paired(paired) => {
                    let sealer = sealing.take().ok_or(PairingError::Tampered)?;
                    return Ok(introduced(signaling, from, sealer, paired));
                }
                Action::Refused(reason) => {
                    tracing::debug!(?reason, "refused a guest");
                    refused = true;
                }
                Action::Failed(error) => return fail(signaling, error).await,
            }
        }
        if (left || refused) && exchange.as_ref().is_some_and(|(guest, _)| *guest == from) {
            attends(false);
            exchange = None;
        }
    }
}

fn introduced(signaling: Signaling, peer: PeerId, sealer: Sealer, paired: Paired) -> Introduced {
    Introduced {
        link: Link::new(signaling, peer, sealer, paired.opener),
        certificates: paired.certificates,
        phrase: paired.phrase,
        device: paired.device,
    }
}

/// What the exchange must know next, and from whom; `None` at the deadline. `ice_servers` are replaced
/// when the server names others.
async fn next_input(
    signaling: &mut Signaling,
    deadline: Option<Instant>,
    ice_servers: &mut Vec<IceServer>,
) -> Result<Option<(PeerId, Input)>, SessionError> {
    let deadline = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    loop {
        let event = tokio::select! {
            event = signaling.next() => event,
            () = &mut deadline => {
                // Without a server the other side cannot be blamed.
                return match signaling.trouble() {
                    Some(lost) => Err(SignalingError::Lost(lost).into()),
                    None => Ok(None),
                };
            }
        };
        match event {
            Err(lost) => return Err(SignalingError::Lost(lost).into()),
            Ok(ServerMessage::Sealed { from, data }) => {
                return Ok(Some((from, Record::decode(&data).into())));
            }
            Ok(ServerMessage::PeerLeft { peer, .. }) => {
                return Ok(Some((peer, Input::PeerLeft)));
            }
            Ok(ServerMessage::PeerJoined {
                ice_servers: fresh, ..
            }) if !fresh.is_empty() => {
                *ice_servers = fresh;
            }
            Ok(other) => tracing::trace!(?other, "ignored"),
        }
    }
}

/// A server that is gone is reported by the next event, with its reason.
async fn send(signaling: &Signaling, to: &PeerId, record: &Record) {
    let message = ClientMessage::Sealed {
        to: to.clone(),
        data: record.encode(),
    };
    if let Err(error) = signaling.send(message).await {
        tracing::debug!(%error, "a pairing record was not sent");
    }
}

fn seal(sealer: &mut Sealer, message: &SealedMessage) -> Result<Record, SessionError> {
    sealer
        .seal(message)
        .map_err(|error| SessionError::Engine(error.to_string()))
}

/// Leaves the room once the peer has been told.
async fn fail(signaling: Signaling, error: PairingError) -> Result<Introduced, SessionError> {
    signaling.leave().await;
    Err(error.into())
}
