//! `peer-cli lab nat`: two hosts behind networks.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;

use super::Common;
use crate::exit::Failure;
use crate::lab::probe::Stun;
use crate::lab::{Held, Nat, Side, World, WorldError, Worlds, trial};
use crate::ui::{Ui, event};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The network of the left host
    #[arg(long, value_name = "KIND", default_value = "cone")]
    left: Nat,

    /// The network of the right host
    #[arg(long, value_name = "KIND", default_value = "cone")]
    right: Nat,

    /// How often every NAT gets another public address and forgets whom it knew, as a router that is connected anew. A
    /// line of our own sees it once, when half of what it moves is there
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    rebind: Option<u32>,

    /// What to run between them; without it, a line of our own is tried. It finds in LEFT and RIGHT what to put before a
    /// command so that it runs on that host, and in LEFT_SERVER and RIGHT_SERVER the signaling server as that host reaches it.
    /// For example: sh -c '$LEFT my-peer listen $LEFT_SERVER & $RIGHT my-peer call $RIGHT_SERVER'
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,

    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn run(arguments: &Arguments, worlds: &Worlds, ui: &Ui) -> Result<u8, Failure> {
    let turn = !arguments.common.no_turn;
    let networks = [arguments.left, arguments.right];
    let world = Arc::new(arguments.common.world(worlds, networks, turn).await?);
    let stun = Stun::start(&world).map_err(|error| Failure::from(&error))?;
    for side in Side::BOTH {
        let found = look(&stun, &world, side).await?;
        ui.say(event::Network {
            side: side.name(),
            network: world.network(side),
            behaviour: found,
        });
    }
    match (arguments.command.split_first(), arguments.rebind) {
        (None, rebind) => try_line(&world, networks, turn, rebind.is_some(), ui).await,
        (Some((program, words)), None) => run_command(&world, program, words).await,
        (Some((program, words)), Some(seconds)) => tokio::select! {
            done = run_command(&world, program, words) => done,
            failed = rebind_every(&world, Duration::from_secs(seconds.into()), ui) => match failed {
                Ok(never) => match never {},
                Err(error) => Err(Failure::from(&error)),
            },
        },
    }
}

async fn rebind_every(
    world: &Arc<Held>,
    pause: Duration,
    ui: &Ui,
) -> Result<Infallible, WorldError> {
    loop {
        tokio::time::sleep(pause).await;
        rebind(world, ui).await?;
    }
}

/// Runs programs, so not on a thread that others wait for.
async fn rebind(world: &Arc<Held>, ui: &Ui) -> Result<(), WorldError> {
    let rebinding = world.clone();
    tokio::task::spawn_blocking(move || rebinding.rebind())
        .await
        .map_err(|error| WorldError::Server(error.to_string()))??;
    ui.say(event::Rebound {});
    Ok(())
}

/// What a side's network does; it has to be what it is called.
async fn look(stun: &Stun, world: &World, side: Side) -> Result<crate::lab::Behaviour, Failure> {
    let network = world.network(side);
    let found = stun.behaviour(world, side).await;
    let found = found.map_err(|error| Failure::from(&error))?;
    match found == network.behaviour() {
        true => Ok(found),
        false => Err(Failure::bug(format!(
            "a network that is called {network} does {found}"
        ))),
    }
}

async fn try_line(
    world: &Arc<Held>,
    networks: [Nat; 2],
    turn: bool,
    rebinds: bool,
    ui: &Ui,
) -> Result<u8, Failure> {
    let midway = async || match rebinds {
        true => rebind(world, ui).await,
        false => Ok(()),
    };
    let trial = trial::run(world, midway)
        .await
        .map_err(|error| Failure::from(&error))?;
    let cell = event::Cell::new(networks, turn, &trial);
    let good = cell.is_good();
    ui.say(cell);
    Ok(u8::from(!good))
}

async fn run_command(world: &World, program: &str, words: &[String]) -> Result<u8, Failure> {
    let mut command = Command::new(program);
    command.args(words).kill_on_drop(true);
    for (side, names) in Side::BOTH
        .into_iter()
        .zip([["LEFT", "LEFT_SERVER"], ["RIGHT", "RIGHT_SERVER"]])
    {
        command.env(names[0], world.prefix(side));
        command.env(names[1], world.server(side));
    }
    let status = command.status().await;
    let status =
        status.map_err(|error| Failure::local(format!("cannot run '{program}'"), &error))?;
    // Killed by a signal, it has none; shells say 128 and more then.
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(128))
}
