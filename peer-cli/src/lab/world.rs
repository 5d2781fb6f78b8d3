//! Two hosts behind networks, and the internet between them.

use std::collections::HashMap;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::nat::Nat;
use super::outside::Outside;
use super::plan::{Cable, Changeable, Plan, Route};
use super::space::Space;

/// Ethernet's.
pub(crate) const MTU: u16 = 1500;

/// Why there is no such world.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorldError {
    /// A program is missing.
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: io::Error },
    /// It did not do what it should.
    #[error("`{command}` failed: {message}")]
    Refused { command: String, message: String },
    /// A namespace cannot be used.
    #[error("cannot use a network namespace: {source}")]
    Namespace { source: io::Error },
    /// A server cannot be started.
    #[error("cannot start a server in the lab: {0}")]
    Server(String),
}

impl WorldError {
    pub(super) fn start(program: impl Into<String>, source: io::Error) -> Self {
        Self::Start {
            program: program.into(),
            source,
        }
    }
}

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Left, Self::Right];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

/// Everything is taken away when it is dropped, first the servers.
pub(crate) struct World {
    /// Before the namespaces that its sockets are in.
    _outside: Outside,
    spaces: HashMap<&'static str, Space>,
    networks: [Nat; 2],
    changeable: Vec<Changeable>,
    /// How often addresses have changed.
    changes: AtomicUsize,
}

impl World {
    /// Makes it; takes a tenth of a second, and needs root.
    pub(crate) fn new(networks: [Nat; 2], mtu: u16, turn: bool) -> Result<Self, WorldError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("peerline-{}-{number}", std::process::id());
        let plan = Plan::new(networks, mtu);
        let mut spaces = HashMap::new();
        for host in &plan.hosts {
            let space = Space::new(format!("{prefix}-{}", host.name))?;
            if host.forwards {
                space.forward()?;
            }
            if !host.rules.is_empty() {
                space.rules(&host.rules)?;
            }
            spaces.insert(host.name, space);
        }
        for cable in &plan.cables {
            lay(cable, &spaces)?;
        }
        for route in &plan.routes {
            add(route, &spaces[route.host])?;
        }
        let outside = Outside::start(&spaces["signal"], &spaces["relay"], turn)?;
        Ok(Self {
            _outside: outside,
            spaces,
            networks,
            changeable: plan.changeable,
            changes: AtomicUsize::new(0),
        })
    }

    /// Gives every NAT another public address, with which it has forgotten whom it knew: a router that was connected
    /// anew. Hosts with public addresses keep theirs.
    pub(crate) fn rebind(&self) -> Result<(), WorldError> {
        let before = self.changes.fetch_add(1, Ordering::Relaxed) % 2;
        for Changeable { router, addresses } in &self.changeable {
            let [(old, length), (new, _)] = [addresses[before], addresses[1 - before]];
            let router = &self.spaces[router];
            router.ip(&format!("address add {new}/{length} dev out"))?;
            // With the address goes what was translated to it.
            router.ip(&format!("address del {old}/{length} dev out"))?;
        }
        Ok(())
    }

    /// The network of a side.
    pub(crate) fn network(&self, side: Side) -> Nat {
        match side {
            Side::Left => self.networks[0],
            Side::Right => self.networks[1],
        }
    }

    pub(super) fn space(&self, side: Side) -> &Space {
        &self.spaces[side.name()]
    }

    pub(super) fn signal(&self) -> &Space {
        &self.spaces["signal"]
    }

    /// The signaling server as a side reaches it.
    pub(crate) fn server(&self, side: Side) -> String {
        Outside::server(self.network(side))
    }

    /// What has to be put before a command so that it runs on a side.
    pub(crate) fn prefix(&self, side: Side) -> String {
        format!("ip netns exec {}", self.space(side).name())
    }

    /// A program on a side.
    pub(crate) fn program(&self, side: Side, name: &str) -> Command {
        self.space(side).program(name)
    }
}

fn lay(cable: &Cable, spaces: &HashMap<&'static str, Space>) -> Result<(), WorldError> {
    let [(one, port, _), (other, other_port, _)] = &cable.ends;
    let (one, other) = (&spaces[one], &spaces[other]);
    one.ip(&format!(
        "link add {port} mtu {mtu} type veth peer name {other_port} mtu {mtu} netns {}",
        other.name(),
        mtu = cable.mtu,
    ))?;
    for (host, port, addresses) in &cable.ends {
        let space = &spaces[host];
        for (address, length) in addresses {
            space.ip(&format!("address add {address}/{length} dev {port}"))?;
        }
        space.ip(&format!("link set {port} up"))?;
    }
    Ok(())
}

fn add(route: &Route, space: &Space) -> Result<(), WorldError> {
    let to = match route.to {
        Some((address, length)) => format!("{address}/{length}"),
        None => "default".to_owned(),
    };
    let family = if route.via.is_ipv6() { "-6 " } else { "" };
    space.ip(&format!("{family}route add {to} via {}", route.via))
}
