//! Certificates: read once, for everything that speaks TLS.

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A certificate chain and its key.
#[derive(Debug, Clone)]
pub struct Tls(Arc<ServerConfig>);

/// A certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read, or holds no PEM of the kind.
    #[error("{path} holds no {what} that can be read: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// The two do not belong together, or are of a kind that is not supported.
    #[error("the certificate and the key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

impl Tls {
    /// Reads PEM files: the server's certificate with those that signed it, and the key.
    ///
    /// # Errors
    /// The files, or what is in them.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let unreadable = |path: &Path, what, reason: String| TlsError::File {
            path: path.to_owned(),
            what,
            reason,
        };
        let of_chain = |reason: String| unreadable(certificate, "certificate", reason);
        let chain = CertificateDer::pem_file_iter(certificate)
            .map_err(|error| of_chain(error.to_string()))?
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| of_chain(error.to_string()))?;
        if chain.is_empty() {
            return Err(of_chain("there is none in it".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| unreadable(key, "private key", error.to_string()))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}
