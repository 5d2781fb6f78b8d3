//! What the targets of `fuzz/` for this program do; they include the modules that it needs. `docs/testing.md`
//! says how they are run.

use std::net::{Ipv4Addr, SocketAddr};

use crate::address::IceUrl;
use crate::amount;
use crate::devices::DeviceName;
use crate::invitation::{Recipient, Target, shell_word};
use crate::scenario;
use crate::stun;

/// A word of the command line.
pub(crate) fn command_line(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(bytes) = amount::size(text) {
        assert_eq!(amount::size(&bytes.to_string()), Ok(bytes));
    }
    if let Ok(rate) = amount::rate(text) {
        assert_eq!(amount::rate(&rate.to_string()), Ok(rate));
    }
    if let Ok(url) = IceUrl::stun(text).or_else(|_| IceUrl::turn(text)) {
        assert_eq!(url.as_str(), text);
    }
    if let Ok(name) = text.parse::<DeviceName>() {
        assert_eq!(name.to_string().parse(), Ok(name));
        assert!(text.parse::<Target>().is_err(), "a code and a device");
    }
    if let Ok(Recipient::Code(target)) = text.parse() {
        assert_eq!(
            target
                .code
                .to_string()
                .parse::<Target>()
                .map(|same| same.code),
            Ok(target.code)
        );
    }
    assert_eq!(said_by_a_shell(&shell_word(text)).as_deref(), Some(text));
}

/// What a shell makes of one word of plain characters, quotes and `\'`.
fn said_by_a_shell(word: &str) -> Option<String> {
    let (mut said, mut quoted) = (String::new(), false);
    let mut letters = word.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => quoted = !quoted,
            _ if quoted => said.push(letter),
            '\\' => said.push(letters.next()?),
            _ if letter.is_ascii_alphanumeric() || "-_./:@%+,".contains(letter) => {
                said.push(letter)
            }
            _ => return None,
        }
    }
    (!quoted && !word.is_empty()).then_some(said)
}

/// A scenario file.
pub(crate) fn scenario_file(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    match scenario::read(text, None) {
        Ok(read) => {
            let seeded = scenario::read(text, Some(7)).expect("a seed is not part of the file");
            assert_eq!(seeded.seed, 7);
            assert_eq!(seeded.steps.len(), read.steps.len());
            for line in &read.lines {
                assert!(line.ends[0] != line.ends[1]);
                assert!(line.ends.iter().all(|end| *end < read.peers.len()));
            }
        }
        Err(problem) => {
            let lines = text.lines().count().max(1);
            assert!((1..=lines + 1).contains(&problem.line), "{problem}");
        }
    }
}

/// A datagram that is a question or an answer of STUN.
pub(crate) fn stun_datagram(data: &[u8]) {
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let _ = stun::mapped(data);
    for index in 0..4 {
        if let Some((by, answer)) = stun::response(data, from, index) {
            assert!(by < 4);
            let (_, seen) = stun::mapped(&answer).expect("our own answer");
            assert_eq!(seen, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    type Target = (&'static str, fn(&[u8]));

    /// Seeds and earlier finds.
    #[test]
    fn the_kept_corpus_passes() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let targets: [Target; 3] = [
            ("command_line", super::command_line),
            ("scenario_file", super::scenario_file),
            ("stun_datagram", super::stun_datagram),
        ];
        for (name, target) in targets {
            let kept = fs::read_dir(corpus.join(name)).expect(name);
            let kept: Vec<_> = kept.map(|entry| entry.unwrap().path()).collect();
            assert!(!kept.is_empty(), "{name} has seeds");
            for path in kept {
                println!("{}", path.display());
                target(&fs::read(path).unwrap());
            }
        }
    }
}
