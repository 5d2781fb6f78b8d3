//! The side that exposes services: whatever it did not name cannot be reached.

use super::carrier::{Arrival, Tunnel};
use super::datagrams::Gate;
use super::error::RelayError;
use super::event::Event;
use super::frame::{Reset, ResetCode};
use super::lane::{self, Lanes};
use super::mux::Side;
use super::relay::{Ends, Moved, relay};
use super::service::{Listed, Service};
use super::socket::Socket;
use super::{DATAGRAMS, LANE_PROTOCOL, LIST};
use crate::channel::Channel;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Lets the peer use `services`, over a `channel` of [`PROTOCOL`](super::PROTOCOL) that it opened, and those for
/// datagrams and lanes that it may open, until one side ends it. There is no other end than an error: the session says
/// whether the peer only hung up. `tell` is told what happens.
pub async fn expose(
    channel: Channel,
    lanes: Lanes,
    services: Vec<Service>,
    stop: &CancellationToken,
    tell: impl Fn(Event),
) -> RelayError {
    let services: Arc<[Service]> = services.into();
    let Lanes {
        opener,
        mut incoming,
    } = lanes;
    let tunnel = Tunnel::start(channel, Side::Acceptor, opener);
    let mut connections = JoinSet::new();
    // One at a time: another one takes its place.
    let mut gate: Option<AbortOnDropHandle<()>> = None;
    let error = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break RelayError::Cancelled,
            Some(ended) = connections.join_next() => {
                if let Ok(Some(event)) = ended {
                    tell(event);
                }
            }
            // No more than the multiplexer lets in.
            arrival = tunnel.accept() => match arrival {
                Ok(arrival) => {
                    connections.spawn(serve(arrival, services.clone()));
                }
                Err(error) => break error.into(),
            },
            opened = lane::next(&mut incoming) => match opened.protocol.as_str() {
                DATAGRAMS => {
                    let serving = Gate::new(opened.channel, services.clone()).run();
                    gate = Some(AbortOnDropHandle::new(tokio::spawn(serving)));
                }
                LANE_PROTOCOL => tunnel.take_lane(opened.channel),
                unknown => tracing::info!(protocol = unknown, "closed an unknown channel"),
            },
        }
    };
    drop(gate);
    connections.shutdown().await;
    tunnel.close().await;
    error
}

/// One stream, to its end; what there is to tell of it.
async fn serve(arrival: Arrival, services: Arc<[Service]>) -> Option<Event> {
    if arrival.target() == LIST {
        list(arrival, &services).await;
        return None;
    }
    let named = |service: &&Service| {
        let listed = service.listed();
        listed.kind.is_stream() && listed.name.as_str() == arrival.target()
    };
    let Some(service) = services.iter().find(named) else {
        let wanted = arrival.target().to_owned();
        arrival.refuse(Reset::new(
            ResetCode::Refused,
            "nothing of this name is exposed",
        ));
        return Some(Event::Refused { service: wanted });
    };
    let name = service.name().clone();
    let socket = match Socket::connect(service.target()).await {
        Ok(socket) => socket,
        Err(error) => {
            // Where it is, is not the peer's business.
            let reason = format!("it does not answer ({})", error.kind());
            arrival.refuse(Reset::new(ResetCode::Unreachable, reason));
            return Some(Event::Unreachable {
                service: name,
                reason: error.to_string(),
            });
        }
    };
    let (moved, result) = socket.relay(arrival.accept()).await;
    Some(Event::closed(name, moved, result))
}

/// Tells what there is.
async fn list(arrival: Arrival, services: &[Service]) {
    const ENDS: Ends = Ends {
        input: "the list",
        output: "nothing",
        chunk: 4 << 10,
    };
    let list: Vec<Listed> = services.iter().map(Service::listed).collect();
    let json = serde_json::to_vec(&list).expect("names are strings");
    let (stream, nowhere) = (arrival.accept(), tokio::io::sink());
    let (Moved { .. }, result) = relay(stream, &json[..], nowhere, ENDS, |_| ()).await;
    if let Err(error) = result {
        tracing::debug!(%error, "the list was not read");
    }
}
