//! Whom TLS to a TURN server trusts: whom the system trusts, and no one else. What is relayed is
//! encrypted end to end; TLS protects the credentials and passes networks that let nothing else through.

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use std::io;
use std::sync::Arc;

/// Reads the system's certificate authorities.
pub(super) async fn system() -> io::Result<Arc<ClientConfig>> {
    // Reads some hundred files or one large one, so not on a thread of the runtime.
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
        .await
        .map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(loaded.certs).0 == 0 {
        return Err(io::Error::other(
            "this system trusts no certificate authority",
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
