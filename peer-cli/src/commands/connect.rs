//! `peer-cli connect`: uses services that the other side exposes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use peerline::channel::Delivery;
use peerline::session::Intent;
use peerline::tunnel::{
    DATAGRAMS, Kind, LABEL, Lanes, Listed, Listener, PROTOCOL, RelayError, ServiceName, Side,
    Tunnel, connect, list,
};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use super::pipe::why;
use super::receive_file::ask_for_target;
use super::tunnel::Traffic;
use crate::cli::Common;
use crate::connect::{self as meeting, Context};
use crate::descriptors;
use crate::exit::Failure;
use crate::invitation::Target;
use crate::line::Line;
use crate::ui::{Ui, event};

/// Use services that the other side exposes: listen here for whoever wants them
///
/// Without --listen and --socks each service gets a free port on 127.0.0.1, which is printed. It goes on until Ctrl-C, or until
/// the other side hangs up.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The code or link from the other side; asked for if missing
    #[arg(
        value_name = "CODE|LINK",
        env = "PEERLINE_CODE",
        hide_env_values = true
    )]
    target: Option<Target>,

    /// Where to listen: PORT (on 127.0.0.1), HOST:PORT, or unix:PATH, with NAME= before it if the other side exposes more than
    /// one service; may be repeated. Port 0 is a free one
    #[arg(long, value_name = "[NAME=]ADDR")]
    listen: Vec<Listen>,

    /// Listen for programs that speak SOCKS 5, which then name what they want: NAME, or HOST:PORT as it is exposed
    #[arg(long, value_name = "ADDR", value_parser = socket_address)]
    socks: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Where to listen for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listen {
    /// Without a name, the only one.
    name: Option<ServiceName>,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Ip(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Listen {
    /// Worded for the one who typed it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, place) = match text.split_once('=') {
            Some((name, place)) => (Some(name.parse()?), place),
            None => (None, text),
        };
        let place = match place.strip_prefix("unix:") {
            Some("") => return Err("unix: needs a path behind it".to_owned()),
            Some(path) => Place::Unix(path.into()),
            None => Place::Ip(socket_address(place)?),
        };
        Ok(Self { name, place })
    }
}

/// An address to listen on; a port alone is for this machine only.
fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let local = || text.parse().map(|port| (Ipv4Addr::LOCALHOST, port).into());
    let named = || match text.strip_prefix("localhost:") {
        Some(port) => port.parse().map(|port| (Ipv4Addr::LOCALHOST, port).into()),
        None => local(),
    };
    text.parse()
        .or_else(|_| named())
        .map_err(|_| format!("'{text}' is not a port, nor an IP address and a port"))
}

/// Meets the other side, and listens until one of the two has enough.
pub(super) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let asking = async {
        match &arguments.target {
            Some(target) => Ok(target.clone()),
            None => ask_for_target(ui, "connect").await,
        }
    };
    let target = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(Failure::ctrl_c()),
        target = asking => target?,
    };
    descriptors::raise();
    let context = Context::new(ui, &arguments.common, stop, Intent::Connect);
    let mut line = meeting::guest(&context, target).await?;
    let traffic = Traffic::new(ui);
    let result = use_services(&context, &mut line, arguments, &traffic).await;
    let path = line.route().await;
    line.end(result).await?;
    traffic.done(path);
    Ok(())
}

async fn use_services(
    context: &Context<'_>,
    line: &mut Line,
    arguments: &Arguments,
    traffic: &Traffic<'_>,
) -> Result<(), Failure> {
    let channel = line.open(LABEL, PROTOCOL).await?;
    let Lanes { opener, incoming } = Lanes::of(&mut line.session);
    let tunnel = Tunnel::start(channel, Side::Opener, opener);
    let listed = tokio::select! {
        biased;
        () = context.stop.cancelled() => return Err(Failure::ctrl_c()),
        listed = list(&tunnel) => listed,
    };
    let services = match listed {
        Ok(services) => services,
        Err(error) => return Err(why(line, &error).await),
    };
    let mut listeners = Vec::new();
    for (service, place) in arguments.places(&services)? {
        listeners.push(bind(context.ui, service, place).await?);
    }
    if let Some(address) = arguments.socks {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| cannot_listen(&address, &error))?;
        say(context.ui, None, "socks", &listener.local_addr())?;
        listeners.push(Listener::Socks(listener));
    }
    let any_udp = |listener: &Listener| matches!(listener, Listener::Udp(..));
    let datagrams = match listeners.iter().any(any_udp) {
        true => {
            let opened = line
                .session
                .open(DATAGRAMS, DATAGRAMS, Delivery::Datagram)
                .await;
            Some(opened.map_err(|error| Failure::from(&error))?)
        }
        false => None,
    };
    context.ui.note("Ctrl-C ends it.");
    let tell = |event| traffic.note(event);
    let stop = context.stop;
    let error = connect(tunnel, services, listeners, datagrams, incoming, stop, tell).await;
    match error {
        RelayError::Cancelled => Ok(()),
        error => Err(why(line, &error).await),
    }
}

