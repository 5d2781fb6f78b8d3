//! `peer-cli expose`: lets the other side use services of this machine and its network.

use peerline::pairing::Code;
use peerline::session::{EngineKind, Intent};
use peerline::tunnel::{
    Address, Lanes, MAX_SERVICES, PROTOCOL, RelayError, Service, ServiceName, expose,
};
use tokio_util::sync::CancellationToken;

use super::pipe::why;
use super::tunnel::Traffic;
use crate::cli::Common;
use crate::connect::{self, Context};
use crate::descriptors;
use crate::exit::Failure;
use crate::line::Line;
use crate::ui::{Ui, event};

/// Let the other side use services of this machine or its network: TCP, UDP and Unix sockets
///
/// It shows a code; the other side runs peer-cli connect CODE. What is not named here cannot be reached. Hosts are looked up
/// once, now. It ends when the other side hangs up, or with Ctrl-C.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to expose: PORT or HOST:PORT (TCP), udp:HOST:PORT, unix:PATH
    #[arg(value_name = "ADDR", required = true)]
    addresses: Vec<Address>,

    /// What the other side calls it [default: its address, such as localhost:22]; once for each ADDR, in the same order
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<ServiceName>,

    /// Use this code instead of a new one
    #[arg(
        long,
        value_name = "CODE",
        env = "PEERLINE_CODE",
        hide_env_values = true
    )]
    code: Option<Code>,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Waits for the other side, and serves it until it hangs up.
pub(super) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let resolving = arguments.services();
    let services = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(Failure::ctrl_c()),
        services = resolving => services?,
    };
    descriptors::raise();
    for service in &services {
        ui.say(event::Exposed {
            name: service.name().to_string(),
            address: service.place(),
        });
    }
    let context = Context::new(ui, &arguments.common, stop, Intent::Expose);
    let mut line = connect::host(&context, arguments.code.clone(), "connect").await?;
    let traffic = Traffic::new(ui);
    let result = serve(&context, &mut line, services, &traffic).await;
    let path = line.route().await;
    line.end(result).await?;
    traffic.done(path);
    Ok(())
}

async fn serve(
    context: &Context<'_>,
    line: &mut Line,
    services: Vec<Service>,
    traffic: &Traffic<'_>,
) -> Result<(), Failure> {
    if line.session.peer().engine == EngineKind::Browser {
        let failure = Failure::usage("a browser cannot use what is exposed");
        return Err(failure.hint("run peer-cli connect on the other side"));
    }
    let channel = line.accept(context, PROTOCOL, "connect").await?;
    let lanes = Lanes::of(&mut line.session);
    let tell = |event| traffic.note(event);
    let error = expose(channel, lanes, services, context.stop, tell).await;
    if let RelayError::Cancelled = error {
        return Ok(());
    }
    match why(line, &error).await {
        // It had enough, which is how this ends.
        failure if failure.kind == "peer-done" => Ok(()),
        failure => Err(failure),
    }
}

impl Arguments {
    async fn services(&self) -> Result<Vec<Service>, Failure> {
        if self.addresses.len() > MAX_SERVICES {
            return Err(Failure::usage(format!(
                "at most {MAX_SERVICES} services can be exposed"
            )));
        }
        if !self.names.is_empty() && self.names.len() != self.addresses.len() {
            return Err(Failure::usage("there is not one --name for each ADDR")
                .hint("name all of them, in the same order, or none"));
        }
        let mut services: Vec<Service> = Vec::new();
        for (index, address) in self.addresses.iter().enumerate() {
            let name = match self.names.get(index) {
                Some(name) => name.clone(),
                None => address.to_string().parse().map_err(|error| {
                    Failure::usage(format!("'{address}' cannot be a name: {error}"))
                        .hint("give it one with --name")
                })?,
            };
            if services.iter().any(|service| *service.name() == name) {
                return Err(Failure::usage(format!("two services are called '{name}'"))
                    .hint("name them with --name"));
            }
            let resolved = Service::resolve(name, address).await;
            services.push(resolved.map_err(|error| Failure::from(&error))?);
        }
        Ok(services)
    }
}
