//! Reads one log file and gives what matches, in the order of the file.
//!
//! Lines that cannot match are passed over without being cut; what is left is cut by the one reader of records,
//! so its places and hashes are those that everything else sees.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::plan::PlanFile;
use super::query::{Matcher, Verdict};
use crate::archive::verify::{Bytes, Name, Source};
use crate::archive::{Measured, Packing, unpack};
use crate::digest::hex;
use crate::limits;
use crate::record::reader::Reader;
use crate::record::{Origin, Record};

/// What was done with a log file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes of it that were read.
    pub bytes: u64,
    /// Records that matched.
    pub matched: u64,
    /// Records that fit but have no time, while times were asked for.
    pub untimed: u64,
    /// Records over 16 MiB that nobody can look into here, though nothing spoke against them.
    pub unseen: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.matched += other.matched;
        self.untimed += other.untimed;
        self.unseen += other.unseen;
    }
}

/// Reads the content of a log file; `each` may end it.
pub fn read_content(
    content: impl Read,
    origin: &Origin,
    matcher: &Matcher,
    each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut records = Reader::new(content);
    loop {
        records.pass_over(|lines| matcher.first(lines))?;
        let Some(cut) = records.next()? else { break };
        let bytes = records.bytes(&cut);
        if !matcher.may_match(origin, &cut, bytes) {
            continue;
        }
        let reference = cut.reference();
        let record = Record::parse(origin, cut.of(bytes, reference.as_deref()));
        match matcher.verdict(&record) {
            Verdict::Other => {}
            Verdict::Untimed => tally.untimed += 1,
            Verdict::Unseen => tally.unseen += 1,
            Verdict::Match => {
                tally.matched += 1;
                if each(record).is_break() {
                    break;
                }
            }
        }
    }
    tally.bytes = records.position();
    Ok(tally)
}

/// Reads a file of a plan on a thread that may wait. An error says which object, and what is wrong with it; what
/// was found before is given all the same.
pub async fn read(
    source: &Arc<dyn Source>,
    file: &Arc<PlanFile>,
    matcher: &Arc<Matcher>,
    mut each: impl FnMut(&PlanFile, Record<'_>) -> ControlFlow<()> + Send + 'static,
) -> Result<Tally, String> {
    let sha256 = match file.sha256 {
        Some(sealed) => sealed.0,
        None => measure(source, file).await?,
    };
    let (planned, matcher) = (file.clone(), matcher.clone());
    unpacked(source, file, move |content| {
        let origin = planned.origin(sha256);
        let mut ended = false;
        let tally = read_content(content, &origin, &matcher, &mut |record| {
            let flow = each(&planned, record);
            ended = flow.is_break();
            flow
        })?;
        match planned.bytes {
            Some(bytes) if !ended && bytes != tally.bytes => {
                let what = format!("it has {} bytes of log file, {bytes} were sealed", tally.bytes);
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
            _ => Ok(tally),
        }
    })
    .await
}

/// The hash of a log file that only its name speaks of.
async fn measure(source: &Arc<dyn Source>, file: &PlanFile) -> Result<[u8; 32], String> {
    let digits = Name::read(&file.key).map(|name| name.hash.to_owned()).unwrap_or_default();
    unpacked(source, file, move |content| {
        let mut content = Measured::new(content);
        let mut window = vec![0; limits::COPY_WINDOW];
        loop {
            match content.read(&mut window) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        let (_, sha256) = content.finish();
        if hex(&sha256).starts_with(&digits) {
            return Ok(sha256);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "its content is not the one its name says"))
    })
    .await
}

/// Opens an object and reads its content on a thread that may wait.
async fn unpacked<T: Send + 'static>(
    source: &Arc<dyn Source>,
    file: &PlanFile,
    work: impl FnOnce(&mut dyn Read) -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let key = &file.key;
    let packing = Packing::of(key).ok_or_else(|| format!("{key} is no name of a log file"))?;
    let body: Bytes = source.get(key).await?.ok_or_else(|| {
        let sealed = if file.manifest.is_some() { "is sealed and " } else { "" };
        format!("{key} {sealed}is gone")
    })?;
    let done = tokio::task::spawn_blocking(move || work(&mut unpack(packing, body)?)).await;
    let done = done.map_err(|panic| format!("{key}: reading failed inside: {panic}"))?;
    done.map_err(|error| format!("{key} cannot be read: {error}"))
}
