//! The BIP 39 English list: 2048 words that differ in their first four letters.

use bip39::Language;

/// Letters after which every word of the list is known.
const DECIDING_LETTERS: usize = 4;

/// Typing mistakes beyond which a suggestion would be a guess.
const MAX_MISTAKES: usize = 2;

/// The words that begin with `prefix`, in alphabetical order, for completion at a prompt. Case counts:
/// the list is lower case.
pub fn suggest(prefix: &str) -> &'static [&'static str] {
    let list = Language::English.word_list().as_slice();
    let tail = &list[list.partition_point(|word| *word < prefix)..];
    &tail[..tail.partition_point(|word| word.starts_with(prefix))]
}

/// The word at an 11-bit `index`; higher bits are ignored.
pub(super) fn word(index: u16) -> &'static str {
    Language::English.word_list()[usize::from(index) % 2048]
}

/// The index of a lower-case word, whole or cut to no fewer than its first four letters.
pub(super) fn index_of(text: &str) -> Option<u16> {
    let language = Language::English;
    language.find_word(text).or_else(|| match suggest(text) {
        [only] if text.len() >= DECIDING_LETTERS => language.find_word(only),
        _ => None,
    })
}

/// The word that was probably meant.
pub(super) fn nearest(text: &str) -> Option<&'static str> {
    // Most words are too long or too short, which is cheaper to see than how they differ.
    let length = text.chars().count();
    Language::English
        .word_list()
        .iter()
        .filter(|word| word.len().abs_diff(length) <= MAX_MISTAKES)
        .map(|word| (strsim::damerau_levenshtein(word, text), *word))
        .filter(|(mistakes, _)| *mistakes <= MAX_MISTAKES)
        .min_by_key(|(mistakes, _)| *mistakes)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_whole_and_by_its_first_four_letters() {
        for index in 0..2048 {
            let word = word(index);
            assert_eq!(index_of(word), Some(index), "{word}");
            assert_eq!(
                index_of(&word[..word.len().min(DECIDING_LETTERS)]),
                Some(index),
                "{word}"
            );
        }
    }

    #[test]
    fn shorter_longer_and_foreign_words_are_not_found() {
        for text in ["", "cra", "cranes", "cranx", "Crane", "ünder", "-"] {
            assert_eq!(index_of(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_have_a_nearest_word_and_nonsense_has_none() {
        assert_eq!(nearest("crnae"), Some("crane"));
        assert_eq!(nearest("velvit"), Some("velvet"));
        assert_eq!(nearest("xxxxxxxx"), None);
        assert_eq!(suggest("zo"), ["zone", "zoo"]);
    }
}
