//! The WebRTC dictionaries that signaling carries, in the spelling of the W3C API.

use crate::Secret;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Map, Value};

/// An `RTCIceCandidateInit`, as browsers serialise their candidates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// The candidate attribute, with or without `candidate:` in front; empty for the end of the
    /// candidates of one generation.
    pub candidate: String,
    /// The media section's `a=mid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp_mid: Option<String>,
    /// The media section's index, from 0.
    #[serde(
        default,
        rename = "sdpMLineIndex",
        skip_serializing_if = "Option::is_none"
    )]
    pub sdp_m_line_index: Option<u16>,
    /// The ICE generation that the candidate belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<String>,
}

/// An `RTCIceServer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceServer {
    /// `stun:` and `turn:` URLs. A single string is accepted too, as browsers do.
    #[serde(deserialize_with = "one_or_many")]
    pub urls: Vec<String>,
    /// The user name for TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password for TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Secret>,
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Urls {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Urls::deserialize(deserializer)? {
        Urls::One(url) => vec![url],
        Urls::Many(urls) => urls,
    })
}

/// For `candidate`: an object or `null`, and it must be there. (Derived code alone would also read
/// an array as the fields in order, and a missing field as `None`.)
pub(crate) fn candidate_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<IceCandidate>, D::Error> {
    let object = Option::<Map<String, Value>>::deserialize(deserializer)?;
    object
        .map(|map| serde_json::from_value(Value::Object(map)).map_err(D::Error::custom))
        .transpose()
}
