//! The devices that this one knows, by the names that they have here, and its own key.
//!
//! Nothing is kept in memory that the disk does not have: a device that was removed by another process is
//! gone for this one at its next look.

mod home;
mod name;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use peerline::device::{Acquaintance, Identity, PublicKey};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};
use home::{Home, Lock};
pub(crate) use name::DeviceName;

const IDENTITY: &str = "identity";
const DEVICES: &str = "devices";

/// Version of both files.
const VERSION: u32 = 1;

/// Far more than anybody has; a host looks through them for each guest.
const MOST: usize = 256;

/// A device that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// What it is called here.
    pub(crate) name: DeviceName,
    pub(crate) who: Acquaintance,
    /// When it was paired, in seconds since 1970.
    pub(crate) since: u64,
}

/// What was found on the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Devices {
    /// None before the first pairing.
    pub(crate) identity: Option<Arc<Identity>>,
    /// In order of their names.
    pub(crate) known: Vec<Device>,
}

#[derive(Serialize, Deserialize)]
struct IdentityFile {
    version: u32,
    seed: String,
    inbox: String,
}

#[derive(Serialize, Deserialize)]
struct DevicesFile {
    version: u32,
    devices: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    key: String,
    inbox: String,
    secret: String,
    since: u64,
}

impl Devices {
    /// What this user's device knows. Makes nothing.
    pub(crate) fn load() -> Result<Self, Failure> {
        Self::load_from(&Home::of_user()?)
    }

    fn load_from(home: &Home) -> Result<Self, Failure> {
        let identity = identity(home)?;
        // Without our key nobody would believe us.
        let known = match identity {
            Some(_) => known(home)?,
            None => Vec::new(),
        };
        Ok(Self { identity, known })
    }

    /// The device of this name, and who this one is to it.
    pub(crate) fn find(&self, name: &DeviceName) -> Result<(&Arc<Identity>, &Device), Failure> {
        let device = self.known.iter().find(|device| device.name == *name);
        match (&self.identity, device) {
            (Some(identity), Some(device)) => Ok((identity, device)),
            _ => Err(unknown(name)),
        }
    }

    /// The device with this key.
    pub(crate) fn with_key(&self, key: PublicKey) -> Option<&Device> {
        self.known.iter().find(|device| device.who.key == key)
    }
}

/// The key of this device, made if it has none. `name` must be free.
pub(crate) fn prepare(name: &DeviceName) -> Result<Arc<Identity>, Failure> {
    prepare_in(&Home::of_user()?, name)
}

fn prepare_in(home: &Home, name: &DeviceName) -> Result<Arc<Identity>, Failure> {
    let lock = home.lock()?;
    check_free(&known(home)?, name)?;
    if let Some(identity) = identity(home)? {
        return Ok(identity);
    }
    let new = Identity::generate();
    let file = IdentityFile {
        version: VERSION,
        seed: new.seed().reveal().to_string(),
        inbox: new.inbox().reveal().to_string(),
    };
    lock.write(IDENTITY, &to_json(&file))?;
    Ok(Arc::new(new))
}

/// Keeps a device. The same device under another name is replaced: its older secret is good no more.
pub(crate) fn keep(name: &DeviceName, who: Acquaintance) -> Result<(), Failure> {
    keep_in(&Home::of_user()?, name, who)
}

