//! A path that was lost: when it is given up, when ICE is restarted, and what the application is told.
//!
//! DTLS and SCTP keep their state through an ICE restart, even after ICE has given up, and repeat what was
//! lost: so one connection serves the whole session, and its channels need to know nothing.

use super::{Command, Driver, Input};
use crate::pairing::SealedMessage;
use crate::session::SessionError;
use crate::session::healing::{Cause, Connectivity, Interruption};
use std::time::Instant;

impl Driver {
    pub(super) fn path_lost(&mut self, now: Instant) -> Result<(), SessionError> {
        let known = self.watchdog.interruption().is_some();
        self.watchdog.path_lost(now);
        self.engine.repair().hold(true);
        if !known {
            tracing::info!("the path stopped working");
            if self.is_verified() {
                self.engine.slow_down();
            }
            self.link.check();
        }
        self.check_gone(now)
    }

    pub(super) fn path_found(&mut self, now: Instant) {
        self.engine.repair().hold(false);
        if self.watchdog.path_found(now) && self.is_verified() {
            tracing::info!("a path works again");
            self.engine.catch_up();
        }
    }

    /// At once: nobody is told of an interruption that is none.
    fn check_gone(&self, now: Instant) -> Result<(), SessionError> {
        match self.watchdog.is_gone(now) {
            true => Err(SessionError::Gone),
            false => Ok(()),
        }
    }

    pub(super) fn peer_missed(&mut self, on_purpose: bool) -> Result<(), SessionError> {
        let now = Instant::now();
        self.watchdog.peer_missed(now, on_purpose);
        self.check_gone(now)
    }

    /// Somebody in the room may be the peer, whom nothing reached that was on its way.
    pub(super) async fn peer_anew(&mut self) -> Result<(), SessionError> {
        // Or the same person, who tries again with another process: only a record that opens shows it.
        if !self.is_verified() {
            return Ok(());
        }
        self.watchdog.peer_present();
        // Says nothing, and shows who it is that says it.
        let hello = SealedMessage::IceCandidate { candidate: None };
        self.send_sealed(&hello).await?;
        match self.sealed_offer {
            Some(_) => self.negotiate(Input::Forgotten).await,
            None => Ok(()),
        }
    }

    /// Restarts ICE, if that reaches the peer; else it is tried again soon. An offer that waits somewhere
    /// for an outage to end would be made of addresses that are not ours any more.
    pub(super) async fn restart(&mut self, now: Instant) -> Result<(), SessionError> {
        if !self.link.is_heard() {
            self.link.hasten();
            self.watchdog.put_off(now);
            return Ok(());
        }
        let fresh = self.sealed_offer.is_some_and(|offered| {
            now.saturating_duration_since(offered) < self.config.healing.path_failed
        });
        if self.descriptions.awaits_answer() && fresh {
            return Ok(());
        }
        tracing::info!("restarting ICE");
        self.link.check();
        // An offer that nobody answered waits for the path, or was for an outage that others had as well.
        self.negotiate(match self.descriptions.awaits_answer() {
            true => Input::Forgotten,
            false => Input::Negotiate { restart: true },
        })
        .await
    }

    /// Tells the application whether the peer can be reached, if that has changed, and opens what waits for it.
    pub(super) fn settle_connectivity(&mut self) {
        if self.watchdog.interruption().is_none() {
            for command in self.parked.drain(..) {
                if let Command::OpenLane {
                    label,
                    protocol,
                    most,
                    reply,
                } = command
                {
                    self.lanes.open((label, protocol), most, reply);
                }
            }
        }
        let now = match self.watchdog.interruption() {
            None => Connectivity::Connected,
            Some((since, until, cause)) => Connectivity::Interrupted(Interruption {
                since,
                until,
                cause: match cause {
                    Cause::PathLost if self.link.is_cut_off() => Cause::NetworkLost,
                    cause => cause,
                },
            }),
        };
        self.outlets.connectivity.send_if_modified(|known| {
            let news = *known != now;
            *known = now;
            news
        });
    }
}
