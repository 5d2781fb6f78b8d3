//! Control messages, manifests, journals and blocks, for `fuzz/`.

use super::manifest_builder::ManifestBuilder;
use super::message::{ControlMessage, entries_messages};
use super::safe_path::fold;
use super::swarm::helper::HelperMessage;
use super::{Digest, Label, Manifest, SafePath, display_name};
use unicode_width::UnicodeWidthChar;

pub use super::receiver::fuzzing::{transfer_blocks, transfer_journal};

pub(crate) fn control(text: &str) {
    if let Ok(message) = ControlMessage::parse(text)
        && message != ControlMessage::Unknown
    {
        let json = message.to_text();
        assert_eq!(ControlMessage::parse(&json).ok(), Some(message), "{json}");
    }
    if let Some(message) = HelperMessage::parse(text)
        && message != HelperMessage::Unknown
    {
        let json = message.to_text();
        assert_eq!(HelperMessage::parse(&json), Some(message), "{json}");
    }
}

pub(crate) fn names(text: &str) {
    if let Ok(path) = SafePath::parse(text) {
        assert_eq!(path.as_str(), text);
        assert!(!text.starts_with('/') && !text.contains(['\\', ':', '\0']));
        for component in path.components() {
            assert!(!matches!(component, "" | "." | ".."));
            let folded = fold(component);
            assert_eq!(fold(&folded), folded, "{component:?}");
        }
    }
    match Label::parse(text) {
        Some(Label::Control(id)) => assert_eq!(id.control_label(), text),
        Some(Label::Lane(id, lane)) => assert_eq!(id.lane_label(lane), text),
        None => {}
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    let width = text.len() % 80;
    let shown = display_name(text, width);
    assert!(!shown.contains(char::is_control));
    let columns = shown.chars().filter_map(UnicodeWidthChar::width);
    assert!(columns.sum::<usize>() <= width);
}

/// An offer and the messages of its manifest, a line each, as they come.
pub fn transfer_manifest(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let mut messages = text
        .lines()
        .filter_map(|line| ControlMessage::parse(line).ok());
    let Some(ControlMessage::Offer(offer)) = messages.next() else {
        return;
    };
    let announced = offer.clone();
    let Ok(mut builder) = ManifestBuilder::new(offer) else {
        return;
    };
    while !builder.is_complete() {
        let Some(ControlMessage::Entries { from, entries }) = messages.next() else {
            return;
        };
        if builder.push(from, entries).is_err() {
            return;
        }
    }
    let Ok(manifest) = builder.finish() else {
        return;
    };
    assert_eq!(manifest.bytes(), announced.bytes);
    assert_eq!(manifest.files(), announced.files);
    assert_eq!(manifest.entries().len(), announced.entries as usize);
    assert_eq!(written_and_read(&manifest).as_ref(), Some(&manifest));
}

fn written_and_read(manifest: &Manifest) -> Option<Manifest> {
    let mut builder = ManifestBuilder::new(manifest.offer()).ok()?;
    for text in entries_messages(manifest) {
        let Ok(ControlMessage::Entries { from, entries }) = ControlMessage::parse(&text) else {
            return None;
        };
        builder.push(from, entries).ok()?;
    }
    builder.finish().ok()
}
