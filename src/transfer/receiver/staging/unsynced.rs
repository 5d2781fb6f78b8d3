//! What has to be synced together.

use super::disk;

/// Files and directories of one group that are synced one by one; beyond, one `syncfs`. It also bounds
/// the files that are open.
pub(super) const GROUP_ONE_BY_ONE: usize = 16;

/// What was written or made since the last group.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// Files that are closed otherwise.
    pub(super) files: Vec<std::fs::File>,
    /// Directories, below the tree, in which something was made; the tree itself is empty.
    pub(super) made_in: Vec<String>,
    /// There is more than is kept here.
    pub(super) more: bool,
    /// The way to the tree is durable.
    pub(super) found: bool,
}

impl Unsynced {
    /// A file that has been written to and is not open any more.
    pub(super) fn file(&mut self, file: std::fs::File) {
        if self.files.len() < GROUP_ONE_BY_ONE {
            self.files.push(file);
        } else if disk::SYNCS_FILE_SYSTEM {
            self.more = true;
        } else {
            // Failing later, with the group, would say no more.
            let _ = file.sync_data();
        }
    }

    /// Something was made in this directory.
    pub(super) fn made_in(&mut self, parent: Option<&str>) {
        let parent = parent.unwrap_or_default();
        if self.more || self.made_in.last().is_some_and(|last| last == parent) {
            return;
        }
        if self.made_in.len() >= GROUP_ONE_BY_ONE && disk::SYNCS_FILE_SYSTEM {
            self.more = true;
        } else {
            self.made_in.push(parent.to_owned());
        }
    }
}
