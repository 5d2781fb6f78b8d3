//! Whom a client trusts.

use super::error::Unreachable;
use super::fingerprint::Fingerprint;
use super::server_url::ServerUrl;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::sync::Arc;

/// Trusts the certificate that the address names, or else whom the system trusts.
pub(super) async fn trust(server: &ServerUrl) -> Result<ClientConfig, Unreachable> {
    match server.pin() {
        Some(fingerprint) => Ok(pinning(*fingerprint)),
        None => system_trust().await,
    }
}

async fn system_trust() -> Result<ClientConfig, Unreachable> {
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

/// Trusts whoever has the key of one certificate.
fn pinning(fingerprint: Fingerprint) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Pinned {
        fingerprint,
        provider: Arc::clone(&provider),
    };
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the ring provider has suites for TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
}

/// Takes one certificate, whatever names and dates are in it: somebody compared its fingerprint. The
/// handshake still proves that the server has its key.
#[derive(Debug)]
struct Pinned {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.fingerprint.matches(certificate) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 is wanted".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
