//! Arguments of TLS.

use anyhow::{Context, Result};
use clap::Args;
use signaling_server::Tls;
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
    /// The certificate, if there is to be one.
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
