//! `peer-cli lab`: networks as they are between real hosts, on this machine.

mod matrix;
mod nat;

use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};
use crate::lab::{Held, WorldError, Worlds};
use crate::ui::{Audience, Ui};

/// Try programs behind NATs and firewalls, which are made for it on this machine
///
/// It needs Linux, root, iproute2 and nftables. Each host has a network namespace of its own; nothing touches the networks
/// of this machine, and everything is taken away at the end.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Put two hosts behind networks, and run a command between them
    Nat(nat::Arguments),
    /// Try every kind of network with every other one, and print how hosts behind them reach each other
    Matrix(matrix::Arguments),
}

/// What both understand.
#[derive(Debug, clap::Args)]
struct Common {
    /// Offer no TURN server: what cannot be direct fails
    #[arg(long)]
    no_turn: bool,

    /// The largest packets that the hosts' ways to the internet carry, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = crate::lab::MTU, value_parser = clap::value_parser!(u16).range(1280..=9000))]
    mtu: u16,

    /// Print events as JSON, one object a line, on stdout
    #[arg(long, help_heading = "Output")]
    json: bool,

    /// Log what happens on stderr, with times; -vv and -vvv say more
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    verbose: u8,
}

impl Arguments {
    fn common(&self) -> &Common {
        match &self.action {
            Action::Nat(arguments) => &arguments.common,
            Action::Matrix(arguments) => &arguments.common,
        }
    }

    /// Who listens.
    pub(crate) fn audience(&self) -> Audience {
        match self.common().json {
            true => Audience::Scripts,
            false => Audience::People,
        }
    }

    /// How many `-v`.
    pub(crate) fn verbose(&self) -> u8 {
        self.common().verbose
    }

    /// Does it. Returns the exit code: that of the command that was run, if there is one.
    pub(crate) async fn run(&self, ui: &Ui, stop: &CancellationToken) -> Result<u8, Failure> {
        let worlds = Worlds::default();
        let running = async {
            match &self.action {
                Action::Nat(arguments) => nat::run(arguments, &worlds, ui).await,
                Action::Matrix(arguments) => matrix::run(arguments, &worlds, ui).await,
            }
        };
        let done = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Failure::ctrl_c()),
            done = running => done,
        };
        worlds.removed().await;
        done
    }
}

impl Common {
    async fn world(
        &self,
        worlds: &Worlds,
        networks: [crate::lab::Nat; 2],
        turn: bool,
    ) -> Result<Held, Failure> {
        let made = worlds.make(networks, self.mtu, turn).await;
        made.map_err(|error| Failure::from(&error))
    }
}

impl From<&WorldError> for Failure {
    fn from(error: &WorldError) -> Self {
        Self::new(Exit::Local, "no-lab", error.to_string())
            .hint("the lab needs Linux, root, and the packages iproute2 and nftables")
    }
}
