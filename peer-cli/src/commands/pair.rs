//! `peer-cli pair`: gets to know a device, so that neither side needs a code any more.

use std::sync::Arc;

use peerline::device::{Acquaintance, Identity, IntroductionError, introduce};
use peerline::session::Intent;
use tokio_util::sync::CancellationToken;

use super::listen::date;
use crate::cli::Common;
use crate::connect::{self, Context};
use crate::devices::{self, Device, DeviceName, Devices};
use crate::exit::Failure;
use crate::invitation::Target;
use crate::line::Line;
use crate::ui::{Audience, Ui, event};

/// What the other side types before the code: it chooses its own name for this device.
const COMMAND: &str = "pair NAME";

/// Get to know another device, so that later no code is needed
///
/// One side runs pair NAME, which shows a code; the other one runs pair NAME CODE. Each chooses what it calls
/// the other. From then on send-file PATH --to NAME reaches it while it waits with receive-file --from NAME or
/// receive-file --listen. A device that is removed gets in no more.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    /// What the other device is to be called here
    #[arg(value_name = "NAME", required = true)]
    name: Option<DeviceName>,

    /// The code or link from the other side; without one, it is made here
    #[arg(value_name = "CODE|LINK")]
    code: Option<Target>,

    /// Show words to compare with the other side first
    #[arg(long)]
    verify: bool,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the devices that are known, and their keys
    List(Output),
    /// Forget a device: it gets in no more, at once
    Remove {
        /// The device, as listed
        name: DeviceName,

        #[command(flatten)]
        output: Output,
    },
    /// Call a device otherwise
    Rename {
        /// The device, as listed
        #[arg(value_name = "OLD")]
        from: DeviceName,

        /// Its new name
        #[arg(value_name = "NEW")]
        to: DeviceName,

        #[command(flatten)]
        output: Output,
    },
}

/// How to answer.
#[derive(Debug, clap::Args)]
struct Output {
    /// Print events as JSON, one object a line, on stdout
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl Arguments {
    /// What a command that opens a line understands; `None` if this one opens none.
    pub(crate) fn common(&self) -> Option<&Common> {
        self.action.is_none().then_some(&self.common)
    }

    /// Who listens, when no line is opened.
    pub(crate) fn audience(&self) -> Audience {
        let output = match &self.action {
            None => return self.common.audience(),
            Some(Action::List(output)) => output,
            Some(Action::Remove { output, .. } | Action::Rename { output, .. }) => output,
        };
        match output.json {
            true => Audience::Scripts,
            false => Audience::People,
        }
    }

    /// Lists, removes or renames; opens no line.
    pub(crate) fn look(&self, ui: &Ui) -> Result<(), Failure> {
        match &self.action {
            None => return Err(Failure::bug("pairing opens a line")),
            Some(Action::List(_)) => return list(ui),
            Some(Action::Remove { name, .. }) => {
                devices::remove(name)?;
                let name = name.to_string();
                ui.say(event::Removed { name });
            }
            Some(Action::Rename { from, to, .. }) => {
                devices::rename(from, to)?;
                let (from, to) = (from.to_string(), to.to_string());
                ui.say(event::Renamed { from, to });
            }
        }
        Ok(())
    }

    /// Meets the other side under a code, and keeps it.
    pub(super) async fn run(&self, ui: &Ui, stop: &CancellationToken) -> Result<(), Failure> {
        let Some(name) = &self.name else {
            return Err(Failure::bug("only pairing opens a line"));
        };
        super::check_verify(self.verify, ui)?;
        let identity = devices::prepare(name)?;
        let context = Context::new(ui, &self.common, stop, Intent::Pair);
        let mut line = match &self.code {
            None => connect::host(&context, None, COMMAND).await?,
            Some(target) => connect::guest(&context, target.clone()).await?,
        };
        let mut kept = None;
        let pairing = async {
            if self.verify {
                line.verify(&context).await?;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => Err(Failure::ctrl_c()),
                result = get_to_know(&mut line, identity, name, &mut kept) => result,
            }
        };
        let mut result = pairing.await;
        if let (Err(_), Some(_)) = (&result, &kept) {
            // It may not have kept us, and then the name would lead nowhere.
            result = devices::remove(name).and(result);
        }
        line.end(result).await?;
        ui.say(event::Paired {
            name: name.to_string(),
            key: kept.unwrap_or_default(),
        });
        Ok(())
    }
}

/// Introduces both devices to each other; `kept` is the key of the other one, once that is on the disk.
async fn get_to_know(
    line: &mut Line,
    identity: Arc<Identity>,
    name: &DeviceName,
    kept: &mut Option<String>,
) -> Result<(), Failure> {
    let mut why_not = None;
    let keep = |who: Acquaintance| {
        let key = who.key.to_string();
        devices::keep(name, who).map_err(|failure| {
            let message = failure.message.clone();
            why_not = Some(failure);
            message
        })?;
        *kept = Some(key);
        Ok(())
    };
    let introduced = introduce(&mut line.session, identity, keep).await;
    match (introduced, why_not) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(failure)) => Err(failure),
        (Err(error @ IntroductionError::Ended), None) => {
            Err(line.why_closed(Failure::from(&error)).await)
        }
        (Err(error), None) => Err(Failure::from(&error)),
    }
}

fn list(ui: &Ui) -> Result<(), Failure> {
    let known = Devices::load()?.known;
    if known.is_empty() {
        ui.note("No device is known yet; peer-cli pair NAME gets to know one.");
    }
    for device in &known {
        describe(ui, device);
    }
    Ok(())
}

/// One device: a line on stdout, or an event.
fn describe(ui: &Ui, device: &Device) {
    let (name, key) = (device.name.to_string(), device.who.key.to_string());
    match ui.audience() {
        Audience::Scripts => ui.say(event::Device {
            name,
            key,
            since: device.since,
        }),
        _ => {
            let (year, month, day) = date(device.since / 86_400);
            ui.answer(&format!(
                "{name}  {key}  since {year:04}-{month:02}-{day:02}"
            ));
        }
    }
}
