//! Who is there: certificates that were announced, used and vouched for, and the two hellos.

use super::{Driver, Ready, Side};
use crate::device::{Known, Proof};
use crate::pairing::{Engine as EngineKind, Fingerprint};
use crate::session::control::{ControlMessage, VERSION};
use crate::session::lanes::MAX_LANES;
use crate::session::watchdog::Wait;
use crate::session::{Hello, PathKind, SessionError};
use std::time::Instant;

impl Driver {
    /// Says hello once DTLS is up, having checked whose certificate it used.
    pub(super) async fn greet(&mut self) -> Result<(), SessionError> {
        if std::mem::replace(&mut self.greeted, true) {
            return Ok(());
        }
        tracing::info!("DTLS is up");
        let used = self.engine.remote_fingerprint().await;
        let (_, announced) = self.descriptions.fingerprints();
        if used.is_none() || used != announced {
            return Err(SessionError::Tampered(
                "the certificate is not the one that was announced",
            ));
        }
        let (offerer, answerer) = self.certificates_in_use()?;
        let binding = self.certificates.binding(&offerer, &answerer);
        let sign = |known: &Known| known.sign(Proof::Session, &binding);
        let hello = ControlMessage::Hello(Hello {
            version: VERSION,
            agent: self.config.agent.clone(),
            engine: EngineKind::Native,
            intent: self.config.intent,
            certificates: Some(self.certificates.tag(&offerer, &answerer)),
            lanes: MAX_LANES,
            packet: None,
            probe: Some(self.lanes.nonce()),
            repair: true,
            signature: self.known.as_ref().map(sign),
        });
        self.control.send(&hello)
    }

    fn certificates_in_use(&self) -> Result<(Fingerprint, Fingerprint), SessionError> {
        let (Some(local), Some(remote)) = self.descriptions.fingerprints() else {
            return Err(SessionError::Protocol("it connected without a description"));
        };
        Ok(match self.side {
            Side::Offerer => (local, remote),
            Side::Answerer => (remote, local),
        })
    }

    pub(super) async fn verify(&mut self, hello: Hello) -> Result<(), SessionError> {
        if self.ready.is_none() {
            return Err(SessionError::Protocol("it said hello twice"));
        }
        if hello.version != VERSION {
            return Err(SessionError::Protocol(
                "it speaks another version of the session protocol",
            ));
        }
        self.greet().await?;
        let (offerer, answerer) = self.certificates_in_use()?;
        let vouched = hello.certificates.as_deref();
        if !vouched.is_some_and(|tag| self.certificates.verify(tag, &offerer, &answerer)) {
            return Err(SessionError::Tampered(
                "the other side sees other certificates than we do",
            ));
        }
        let binding = self.certificates.binding(&offerer, &answerer);
        if let Some(known) = &self.known {
            let signature = hello.signature.as_deref().unwrap_or_default();
            if !known.verify(Proof::Session, &binding, signature) {
                return Err(SessionError::WrongDevice);
            }
        }
        tracing::info!(agent = hello.agent, "the other side is verified");
        self.watchdog.reached(Instant::now(), Wait::Heartbeat);
        self.engine.set_up_finished();
        self.link.outlive_server();
        self.lanes
            .verified(&hello, &self.config, &self.servers, &self.activity);
        let path = self.engine.path().await;
        if let Some(path) = &path {
            self.link.report(path.kind).await;
            if path.kind == PathKind::Direct && hello.engine == EngineKind::Browser {
                self.ports.browser_is_near();
                self.lanes.may_try(&hello);
            }
        }
        // Only now: what fails above is told there.
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(Ok(Ready {
                hello,
                path,
                binding,
                packets: self.lanes.packets(),
            }));
        }
        for data_channel in self.ports.take_held() {
            self.accept_channel(data_channel).await?;
        }
        for track in std::mem::take(&mut self.early_tracks) {
            self.track_arrived(track).await?;
        }
        Ok(())
    }
}
