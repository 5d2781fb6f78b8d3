//! TOML in which every value knows where it stands: what is wrong is told with its line, and a key that nobody knows with
//! the one that was meant. Pure.
//!
//! `serde` reads the single values. Tables are taken apart by hand: a derived reader names neither the line of a key that
//! belongs to another kind of table, nor the key that was meant.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde::de::{DeserializeOwned, IntoDeserializer as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::amount;

/// Keys that differ by this much or more from what was written were not meant (Jaro-Winkler similarity, 0 to 1).
const MEANT: f64 = 0.8;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// From 1 on.
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Where every line of a file begins.
#[derive(Clone, Copy)]
pub(super) struct Source<'t> {
    text: &'t str,
}

impl<'t> Source<'t> {
    fn line(self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    /// What is written there, in one line.
    fn excerpt(self, span: Range<usize>) -> String {
        let text = self.text.get(span).unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ")
    }

    fn problem(self, offset: usize, message: impl Into<String>) -> Problem {
        Problem {
            line: self.line(offset),
            message: message.into(),
        }
    }
}

/// A table that is being taken apart.
pub(super) struct Table<'t> {
    source: Source<'t>,
    /// What it describes, with an article.
    what: String,
    span: Range<usize>,
    entries: DeTable<'t>,
    known: Vec<&'static str>,
}

/// Reads a whole file.
pub(super) fn parse(text: &str) -> Result<Table<'_>, Problem> {
    let source = Source { text };
    let table = DeTable::parse(text).map_err(|error| problem_of(source, 0, &error))?;
    Ok(Table {
        source,
        what: "a scenario".into(),
        span: 0..text.len(),
        entries: table.into_inner(),
        known: Vec::new(),
    })
}

fn problem_of(source: Source<'_>, otherwise: usize, error: &toml::de::Error) -> Problem {
    let offset = error.span().map_or(otherwise, |span| span.start);
    source.problem(offset, error.message().trim_end().replace('\n', ", "))
}

impl<'t> Table<'t> {
    /// Its line.
    pub(super) fn line(&self) -> usize {
        self.source.line(self.span.start)
    }

    /// As it is written, in one line.
    pub(super) fn excerpt(&self) -> String {
        self.source.excerpt(self.span.clone())
    }

    /// It describes this, from now on: messages say so.
    pub(super) fn describes(&mut self, what: impl Into<String>) {
        self.what = what.into();
    }

    /// The names in it, in the order of the file.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.entries.keys().collect();
        names.sort_by_key(|name| name.span().start);
        names
            .iter()
            .map(|name| name.get_ref().to_string())
            .collect()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Takes a value out; one that is not there is known from now on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'t>> {
        self.known.push(key);
        self.take_named(key)
    }

    /// As [`take`](Self::take), of a table whose names are the user's own.
    pub(super) fn take_named(&mut self, name: &str) -> Option<Value<'t>> {
        let (key, value) = self.entries.remove_entry(name)?;
        Some(Value {
            source: self.source,
            key: name.to_owned(),
            at: key.span().start,
            value,
        })
    }

    /// Takes a value out that has to be there.
    pub(super) fn need(&mut self, key: &'static str) -> Result<Value<'t>, Problem> {
        let what = self.what.clone();
        self.take(key)
            .ok_or_else(|| self.problem(format!("{what} needs `{key}`")))
    }

    /// Something is wrong with it as a whole.
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        self.source.problem(self.span.start, message)
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<(), Problem> {
        let Some(key) = self.entries.keys().min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let name = key.get_ref();
        let mut known = self.known;
        known.sort_unstable();
        known.dedup();
        let advice = match nearest(name, &known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("it can have {}", listed(&known)),
        };
        let message = format!("`{name}` is no key of {}; {advice}", self.what);
        Err(self.source.problem(key.span().start, message))
    }
}

/// One value.
pub(super) struct Value<'t> {
    source: Source<'t>,
    key: String,
    at: usize,
    value: Spanned<DeValue<'t>>,
}

impl<'t> Value<'t> {
    /// The line of its key.
    pub(super) fn line(&self) -> usize {
        self.source.line(self.at)
    }

