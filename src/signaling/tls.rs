//! Whom a client trusts.

use super::error::Unreachable;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// Trusts whom the system trusts.
pub(super) async fn system_trust() -> Result<ClientConfig, Unreachable> {
    // Reads some hundred files or one large one, so not on a thread of the runtime.
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
        .await
        .map_err(|_| Unreachable::Tls("the system's certificates cannot be read".to_owned()))?;
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(loaded.certs).0 == 0 {
        return Err(Unreachable::Tls(
            "this system trusts no certificate authority".to_owned(),
        ));
    }
    Ok(trusting(roots))
}

pub(super) fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the ring provider has suites for TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
