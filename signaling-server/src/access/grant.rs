//! What somebody may do, and what that makes of what they want.

use crate::{refusal::Refusal, rooms::Entrance};
use serde::{Deserialize, Serialize};
use signaling_protocol::{ErrorCode, RoomName};

/// What the holder of a token may do in a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Make it, and enter it.
    Host,
    /// Enter it while somebody is there.
    #[default]
    Guest,
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Where; `None` means everywhere.
    pub(crate) room: Option<RoomName>,
    pub(crate) role: Role,
}

impl Grant {
    pub(crate) fn everything() -> Self {
        Self {
            room: None,
            role: Role::Host,
        }
    }

    /// Makes of a wish what is granted, or says why it is not: somebody who names no room gets that of
    /// the grant, and a guest makes none.
    pub(crate) fn apply(&self, entrance: &mut Entrance) -> Result<(), Refusal> {
        match (&self.room, &entrance.room) {
            (Some(granted), None) => entrance.room = Some(granted.clone()),
            (Some(granted), Some(wanted)) if granted != wanted => {
                let message = "this token is for another room";
                return Err(Refusal::new(ErrorCode::Unauthorized, message));
            }
            _ => {}
        }
        match (self.role, entrance.create) {
            (Role::Guest, Some(true)) => {
                let message = "this token is for entering a room, not for making one";
                return Err(Refusal::new(ErrorCode::Unauthorized, message));
            }
            (Role::Guest, _) => entrance.create = Some(false),
            (Role::Host, _) => {}
        }
        Ok(())
    }

    /// Whether one may listen to a room.
    pub(crate) fn covers(&self, room: &RoomName) -> bool {
        self.room.as_ref().is_none_or(|granted| granted == room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Source;

    #[test]
    fn rooms_and_roles() {
        use Role::{Guest, Host};
        // Granted room and role; wanted room and `create`; what becomes of it.
        type Wanted = (Option<&'static str>, Option<bool>);
        let rows: [(Option<&str>, Role, Wanted, Option<Wanted>); 10] = [
            (None, Host, (Some("a"), None), Some((Some("a"), None))),
            (None, Host, (None, Some(true)), Some((None, Some(true)))),
            (
                Some("a"),
                Host,
                (None, Some(true)),
                Some((Some("a"), Some(true))),
            ),
            (Some("a"), Host, (Some("a"), None), Some((Some("a"), None))),
            (Some("a"), Host, (Some("b"), None), None),
            (Some("a"), Host, (Some("A"), None), None),
            (
                Some("a"),
                Guest,
                (Some("a"), None),
                Some((Some("a"), Some(false))),
            ),
            (
                Some("a"),
                Guest,
                (None, None),
                Some((Some("a"), Some(false))),
            ),
            (Some("a"), Guest, (Some("a"), Some(true)), None),
            (None, Guest, (None, Some(true)), None),
        ];
        let name = |name: &str| name.parse::<RoomName>().unwrap();
        for (room, role, (wanted, create), expected) in rows {
            let grant = Grant {
                room: room.map(name),
                role,
            };
            let mut entrance = Entrance {
                room: wanted.map(name),
                create,
                capacity: None,
                name: None,
                plain: false,
                source: Source::LOOPBACK,
            };
            let applied = grant.apply(&mut entrance);
            let got = applied.is_ok().then_some((entrance.room, entrance.create));
            let expected = expected.map(|(room, create)| (room.map(name), create));
            assert_eq!(got, expected, "{grant:?} {wanted:?} {create:?}");
        }
    }
}
