//! What the log files say: invented records, made again whenever they are asked for.
//!
//! A file is a pure function of (seed, event type, index, window, count). The first records of a file do
//! not depend on how many are asked for, which is how a later file can repeat some of them byte for
//! byte. Nothing here is kept between two files.

mod agents;
mod apps;
mod audit;
mod auth;
mod codex;
mod conversation;
mod costs;
mod people;
mod text;

use jiff::Timestamp;

use super::{ORGANIZATION, WORKSPACE};
use crate::digest::push_hex;
pub(super) use people::PEOPLE;
use people::Person;

/// Event types served under the workspace.
pub(super) const WORKSPACE_TYPES: [&str; 9] = [
    "CODEX_LOG",
    "CODEX_SECURITY_LOG",
    "AUTH_LOG",
    "AUDIT_LOG",
    "CONVERSATION_MESSAGE",
    "APP_LOG",
    "APP_AUTH_LOG",
    "CUSTOM_AGENTS_LOG",
    "CHATGPT_PLUGIN_SPREADSHEET",
];
/// The one event type served under the organization.
pub(super) const COSTS: &str = "COSTS";

/// Which records to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// The simulator's seed.
    pub seed: u64,
    /// One of the known event types.
    pub event_type: &'static str,
    /// Number of the file in its stream.
    pub index: u64,
    /// End of the window the records lie in, seconds.
    pub end: i64,
    /// Records of the whole file.
    pub count: usize,
}

/// Length of the window before a file's end, seconds.
pub(super) const WINDOW: i64 = 600;
/// Costs come this long after their hour.
const COSTS_DELAY: i64 = 4 * 3600;

/// Makes the records of one file, one after the other.
pub(super) struct Maker {
    plan: Plan,
    random: fastrand::Rng,
    out: Vec<u8>,
    /// Where each finished record ends.
    ends: Vec<usize>,
}

impl Plan {
    /// The last second of the hour that a file of costs tells about.
    fn costs_hour(self) -> i64 {
        (self.end - WINDOW - COSTS_DELAY).div_euclid(3600) * 3600 - 1
    }

    /// The first `count` records of this file, each with its LF.
    pub(super) fn first(self, count: usize) -> (Vec<u8>, Vec<usize>) {
        let mut maker = Maker::new(self);
        let write: fn(&mut Maker) = match self.event_type {
            "CODEX_LOG" => codex::session,
            "CODEX_SECURITY_LOG" => codex::security,
            "AUTH_LOG" => auth::record,
            "AUDIT_LOG" => audit::record,
            "CONVERSATION_MESSAGE" => conversation::exchange,
            "APP_LOG" => apps::call,
            "APP_AUTH_LOG" => apps::link,
            "CUSTOM_AGENTS_LOG" => agents::run,
            "CHATGPT_PLUGIN_SPREADSHEET" => conversation::spreadsheet,
            _ => costs::record,
        };
        while maker.ends.len() < count {
            write(&mut maker);
        }
        maker.ends.truncate(count);
        maker.out.truncate(maker.ends.last().copied().unwrap_or(0));
        (maker.out, maker.ends)
    }
}

