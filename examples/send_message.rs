//! One message from a host to whoever is given its code, through a signaling server of your choice.
//!
//! In three terminals:
//!
//!     cargo run -p signaling-server
//!     cargo run --example send_message -- http://localhost:8787 host "hello there"
//!     cargo run --example send_message -- http://localhost:8787 guest CODE

use anyhow::{Context, Result, bail};
use peerline::channel::{Delivery, Message};
use peerline::pairing::Code;
use peerline::session::{Session, SessionConfig};
use peerline::signaling::{ServerUrl, Signaling};
use peerline::signaling_protocol::Join;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [server, "host", text] => host(&server.parse()?, text).await,
        [server, "guest", code] => guest(&server.parse()?, &code.parse()?).await,
        _ => bail!("usage: send_message SERVER host TEXT | send_message SERVER guest CODE"),
    }
}

async fn host(server: &ServerUrl, text: &str) -> Result<()> {
    let room = Join {
        create: Some(true),
        capacity: Some(2),
        ..Join::default()
    };
    let (signaling, joined) = Signaling::join(server, room).await?;
    let code = Code::generate(joined.room.as_str())?;
    println!("{code}");
    let session = Session::host(signaling, &joined, code, config(), || ()).await?;
    let channel = session.open("message", "", Delivery::Reliable).await?;
    channel.send_text(text.to_owned()).await?;
    // The guest hangs up when it has the message; hanging up first could lose it.
    session.ended().await;
    Ok(())
}

async fn guest(server: &ServerUrl, code: &Code) -> Result<()> {
    let room = Join {
        room: Some(code.room().parse()?),
        create: Some(false),
        ..Join::default()
    };
    let (signaling, joined) = Signaling::join(server, room).await?;
    let mut session = Session::guest(signaling, &joined, code, config()).await?;
    let incoming = session.accept().await.context("the host hung up")?;
    let mut channel = incoming.channel;
    match channel.recv().await {
        // It comes from somebody else's machine: `Debug` keeps control characters from the terminal.
        Some(Message::Text(text)) => println!("{text:?}"),
        other => bail!("expected a text message, got {other:?}"),
    }
    Ok(())
}

fn config() -> SessionConfig {
    SessionConfig {
        agent: "send_message".into(),
        // Both sides may run on this machine. Leave it out where they never do.
        loopback: true,
        ..SessionConfig::default()
    }
}
