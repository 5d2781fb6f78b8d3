//! CPace, suite CPACE-RISTR255-SHA512, initiator-responder: draft-irtf-cfrg-cpace.
//!
//! The guest is party A, the host is party B. `tests/vectors/cpace.json` holds the draft's vectors.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

const DSI: &[u8] = b"CPaceRistretto255";
const DSI_ISK: &[u8] = b"CPaceRistretto255_ISK";

/// Input block of SHA-512 in bytes.
const BLOCK: usize = 128;

/// An encoded group element, as it is sent.
pub(super) type Point = [u8; 32];

/// A party's secret scalar and the share that it sends.
pub(super) struct Secret {
    scalar: Zeroizing<Scalar>,
    /// Ya or Yb.
    pub(super) share: Point,
}

impl Secret {
    /// A fresh secret over the generator that the password, the channel identifier and sid give.
    pub(super) fn random(password: &[u8], channel: &[u8], sid: &[u8]) -> Self {
        Self::from_bytes(Zeroizing::new(rand::random()), password, channel, sid)
    }

    /// The draft's `sample_scalar`: little-endian, bits above the 252 of the group order cleared.
    pub(super) fn from_bytes(
        mut bytes: Zeroizing<[u8; 32]>,
        password: &[u8],
        channel: &[u8],
        sid: &[u8],
    ) -> Self {
        bytes[31] &= 0x0f;
        let scalar = Zeroizing::new(Scalar::from_bytes_mod_order(*bytes));
        let share = (generator(password, channel, sid) * *scalar)
            .compress()
            .to_bytes();
        Self { scalar, share }
    }

    /// The draft's `scalar_mult_vfy`: K, or nothing when `share` is no canonical encoding or the product is
    /// the identity. Both mean that the other party must not be trusted.
    pub(super) fn product(&self, share: &Point) -> Option<Zeroizing<Point>> {
        let product = CompressedRistretto(*share).decompress()? * *self.scalar;
        (!product.is_identity()).then(|| Zeroizing::new(product.compress().to_bytes()))
    }
}

/// The intermediate session key of K and both messages.
pub(super) fn session_key(
    sid: &[u8],
    product: &Point,
    share_a: &Point,
    data_a: &[u8],
    share_b: &Point,
    data_b: &[u8],
) -> Zeroizing<[u8; 64]> {
    let input = Zeroizing::new(prefixed(&[
        DSI_ISK, sid, product, share_a, data_a, share_b, data_b,
    ]));
    Zeroizing::new(Sha512::digest(&input).into())
}

/// The draft's `lv_cat`: each part behind its length in LEB128.
pub(super) fn prefixed(parts: &[&[u8]]) -> Vec<u8> {
    // Two bytes of length are enough for parts under 16 KiB; reserving keeps copies of secrets from being
    // left behind by a growing vector.
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 2).sum());
    for part in parts {
        let mut length = part.len();
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(part);
    }
    out
}

fn generator(password: &[u8], channel: &[u8], sid: &[u8]) -> RistrettoPoint {
    // Lengths below 128 take one byte; the padding fills the first block whatever the password's length.
    let encoded = |part: &[u8]| part.len() + if part.len() < 0x80 { 1 } else { 2 };
    let padding = [0; BLOCK];
    let padding_length = BLOCK.saturating_sub(1 + encoded(password) + encoded(DSI));
    let input = Zeroizing::new(prefixed(&[
        DSI,
        password,
        &padding[..padding_length],
        channel,
        sid,
    ]));
    let hash: Zeroizing<[u8; 64]> = Zeroizing::new(Sha512::digest(&input).into());
    RistrettoPoint::from_uniform_bytes(&hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Vectors {
        #[serde(rename = "prependLen")]
        prepend_len: Vec<[String; 2]>,
        agreement: Agreement,
        product: Product,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Agreement {
        prs: String,
        ci: String,
        sid: String,
        generator: String,
        scalar_a: String,
        ad_a: String,
        share_a: String,
        scalar_b: String,
        ad_b: String,
        share_b: String,
        k: String,
        isk_initiator_responder: String,
    }

    #[derive(Deserialize)]
    struct Product {
        scalar: String,
        valid: Vec<[String; 2]>,
        invalid: Vec<String>,
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../../tests/vectors/cpace.json")).unwrap()
    }

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    #[test]
    fn lengths_are_written_as_in_the_draft() {
        for [input, output] in vectors().prepend_len {
            assert_eq!(
                hex::encode(prefixed(&[&hex::decode(input).unwrap()])),
                output
            );
        }
    }

    #[test]
    fn the_agreement_of_the_draft_comes_out() {
        let v = vectors().agreement;
        let [prs, ci, sid, ad_a, ad_b] =
            [v.prs, v.ci, v.sid, v.ad_a, v.ad_b].map(|text| hex::decode(text).unwrap());
        assert_eq!(
            hex::encode(generator(&prs, &ci, &sid).compress().to_bytes()),
            v.generator
        );
        let secret = |text: &str| Secret::from_bytes(Zeroizing::new(bytes(text)), &prs, &ci, &sid);
        let (a, b) = (secret(&v.scalar_a), secret(&v.scalar_b));
        assert_eq!(hex::encode(a.share), v.share_a);
        assert_eq!(hex::encode(b.share), v.share_b);
        let (of_a, of_b) = (a.product(&b.share).unwrap(), b.product(&a.share).unwrap());
        assert_eq!(of_a, of_b);
        assert_eq!(hex::encode(*of_a), v.k);
        let key = session_key(&sid, &of_a, &a.share, &ad_a, &b.share, &ad_b);
        assert_eq!(hex::encode(*key), v.isk_initiator_responder);
    }

    #[test]
    fn products_of_valid_points_come_out_and_invalid_ones_are_refused() {
        let v = vectors().product;
        let scalar = Zeroizing::new(Scalar::from_bytes_mod_order(bytes(&v.scalar)));
        let secret = Secret {
            scalar,
            share: [0; 32],
        };
        for [point, product] in &v.valid {
            assert_eq!(
                hex::encode(*secret.product(&bytes(point)).unwrap()),
                *product
            );
        }
        assert!(v.invalid.len() >= 2);
        for point in &v.invalid {
            assert_eq!(secret.product(&bytes(point)), None, "{point}");
        }
    }
}
