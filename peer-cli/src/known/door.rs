//! Where known devices are waited for: one room, for all of them, that changes with the day.

use std::time::{Duration, SystemTime};

use peerline::device::{Awaiting, PublicKey, day};
use peerline::session::{Bye, ByeCode, Session};
use peerline::signaling::ServerUrl;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::connect::{Context, Doorway, PLACES, Place, Visit, make_room};
use crate::devices::{Device, DeviceName, Devices};
use crate::exit::Failure;
use crate::line::Line;
use crate::server::{Airing, Embedded};
use crate::ui::event;

/// How often it is looked whether the day is over, or devices were paired or removed. Clocks can be set and
/// machines can sleep, so that a timer to the end of the day would be wrong.
const LOOK: Duration = Duration::from_secs(2);

/// The pauses while somebody else has the room: the one before, whose place is kept for it for a while, or
/// another process of this device.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

const ROOM_TAKEN: &str = "room-taken";

/// Which devices are waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// All that are known, now or later.
    All,
    /// These.
    Named(Vec<DeviceName>),
}

impl Who {
    fn includes(&self, device: &Device) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(&device.name),
        }
    }
}

/// Opens a line as the one who waits, with the first of these devices that comes.
pub(crate) async fn host(context: &Context<'_>, names: Vec<DeviceName>) -> Result<Line, Failure> {
    let mut door = Door::new(context.common.server(), names)?;
    context
        .ui
        .note("Waiting for the other side. Ctrl-C ends it.");
    let place = Place::default();
    let guest = context.limited(door.visitor(context, &place)).await;
    place.given_back(&guest).await;
    let embedded = door.embedded.take();
    door.close().await;
    match guest {
        Ok(guest) => Line::with(context, Ok(guest.session), Some(guest.device), embedded).await,
        Err(failure) => Line::new(context, Err(failure), embedded).await,
    }
}

/// Waits for known devices, for one after the other.
pub(crate) struct Door {
    server: ServerUrl,
    /// The port to announce, if the server is our own.
    port: Option<u16>,
    /// Our own server, if nobody else needs it.
    embedded: Option<Embedded>,
    who: Who,
    /// The room that is announced.
    airing: Option<(String, Airing)>,
    /// Whether it ever had its room.
    opened: bool,
}

/// A device that has come.
struct Guest {
    session: Session,
    device: DeviceName,
}

impl Door {
    /// Waits for these devices at the server that was named, or at one of its own.
    pub(crate) fn new(named: Option<ServerUrl>, names: Vec<DeviceName>) -> Result<Self, Failure> {
        let devices = Devices::load()?;
        names
            .iter()
            .try_for_each(|name| devices.find(name).map(drop))?;
        let (server, embedded) = match named {
            Some(server) => (server, None),
            None => {
                let embedded = Embedded::start()?;
                (embedded.local_url(), Some(embedded))
            }
        };
        let port = embedded.as_ref().map(Embedded::port);
        Ok(Self {
            embedded,
            ..Self::at(server, port, Who::Named(names))
        })
    }

    /// Waits for all that are known, now or later, where others are waited for with a code.
    pub(crate) fn beside(doorway: &Doorway) -> Result<Self, Failure> {
        Devices::load()?;
        let (server, port) = doorway.site()?;
        Ok(Self {
            // The other way in says what is wrong with the server.
            opened: true,
            ..Self::at(server, port, Who::All)
        })
    }

    fn at(server: ServerUrl, port: Option<u16>, who: Who) -> Self {
        Self {
            server,
            port,
            embedded: None,
            who,
            airing: None,
            opened: false,
        }
    }

    /// Whether it ever had its room.
    pub(crate) fn was_open(&self) -> bool {
        self.opened
    }

    /// The next line. The room of one that failed, or of the one before, is left by then.
    pub(crate) async fn next(&mut self, context: &Context<'_>) -> Result<Visit, Failure> {
        let place = Place::default();
        match context.limited(self.visitor(context, &place)).await {
            Err(failure) => {
                place.left().await;
                Err(failure)
            }
            Ok(guest) => Ok(Visit {
                line: Line::with(context, Ok(guest.session), Some(guest.device), None).await,
                place,
            }),
        }
    }

