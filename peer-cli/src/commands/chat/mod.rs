//! `peer-cli chat`: a room in which several talk in text.
//!
//! The one who makes the code hosts the room: everybody else has a line to it, and it passes on what is said. What is
//! kept, in which order it is shown and what a line that breaks means is decided in `peerline::chat`.

mod guest;
mod host;
mod input;
mod screen;
mod talk;
mod words;

use std::env;
use std::time::Instant;

use peerline::chat::{Chat, Name};
use peerline::session::Intent;
use tokio_util::sync::CancellationToken;

use super::meeting::Meeting;
use crate::cli::Common;
use crate::connect::Context;
use crate::exit::Failure;
use crate::ui::{Ui, event};
use screen::Screen;
use talk::{Ending, Outcome};

/// Talk in text, two or more together
///
/// One side runs it without a code and shows one; everybody who is given that code comes into the same room, from a
/// terminal or a browser. Who comes later is shown the newest messages of before. The room is there until the one who made
/// it leaves. At a terminal /help says what can be typed, and Ctrl-D leaves. Otherwise each line of stdin is a message, and
/// stdout has one line for each message of the others.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    meeting: Meeting,

    /// What the others call you [default: the name of your account]
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<Name>,

    /// Ring the terminal's bell for each message of somebody else
    #[arg(long)]
    bell: bool,

    /// Stay when stdin ends, until Ctrl-C or the end of the room
    #[arg(long)]
    stay: bool,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Talks until somebody leaves.
pub(super) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let context = Context::new(ui, &arguments.common, stop, Intent::Chat);
    let name = arguments.name.clone().unwrap_or_else(own_name);
    let screen = Screen::new(ui, name.clone(), arguments.bell);
    let started = Instant::now();
    let outcome = match arguments.meeting.target() {
        Some(target) => {
            let (chat, events) = Chat::guest(name);
            guest::run(&context, arguments, target, (chat, events), &screen).await?
        }
        None => {
            let (chat, events) = Chat::host(name);
            host::run(&context, arguments, (chat, events), &screen).await?
        }
    };
    let Outcome {
        ending,
        undelivered,
        path,
    } = outcome;
    let verdict = talk::verdict(ending, undelivered);
    if verdict.is_ok() {
        let (said, heard) = screen.counts();
        ui.say(event::Chatted {
            said,
            heard,
            seconds: started.elapsed().as_secs_f64(),
            path,
        });
    }
    verdict
}

fn name(text: &str) -> Result<Name, String> {
    match text.trim() {
        "" => Err("it is empty".to_owned()),
        text => Ok(Name::new(text)),
    }
}

fn own_name() -> Name {
    let account = ["USER", "LOGNAME", "USERNAME"].map(env::var);
    let account = account.into_iter().flatten().find(|name| !name.is_empty());
    Name::new(&account.unwrap_or_default())
}

impl Arguments {
    /// What ends a side whose stdin has ended.
    fn at_end_of_input(&self) -> Option<Ending> {
        (!self.stay).then_some(Ending::Left)
    }
}
