//! Certificates from an authority that gives them by itself (ACME, RFC 8555), such as Let's Encrypt. That a name
//! is this server's is shown on its own port of TLS (RFC 8737), so nothing else has to be reached from outside.
//!
//! [`Acme`] is the task that orders and renews; what it gets goes into a file and through [`Tls`] to those who
//! connect.

mod authority;

use crate::tls::{Tls, TlsError, keep_private};
use authority::{Authority, OrderError};
use rustls::pki_types::{CertificateDer, DnsName, pem::PemObject};
use std::{
    convert::Infallible,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tokio::time::{sleep, timeout};
use url::Url;
use x509_parser::extensions::GeneralName;

/// Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// How long one order may take.
const ORDER_LIMIT: Duration = Duration::from_secs(300);

/// Pauses after an order that failed: doubled from the first to the last. Let's Encrypt takes five failures of
/// a name in an hour.
const PAUSES: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(6 * 3600));

/// How often it is looked whether it is time to renew.
const LOOK: Duration = Duration::from_secs(3600);

/// Whom to ask for a certificate, and for what.
#[derive(Debug, Clone)]
pub struct AcmeConfig {
    /// Names of this server, which lead to its port 443.
    pub names: Vec<String>,
    /// Where the authority writes to when something is wrong.
    pub email: Option<String>,
    /// The authority: the URL of its directory, such as [`LETS_ENCRYPT`].
    pub directory: String,
    /// Where account and certificate are kept.
    pub cache: PathBuf,
    /// Whom to trust as the authority's server, in PEM, instead of those whom the system trusts.
    pub ca: Option<PathBuf>,
}

/// Gets certificates, and renews them.
#[derive(Debug)]
pub struct Acme {
    authority: Authority,
    names: Vec<String>,
    file: PathBuf,
    tls: Tls,
}

/// Certificates cannot be ordered like this.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The authority cannot be asked.
    #[error("{url} cannot be asked: {reason}")]
    Directory {
        /// Its directory.
        url: String,
        /// Why not.
        reason: String,
    },
    /// Nothing can be kept.
    #[error("cannot keep certificates in {path}: {source}")]
    Cache {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A name that no certificate can be ordered for in this way: no DNS name, or one with `*`.
    #[error("{0:?} is no name that leads to one server")]
    Name(String),
    /// No certificate can be made to begin with.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Acme {
    /// Takes the certificate that is kept, if there is one, or makes one that nobody has signed until there is.
    ///
    /// # Errors
    /// What is configured cannot be used.
    pub fn new(config: AcmeConfig) -> Result<Self, AcmeError> {
        let nameless = config.names.is_empty().then(String::new);
        let bad = |name: &&String| DnsName::try_from(name.as_str()).is_err();
        if let Some(name) = nameless.or(config.names.iter().find(bad).cloned()) {
            return Err(AcmeError::Name(name));
        }
        // What one authority gave says nothing of another one.
        let url = Url::parse(&config.directory).map_err(|error| AcmeError::Directory {
            url: config.directory.clone(),
            reason: error.to_string(),
        })?;
        let port = url
            .port()
            .map_or_else(String::new, |port| format!("-{port}"));
        let directory = config
            .cache
            .join(format!("{}{port}", url.host_str().unwrap_or_default()));
        fs::create_dir_all(&directory).map_err(|source| AcmeError::Cache {
            path: directory.clone(),
            source,
        })?;
        let file = directory.join(format!("{}.pem", config.names[0]));
        let authority = Authority::new(&config, directory.join("account.json"))?;
        let tls = match Tls::from_files(&file, &file) {
            Ok(tls) => tls,
            Err(error) => {
                tracing::debug!(%error, "no certificate is kept");
                Tls::placeholder(Some(&file), &config.names)?
            }
        };
        Ok(Self {
            authority,
            names: config.names,
            file,
            tls,
        })
    }

    /// The certificate, now and when it is another one.
    pub fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Orders a certificate when there is none, and when two thirds of its time are over, for as long as the
    /// server lives.
    pub async fn keep(self) -> Infallible {
        let mut pause = PAUSES.0;
        loop {
            if !is_due(&self.file, &self.names, SystemTime::now()) {
                sleep(LOOK).await;
                continue;
            }
            match self.renew().await {
                Ok(()) => {
                    tracing::info!("there is a new certificate");
                    pause = PAUSES.0;
                    // Also if it is not as good as it should be: no authority is asked without end.
                    sleep(LOOK).await;
                }
                Err(error) => {
                    tracing::error!(%error, again_in = ?pause, "no certificate");
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    async fn renew(&self) -> Result<(), OrderError> {
        let order = self.authority.order(&self.names, self.tls.challenges());
        let pem = timeout(ORDER_LIMIT, order)
            .await
            .unwrap_or(Err(OrderError::Late(ORDER_LIMIT)))?;
        keep(&self.file, &pem).map_err(OrderError::Keep)?;
        self.tls.reload().map_err(OrderError::Unusable)?;
        Ok(())
    }
}

/// Puts a text that only its owner may read into a file, all of it or nothing.
fn keep(file: &Path, text: &str) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    let fresh = file.with_extension("new");
    keep_private(directory, &fresh, text)?;
    fs::rename(fresh, file)
}

/// Whether a certificate has to be ordered: there is none, it is not for all of the names, or two thirds of its
/// time are over.
fn is_due(file: &Path, names: &[String], now: SystemTime) -> bool {
    let Ok(certificate) = CertificateDer::from_pem_file(file) else {
        return true;
    };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(&certificate) else {
        return true;
    };
    let subjects = parsed.subject_alternative_name().ok().flatten();
    let has = |name: &String| {
        let mut subjects = subjects.iter().flat_map(|found| &found.value.general_names);
        subjects.any(|found| matches!(found, GeneralName::DNSName(found) if found.eq_ignore_ascii_case(name)))
    };
    if !names.iter().all(has) {
        return true;
    }
    let validity = parsed.validity();
    let (from, to) = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    now >= to - (to - from) / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_thirds_of_its_time_a_certificate_is_good_enough() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.pem");
        let now = SystemTime::now();
        let names = ["localhost", "A.example"].map(str::to_owned);
        let is_due = |now| is_due(&file, &names, now);
        assert!(is_due(now), "there is none");
        Tls::self_signed(Some(directory.path()), &["a.example".to_owned()]).unwrap();
        fs::copy(directory.path().join("cert.pem"), &file).unwrap();
        let day = Duration::from_secs(86_400);
        // It is good from yesterday on, for 366 days.
        assert!(!is_due(now));
        assert!(!is_due(now + day * 240));
        assert!(is_due(now + day * 246));
        assert!(is_due(now + day * 400));
        let more = [&names[..], &["b.example".to_owned()]].concat();
        assert!(super::is_due(&file, &more, now), "not for all");
        fs::write(&file, "nothing").unwrap();
        assert!(is_due(now));
    }

    #[test]
    fn names_lead_to_one_server() {
        let cache = tempfile::tempdir().unwrap();
        for (names, good) in [
            (&["a.example", "b.example"][..], true),
            (&[], false),
            (&[""], false),
            (&["a.example", "*.example"], false),
            (&["../x"], false),
        ] {
            let config = AcmeConfig {
                names: names.iter().map(|name| (*name).to_owned()).collect(),
                email: None,
                directory: "http://localhost:1/".to_owned(),
                cache: cache.path().to_owned(),
                ca: None,
            };
            let made = Acme::new(config);
            assert_eq!(made.is_ok(), good, "{names:?}: {:?}", made.err());
        }
    }
}