    /// Takes the room off the air, and ends the server.
    pub(crate) async fn close(self) {
        if let Some((_, airing)) = self.airing {
            airing.end().await;
        }
        if let Some(embedded) = self.embedded {
            embedded.end().await;
        }
    }

    /// The first device that comes. `place` is held when that is over, whatever came of it.
    async fn visitor(&mut self, context: &Context<'_>, place: &Place) -> Result<Guest, Failure> {
        let mut pause = PAUSE;
        loop {
            let waited = self.wait(context, place).await;
            if let Ok(Some((session, device))) = waited {
                return Ok(Guest { session, device });
            }
            place.give_back().await;
            match waited {
                Err(failure) if failure.kind == ROOM_TAKEN => {
                    tracing::info!(?pause, "somebody has the room; waiting for it");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(failure) => return Err(failure),
                Ok(_) => {}
            }
        }
    }

    /// Waits in the room of this day for those who are known now; `None` when that has changed.
    async fn wait(
        &mut self,
        context: &Context<'_>,
        place: &Place,
    ) -> Result<Option<(Session, DeviceName)>, Failure> {
        let begun = Expected::now(&self.who);
        let Some(awaiting) = begun.awaiting() else {
            self.airing = None;
            begun.over(&self.who).await;
            return Ok(None);
        };
        let room = awaiting.room().to_owned();
        let (signaling, joined) =
            make_room(context, &self.server, (Some(&room), PLACES), place).await?;
        self.opened = true;
        self.announce(room);
        context.ui.say(event::Waiting {
            devices: begun.names(),
        });
        let (attends, mut attended) = watch::channel(false);
        let arrived = |is_here: bool| {
            if is_here {
                context.ui.note("The other side is here.");
            }
            attends.send_replace(is_here);
        };
        let config = context.session_config(&self.server);
        let hosting = Session::host_known(signaling, &joined, awaiting, config, arrived);
        // One that is there already is looked at once it is connected.
        let over = async {
            begun.over(&self.who).await;
            let _ = attended.wait_for(|attended| !attended).await;
        };
        let session = tokio::select! {
            session = hosting => session,
            () = over => return Ok(None),
        };
        let session = session.map_err(|error| Failure::from(&error))?;
        let expected = Expected::now(&self.who);
        match session.device().and_then(|key| expected.name_of(key)) {
            Some(device) => Ok(Some((session, device))),
            None => {
                let bye = Bye::new(ByeCode::WrongCode, "this device is not known any more");
                session.close(bye).await;
                Ok(None)
            }
        }
    }

    fn announce(&mut self, room: String) {
        let Some(port) = self.port else {
            return;
        };
        if self.airing.as_ref().is_none_or(|(aired, _)| *aired != room) {
            let airing = Airing::start(&room, port);
            self.airing = Some((room, airing));
        }
    }
}

/// Who is expected, and on which day.
struct Expected {
    day: u64,
    devices: Devices,
}

impl Expected {
    fn now(who: &Who) -> Self {
        // Files that cannot be read are said at the start of the command; later, nobody is known.
        let devices = Devices::load().inspect_err(|failure| tracing::warn!(%failure, "no devices"));
        let mut devices = devices.unwrap_or_default();
        devices.known.retain(|device| who.includes(device));
        Self {
            day: day(SystemTime::now()),
            devices,
        }
    }

    /// Whether the same is still to be waited for.
    fn is_still(&self, other: &Self) -> bool {
        let key = |expected: &Self| expected.devices.identity.as_ref().map(|own| own.key());
        let same = self.day == other.day && self.devices.known == other.devices.known;
        same && key(self) == key(other)
    }

    /// Returns when something else is to be waited for.
    async fn over(&self, who: &Who) {
        while self.is_still(&Self::now(who)) {
            sleep(LOOK).await;
        }
    }

    /// `None` if there is nobody to wait for.
    fn awaiting(&self) -> Option<Awaiting> {
        let identity = self.devices.identity.as_ref()?;
        let known = self.devices.known.iter().map(|device| &device.who);
        (known.len() > 0).then(|| Awaiting::new(identity, known, self.day))
    }

    fn names(&self) -> Vec<String> {
        let known = self.devices.known.iter();
        known.map(|device| device.name.to_string()).collect()
    }

    fn name_of(&self, key: PublicKey) -> Option<DeviceName> {
        self.devices.with_key(key).map(|device| device.name.clone())
    }
}
