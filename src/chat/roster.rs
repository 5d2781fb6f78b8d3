//! Who is called what, and what changed of that.

use super::event::Event;
use super::message::Person;
use super::name::Name;

/// `wanted`, with a number if one of `others` is called so.
pub(super) fn unique(wanted: &Name, others: &[&Name]) -> Name {
    let is_free = |name: &Name| !others.iter().any(|other| other.is_like(name));
    if is_free(wanted) {
        return wanted.clone();
    }
    let mut numbered = (2..).map(|number| wanted.numbered(number));
    // One more than there are others is enough.
    numbered.find(is_free).unwrap_or_else(|| wanted.clone())
}

/// Those of a room, as somebody who is told of them knows them.
#[derive(Debug, Default)]
pub(super) struct Roster(Vec<(u32, Name, bool)>);

impl Roster {
    pub(super) fn new(people: &[Person]) -> Self {
        let known = |person: &Person| (person.id, Name::new(&person.name), person.away);
        Self(people.iter().map(known).collect())
    }

    pub(super) fn name(&self, id: u32) -> Option<&Name> {
        self.0
            .iter()
            .find(|(other, ..)| *other == id)
            .map(|(_, name, _)| name)
    }

    /// Everybody but this one, those who are away not counted.
    pub(super) fn others(&self, me: u32) -> Vec<Name> {
        let others = self.0.iter().filter(|(id, _, away)| *id != me && !away);
        others.map(|(_, name, _)| name.clone()).collect()
    }

    /// What has changed since `before`, for the one who is `me`.
    pub(super) fn changes(&self, before: &Self, me: u32) -> Vec<Event> {
        let mut events = Vec::new();
        for (id, name, _) in &before.0 {
            if self.name(*id).is_none() && *id != me {
                events.push(Event::Left(name.clone()));
            }
        }
        for (id, name, away) in &self.0 {
            let known = before.0.iter().find(|(other, ..)| other == id);
            let Some((_, was_called, was_away)) = known else {
                if *id != me {
                    events.push(match away {
                        true => Event::Away(name.clone()),
                        false => Event::Came(name.clone()),
                    });
                }
                continue;
            };
            if was_called != name {
                events.push(match *id == me {
                    true => Event::Called(name.clone()),
                    false => Event::Renamed {
                        from: was_called.clone(),
                        to: name.clone(),
                    },
                });
            }
            if was_away != away && *id != me {
                events.push(match away {
                    true => Event::Away(name.clone()),
                    false => Event::Came(name.clone()),
                });
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(rows: &[(u32, &str, bool)]) -> Roster {
        let person = |(id, name, away): &(u32, &str, bool)| Person {
            id: *id,
            name: (*name).to_owned(),
            away: *away,
        };
        Roster::new(&rows.iter().map(person).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let names = ["anna", "Anna-2", "bob"].map(Name::new);
        let names: Vec<&Name> = names.iter().collect();
        for (wanted, name) in [("ANNA", "ANNA-3"), ("carl", "carl"), ("bob", "bob-2")] {
            assert_eq!(unique(&Name::new(wanted), &names), Name::new(name));
        }
    }

    #[test]
    fn each_change_is_an_event_and_nothing_else_is() {
        let before = people(&[(0, "host", false), (1, "me", false), (2, "bob", false)]);
        let name = Name::new;
        for (after, events) in [
            (
                vec![(0, "host", false), (1, "me", false), (2, "bob", false)],
                vec![],
            ),
            (
                vec![(0, "host", false), (1, "me", false)],
                vec![Event::Left(name("bob"))],
            ),
            (
                vec![(0, "host", false), (1, "me-2", false), (2, "bob", true)],
                vec![Event::Called(name("me-2")), Event::Away(name("bob"))],
            ),
            (
                vec![(0, "h", false), (1, "me", false), (3, "bob", false)],
                vec![
                    Event::Left(name("bob")),
                    Event::Renamed {
                        from: name("host"),
                        to: name("h"),
                    },
                    Event::Came(name("bob")),
                ],
            ),
        ] {
            assert_eq!(people(&after).changes(&before, 1), events, "{after:?}");
        }
        let away = people(&[(2, "bob", true)]);
        let back = people(&[(2, "bob", false)]);
        assert_eq!(back.changes(&away, 1), [Event::Came(name("bob"))]);
        assert_eq!(back.others(1), [name("bob")]);
        assert!(away.others(1).is_empty());
    }
}
