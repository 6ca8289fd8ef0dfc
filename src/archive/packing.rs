//! Compressing on the way, and back.
//!
//! Memory is constant in both directions: the window is bounded, also of what is read.

use std::io::{self, Read, Write};

use serde::Deserialize;

use crate::limits;

/// How the objects of an archive are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// Small and fast.
    #[default]
    Zstd,
    /// For readers that know nothing else.
    Gzip,
    /// As it is.
    None,
}

impl Packing {
    /// That of the object with this name; none when it holds no log file.
    pub fn of(key: &str) -> Option<Self> {
        let ending = &key[key.rfind(".jsonl")? + ".jsonl".len()..];
        [Self::Zstd, Self::Gzip, Self::None].into_iter().find(|packing| packing.ending() == ending)
    }

    /// What a name ends with after `.jsonl`.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
            Self::None => "",
        }
    }
}

/// Compresses what is written to it.
pub enum Packer<W: Write> {
    /// See [`Packing`].
    Zstd(zstd::stream::write::Encoder<'static, W>),
    /// See [`Packing`].
    Gzip(flate2::write::GzEncoder<W>),
    /// See [`Packing`].
    None(W),
}

/// A packer over `out`; `length` is that of the content, when it is known.
pub fn pack<W: Write>(packing: Packing, out: W, length: Option<u64>) -> io::Result<Packer<W>> {
    Ok(match packing {
        Packing::None => Packer::None(out),
        // No time and no name in its header: the same content gives the same bytes.
        Packing::Gzip => Packer::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::default())),
        Packing::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(out, limits::ARCHIVE_ZSTD_LEVEL)?;
            encoder.window_log(limits::ARCHIVE_ZSTD_WINDOW_LOG)?;
            encoder.include_checksum(true)?;
            encoder.set_pledged_src_size(length)?;
            Packer::Zstd(encoder)
        }
    })
}

impl<W: Write> Packer<W> {
    /// Writes what is left, and gives the writer back.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::None(out) => Ok(out),
        }
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::None(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::None(out) => out.flush(),
        }
    }
}

/// The content of an object, as it is read.
pub type Unpacked<'a> = Box<dyn Read + Send + 'a>;

/// Reads the content out of an object's bytes.
pub fn unpack<'a>(packing: Packing, bytes: impl Read + Send + 'a) -> io::Result<Unpacked<'a>> {
    Ok(match packing {
        Packing::None => Box::new(bytes),
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(bytes)?;
            decoder.window_log_max(limits::ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_and_is_the_same_each_time() {
        let content = b"one line\n".repeat(10_000);
        for packing in [Packing::Zstd, Packing::Gzip, Packing::None] {
            let packed = |length| {
                let mut packer = pack(packing, Vec::new(), length).unwrap();
                packer.write_all(&content).unwrap();
                packer.finish().unwrap()
            };
            let bytes = packed(Some(content.len() as u64));
            assert_eq!(bytes, packed(Some(content.len() as u64)), "{packing:?}");
            for bytes in [bytes, packed(None)] {
                let mut back = Vec::new();
                unpack(packing, &bytes[..]).unwrap().read_to_end(&mut back).unwrap();
                assert!(back == content && (packing == Packing::None || bytes.len() < 1000), "{packing:?}");
            }
        }
    }
}
