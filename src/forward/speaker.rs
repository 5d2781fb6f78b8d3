//! Who is speaking, by the levels that members send with their sound (RFC 6464).
//!
//! Pure. Each level is smoothed, so that a knock is no speech. Whoever speaks stays the speaker until somebody else has
//! been louder for a while: people pause, and those who only say "yes" do not take over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How fast a smoothed level follows: a syllable.
const SMOOTHING: Duration = Duration::from_millis(300);

/// Quieter than this, in dB below the loudest possible, is no speech.
const SILENCE: f32 = 50.0;

/// How much louder than the speaker somebody else has to be, and for how long.
const MARGIN: f32 = 6.0;
const TAKEOVER: Duration = Duration::from_millis(700);

/// Whoever sends nothing for so long is not heard: muted, or gone without a word.
const QUIET: Duration = Duration::from_secs(1);

/// Names that are remembered; rooms are smaller.
const MEMBERS: usize = 256;

#[derive(Debug)]
struct Voice {
    /// dB below the loudest possible, smoothed.
    level: f32,
    heard: Instant,
    /// Since when it is louder than the speaker.
    louder: Option<Instant>,
}

/// The members of a room that are heard. `M` names them.
#[derive(Debug)]
pub struct Speakers<M> {
    voices: BTreeMap<M, Voice>,
    speaker: Option<M>,
}

impl<M> Default for Speakers<M> {
    fn default() -> Self {
        Self {
            voices: BTreeMap::new(),
            speaker: None,
        }
    }
}

impl<M: Ord + Clone> Speakers<M> {
    /// A packet of sound of this member had that level, in dB below the loudest possible (0 to 127). Returns who
    /// is the speaker from now on, if that is somebody else.
    pub fn heard(&mut self, now: Instant, member: &M, level: u8) -> Option<M> {
        let level = f32::from(level.min(127));
        if self.voices.len() == MEMBERS && !self.voices.contains_key(member) {
            return None;
        }
        let voice = self.voices.entry(member.clone()).or_insert(Voice {
            level: 127.0,
            heard: now,
            louder: None,
        });
        let passed = now.saturating_duration_since(voice.heard).min(SMOOTHING);
        let weight = passed.as_secs_f32() / SMOOTHING.as_secs_f32();
        voice.level += (level - voice.level) * weight;
        voice.heard = now;
        let floor = self.level_of_speaker(now) - MARGIN;
        if self.speaker.as_ref() == Some(member) {
            return None;
        }
        let voice = self.voices.get_mut(member)?;
        if voice.level > SILENCE || voice.level > floor {
            voice.louder = None;
            return None;
        }
        let since = *voice.louder.get_or_insert(now);
        if now.saturating_duration_since(since) < TAKEOVER {
            return None;
        }
        voice.louder = None;
        self.speaker = Some(member.clone());
        self.speaker.clone()
    }

    /// A member is gone. The speaker stays unnamed until somebody speaks.
    pub fn left(&mut self, member: &M) {
        self.voices.remove(member);
        if self.speaker.as_ref() == Some(member) {
            self.speaker = None;
        }
    }

    /// Who speaks, or spoke last.
    pub fn speaker(&self) -> Option<&M> {
        self.speaker.as_ref()
    }

    /// Infinitely quiet if nobody speaks.
    fn level_of_speaker(&self, now: Instant) -> f32 {
        let voice = self.speaker.as_ref().and_then(|name| self.voices.get(name));
        match voice {
            Some(voice) if now.saturating_duration_since(voice.heard) < QUIET => voice.level,
            _ => f32::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members with their levels, each for so many packets of 20 ms; returns who spoke from which packet on.
    fn run(parts: &[(&[(&'static str, u8)], u32)]) -> Vec<(&'static str, u32)> {
        let start = Instant::now();
        let mut speakers = Speakers::default();
        let mut packet = 0;
        let mut out = Vec::new();
        for (levels, packets) in parts {
            for _ in 0..*packets {
                packet += 1;
                let now = start + packet * Duration::from_millis(20);
                for (member, level) in *levels {
                    out.extend(speakers.heard(now, member, *level).map(|who| (who, packet)));
                }
            }
        }
        out
    }

    #[test]
    fn a_speaker_takes_over_by_speaking_for_a_while() {
        let spoke = run(&[
            (&[("a", 127), ("b", 127)], 100),
            (&[("a", 30), ("b", 127)], 100),
            // A word of agreement.
            (&[("a", 30), ("b", 25)], 20),
            // A pause of the speaker.
            (&[("a", 127), ("b", 127)], 100),
            (&[("a", 127), ("b", 30)], 100),
        ]);
        let names: Vec<_> = spoke.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["a", "b"], "{spoke:?}");
        assert!((130..180).contains(&spoke[0].1), "{spoke:?}");
        assert!((350..400).contains(&spoke[1].1), "{spoke:?}");
    }

    #[test]
    fn equals_do_not_take_turns() {
        let spoke = run(&[(&[("a", 30), ("b", 28)], 1_000)]);
        assert_eq!(spoke.len(), 1, "{spoke:?}");
    }

    #[test]
    fn a_knock_is_no_speech() {
        assert_eq!(
            run(&[(&[("a", 127)], 50), (&[("a", 5)], 10), (&[("a", 127)], 50)]),
            []
        );
    }

    #[test]
    fn whoever_is_not_heard_any_more_is_followed_by_anybody() {
        let spoke = run(&[(&[("a", 10)], 100), (&[("b", 40)], 150)]);
        assert_eq!(spoke.len(), 2, "{spoke:?}");
        let mut speakers = Speakers::default();
        let start = Instant::now();
        for packet in 0..100 {
            speakers.heard(start + packet * Duration::from_millis(20), &"a", 10);
        }
        assert_eq!(speakers.speaker(), Some(&"a"));
        speakers.left(&"a");
        assert_eq!(speakers.speaker(), None);
    }
}
