//! Sizes and rates as people type them: `2GiB`, `500 MB`, `5MiB/s`, `40Mbit`. Pure.

use std::num::NonZeroU64;

/// Smallest rate: below 1 KiB a second a typing mistake is likelier than patience.
const LEAST_RATE: u64 = 1024;

const UNITS: &str = "write a number with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB";

/// A number of bytes. `K`, `M`, `G` and `T` alone are binary, as for most programs.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor = bytes(unit).ok_or_else(|| unknown(unit, UNITS))?;
    scaled(number, factor)
}

/// Bytes a second, from bytes or bits, with or without `/s`.
pub(crate) fn rate(text: &str) -> Result<NonZeroU64, String> {
    let text = text.trim();
    let (number, unit) = split(text.strip_suffix("/s").unwrap_or(text))?;
    let bits = unit.strip_suffix("bit").map(|prefix| match prefix {
        "" => Some(1.0),
        "k" | "K" => Some(1e3),
        "M" | "m" => Some(1e6),
        "G" | "g" => Some(1e9),
        _ => None,
    });
    let factor = match bits {
        Some(bits) => bits.map(|bits| bits / 8.0),
        None => bytes(unit),
    };
    let units = format!("{UNITS}, or kbit, Mbit or Gbit");
    let rate = scaled(number, factor.ok_or_else(|| unknown(unit, &units))?)?;
    match NonZeroU64::new(rate) {
        Some(rate) if rate.get() >= LEAST_RATE => Ok(rate),
        _ => Err("it is less than 1 KiB a second".to_owned()),
    }
}

fn split(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number
        .parse()
        .map_err(|_| "it does not begin with a number".to_owned())?;
    Ok((number, unit.trim()))
}

fn bytes(unit: &str) -> Option<f64> {
    const BINARY: f64 = 1024.0;
    const DECIMAL: f64 = 1000.0;
    if matches!(unit, "" | "B" | "b") {
        return Some(1.0);
    }
    let mut letters = unit.chars();
    let power = match letters.next()?.to_ascii_lowercase() {
        'k' => 1,
        'm' => 2,
        'g' => 3,
        't' => 4,
        _ => return None,
    };
    let rest = letters.as_str();
    let base = match rest {
        "" | "i" | "iB" | "ib" => BINARY,
        "B" => DECIMAL,
        // `kb`, but not `Mb`, which some read as bits.
        "b" if unit.starts_with(|c: char| c.is_ascii_lowercase()) => DECIMAL,
        _ => return None,
    };
    Some(base.powi(power))
}

fn unknown(unit: &str, units: &str) -> String {
    format!("'{unit}' is no unit; {units}")
}

fn scaled(number: f64, factor: f64) -> Result<u64, String> {
    /// The largest number of bytes that the protocol carries.
    const MOST: f64 = (1u64 << 53) as f64;
    let bytes = number * factor;
    if bytes <= MOST {
        Ok(bytes as u64)
    } else {
        Err("it is too large".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_they_are_typed() {
        for (text, bytes) in [
            ("0", 0),
            ("1500", 1500),
            ("1500B", 1500),
            ("2GiB", 2 << 30),
            ("2G", 2 << 30),
            ("2 GB", 2_000_000_000),
            ("1.5kB", 1500),
            ("1.5k", 1536),
            (" 500 mb ", 500_000_000),
            ("1TiB", 1 << 40),
            ("8PiB", 0),
            ("9007199254740992", 1 << 53),
        ] {
            match text {
                "8PiB" => assert!(size(text).is_err()),
                _ => assert_eq!(size(text), Ok(bytes), "{text}"),
            }
        }
    }

    #[test]
    fn rates_in_bytes_and_bits() {
        for (text, bytes) in [
            ("5MiB", 5 << 20),
            ("5MiB/s", 5 << 20),
            ("5M", 5 << 20),
            ("40Mbit", 5_000_000),
            ("40 Mbit/s", 5_000_000),
            ("100kbit", 12_500),
            ("0.5MB", 500_000),
            ("1024", 1024),
        ] {
            assert_eq!(rate(text).map(NonZeroU64::get), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_neither_says_what_to_write() {
        for (text, reason) in [
            ("", "does not begin with a number"),
            ("-1", "does not begin with a number"),
            ("fast", "does not begin with a number"),
            ("1.2.3", "does not begin with a number"),
            (".", "does not begin with a number"),
            ("1e9", "'e9' is no unit"),
            ("5Mb", "'Mb' is no unit"),
            ("5 MiB", ""),
            ("99999999999999999999", "too large"),
            ("9007199254740994", "too large"),
        ] {
            match reason {
                "" => assert!(size(text).is_ok()),
                reason => {
                    let error = size(text).expect_err(text);
                    assert!(error.contains(reason), "{text:?}: {error}");
                }
            }
        }
        for (text, reason) in [
            ("0", "less than 1 KiB"),
            ("1023", "less than 1 KiB"),
            ("8kbit", "less than 1 KiB"),
            ("5Mb", "kbit, Mbit or Gbit"),
            ("5Tbit", "'Tbit' is no unit"),
            ("5MiB/h", "'MiB/h' is no unit"),
        ] {
            let error = rate(text).expect_err(text);
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
