//! `peer-cli forward`: everybody in an open room sends their sound and pictures to this program once, and gets those of
//! all others from it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::str::FromStr;
use std::time::{Duration, Instant};

use peerline::forward::{Event, ForwardedRoom, Outside, RtpInput, RtpOutput};
use peerline::media::codec::Codec;
use peerline::whip::{self, Remote, Token};
use signaling_protocol::RoomName;
use tokio_util::sync::CancellationToken;

use super::hub;
use crate::cli::{Common, timeout};
use crate::connect::{Context, Entrance, Place};
use crate::exit::Failure;
use crate::ui::{Ui, event};

/// Forward the sound and pictures of everybody in an open room to everybody else
///
/// Each member then sends once, and not to each of the others. Pages and peer-cli call --room use it from the moment it
/// is in the room, and call each other when it leaves. It needs no ffmpeg: nothing is decoded. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The open room; the server is trusted there
    #[arg(long, value_name = "ROOM")]
    room: RoomName,

    /// Publish the RTP stream that a program sends to this port, as CODEC:PORT or CODEC:ADDRESS:PORT, with CODEC one of
    /// opus, vp8, vp9, h264, av1; its reports go to the next port. May be repeated
    #[arg(long, value_name = "CODEC:PORT")]
    rtp_in: Vec<Input>,

    /// Send the first picture of the room to this address as RTP, and the first sound two ports above it
    #[arg(long, value_name = "ADDRESS:PORT", requires = "sdp")]
    rtp_out: Option<SocketAddr>,

    /// Write what is sent there to this file, for ffmpeg -protocol_whitelist file,udp,rtp -i FILE
    #[arg(long, value_name = "FILE", requires = "rtp_out")]
    sdp: Option<PathBuf>,

    /// Let programs publish at http://ADDRESS/whip (WHIP) and play from http://ADDRESS/whep (WHEP), as OBS, GStreamer and
    /// pages do; /whip/NAME publishes under a name, /whep/NAME plays it
    #[arg(long, value_name = "ADDRESS:PORT")]
    whip_listen: Option<SocketAddr>,

    /// What those programs have to send as their bearer token; without one, everybody may publish and play who can connect
    #[arg(
        long,
        value_name = "TOKEN",
        env = "PEERLINE_WHIP_TOKEN",
        hide_env_values = true,
        requires = "whip_listen"
    )]
    whip_token: Option<String>,

    /// Publish the first picture and the first sound of the room at this WHIP address of another server. May be repeated
    #[arg(long, value_name = "URL", value_parser = Remote::new)]
    whip: Vec<Remote>,

    /// Play this WHEP address of another server into the room. May be repeated
    #[arg(long, value_name = "URL", value_parser = Remote::new)]
    whep: Vec<Remote>,

    /// The bearer token for --whip and --whep
    #[arg(
        long,
        value_name = "TOKEN",
        env = "PEERLINE_BEARER",
        hide_env_values = true
    )]
    bearer: Option<String>,

    /// Leave after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = timeout, allow_negative_numbers = true)]
    duration: Option<Duration>,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// A codec and where its packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Input(Codec, SocketAddr);

impl FromStr for Input {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (codec, place) = text.split_once(':').ok_or("it is CODEC:PORT")?;
        let codec = Codec::named(codec).ok_or("the codec is opus, vp8, vp9, h264 or av1")?;
        let address = match place.parse::<u16>() {
            Ok(port) => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
            Err(_) => place.parse(),
        };
        Ok(Self(
            codec,
            address.map_err(|_| "the port is a number below 65536")?,
        ))
    }
}

