//! Room numbers of the server's choice: short enough to say aloud, spread so that a guesser who
//! enters rooms at random rarely meets anybody.

use rand::{Rng, RngExt};
use signaling_protocol::RoomName;

/// Digits of the shortest and the longest numbers: 1,000..=9,999 up to 100,000,000..=999,999,999, far
/// more than a server can hold connections.
const DIGITS: std::ops::RangeInclusive<u32> = 4..=9;

/// One number of a space in this many may be taken. Whoever walks through the numbers is slowed down by
/// the limit on joins that find no room; together, a guesser with one address meets somebody about once in
/// three hours, and then has one guess at the words.
const SPARSE: u64 = 1000;

/// How many rooms with a numeric name there are, by number of digits.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    taken: [u32; *DIGITS.end() as usize + 1],
}

impl Numbers {
    /// A room came to be.
    pub(crate) fn add(&mut self, name: &RoomName) {
        if let Some(digits) = digits(name) {
            self.taken[digits] += 1;
        }
    }

    /// A room that was added is gone.
    pub(crate) fn remove(&mut self, name: &RoomName) {
        if let Some(digits) = digits(name) {
            self.taken[digits] -= 1;
        }
    }

    /// A free number from the smallest space that is sparse.
    pub(crate) fn draw(&self, rng: &mut impl Rng, is_free: impl Fn(&RoomName) -> bool) -> RoomName {
        let roomy = |digits: &u32| {
            let space = 9 * 10_u64.pow(digits - 1);
            u64::from(self.taken[*digits as usize]) * SPARSE < space
        };
        let digits = DIGITS.into_iter().find(roomy).unwrap_or(*DIGITS.end());
        // Nearly every draw hits a free number.
        loop {
            let number = rng.random_range(10_u64.pow(digits - 1)..10_u64.pow(digits));
            let name = number.to_string().parse().expect("digits are a room name");
            if is_free(&name) {
                return name;
            }
        }
    }
}

fn digits(name: &RoomName) -> Option<usize> {
    let text = name.as_str();
    let number = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let length = u32::try_from(text.len()).ok()?;
    (number && DIGITS.contains(&length)).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};
    use std::collections::HashSet;

    #[test]
    fn takes_the_smallest_space_that_is_sparse() {
        let mut rng = StdRng::seed_from_u64(7);
        let (mut numbers, mut taken) = (Numbers::default(), HashSet::new());
        for index in 0..200 {
            let name = numbers.draw(&mut rng, |name| !taken.contains(name));
            let expected = match index {
                0..9 => 4,
                9..99 => 5,
                _ => 6,
            };
            assert_eq!(name.as_str().len(), expected, "{index}: {name}");
            numbers.add(&name);
            assert!(taken.insert(name));
        }
        for name in &taken {
            numbers.remove(name);
        }
        assert_eq!(numbers.draw(&mut rng, |_| true).as_str().len(), 4);
    }

    #[test]
    fn only_numbers_as_we_write_them_count() {
        let rows = [
            ("1000", Some(4)),
            ("999", None),
            ("999999999", Some(9)),
            ("7", None),
            ("07", None),
            ("1a", None),
            ("1000000000", None),
        ];
        for (name, expected) in rows {
            assert_eq!(digits(&name.parse().unwrap()), expected, "{name}");
        }
    }
}
