//! The reader of one receiver among others: reads the blocks that it is told to, in any order.

use std::fs::File;

use super::reader::{FileEnd, Reader, Stop, not_sent};
use super::state::BlockId;
use crate::transfer::digest::Digest;
use crate::transfer::error::TransferError;
use crate::transfer::source::modified;
use crate::transfer::swarm::blocks::BlockMap;
use crate::transfer::swarm::crowd::{Order, ReaderSeat};
use crate::transfer::swarm::plan::Changed;

/// The file that was read last, and where its next block begins.
type Opened = Option<(u32, File, u32)>;

impl Reader {
    pub(super) fn as_ordered(&mut self, seat: &ReaderSeat) -> Result<(), Stop> {
        let (map, mut opened) = (seat.map(), None);
        loop {
            while let Ok(again) = self.resends.try_recv() {
                let sent = map.number(again).is_some_and(|block| seat.was_sent(block));
                if !sent {
                    return Err(not_sent().into());
                }
                self.one_block(again, &mut opened)?;
            }
            match seat.next() {
                Order::Block(block) => self.ordered(block, seat, &map, &mut opened)?,
                Order::Wait => {
                    // What is packed already must not wait for more.
                    self.flush()?;
                    seat.wait();
                    if self.output.is_closed() {
                        return Err(Stop::Unwanted);
                    }
                }
                Order::Over => return Err(Stop::Unwanted),
            }
        }
    }

    fn ordered(
        &mut self,
        block: u32,
        seat: &ReaderSeat,
        map: &BlockMap,
        opened: &mut Opened,
    ) -> Result<(), Stop> {
        let Some(id) = map.id(block) else {
            return Ok(());
        };
        let digest = self.one_block(id, opened)?;
        let ended = seat.read(block, digest);
        let ended = ended.map_err(|Changed| self.changed(id.file))?;
        if let Some((index, digest)) = ended {
            let size = self.source.manifest().entries()[index as usize].size();
            self.ended.push(FileEnd {
                index,
                size,
                digest,
            });
        }
        Ok(())
    }

    /// Reads and packs a block; the file must be what it was before and after.
    fn one_block(&mut self, id: BlockId, opened: &mut Opened) -> Result<Digest, Stop> {
        let (mut file, at) = match opened.take() {
            Some((index, file, at)) if index == id.file => (file, at),
            _ => (self.open(id.file)?, 0),
        };
        if at != id.block {
            self.seek(id, &mut file)?;
        }
        let size = self.source.manifest().entries()[id.file as usize].size();
        let digest = self.block(id, size, &mut file)?;
        self.check_same(id.file, &file)?;
        *opened = Some((id.file, file, id.block + 1));
        Ok(digest)
    }

    /// A file that was written to has a new time.
    fn check_same(&self, index: u32, file: &File) -> Result<(), TransferError> {
        let metadata = file.metadata().map_err(|e| self.io(index, e))?;
        let entry = &self.source.manifest().entries()[index as usize];
        match metadata.len() == entry.size() && modified(&metadata) == entry.mtime {
            true => Ok(()),
            false => Err(self.changed(index)),
        }
    }
}