/// Opens the sockets, and says where they are.
async fn outside(arguments: &Arguments, ui: &Ui) -> Result<Outside, Failure> {
    let mut inputs = Vec::new();
    for Input(codec, address) in &arguments.rtp_in {
        let failed = |error| Failure::local(format!("cannot take RTP at {address}"), &error);
        let input = RtpInput::bind(*codec, *address).await.map_err(failed)?;
        let address = input.address().map_err(failed)?.to_string();
        ui.say(event::Rtp::input(*codec, address));
        inputs.push(input);
    }
    let mut web = None;
    if let Some(address) = arguments.whip_listen {
        let token = arguments
            .whip_token
            .as_deref()
            .filter(|token| !token.is_empty());
        if token.is_none() && !address.ip().is_loopback() {
            ui.note("Everybody who reaches this address may publish and play; --whip-token asks for a token.");
        }
        let failed = |error| Failure::local(format!("cannot listen at {address}"), &error);
        let server = whip::Server::bind(address, token.map(Token::new));
        let server = server.await.map_err(failed)?;
        ui.say(event::Whip::listening(server.address().map_err(failed)?));
        web = Some(server);
    }
    let with_token = |remotes: &[Remote]| {
        let remotes = remotes.iter().cloned();
        remotes
            .map(|remote| remote.with_token(arguments.bearer.clone()))
            .collect()
    };
    Ok(Outside {
        inputs,
        output: arguments.rtp_out.map(RtpOutput),
        web,
        publish: with_token(&arguments.whip),
        play: with_token(&arguments.whep),
    })
}

/// Enters the room and forwards until it is told to stop.
pub(in crate::commands) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let context = hub::context(&arguments.common, ui, stop);
    let outside = outside(arguments, ui).await?;
    let entrance = Entrance::open(&context, arguments.room.clone())?;
    let done = forward(&context, &entrance, arguments, outside).await;
    entrance.end().await;
    done
}

async fn forward(
    context: &Context<'_>,
    entrance: &Entrance,
    arguments: &Arguments,
    outside: Outside,
) -> Result<(), Failure> {
    let ui = context.ui;
    let place = Place::default();
    let (signaling, joined) = hub::enter(context, entrance, &place).await?;
    ui.note("Forwarding to everybody in the room. Ctrl-C ends it.");
    let begin = Instant::now();
    let config = context.session_config(entrance.server());
    let mut room = ForwardedRoom::open_outside(signaling, joined, config, outside);
    let mut deadline = pin!(hub::deadline(arguments.duration));
    let result = loop {
        tokio::select! {
            biased;
            // That is how it is meant to end.
            () = context.stop.cancelled() => break Ok(()),
            () = &mut deadline => break Ok(()),
            event = room.next() => match event {
                Some(Event::Output(sdp)) => if let Some(path) = &arguments.sdp {
                    if let Err(error) = std::fs::write(path, sdp) {
                        let what = format!("cannot write '{}'", path.display());
                        break Err(Failure::local(what, &error));
                    }
                    ui.say(event::Rtp::output(path));
                },
                Some(event) => match hub::say(ui, event) {
                    Ok(()) => {}
                    Err(failure) => break Err(failure),
                },
                None => break Err(Failure::bug("forwarding ended by itself")),
            },
        }
    };
    let totals = room.close().await;
    place.left().await;
    if result.is_ok() {
        ui.say(event::ForwardDone::new(
            begin.elapsed().as_secs_f64(),
            totals,
        ));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_have_a_codec_and_a_place() {
        let local = |codec, port| Ok(Input(codec, ([127, 0, 0, 1], port).into()));
        assert_eq!("vp8:5004".parse(), local(Codec::Vp8, 5004));
        assert_eq!("OPUS:0".parse(), local(Codec::Opus, 0));
        let elsewhere = Input(Codec::H264, ([10, 0, 0, 2], 7).into());
        assert_eq!("h264:10.0.0.2:7".parse(), Ok(elsewhere));
        for wrong in ["", "vp8", "vp8:", "mp3:1", "vp8:70000", "vp8:host:1"] {
            assert!(wrong.parse::<Input>().is_err(), "{wrong}");
        }
    }
}
