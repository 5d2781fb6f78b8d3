//! Certificates that nobody but themselves has signed.

use super::TlsError;
use rcgen::{CertificateParams, DnType, KeyPair};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    time::{Duration, SystemTime},
};

/// How long a certificate that signed itself is good: until somebody tidies up.
const SELF_SIGNED_DAYS: i64 = 365;

/// How much of that is over when it is made anew.
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * 86_400);

/// Whether a certificate that was kept is good for some time yet, as far as its file's age says.
pub(super) fn is_fresh(path: &Path) -> bool {
    let lifetime = Duration::from_secs(SELF_SIGNED_DAYS.unsigned_abs() * 86_400) - RENEWED_BEFORE;
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|made| made.elapsed().is_ok_and(|age| age < lifetime))
}

/// A certificate and its key in PEM.
pub(super) fn make(names: &[String]) -> Result<(String, String), TlsError> {
    let failed = |error: rcgen::Error| TlsError::Make(error.to_string());
    let mut subjects: Vec<String> = vec!["localhost".to_owned()];
    subjects.extend(own_names());
    subjects.extend(names.iter().cloned());
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    subjects.extend(loopback.map(|ip| ip.to_string()));
    subjects.extend(crate::turn::own_addresses().map(|ip| ip.to_string()));
    let mut seen = std::collections::HashSet::new();
    subjects.retain(|name| seen.insert(name.clone()));
    let mut params = CertificateParams::new(subjects).map_err(failed)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Peerline, self-signed");
    let now = rcgen::date_time_ymd(1970, 1, 1)
        + SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
    let day = Duration::from_secs(86_400);
    params.not_before = now - day;
    params.not_after = now + day * u32::try_from(SELF_SIGNED_DAYS).unwrap_or(1);
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// This machine's name, alone and as others on the network may know it.
fn own_names() -> Vec<String> {
    #[cfg(unix)]
    {
        let name = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let usable = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        if usable {
            let local = format!("{name}.local");
            return if name.contains('.') {
                vec![name]
            } else {
                vec![name, local]
            };
        }
    }
    Vec::new()
}
