//! How the two sides of a command that is the same on both of them meet: one makes the code, the other is given it.

use peerline::pairing::Code;

use crate::connect::{self, Context};
use crate::exit::Failure;
use crate::invitation::Target;
use crate::line::Line;

/// The code, from either side.
#[derive(Debug, clap::Args)]
pub(super) struct Meeting {
    /// The code or link from the other side; without it, this side makes one
    #[arg(value_name = "CODE|LINK")]
    target: Option<Target>,

    /// Use this code instead of a new one, and wait under it
    #[arg(long, value_name = "CODE", conflicts_with = "target")]
    code: Option<Code>,
}

impl Meeting {
    /// The code that was given, if the other side made it.
    pub(super) fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// The code to use instead of a new one.
    pub(super) fn code(&self) -> Option<Code> {
        self.code.clone()
    }

    /// Whether the other side made the code. Exactly one of the two sides was given one.
    pub(super) fn has_target(&self) -> bool {
        self.target.is_some()
    }

    /// Opens the line. `verb` is the command, which the other side runs, too.
    pub(super) async fn line(&self, context: &Context<'_>, verb: &str) -> Result<Line, Failure> {
        match &self.target {
            Some(target) => connect::guest(context, target.clone()).await,
            None => connect::host(context, self.code.clone(), verb).await,
        }
    }
}
