//! Secrets of 32 bytes: each has its own type, is wiped when dropped, and is shown only when asked to.

use super::identity::KeyError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Reads 32 bytes of base64url.
pub(super) fn from_text(text: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError)?);
    let bytes = bytes.as_slice().try_into().map_err(|_| KeyError)?;
    Ok(Zeroizing::new(bytes))
}

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(Zeroizing<[u8; 32]>);

        impl $name {
            /// As text, in base64url, to be kept where nobody else can read it.
            pub fn reveal(&self) -> Zeroizing<String> {
                Zeroizing::new(URL_SAFE_NO_PAD.encode(&*self.0))
            }

            pub(super) fn bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(Zeroizing::new(bytes))
            }
        }

        impl FromStr for $name {
            type Err = KeyError;

            fn from_str(text: &str) -> Result<Self, KeyError> {
                from_text(text).map(Self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

secret! {
    /// The private key of a device (RFC 8032 section 5.1.5).
    Seed
}
secret! {
    /// Where a device waits. Known to those to whom it was told, who find it by that.
    Inbox
}
secret! {
    /// What two devices agreed on when they were introduced. Known to nobody else.
    PairSecret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_back_and_not_shown() {
        let secret = PairSecret::from([9; 32]);
        assert_eq!(secret.reveal().parse(), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "PairSecret(…)");
        assert_eq!("AAAA".parse::<Seed>(), Err(KeyError));
    }
}