impl Maker {
    fn new(plan: Plan) -> Self {
        let name = plan.event_type.bytes().fold(plan.index, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17)
        });
        let mut random = fastrand::Rng::with_seed(plan.seed ^ name.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Seeds that differ in few bits start alike.
        random.u64(..);
        random.u64(..);
        Self { plan, random, out: Vec::new(), ends: Vec::new() }
    }

    /// Appends text that is JSON already.
    fn raw(&mut self, text: &str) -> &mut Self {
        self.out.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends `,"key":"value"`; the value needs no escape.
    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.raw(",\"").raw(key).raw("\":\"").raw(value).raw("\"")
    }

    /// Appends `,"key":number`.
    fn number(&mut self, key: &str, value: u64) -> &mut Self {
        self.raw(",\"").raw(key).raw("\":").digits(value)
    }

    fn digits(&mut self, mut value: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
        self
    }

    /// A number below `bound`, which is above 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.random.u64(0..bound)
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.usize(0..all.len())]
    }

    fn person(&mut self) -> &'static Person {
        // Few people do most of the work.
        let (a, b) = (self.random.usize(0..PEOPLE.len()), self.random.usize(0..PEOPLE.len()));
        &PEOPLE[a.min(b)]
    }

    /// A name such as `sess-` and twelve letters and digits.
    fn name(&mut self, prefix: &str) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut bits = self.random.u64(..);
        let mut name = String::with_capacity(prefix.len() + 12);
        name.push_str(prefix);
        for _ in 0..12 {
            name.push(char::from(LETTERS[usize::try_from(bits & 31).unwrap_or(0)]));
            bits >>= 5;
        }
        name
    }

    /// A random UUID of version 4.
    fn uuid(&mut self) -> &mut Self {
        let mut bytes = self.random.u128(..).to_be_bytes();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        for (at, part) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
            if at > 0 {
                self.out.push(b'-');
            }
            push_hex(&bytes[part], &mut self.out);
        }
        self
    }

    /// When the next record happens, microseconds: later ones never earlier.
    fn moment(&mut self) -> i64 {
        let count = i64::try_from(self.plan.count.max(self.ends.len() + 1)).unwrap_or(i64::MAX);
        let number = i64::try_from(self.ends.len()).unwrap_or(i64::MAX);
        let slot = (WINDOW * 1_000_000 / count).max(1);
        let within = self.random.i64(0..slot);
        (self.plan.end - WINDOW) * 1_000_000 + (number * slot + within).min(WINDOW * 1_000_000 - 1)
    }

    /// Begins a record: `{"event_id":…,"actor":` and the actor as `actor` writes it.
    fn open(&mut self, actor: impl FnOnce(&mut Self)) {
        let event_type = self.plan.event_type;
        let micros = self.moment();
        self.raw("{\"event_id\":\"").uuid().raw("\"").text("type", event_type).raw(",\"timestamp\":\"");
        let (id, kind) = if event_type == COSTS {
            self.time(self.plan.costs_hour() * 1_000_000, 0);
            (ORGANIZATION, "API_PLATFORM_ORG")
        } else {
            self.time(micros, 6);
            (WORKSPACE, "CHATGPT_WORKSPACE")
        };
        self.raw("\",\"principal\":{\"id\":\"").raw(id).raw("\"").text("type", kind).raw("},\"actor\":");
        actor(self);
    }

    /// Ends a record that `open` began.
    fn close(&mut self) {
        self.raw("}\n");
        self.ends.push(self.out.len());
    }

    fn time(&mut self, micros: i64, digits: usize) -> &mut Self {
        let at = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
        let text = format!("{at:.digits$}");
        self.raw(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(event_type: &'static str) -> Plan {
        Plan { seed: 7, event_type, index: 3, end: 1_784_000_000, count: 300 }
    }

    fn types() -> impl Iterator<Item = &'static str> {
        WORKSPACE_TYPES.into_iter().chain([COSTS])
    }

    #[test]
    fn every_line_of_every_type_is_a_record() {
        for event_type in types() {
            let (bytes, ends) = plan(event_type).first(300);
            assert_eq!(ends.len(), 300);
            let text = String::from_utf8(bytes).expect("UTF-8");
            let mut last = String::new();
            for line in text.lines() {
                let record: serde_json::Value = serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("{event_type}: {error}: {line}"));
                assert!(record["event_id"].is_string(), "{line}");
                assert_eq!(record["type"], event_type);
                assert!(record["actor"].is_object() || record["actor"].is_null(), "{line}");
                let at = record["timestamp"].as_str().expect("a time").to_owned();
                assert!(at.parse::<Timestamp>().is_ok() && at >= last, "{line}");
                last = at;
            }
            assert_eq!(text.lines().count(), 300);
        }
    }

    #[test]
    fn the_first_records_do_not_depend_on_the_rest() {
        for event_type in types() {
            let (all, ends) = plan(event_type).first(300);
            let (some, _) = plan(event_type).first(5);
            assert_eq!(some, all[..ends[4]]);
            assert_eq!(plan(event_type).first(300).0, all);
            assert_ne!(Plan { seed: 8, ..plan(event_type) }.first(300).0, all);
        }
    }

    #[test]
    fn sizes_are_like_life() {
        let mean = |event_type| Plan { count: 3000, ..plan(event_type) }.first(3000).0.len() / 3000;
        assert!((1_600..2_600).contains(&mean("CODEX_LOG")), "{}", mean("CODEX_LOG"));
        assert!((420..620).contains(&mean("AUTH_LOG")), "{}", mean("AUTH_LOG"));
    }
}
