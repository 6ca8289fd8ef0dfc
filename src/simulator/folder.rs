//! Records of a folder, served as they are: every line exactly once, byte for byte.
//!
//! Remembers where lines lie, never what they say. Only LF ends a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::content::{COSTS, WORKSPACE_TYPES};

/// A log file holds at most this many bytes of lines, unless one line has more.
const FILE_BYTES: u64 = 15_000_000;

/// Lines that make one log file.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    path: Arc<Path>,
    /// First byte and length, with the line end.
    ranges: Vec<(u64, u64)>,
    bytes: u64,
    /// Lines that are not blank.
    pub records: u64,
}

impl Lines {
    /// The bytes; an LF is added only where the folder's last line has none and another one follows.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        let mut bytes = Vec::new();
        for (start, length) in &self.ranges {
            if bytes.last().is_some_and(|last| *last != b'\n') {
                bytes.push(b'\n');
            }
            file.seek(SeekFrom::Start(*start))?;
            Read::by_ref(&mut file).take(*length).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
}

/// The log files of all `*.jsonl` in a folder, by name, each of at most `most` lines.
pub(super) fn read(folder: &Path, most: u32) -> anyhow::Result<Vec<(&'static str, Lines)>> {
    let unreadable = || format!("reading the folder {}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let path: PathBuf = entry.with_context(unreadable)?.path();
        if path.extension().is_some_and(|name| name == "jsonl") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        split(&path, most.max(1), &mut all).with_context(|| format!("reading {}", path.display()))?;
    }
    Ok(all)
}

fn split(path: &Path, most: u32, all: &mut Vec<(&'static str, Lines)>) -> io::Result<()> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(known);
    let mut input = BufReader::new(File::open(path)?);
    let path: Arc<Path> = path.into();
    // At most one unfinished file for each event type.
    let mut open: Vec<(&'static str, Lines)> = Vec::new();
    let (mut line, mut offset) = (Vec::new(), 0);
    loop {
        line.clear();
        let length = input.read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            break;
        }
        let event_type = stem.or_else(|| type_of(&line)).unwrap_or("CODEX_LOG");
        let place = open.iter().position(|(name, _)| *name == event_type).unwrap_or_else(|| {
            open.push((event_type, Lines { path: path.clone(), ranges: Vec::new(), bytes: 0, records: 0 }));
            open.len() - 1
        });
        let lines = &mut open[place].1;
        if lines.records > 0 && (lines.records >= u64::from(most) || lines.bytes + length > FILE_BYTES) {
            let fresh = Lines { ranges: Vec::new(), bytes: 0, records: 0, ..lines.clone() };
            all.push((event_type, std::mem::replace(lines, fresh)));
        }
        lines.add(offset, length);
        lines.records += u64::from(!line.trim_ascii().is_empty());
        offset += length;
    }
    all.extend(open);
    Ok(())
}

impl Lines {
    fn add(&mut self, start: u64, length: u64) {
        self.bytes += length;
        match self.ranges.last_mut() {
            Some(last) if last.0 + last.1 == start => last.1 += length,
            _ => self.ranges.push((start, length)),
        }
    }
}

fn known(name: &str) -> Option<&'static str> {
    WORKSPACE_TYPES.into_iter().chain([COSTS]).find(|known| *known == name)
}

/// The value of the first `"type":` of a line, if it is an event type.
fn type_of(line: &[u8]) -> Option<&'static str> {
    let at = memchr::memmem::find(line, b"\"type\"")? + 6;
    let rest = line[at..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', rest)?;
    std::str::from_utf8(&rest[..end]).ok().and_then(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_served_once_byte_for_byte() {
        let folder = tempfile::tempdir().expect("a folder");
        let auth = b"{\"a\":1}\r\n\n{\"a\":2}\xff\n{\"a\":3}\n{\"a\":4}".to_vec();
        let drift: Vec<_> = [
            b"{\"type\": \"AUTH_LOG\",\"n\":1}\n".as_slice(),
            b"{\"type\":\"COSTS\",\"n\":2}\n",
            b"{\"type\":\"NEWS\",\"n\":3}\n",
            b"not json\n",
            b"{\"type\":\"AUTH_LOG\",\"n\":4}\n",
        ]
        .concat();
        std::fs::write(folder.path().join("AUTH_LOG.jsonl"), &auth).expect("written");
        std::fs::write(folder.path().join("drift.jsonl"), &drift).expect("written");
        std::fs::write(folder.path().join("drift.tsv"), "no").expect("written");
        let all = read(folder.path(), 2).expect("lines");
        let mut served = Vec::new();
        for (_, lines) in &all {
            let bytes = lines.read().expect("bytes");
            served.extend(
                bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).filter(|line| !line.is_empty()),
            );
            assert!(lines.records <= 2);
        }
        let mut lines: Vec<_> =
            [auth, drift].concat().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        // Written one after the other, the last line of the one and the first of the other are joined.
        lines.retain(|line| !line.is_empty());
        let joined = lines.iter().position(|line| line.starts_with(b"{\"a\":4}{")).expect("the joint");
        let rest = lines[joined].split_off(7);
        lines.push(rest);
        lines.sort();
        served.sort();
        assert_eq!(served, lines);
        let types: Vec<_> = all.iter().map(|(event_type, lines)| (*event_type, lines.records)).collect();
        assert_eq!(
            types,
            [("AUTH_LOG", 2), ("AUTH_LOG", 2), ("AUTH_LOG", 2), ("COSTS", 1), ("CODEX_LOG", 2)]
        );
    }
}
