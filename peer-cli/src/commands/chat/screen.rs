//! Shows what happens in a room.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::FutureExt as _;
use peerline::chat::{Event, Events, Kind, Name};
use tokio::sync::watch;

use crate::ui::{Ui, count, event};

/// What this side was shown.
pub(super) struct Screen {
    ui: Ui,
    bell: bool,
    said: AtomicU64,
    heard: AtomicU64,
    /// What this side is called.
    name: watch::Sender<Name>,
    /// Whether anybody else was ever here.
    company: watch::Sender<bool>,
}

impl Screen {
    pub(super) fn new(ui: &Ui, name: Name, bell: bool) -> Self {
        Self {
            ui: ui.clone(),
            bell,
            said: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            name: watch::Sender::new(name),
            company: watch::Sender::new(false),
        }
    }

    pub(super) fn ui(&self) -> &Ui {
        &self.ui
    }

    pub(super) fn name(&self) -> watch::Receiver<Name> {
        self.name.subscribe()
    }

    /// Waits until somebody else is here, or was.
    pub(super) async fn company(&self) {
        // The sender is in `self`.
        let _ = self.company.subscribe().wait_for(|company| *company).await;
    }

    /// This side said something.
    pub(super) fn spoke(&self) {
        self.said.fetch_add(1, Relaxed);
    }

    /// Messages of this side, and of others, those of before it came not counted.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.said.load(Relaxed), self.heard.load(Relaxed))
    }

    /// Shows what happens, for ever.
    pub(super) async fn follow(&self, events: &mut Events) -> Infallible {
        loop {
            self.show(events.next().await);
        }
    }

    /// Shows what has happened and was not shown yet.
    pub(super) fn rest(&self, events: &mut Events) {
        while let Some(event) = events.next().now_or_never() {
            self.show(event);
        }
    }

    fn show(&self, event: Event) {
        match event {
            Event::Said(said) => {
                if !said.old {
                    self.heard.fetch_add(1, Relaxed);
                }
                self.ui.say(event::Message {
                    name: said.name.to_string(),
                    text: said.text,
                    kind: match said.kind {
                        Kind::Action => "action",
                        _ => "text",
                    },
                    at: said.at,
                    old: said.old,
                    bell: self.bell && !said.old,
                });
            }
            Event::Entered {
                name,
                others,
                old,
                missed,
            } => {
                self.company.send_replace(true);
                self.ui.say(event::Entered {
                    name: name.to_string(),
                    others: others.iter().map(ToString::to_string).collect(),
                    old,
                    missed,
                });
                self.name.send_replace(name);
            }
            Event::Came(name) => {
                self.company.send_replace(true);
                self.member(&name, "came", None);
            }
            Event::Away(name) => self.member(&name, "away", None),
            Event::Left(name) => self.member(&name, "left", None),
            Event::Renamed { from, to } => self.member(&from, "renamed", Some(&to)),
            Event::Called(name) => {
                self.ui.note(&format!("You are called {name} now."));
                self.name.send_replace(name);
            }
            other => tracing::debug!(?other, "not shown"),
        }
    }

    fn member(&self, name: &Name, state: &'static str, to: Option<&Name>) {
        self.ui.say(event::Member {
            name: name.to_string(),
            state,
            to: to.map(ToString::to_string),
        });
    }

    /// Who is here, for `/who`.
    pub(super) fn who(&self, others: &[Name]) {
        let names: Vec<&str> = others.iter().map(Name::as_str).collect();
        self.ui.note(&match names.as_slice() {
            [] => "Nobody else is here.".to_owned(),
            _ => format!(
                "{} here: {}",
                count(names.len() as u64, "other"),
                names.join(", ")
            ),
        });
    }
}