fn keep_in(home: &Home, name: &DeviceName, who: Acquaintance) -> Result<(), Failure> {
    change(home, |devices| {
        devices.retain(|device| device.who.key != who.key);
        check_free(devices, name)?;
        if devices.len() == MOST {
            let message = format!("{MOST} devices are known already");
            return Err(Failure::new(Exit::Local, "too-many", message)
                .hint("remove some with peer-cli pair remove NAME"));
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        devices.push(Device {
            name: name.clone(),
            who,
            since: since.unwrap_or_default().as_secs(),
        });
        Ok(())
    })
}

/// Forgets a device: what it had from us is worth nothing from now on.
pub(crate) fn remove(name: &DeviceName) -> Result<(), Failure> {
    remove_in(&Home::of_user()?, name)
}

fn remove_in(home: &Home, name: &DeviceName) -> Result<(), Failure> {
    change(home, |devices| {
        let before = devices.len();
        devices.retain(|device| device.name != *name);
        match devices.len() == before {
            true => Err(unknown(name)),
            false => Ok(()),
        }
    })
}

/// Calls a device otherwise.
pub(crate) fn rename(from: &DeviceName, to: &DeviceName) -> Result<(), Failure> {
    rename_in(&Home::of_user()?, from, to)
}

fn rename_in(home: &Home, from: &DeviceName, to: &DeviceName) -> Result<(), Failure> {
    change(home, |devices| {
        if from != to {
            check_free(devices, to)?;
        }
        let device = devices.iter_mut().find(|device| device.name == *from);
        device.ok_or_else(|| unknown(from))?.name = to.clone();
        Ok(())
    })
}

fn change(
    home: &Home,
    edit: impl FnOnce(&mut Vec<Device>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let lock = home.lock()?;
    let mut devices = known(home)?;
    edit(&mut devices)?;
    write(&lock, devices)
}

fn write(lock: &Lock, mut devices: Vec<Device>) -> Result<(), Failure> {
    devices.sort_by(|one, other| one.name.cmp(&other.name));
    let entry = |device: Device| Entry {
        name: device.name.to_string(),
        key: device.who.key.to_string(),
        inbox: device.who.inbox.reveal().to_string(),
        secret: device.who.secret.reveal().to_string(),
        since: device.since,
    };
    let file = DevicesFile {
        version: VERSION,
        devices: devices.into_iter().map(entry).collect(),
    };
    lock.write(DEVICES, &to_json(&file))
}

fn identity(home: &Home) -> Result<Option<Arc<Identity>>, Failure> {
    let Some(bytes) = home.read(IDENTITY)? else {
        return Ok(None);
    };
    let parse = || {
        let file: IdentityFile = serde_json::from_slice(&bytes).ok()?;
        let seed = file.seed.parse().ok()?;
        let inbox = file.inbox.parse().ok()?;
        (file.version == VERSION).then(|| Arc::new(Identity::new(seed, inbox)))
    };
    parse().map(Some).ok_or_else(|| home.damaged(IDENTITY))
}

fn known(home: &Home) -> Result<Vec<Device>, Failure> {
    let Some(bytes) = home.read(DEVICES)? else {
        return Ok(Vec::new());
    };
    let parse = |entry: Entry| {
        Some(Device {
            name: entry.name.parse().ok()?,
            who: Acquaintance {
                key: entry.key.parse().ok()?,
                inbox: entry.inbox.parse().ok()?,
                secret: entry.secret.parse().ok()?,
            },
            since: entry.since,
        })
    };
    let file: Option<DevicesFile> = serde_json::from_slice(&bytes).ok();
    file.filter(|file| file.version == VERSION)
        .and_then(|file| file.devices.into_iter().map(parse).collect())
        .ok_or_else(|| home.damaged(DEVICES))
}

fn to_json(file: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(file).expect("strings and numbers serialise");
    text.push(b'\n');
    text
}

fn check_free(devices: &[Device], name: &DeviceName) -> Result<(), Failure> {
    if devices.iter().all(|device| device.name != *name) {
        return Ok(());
    }
    Err(
        Failure::usage(format!("a device called '{name}' is known already")).hint(format!(
            "choose another name, or peer-cli pair remove {name}"
        )),
    )
}

fn unknown(name: &DeviceName) -> Failure {
    Failure::usage(format!("no device called '{name}' is known here")).hint(format!(
        "peer-cli pair list shows those that are; peer-cli pair {name} gets to know it"
    ))
}

#[cfg(test)]
mod tests;
