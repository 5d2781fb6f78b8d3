//! Certificates: read from files, and again when they change, or made on the spot; for everything that
//! speaks TLS.

mod challenges;
mod self_signed;

pub(crate) use challenges::{Challenges, Shown};

use challenges::Chooser;
use ring::digest;
use rustls::{
    ServerConfig,
    crypto::ring as provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

/// A certificate chain and its key. Clones share it, also when it is read again.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    /// Where it was read from.
    files: Option<(PathBuf, PathBuf)>,
    /// What is shown to those who want to see whose the names are.
    challenges: Arc<Challenges>,
    current: RwLock<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    fingerprint: Fingerprint,
    /// The sizes and times of the files.
    stamp: Option<Stamp>,
}

type Stamp = [(u64, SystemTime); 2];

/// The SHA-256 of a certificate, as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fingerprint([u8; 32]);

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
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Make(String),
    /// A certificate that was made could not be kept.
    #[error("cannot keep the certificate in {path}: {source}")]
    Keep {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Tls {
    /// Reads PEM files: the server's certificate with those that signed it, and the key.
    ///
    /// # Errors
    /// The files, or what is in them.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let challenges = Arc::default();
        let current = Current::read(certificate, key, &challenges)?;
        let files = Some((certificate.to_owned(), key.to_owned()));
        Ok(Self::new(files, challenges, current))
    }

    /// Makes a certificate that nobody but itself has signed, for `localhost`, this machine's name and
    /// addresses, and `names`. With a directory it is kept there, as `cert.pem` and `key.pem`, and taken
    /// again for most of a year, so that those who have accepted it once need not do so again.
    ///
    /// # Errors
    /// The directory, or what is in it.
    pub fn self_signed(keep: Option<&Path>, names: &[String]) -> Result<Self, TlsError> {
        let Some(directory) = keep else {
            return Self::placeholder(None, names);
        };
        let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        if !self_signed::is_fresh(&certificate) || !key.exists() {
            let made = self_signed::make(names)?;
            keep_private(directory, &key, &made.1)
                .and_then(|()| fs::write(&certificate, &made.0))
                .map_err(|source| TlsError::Keep {
                    path: directory.to_owned(),
                    source,
                })?;
        }
        Self::from_files(&certificate, &key)
    }

    /// A certificate that is made now and not kept, until there is a better one in the file.
    pub(crate) fn placeholder(file: Option<&Path>, names: &[String]) -> Result<Self, TlsError> {
        let (certificate, key) = self_signed::make(names)?;
        let challenges = Arc::default();
        let current = Current::of_pem(&certificate, &key, &challenges)?;
        let files = file.map(|file| (file.to_owned(), file.to_owned()));
        Ok(Self::new(files, challenges, current))
    }

    fn new(
        files: Option<(PathBuf, PathBuf)>,
        challenges: Arc<Challenges>,
        current: Current,
    ) -> Self {
        Self(Arc::new(Inner {
            files,
            challenges,
            current: RwLock::new(current),
        }))
    }

    pub(crate) fn challenges(&self) -> &Arc<Challenges> {
        &self.0.challenges
    }

    /// Reads the files again if they have changed; connections from now on get what is in them. What
    /// cannot be used changes nothing. Says whether something changed.
    ///
    /// # Errors
    /// The files, or what is in them.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some((certificate, key)) = &self.0.files else {
            return Ok(false);
        };
        if self.read(|current| current.stamp == stamp(certificate, key)) {
            return Ok(false);
        }
        let fresh = Current::read(certificate, key, &self.0.challenges)?;
        let changed = self.read(|current| current.fingerprint != fresh.fingerprint);
        *self
            .0
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(changed)
    }

    /// `sha256:` and the digest of the certificate in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        self.read(|current| current.fingerprint.to_string())
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        self.read(|current| Arc::clone(&current.config))
    }

    fn read<T>(&self, read: impl FnOnce(&Current) -> T) -> T {
        read(
            &self
                .0
                .current
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.fingerprint())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Current {
    fn read(
        certificate: &Path,
        key: &Path,
        challenges: &Arc<Challenges>,
    ) -> Result<Self, TlsError> {
        let unreadable = |path: &Path, what, reason: String| TlsError::File {
            path: path.to_owned(),
            what,
            reason,
        };
        // Before the content: what changes while it is read is read again.
        let stamp = stamp(certificate, key);
        let of_chain = |reason: String| unreadable(certificate, "certificate", reason);
        let chain = CertificateDer::pem_file_iter(certificate)
            .map_err(|error| of_chain(error.to_string()))?
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| of_chain(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| unreadable(key, "private key", error.to_string()))?;
        if chain.is_empty() {
            return Err(of_chain("there is none in it".to_owned()));
        }
        Self::new(chain, key, stamp, challenges)
    }

    fn of_pem(
        certificate: &str,
        key: &str,
        challenges: &Arc<Challenges>,
    ) -> Result<Self, TlsError> {
        let unusable = |error: &dyn fmt::Display| TlsError::Make(error.to_string());
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
        let certificate = certificate.map_err(|error| unusable(&error))?;
        Self::new(
            vec![certificate],
            key.map_err(|error| unusable(&error))?,
            None,
            challenges,
        )
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        stamp: Option<Stamp>,
        challenges: &Arc<Challenges>,
    ) -> Result<Self, TlsError> {
        let own = chain.first().map_or(&[][..], |certificate| certificate);
        let own = digest::digest(&digest::SHA256, own);
        let fingerprint = Fingerprint(own.as_ref().try_into().expect("SHA-256 has 32 bytes"));
        let provider = Arc::new(provider::default_provider());
        let chooser = Chooser {
            own: Arc::new(CertifiedKey::from_der(chain, key, &provider)?),
            challenges: Arc::clone(challenges),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(chooser));
        config.alpn_protocols = vec![b"http/1.1".to_vec(), challenges::ALPN.to_vec()];
        Ok(Self {
            config: Arc::new(config),
            fingerprint,
            stamp,
        })
    }
}

fn stamp(certificate: &Path, key: &Path) -> Option<Stamp> {
    let of = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    };
    Some([of(certificate)?, of(key)?])
}

