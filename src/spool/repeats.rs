//! Repeats: records the provider delivered before.
//!
//! Found once, when a file is collected, by merging its sorted event ids with those of the stream's
//! files of the last 48 h. A repeat remembers the *latest* earlier copy: a sink that began at or before
//! that copy's file has the record already, directly or as a copy before it, and skips the repeat; any
//! other sink gets it. Same id with other bytes is no repeat, it is noted and delivered.

use std::collections::BTreeMap;
use std::io;

use super::ids::{IdsReader, Key};
use super::index::{self, Entry};
use super::{Names, Spool};
use crate::disk::DiskFile;

/// What was seen before under the same event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// The same bytes, last in the file with this sequence number.
    Same(u64),
    /// Other bytes.
    Different,
}

/// The records of one file that were seen before, by record number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repeats(BTreeMap<u32, Earlier>);

impl Repeats {
    /// What is known of a record.
    pub fn get(&self, record: u64) -> Option<Earlier> {
        u32::try_from(record).ok().and_then(|record| self.0.get(&record)).copied()
    }

    /// How many carry an event id that was seen with other bytes.
    pub fn different(&self) -> usize {
        self.0.values().filter(|earlier| **earlier == Earlier::Different).count()
    }

    /// Pairs of varints: distance to the previous record number; 0 for other bytes, else the
    /// distance of the copy's sequence number plus 1.
    pub fn encode(&self, sequence: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let mut previous = 0;
        for (&record, earlier) in &self.0 {
            varint(u64::from(record - previous), &mut out);
            previous = record;
            varint(
                match earlier {
                    Earlier::Same(copy) => sequence - copy + 1,
                    Earlier::Different => 0,
                },
                &mut out,
            );
        }
        out
    }

    /// Reads back what [`Self::encode`] wrote.
    pub fn decode(sequence: u64, mut bytes: &[u8]) -> Self {
        let mut repeats = BTreeMap::new();
        let mut record = 0_u32;
        while let (Some(step), Some(distance)) = (read_varint(&mut bytes), read_varint(&mut bytes)) {
            record = record.saturating_add(u32::try_from(step).unwrap_or(u32::MAX));
            let earlier = match distance.checked_sub(1) {
                Some(distance) => Earlier::Same(sequence.saturating_sub(distance)),
                None => Earlier::Different,
            };
            repeats.insert(record, earlier);
        }
        Self(repeats)
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Looks for the repeats of one new file.
pub struct Finder<'a> {
    spool: &'a Spool,
    names: &'a Names,
    own_index: Box<dyn DiskFile>,
    found: BTreeMap<u32, Earlier>,
}

impl<'a> Finder<'a> {
    /// For the finished download under `names`.
    pub fn new(spool: &'a Spool, names: &'a Names) -> io::Result<Self> {
        let own_index = spool.disk().open(&names.index)?;
        Ok(Self { spool, names, own_index, found: BTreeMap::new() })
    }

    /// Compares with itself, which will be `sequence`, and with the `earlier` files, latest first.
    pub fn find(mut self, sequence: u64, earlier: &[u64]) -> io::Result<Repeats> {
        if self.spool.disk().length(&self.names.ids)? == Some(0) {
            return Ok(Repeats::default());
        }
        let own = self.names.clone();
        self.compare(sequence, &own, true)?;
        for &other in earlier.iter().rev() {
            let names = self.spool.names(other);
            // Ids are kept longer than repeats are looked for; a missing list can only cost a repeat
            // that is delivered once more. A crash may have left one of the two.
            let disk = self.spool.disk();
            if disk.length(&names.ids)?.is_some() && disk.length(&names.index)?.is_some() {
                self.compare(other, &names, false)?;
            }
        }
        Ok(Repeats(self.found))
    }

    fn compare(&mut self, sequence: u64, other: &Names, itself: bool) -> io::Result<()> {
        let disk = self.spool.disk();
        let mut index = disk.open(&other.index)?;
        let (mut run, mut other_run) = (Vec::new(), Vec::new());
        let mut runs = IdsReader::new(disk.open(&self.names.ids)?);
        while runs.next_run(&mut run)? {
            let mut others = IdsReader::new(disk.open(&other.ids)?);
            while others.next_run(&mut other_run)? {
                let mut matches = Vec::new();
                merge(&run, &other_run, itself, |mine, theirs| matches.push((mine, theirs)));
                for (mine, theirs) in matches {
                    self.note(sequence, mine, theirs, index.as_mut())?;
                }
            }
        }
        Ok(())
    }

    /// A copy with the same bytes wins over one with others, and the latest file wins.
    fn note(&mut self, sequence: u64, mine: u32, theirs: u32, index: &mut dyn DiskFile) -> io::Result<()> {
        if matches!(self.found.get(&mine), Some(Earlier::Same(_))) {
            return Ok(());
        }
        let my: Entry = index::read_at(self.own_index.as_mut(), mine.into())?;
        let their = index::read_at(index, theirs.into())?;
        let earlier = if my.sha256 == their.sha256 { Earlier::Same(sequence) } else { Earlier::Different };
        self.found.insert(mine, earlier);
        Ok(())
    }
}

/// Calls `pair` at most once for each left record whose event id is on the right: with the first record
/// of the same content, else with the first of any; only with one before it where both are of one file.
/// One step each, also when all ids are the same.
fn merge(left: &[Key], right: &[Key], itself: bool, mut pair: impl FnMut(u32, u32)) {
    let mut right = right;
    let mut group: Option<(u64, &[Key], u32)> = None;
    for key in left {
        if group.is_none_or(|(hash, ..)| hash != key.hash) {
            right = &right[right.partition_point(|other| other.hash < key.hash)..];
            let same = &right[..right.partition_point(|other| other.hash == key.hash)];
            let first = same.iter().map(|other| other.record).min();
            group = first.map(|first| (key.hash, same, first));
        }
        let Some((_, same, first)) = group else { continue };
        let at = same.partition_point(|other| other.content < key.content);
        let twin = same.get(at).filter(|other| other.content == key.content).map(|twin| twin.record);
        let fits = |theirs: &u32| !itself || *theirs < key.record;
        if let Some(theirs) = twin.filter(fits).or(Some(first).filter(fits)) {
            pair(key.record, theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_survive_their_encoding() {
        let repeats = Repeats(BTreeMap::from([
            (0, Earlier::Same(9)),
            (3, Earlier::Different),
            (1_000_000, Earlier::Same(1)),
        ]));
        assert_eq!(Repeats::decode(9, &repeats.encode(9)), repeats);
    }
}