async fn bind(ui: &Ui, service: &Listed, place: Place) -> Result<Listener, Failure> {
    let name = service.name.clone();
    match (place, service.kind) {
        (Place::Ip(address), Kind::Udp) => {
            let socket = UdpSocket::bind(address).await;
            let socket = socket.map_err(|error| cannot_listen(&address, &error))?;
            say(ui, Some(&name), "udp", &socket.local_addr())?;
            Ok(Listener::Udp(name, socket))
        }
        (Place::Ip(address), _) => {
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(|error| cannot_listen(&address, &error))?;
            say(ui, Some(&name), "tcp", &listener.local_addr())?;
            Ok(Listener::Tcp(name, listener))
        }
        (Place::Unix(_), Kind::Udp) => Err(Failure::usage(format!(
            "'{name}' is for datagrams, which no Unix socket takes here"
        ))
        .hint("listen on a port for it")),
        (Place::Unix(path), _) => bind_unix(ui, name, &path),
    }
}

#[cfg(unix)]
fn bind_unix(ui: &Ui, name: ServiceName, path: &std::path::Path) -> Result<Listener, Failure> {
    let shown = path.display();
    let listener = tokio::net::UnixListener::bind(path)
        .map_err(|error| cannot_listen(&format!("unix:{shown}"), &error))?;
    ui.say(event::Forward {
        name: Some(name.to_string()),
        kind: "unix",
        listen: format!("unix:{shown}"),
    });
    Ok(Listener::Unix(name, listener))
}

#[cfg(not(unix))]
fn bind_unix(_: &Ui, _: ServiceName, _: &std::path::Path) -> Result<Listener, Failure> {
    Err(Failure::usage("there are no Unix sockets here").hint("listen on a port"))
}

fn cannot_listen(place: &dyn ToString, error: &std::io::Error) -> Failure {
    let failure = Failure::local(format!("cannot listen on {}", place.to_string()), error);
    failure.hint("name another place with --listen, or port 0 for a free one")
}

fn say(
    ui: &Ui,
    name: Option<&ServiceName>,
    kind: &'static str,
    address: &std::io::Result<SocketAddr>,
) -> Result<(), Failure> {
    let address = address
        .as_ref()
        .map_err(|error| Failure::local("cannot listen", error))?;
    ui.say(event::Forward {
        name: name.map(ToString::to_string),
        kind,
        listen: address.to_string(),
    });
    Ok(())
}

impl Arguments {
    /// Which services get a place, and where. Without a word about that, all of them do.
    fn places<'a>(&self, services: &'a [Listed]) -> Result<Vec<(&'a Listed, Place)>, Failure> {
        if self.listen.is_empty() && self.socks.is_none() {
            let free = Place::Ip((IpAddr::from(Ipv4Addr::LOCALHOST), 0).into());
            let known = services
                .iter()
                .filter(|service| service.kind != Kind::Unknown);
            return Ok(known.map(|service| (service, free.clone())).collect());
        }
        let find = |listen: &Listen| match (&listen.name, services) {
            (Some(name), _) => services.iter().find(|service| service.name == *name),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let names: Vec<_> = services
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        let names = names.join(", ");
        self.listen
            .iter()
            .map(|listen| match find(listen) {
                Some(service) => Ok((service, listen.place.clone())),
                None => Err(Failure::usage(match &listen.name {
                    Some(name) => format!("the other side exposes no '{name}', but {names}"),
                    None => format!("the other side exposes several: {names}"),
                })
                .hint("say which one is meant with --listen NAME=ADDR")),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_as_they_are_typed() {
        let ip = |text: &str| Place::Ip(text.parse().unwrap());
        for (text, name, place) in [
            ("8022", None, ip("127.0.0.1:8022")),
            ("ssh=8022", Some("ssh"), ip("127.0.0.1:8022")),
            ("localhost:22=0", Some("localhost:22"), ip("127.0.0.1:0")),
            ("localhost:80", None, ip("127.0.0.1:80")),
            ("web=[::1]:80", Some("web"), ip("[::1]:80")),
            ("web=unix:/run/x", Some("web"), Place::Unix("/run/x".into())),
        ] {
            let name = name.map(|name| name.parse().unwrap());
            assert_eq!(text.parse(), Ok(Listen { name, place }), "{text}");
        }
        for text in ["", "x", "=80", "web=", "unix:", "example.org:80", "70000"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
