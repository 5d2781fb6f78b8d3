//! Answers to those who want to see that a name is this server's (RFC 8737): a certificate that is shown to
//! whoever asks with the protocol `acme-tls/1`, and to nobody else.

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What the protocol is called in TLS.
pub(super) const ALPN: &[u8] = b"acme-tls/1";

/// What is shown now, by name. There is one for each name that is being ordered.
#[derive(Debug, Default)]
pub(crate) struct Challenges(Mutex<HashMap<String, Arc<CertifiedKey>>>);

/// Shows a certificate for as long as it lives.
#[derive(Debug)]
pub(crate) struct Shown {
    challenges: Arc<Challenges>,
    name: String,
}

impl Challenges {
    pub(crate) fn show(self: &Arc<Self>, name: &str, certificate: CertifiedKey) -> Shown {
        // Names in TLS are compared without regard to case.
        let name = name.to_ascii_lowercase();
        self.lock().insert(name.clone(), Arc::new(certificate));
        Shown {
            challenges: Arc::clone(self),
            name,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.challenges.lock().remove(&self.name);
    }
}

/// Chooses between the server's certificate and those.
#[derive(Debug)]
pub(super) struct Chooser {
    pub(super) own: Arc<CertifiedKey>,
    pub(super) challenges: Arc<Challenges>,
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut offered = hello.alpn().into_iter().flatten();
        if !offered.any(|protocol| protocol == ALPN) {
            return Some(Arc::clone(&self.own));
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.challenges.lock().get(&name).cloned()
    }
}
