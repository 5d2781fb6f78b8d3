//! Arguments of TLS.

use anyhow::{Context, Result};
use clap::Args;
use signaling_server::{Acme, AcmeConfig, LETS_ENCRYPT, Tls};
use std::{convert::Infallible, path::PathBuf, str::FromStr};

/// The value that stands for a certificate that is not kept.
const NOT_KEPT: &str = "memory";

#[derive(Debug, Args)]
pub(crate) struct TlsArguments {
    /// Certificate chain in PEM: the server speaks HTTPS, and TURN over TLS. It is read again when it
    /// changes
    #[arg(
        long,
        env = "PEERLINE_TLS_CERT",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    tls_cert: Option<PathBuf>,

    /// Its private key in PEM
    #[arg(
        long,
        env = "PEERLINE_TLS_KEY",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    tls_key: Option<PathBuf>,

    /// Speak HTTPS with a certificate that is made now, or kept in this directory
    #[arg(
        long,
        env = "PEERLINE_TLS_SELF_SIGNED",
        value_name = "DIR",
        num_args = 0..=1,
        default_missing_value = NOT_KEPT,
        help_heading = "TLS"
    )]
    tls_self_signed: Option<Keep>,

    /// Another name or address of this server in that certificate (may be repeated)
    #[arg(
        long = "tls-name",
        env = "PEERLINE_TLS_NAMES",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "TLS"
    )]
    tls_names: Vec<String>,

    /// Order a certificate for this name from an authority that gives them by itself (ACME), and renew it; the
    /// name's port 443 has to lead here (may be repeated)
    #[arg(
        long = "acme",
        env = "PEERLINE_ACME",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "TLS"
    )]
    acme: Vec<String>,

    /// Where account and certificate are kept
    #[arg(
        long,
        env = "PEERLINE_ACME_CACHE",
        value_name = "DIR",
        help_heading = "TLS"
    )]
    acme_cache: Option<PathBuf>,

    /// Where the authority writes to when something is wrong
    #[arg(
        long,
        env = "PEERLINE_ACME_EMAIL",
        value_name = "ADDRESS",
        help_heading = "TLS"
    )]
    acme_email: Option<String>,

    /// The authority; its terms are agreed to
    #[arg(
        long,
        env = "PEERLINE_ACME_DIRECTORY",
        value_name = "URL",
        default_value = LETS_ENCRYPT,
        help_heading = "TLS"
    )]
    acme_directory: String,

    /// Trust this certificate, in PEM, as the authority's server
    #[arg(
        long,
        env = "PEERLINE_ACME_CA",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    acme_ca: Option<PathBuf>,

    /// Use the certificate for TURN only: a proxy in front speaks HTTPS
    #[arg(long, env = "PEERLINE_TLS_TURN_ONLY", help_heading = "TLS")]
    pub(crate) tls_turn_only: bool,
}

/// Where a certificate is kept, if at all.
#[derive(Debug, Clone)]
struct Keep(Option<PathBuf>);

impl FromStr for Keep {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self((text != NOT_KEPT).then(|| text.into())))
    }
}

impl TlsArguments {
    /// What orders certificates, if something does.
    pub(crate) fn acme(&self) -> Result<Option<Acme>> {
        let Some(cache) = self.acme_cache.as_ref().filter(|_| !self.acme.is_empty()) else {
            return Ok(None);
        };
        let config = AcmeConfig {
            names: self.acme.clone(),
            email: self.acme_email.clone(),
            directory: self.acme_directory.clone(),
            cache: cache.clone(),
            ca: self.acme_ca.clone(),
        };
        Ok(Some(Acme::new(config).context("--acme")?))
    }

    /// The certificate, if there is to be one and none is ordered.
    pub(crate) fn load(&self) -> Result<Option<Tls>> {
        if let Some((certificate, key)) = self.tls_cert.as_ref().zip(self.tls_key.as_ref()) {
            let tls = Tls::from_files(certificate, key);
            return Ok(Some(tls.context("--tls-cert and --tls-key")?));
        }
        match &self.tls_self_signed {
            Some(Keep(directory)) => {
                let tls = Tls::self_signed(directory.as_deref(), &self.tls_names);
                Ok(Some(tls.context("--tls-self-signed")?))
            }
            None => Ok(None),
        }
    }

    pub(crate) fn is_self_signed(&self) -> bool {
        self.tls_self_signed.is_some()
    }
}
