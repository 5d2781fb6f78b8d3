//! Who may connect, enter and administer.

use super::Hub;
use crate::{
    access::{Decision, Grant, Wish, is_same},
    doors::Doors,
    refusal::Refusal,
    sources::Source,
};
use signaling_protocol::ErrorCode;
use std::{
    sync::{Arc, PoisonError},
    time::Instant,
};

/// What is counted of a connection; dropping it counts down.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    hub: Arc<Hub>,
    /// Whose, unless it is a proxy's, which carries requests of many.
    source: Option<Source>,
    /// Whether it is a connection, and not only a request on one.
    open: bool,
}

impl Hub {
    /// Who may enter, as it is now.
    pub(crate) fn doors(&self) -> Arc<Doors> {
        let doors = self.doors.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&doors)
    }

    /// Changes who may enter from now on; who is in stays.
    pub(crate) fn set_doors(&self, doors: Doors) {
        let mut place = self.doors.write().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(doors);
    }

    /// Counts a connection, or says why there can be none.
    pub(crate) fn connect(
        self: &Arc<Self>,
        source: Source,
        now: Instant,
    ) -> Result<ConnectionGuard, Refusal> {
        self.lock_sources().connect(source, &self.limits, now)?;
        Ok(self.guard(Some(source), true))
    }

    /// Counts a proxy's connection.
    pub(crate) fn connect_proxy(self: &Arc<Self>) -> Result<ConnectionGuard, Refusal> {
        self.lock_sources().open(&self.limits)?;
        Ok(self.guard(None, true))
    }

    /// Counts a request that a proxy passes on.
    pub(crate) fn connect_behind(
        self: &Arc<Self>,
        source: Source,
        now: Instant,
    ) -> Result<ConnectionGuard, Refusal> {
        self.lock_sources().admit(source, &self.limits, now)?;
        Ok(self.guard(Some(source), false))
    }

    fn guard(self: &Arc<Self>, source: Option<Source>, open: bool) -> ConnectionGuard {
        ConnectionGuard {
            hub: Arc::clone(self),
            source,
            open,
        }
    }

    /// Decides whether somebody may enter, now or later. The answer goes to [`Hub::judged`].
    pub(crate) fn authorise(&self, wish: &Wish, now: Instant) -> Decision {
        let doors = self.doors();
        if !doors.access.is_open()
            && wish.token.is_some()
            && let Err(refusal) = self.lock_sources().may_try(wish.source, now)
        {
            return Decision::Now(Err(refusal));
        }
        doors.access.decide(wish, now)
    }

    /// Counts an answer of somebody else who was asked.
    pub(crate) fn answered(&self, verdict: &Result<Grant, Refusal>) {
        self.metrics.asked(match verdict {
            Ok(_) => "allowed",
            Err(refusal) if refusal.code == ErrorCode::Unauthorized => "refused",
            Err(_) => "unavailable",
        });
    }

    /// Counts an answer that says no to a token.
    pub(crate) fn judged<T>(
        &self,
        source: Source,
        had_token: bool,
        answer: &Result<T, Refusal>,
        now: Instant,
    ) {
        if let Err(refusal) = answer
            && refusal.code == ErrorCode::Unauthorized
            && had_token
        {
            self.lock_sources().tried(source, now);
        }
    }

    /// Whether this is what administers the server. Wrong ones are counted.
    pub(crate) fn is_admin(
        &self,
        token: Option<&str>,
        source: Source,
        now: Instant,
    ) -> Result<(), Refusal> {
        let doors = self.doors();
        let wrong = |message: &'static str| Refusal::new(ErrorCode::Unauthorized, message);
        let Some((secret, token)) = doors.admin_token.as_ref().zip(token) else {
            return Err(wrong(
                "this needs the admin token as `Authorization: Bearer`",
            ));
        };
        let mut sources = self.lock_sources();
        sources.may_try(source, now)?;
        if is_same(secret.expose(), token) {
            return Ok(());
        }
        sources.tried(source, now);
        Err(wrong("this is not the admin token"))
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut sources = self.hub.lock_sources();
        if let Some(source) = self.source {
            sources.release(source);
        }
        if self.open {
            sources.close();
        }
    }
}
