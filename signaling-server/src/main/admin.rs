//! `signaling-server admin`: asks and tells a server that runs.

use crate::access::secret;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::Value;
use signaling_protocol::{PeerId, RoomName, Secret};
use signaling_server::AdminClient;
use std::path::PathBuf;

/// Look after a server that runs
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// The server
    #[arg(
        long,
        env = "PEERLINE_ADMIN_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:8787",
        global = true
    )]
    server: String,

    /// What its --admin-token is; @FILE reads it from a file
    #[arg(
        long = "token",
        env = "PEERLINE_ADMIN_TOKEN",
        value_name = "SECRET",
        value_parser = secret,
        hide_env_values = true,
        global = true
    )]
    token: Option<Secret>,

    /// Trust this certificate in PEM instead of those that the system trusts
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,

    /// Print the server's answer as it is
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List rooms, the youngest first
    Rooms,
    /// List members
    Peers {
        /// Of this room only
        #[arg(long, value_name = "ROOM")]
        room: Option<RoomName>,
    },
    /// Throw members out
    Kick {
        /// Everybody in this room
        #[arg(long, value_name = "ROOM")]
        room: RoomName,
        /// Only this one
        #[arg(long, value_name = "ID", allow_hyphen_values = true)]
        peer: Option<PeerId>,
    },
    /// Make the server go away in good order
    Drain,
}

impl Arguments {
    /// The server that they name.
    pub(crate) fn client(&self) -> Result<AdminClient> {
        let token = self.token.clone();
        let token = token.context("--token or PEERLINE_ADMIN_TOKEN is needed")?;
        let client = AdminClient::new(&self.server, token, self.ca.as_deref());
        client.context("--server")
    }
}

pub(crate) fn run(arguments: &Arguments, client: &AdminClient) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(async {
        match &arguments.command {
            Command::Rooms => client.rooms().await,
            Command::Peers { room } => client.peers(room.as_ref()).await,
            Command::Kick { room, peer } => client.kick(room, peer.as_ref()).await,
            Command::Drain => client.drain().await,
        }
    })?;
    match (arguments.json, &arguments.command) {
        (true, _) => println!("{answer}"),
        (_, Command::Rooms) => table(
            &answer,
            "rooms",
            &["room", "members", "away", "capacity", "open", "ageSeconds"],
        ),
        (_, Command::Peers { .. }) => table(
            &answer,
            "peers",
            &["room", "id", "source", "plain", "away", "ageSeconds"],
        ),
        (_, Command::Kick { .. }) => println!("{} thrown out", answer["kicked"]),
        (_, Command::Drain) => println!("the server goes away"),
    }
    Ok(())
}

/// Columns with tabs between them: for eyes, `cut` and `sort` alike.
fn table(answer: &Value, list: &str, columns: &[&str]) {
    println!("{}", columns.join("\t"));
    let rows = answer[list].as_array().map_or(&[][..], Vec::as_slice);
    for row in rows {
        let cells = columns.iter().map(|column| match &row[*column] {
            Value::String(text) => text.chars().filter(|c| !c.is_control()).collect(),
            value => value.to_string(),
        });
        println!("{}", cells.collect::<Vec<String>>().join("\t"));
    }
    let total = answer["total"].as_u64().unwrap_or(0);
    let shown = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    if total > shown {
        eprintln!("signaling-server: {shown} of {total}");
    }
}
