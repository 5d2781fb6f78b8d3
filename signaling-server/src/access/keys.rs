//! Keys of tokens. A key is for one algorithm, whatever a token says of itself: a public key is never taken
//! for a shared secret.

use ring::{
    hmac,
    signature::{self, Ed25519KeyPair, KeyPair},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject};
use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Fewest bytes of an HS256 key (RFC 7518 section 3.2).
const SHORTEST_SECRET: usize = 32;

/// Longest file that a key is read from.
const FILE_BYTES: u64 = 64 * 1024;

/// Longest name of a key.
const ID_BYTES: usize = 64;

/// How an Ed25519 public key in DER begins (RFC 8410 section 4): the 32 bytes of the key follow.
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A signature algorithm of tokens (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Where a key is: `ID=HS256:FILE` or `ID=EdDSA:FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    id: String,
    algorithm: Algorithm,
    file: PathBuf,
}

/// A key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not of the form.
    #[error("a key is ID=HS256:FILE or ID=EdDSA:FILE, the ID 1 to {ID_BYTES} of A-Z a-z 0-9 . _ -")]
    Form,
    /// The file cannot be read.
    #[error("cannot read the key {path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file holds something else.
    #[error("{path} holds no {what}")]
    Kind {
        /// Which.
        path: PathBuf,
        /// What it was to hold.
        what: &'static str,
    },
    /// Two keys of one name.
    #[error("two keys are called {0}")]
    Twice(String),
}

impl FromStr for KeySpec {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (id, rest) = text.split_once('=').ok_or(KeyError::Form)?;
        let (algorithm, file) = rest.split_once(':').ok_or(KeyError::Form)?;
        let algorithm = match algorithm.to_ascii_uppercase().as_str() {
            "HS256" => Algorithm::Hs256,
            "EDDSA" => Algorithm::EdDsa,
            _ => return Err(KeyError::Form),
        };
        if !is_id(id) || file.is_empty() {
            return Err(KeyError::Form);
        }
        Ok(Self {
            id: id.to_owned(),
            algorithm,
            file: file.into(),
        })
    }
}

/// Whether this can be the name of a key: it is compared, never opened.
fn is_id(text: &str) -> bool {
    (1..=ID_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// What tokens are checked with.
#[derive(Clone)]
pub enum TokenKey {
    /// A shared secret: who checks tokens can make them too.
    Hs256(hmac::Key),
    /// A public key.
    EdDsa([u8; 32]),
}

/// What tokens are made with.
pub enum SigningKey {
    /// A shared secret.
    Hs256(hmac::Key),
    /// A private key.
    EdDsa(Box<Ed25519KeyPair>),
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm().name())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm().name())
    }
}

impl TokenKey {
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hs256(_) => Algorithm::Hs256,
            Self::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hs256(key) => hmac::verify(key, message, signature).is_ok(),
            Self::EdDsa(key) => {
                let key = signature::UnparsedPublicKey::new(&signature::ED25519, key);
                key.verify(message, signature).is_ok()
            }
        }
    }

    fn load(spec: &KeySpec) -> Result<Self, KeyError> {
        match spec.algorithm {
            Algorithm::Hs256 => Ok(Self::Hs256(shared(&spec.file)?)),
            Algorithm::EdDsa => {
                let what = "Ed25519 public key in PEM (openssl pkey -in KEY -pubout)";
                let kind = || kind(&spec.file, what);
                let pem = read(&spec.file)?;
                let der = SubjectPublicKeyInfoDer::from_pem_slice(&pem).map_err(|_| kind())?;
                let key = der.strip_prefix(&ED25519_SPKI[..]).ok_or_else(kind)?;
                Ok(Self::EdDsa(key.try_into().map_err(|_| kind())?))
            }
        }
    }
}

impl SigningKey {
    /// Reads a key, and its name.
    ///
    /// # Errors
    /// The file, or what is in it.
    pub fn load(spec: &KeySpec) -> Result<(String, Self), KeyError> {
        let key = match spec.algorithm {
            Algorithm::Hs256 => Self::Hs256(shared(&spec.file)?),
            Algorithm::EdDsa => {
                let what = "Ed25519 private key in PEM (openssl genpkey -algorithm ed25519)";
                let kind = || kind(&spec.file, what);
                let pem = read(&spec.file)?;
                let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| kind())?;
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
                    .map_err(|_| kind())?;
                Self::EdDsa(Box::new(pair))
            }
        };
        Ok((spec.id.clone(), key))
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hs256(_) => Algorithm::Hs256,
            Self::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Hs256(key) => hmac::sign(key, message).as_ref().to_vec(),
            Self::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// What checks its tokens.
    pub fn verifier(&self) -> TokenKey {
        match self {
            Self::Hs256(key) => TokenKey::Hs256(key.clone()),
            Self::EdDsa(pair) => {
                let key = pair.public_key().as_ref().try_into();
                TokenKey::EdDsa(key.expect("an Ed25519 public key has 32 bytes"))
            }
        }
    }
}

/// Keys by their names.
#[derive(Debug, Clone, Default)]
pub struct TokenKeys(BTreeMap<String, TokenKey>);

impl TokenKeys {
    /// Reads all of them.
    ///
    /// # Errors
    /// The first one that cannot be used.
    pub fn load(specs: &[KeySpec]) -> Result<Self, KeyError> {
        let mut keys = BTreeMap::new();
        for spec in specs {
            let key = TokenKey::load(spec)?;
            if keys.insert(spec.id.clone(), key).is_some() {
                return Err(KeyError::Twice(spec.id.clone()));
            }
        }
        Ok(Self(keys))
    }

    /// Keys that are known already.
    pub fn new(keys: impl IntoIterator<Item = (String, TokenKey)>) -> Self {
        Self(keys.into_iter().collect())
    }

    pub(super) fn get(&self, id: &str) -> Option<&TokenKey> {
        self.0.get(id)
    }
}

fn shared(path: &Path) -> Result<hmac::Key, KeyError> {
    let bytes = read(path)?;
    // Editors and `openssl rand -hex` end it with a line break.
    let secret = bytes.trim_ascii();
    let what = "HS256 secret: at least 32 bytes, as from `openssl rand -hex 32`, and no PEM";
    if secret.len() < SHORTEST_SECRET || secret.starts_with(b"-----BEGIN") {
        return Err(kind(path, what));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret))
}

fn kind(path: &Path, what: &'static str) -> KeyError {
    let path = path.to_owned();
    KeyError::Kind { path, what }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    use std::io::Read;
    let unreadable = |reason: String| KeyError::File {
        path: path.to_owned(),
        reason,
    };
    let file = fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_what_it_is_and_is_that() {
        for text in [
            "",
            "a",
            "a=",
            "a=HS256",
            "a=HS256:",
            "=HS256:f",
            "a=none:f",
            "a=RS256:f",
            "../a=HS256:f",
            "a b=HS256:f",
        ] {
            assert!(text.parse::<KeySpec>().is_err(), "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        // The pair of RFC 8410 section 10.
        let private = file(
            "private",
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n",
        );
        let public = file(
            "public",
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
        );
        let secret = file("secret", &"a".repeat(32));
        let short = file("short", &"a".repeat(31));
        let rows = [
            ("EdDSA", &public, true, false),
            ("EdDSA", &private, false, true),
            ("EdDSA", &secret, false, false),
            ("HS256", &secret, true, true),
            ("HS256", &short, false, false),
            // What would make a public key a secret that everybody knows.
            ("HS256", &public, false, false),
        ];
        for (algorithm, path, checks, signs) in rows {
            let spec: KeySpec = format!("k={algorithm}:{path}").parse().unwrap();
            assert_eq!(
                TokenKeys::load(std::slice::from_ref(&spec)).is_ok(),
                checks,
                "{spec:?}"
            );
            assert_eq!(SigningKey::load(&spec).is_ok(), signs, "{spec:?}");
        }
        let spec: KeySpec = format!("k=eddsa:{private}").parse().unwrap();
        let (_, key) = SigningKey::load(&spec).unwrap();
        assert!(key.verifier().verifies(b"x", &key.sign(b"x")));
        let spec: KeySpec = format!("k=hs256:{secret}").parse().unwrap();
        assert!(matches!(
            TokenKeys::load(&[spec.clone(), spec]),
            Err(KeyError::Twice(_))
        ));
    }
}
