//! What is accepted without a person: the rules of `--accept`. Pure.

use std::str::FromStr;

use globset::{Glob, GlobBuilder};
use peerline::transfer::Manifest;

use crate::ui::Bytes;

/// One of the rules, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Everything.
    All,
    /// What no other rule takes, a person decides about.
    Ask,
    /// Names that match.
    Names(Glob),
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Self::All),
            "ask" => Ok(Self::Ask),
            other => {
                let Some(pattern) = other.strip_prefix("names:") else {
                    return Err("a policy is all, ask or names:GLOB".to_owned());
                };
                if pattern.is_empty() || pattern.contains('/') {
                    return Err("a name is not empty and has no '/'".to_owned());
                }
                let glob = GlobBuilder::new(pattern).literal_separator(true).build();
                glob.map(Self::Names)
                    .map_err(|error| format!("'{pattern}' is not a pattern: {}", error.kind()))
            }
        }
    }
}

/// All rules together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    names: Vec<Glob>,
    /// For what no name matches.
    otherwise: Otherwise,
    /// Most bytes.
    most: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Otherwise {
    Accept,
    Ask,
    Decline,
}

/// What becomes of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is taken.
    Accept,
    /// A person decides.
    Ask,
    /// It is not, for a reason in words for the sender.
    Decline(String),
}

impl Policy {
    /// From the rules, at least one, and the most bytes of an offer. `Err` says which rules contradict each
    /// other.
    pub(super) fn new(rules: &[Rule], most: Option<u64>) -> Result<Self, &'static str> {
        let all = rules.contains(&Rule::All);
        if all && rules.len() > 1 {
            return Err("'all' leaves nothing to other rules");
        }
        let otherwise = match (all, rules.contains(&Rule::Ask)) {
            (true, _) => Otherwise::Accept,
            (_, true) => Otherwise::Ask,
            _ => Otherwise::Decline,
        };
        let names = rules.iter().filter_map(|rule| match rule {
            Rule::Names(glob) => Some(glob.clone()),
            Rule::All | Rule::Ask => None,
        });
        Ok(Self {
            names: names.collect(),
            otherwise,
            most,
        })
    }

    /// Whether a person may have to decide.
    pub(super) fn may_ask(&self) -> bool {
        self.otherwise == Otherwise::Ask
    }

    /// Most bytes, also of what tells its size at its end only.
    pub(super) fn most(&self) -> Option<u64> {
        self.most
    }

    /// Decides about an offer. All names at its top must match; what is below a directory follows it.
    pub(super) fn judge(&self, manifest: &Manifest) -> Verdict {
        if let Some(most) = self.most.filter(|most| manifest.bytes() > *most) {
            return Verdict::Decline(format!("they take at most {}", Bytes(most)));
        }
        let matchers: Vec<_> = self.names.iter().map(Glob::compile_matcher).collect();
        let matches = |name: &&str| matchers.iter().any(|matcher| matcher.is_match(name));
        if !matchers.is_empty() && manifest.top_level().iter().all(matches) {
            return Verdict::Accept;
        }
        match self.otherwise {
            Otherwise::Accept => Verdict::Accept,
            Otherwise::Ask => Verdict::Ask,
            Otherwise::Decline => {
                let patterns: Vec<_> = self.names.iter().map(Glob::glob).collect();
                Verdict::Decline(format!("they take only {}", patterns.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use peerline::transfer::{BlockSize, Entry, Kind, SafePath};

    use super::*;

    fn manifest(entries: &[(&str, Option<u64>)]) -> Manifest {
        let entries = entries.iter().map(|(path, size)| Entry {
            path: SafePath::parse(path).unwrap(),
            kind: size.map_or(Kind::Directory, |size| Kind::File { size }),
            mtime: None,
            mode: None,
        });
        Manifest::new("t", BlockSize::for_largest(0), entries.collect()).unwrap()
    }

    fn policy(rules: &str, most: Option<u64>) -> Policy {
        let rules: Result<Vec<Rule>, _> = rules.split(',').map(str::parse).collect();
        Policy::new(&rules.unwrap(), most).unwrap()
    }

    #[test]
    fn rules_decide_by_the_names_at_the_top_and_the_size() {
        use Verdict::{Accept, Ask};
        let photo = manifest(&[("a.jpg", Some(100))]);
        let two = manifest(&[("a.jpg", Some(1)), ("b.txt", Some(1))]);
        let tree = manifest(&[("trip", None), ("trip/a.exe", Some(1))]);
        for (rules, offer, expected) in [
            ("all", &two, Accept),
            ("ask", &photo, Ask),
            ("names:*.jpg", &photo, Accept),
            ("names:*.JPG,ask", &photo, Ask),
            ("names:*.jpg,ask", &two, Ask),
            ("names:*.jpg,names:?.txt", &two, Accept),
            ("names:trip", &tree, Accept),
            (
                "names:*.exe",
                &tree,
                Verdict::Decline("they take only *.exe".to_owned()),
            ),
            (
                "names:*.jpg, names:b*",
                &tree,
                Verdict::Decline("they take only *.jpg, b*".to_owned()),
            ),
        ] {
            assert_eq!(policy(rules, None).judge(offer), expected, "{rules}");
            let small = policy(rules, Some(0)).judge(offer);
            assert_eq!(small, Verdict::Decline("they take at most 0 B".to_owned()));
        }
        assert_eq!(policy("all", Some(100)).judge(&photo), Accept);
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for (text, reason) in [
            ("", "all, ask or names:GLOB"),
            ("some", "all, ask or names:GLOB"),
            ("names:", "not empty"),
            ("names:a/b", "no '/'"),
            ("names:[a", "'[a' is not a pattern"),
        ] {
            let error = text.parse::<Rule>().expect_err(text);
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        assert!(Policy::new(&[Rule::All, Rule::Ask], None).is_err());
    }
}