/// Writes a key that only its owner may read, into a directory that is made if it is missing.
pub(crate) fn keep_private(directory: &Path, path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    fs::create_dir_all(directory)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_taken_again_and_what_changes_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let keep = directory.path().join("tls");
        let first = Tls::self_signed(Some(&keep), &[]).unwrap();
        let print = first.fingerprint();
        assert!(print.starts_with("sha256:") && print.len() == 71, "{print}");
        let again = Tls::self_signed(Some(&keep), &[]).unwrap();
        assert_eq!(again.fingerprint(), print);
        assert!(!again.reload().unwrap(), "nothing changed");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(keep.join("key.pem"))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o077, 0, "{mode:o}");
        }
        // Half a change is no change: the old one stays in use.
        let shared = again.clone();
        fs::write(keep.join("cert.pem"), "nothing").unwrap();
        assert!(again.reload().is_err());
        assert_eq!(shared.fingerprint(), print);
        let (certificate, key) = self_signed::make(&["extra.example".to_owned()]).unwrap();
        fs::write(keep.join("cert.pem"), certificate).unwrap();
        assert!(again.reload().is_err(), "the key is another one's");
        fs::write(keep.join("key.pem"), key).unwrap();
        assert!(again.reload().unwrap());
        assert_ne!(shared.fingerprint(), print);
        assert_ne!(Tls::self_signed(None, &[]).unwrap().fingerprint(), print);
    }

    #[test]
    fn a_name_that_is_none_is_said() {
        let error = Tls::self_signed(None, &["ü".to_owned()]).unwrap_err();
        assert!(matches!(error, TlsError::Make(_)), "{error}");
    }
}
