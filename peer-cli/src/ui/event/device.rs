//! Devices that know each other (`pair`).

use serde::Serialize;

use super::Wording;
use crate::ui::clean::clean;
use crate::ui::palette::Palette;

/// This device and the other one know each other.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Paired {
    /// What the other one is called here.
    pub(crate) name: String,
    /// Its public key.
    pub(crate) key: String,
}

/// A known device, in answer to `pair list`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Device {
    /// What it is called here.
    pub(crate) name: String,
    /// Its public key.
    pub(crate) key: String,
    /// When it was paired, in seconds since 1970.
    pub(crate) since: u64,
}

/// A device is not known any more.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Removed {
    /// What it was called.
    pub(crate) name: String,
}

/// A device is called otherwise.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Renamed {
    /// What it was called.
    pub(crate) from: String,
    /// What it is called now.
    pub(crate) to: String,
}

impl Wording for Paired {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!("Paired: {}", clean(&self.name)))
    }
}

/// A result, and worded where it is listed.
impl Wording for Device {}

impl Wording for Removed {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!("Removed: {}", clean(&self.name)))
    }
}

impl Wording for Renamed {
    fn line(&self, _: Palette) -> Option<String> {
        let (from, to) = (clean(&self.from), clean(&self.to));
        Some(format!("Renamed: {from} is {to} now"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::said;
    use super::*;

    #[test]
    fn json_and_wording() {
        said(
            Paired {
                name: "laptop".into(),
                key: "KEY".into(),
            },
            json!({"event": "paired", "name": "laptop", "key": "KEY"}),
            Some("Paired: laptop"),
        );
        said(
            Device {
                name: "laptop".into(),
                key: "KEY".into(),
                since: 1,
            },
            json!({"event": "device", "name": "laptop", "key": "KEY", "since": 1}),
            None,
        );
        said(
            Removed {
                name: "laptop".into(),
            },
            json!({"event": "removed", "name": "laptop"}),
            Some("Removed: laptop"),
        );
        said(
            Renamed {
                from: "laptop".into(),
                to: "old".into(),
            },
            json!({"event": "renamed", "from": "laptop", "to": "old"}),
            Some("Renamed: laptop is old now"),
        );
    }
}