    /// Something is wrong with it.
    pub(super) fn problem(&self, message: impl fmt::Display) -> Problem {
        self.source.problem(
            self.value.span().start,
            format!("`{}`: {message}", self.key),
        )
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::String(_))
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Integer(_))
    }

    /// As `serde` reads it.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, Problem> {
        let (source, start) = (self.source, self.value.span().start);
        let key = self.key;
        T::deserialize(self.value.into_deserializer()).map_err(|error| {
            let problem = problem_of(source, start, &error);
            Problem {
                message: format!("`{key}`: {}", problem.message),
                ..problem
            }
        })
    }

    /// Text that means something.
    pub(super) fn parsed<T>(
        self,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Problem> {
        let problem = self.problem("");
        let key = self.key.clone();
        let text: String = self.read()?;
        parse(&text).map_err(|reason| Problem {
            message: format!("`{key}`: '{text}' cannot be used: {reason}"),
            ..problem
        })
    }

    /// `500ms`, `3s`, `2min`.
    pub(super) fn duration(self) -> Result<Duration, Problem> {
        self.parsed(duration)
    }

    /// `4MiB`.
    pub(super) fn size(self) -> Result<u64, Problem> {
        self.parsed(amount::size)
    }

    /// A number from 0 to 1.
    pub(super) fn share(self) -> Result<f64, Problem> {
        let problem = self.problem("it is a share, from 0 to 1 (0.05 is 5 %)");
        let share: f64 = match self.is_whole() {
            true => self.read::<u32>()?.into(),
            false => self.read()?,
        };
        match (0.0..=1.0).contains(&share) {
            true => Ok(share),
            false => Err(problem),
        }
    }

    /// A table of its own.
    pub(super) fn table(self, what: impl Into<String>) -> Result<Table<'t>, Problem> {
        let problem = self.problem("it has to be a table");
        let span = self.value.span();
        match self.value.into_inner() {
            DeValue::Table(entries) => Ok(Table {
                source: self.source,
                what: what.into(),
                // The span of a table with a header of its own is that header.
                span,
                entries,
                known: Vec::new(),
            }),
            _ => Err(problem),
        }
    }

    /// Each of a list.
    pub(super) fn list(self) -> Result<Vec<Self>, Problem> {
        let problem = self.problem("it has to be a list");
        let (source, key) = (self.source, self.key);
        let DeValue::Array(values) = self.value.into_inner() else {
            return Err(problem);
        };
        let each = values.into_iter().map(|value| Self {
            source,
            key: key.clone(),
            at: value.span().start,
            value,
        });
        Ok(each.collect())
    }
}

/// What was probably meant by a word.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let alike = known
        .iter()
        .map(|known| (strsim::jaro_winkler(word, known), *known))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (alike.0 >= MEANT).then_some(alike.1)
}

/// "`a`, `b` and `c`".
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "nothing".into(),
    }
}

/// A time as people write it: a number and `ms`, `s` or `min`.
fn duration(text: &str) -> Result<Duration, String> {
    /// Nobody waits longer for a test.
    const MOST: f64 = 86_400.0;
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim() {
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        _ => return Err("write a number with ms, s or min".into()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "it does not begin with a number".to_owned())?;
    match number * factor {
        seconds if seconds <= MOST => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("it is longer than a day".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let text = "one = 1\n\ntwo = \"x\"\nthree = 0.5\nfourth = 1\n";
        let mut table = parse(text).unwrap();
        assert_eq!(table.take("one").unwrap().read::<u8>(), Ok(1));
        let two = table.take("two").unwrap().read::<u8>().unwrap_err();
        assert_eq!(two.line, 3);
        assert!(two.message.starts_with("`two`: invalid type"), "{two}");
        assert_eq!(table.take("three").unwrap().share(), Ok(0.5));
        assert!(table.take("four").is_none());
        let unknown = table.finish().unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "line 5: `fourth` is no key of a scenario; did you mean `four`?"
        );
    }

    #[test]
    fn what_is_like_nothing_is_told_what_there_is() {
        let mut table = parse("zzz = 1").unwrap();
        table.take("b");
        table.take("a");
        let unknown = table.finish().unwrap_err();
        assert_eq!(
            unknown.message,
            "`zzz` is no key of a scenario; it can have `a` and `b`"
        );
    }

    #[test]
    fn what_is_not_toml_has_a_line_too() {
        let problem = parse("a = 1\nb = [").err().unwrap();
        assert_eq!(problem.line, 2, "{problem}");
        let twice = parse("a = 1\na = 2").err().unwrap();
        assert_eq!(twice.line, 2, "{twice}");
    }

    #[test]
    fn times_as_they_are_written() {
        for (text, millis) in [
            ("0s", 0),
            ("1.5s", 1500),
            ("250ms", 250),
            (" 2 min", 120_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "3", "1h", "-1s", "1e9s", "2000000s", "1.2.3s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_between_none_and_all() {
        let share = |text: &str| {
            let text = format!("loss = {text}");
            parse(&text).unwrap().take("loss").unwrap().share()
        };
        assert_eq!(share("0"), Ok(0.0));
        assert_eq!(share("1"), Ok(1.0));
        assert_eq!(share("0.25"), Ok(0.25));
        for wrong in ["1.01", "2", "-0.1", "nan", "\"0.1\""] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
