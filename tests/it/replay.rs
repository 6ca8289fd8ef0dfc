//! Records out of an archive, delivered again: which, where to, how marked, at what cost, and after a kill.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::archive::files;
use crate::hec::receiver::{Receiver, TOKEN, Ways};
use crate::support::{Place, Process, Simulator, output_bytes, pause, seed_of_kills};

/// A place with an archive of some days, and the records that were delivered live.
struct World {
    simulator: Simulator,
    place: Place,
    live: Vec<Value>,
}

impl World {
    fn new() -> Self {
        let simulator =
            Simulator::start(&["--days", "6", "--files-per-day", "4", "--records-per-file", "40"]);
        let place = Place::new(&simulator, &simulator.sources, "");
        let world = Self { simulator, place, live: Vec::new() };
        world.configure("");
        world.place.run_to(&["run", "--once"], 0);
        let lines = output_bytes(&world.place.output());
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Self { live: lines.map(|line| serde_json::from_slice(line).unwrap()).collect(), ..world }
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.place.data().with_file_name(name)
    }

    fn archive(&self) -> String {
        self.beside("archive").to_str().unwrap().to_owned()
    }

    /// A file sink with an archive and more beside it.
    fn configure(&self, more: &str) {
        let sinks = format!(
            "replay = {{ directory = {:?} }}\n[sinks.archive]\ntype = \"directory\"\ndirectory = {:?}\n{more}",
            self.beside("again").to_str().unwrap(),
            self.archive()
        );
        self.place.configure(&self.simulator.sources, &sinks);
    }

    fn collector(&self, receiver: &Receiver, keys: &str) -> String {
        let token = self.beside("token");
        fs::write(&token, TOKEN).unwrap();
        format!(
            "[sinks.splunk]\ntype = \"splunk_hec\"\nurl = \"http://{}\"\ntoken = {{ file = \"{}\" }}\n\
             index = \"live\"\nbatch_interval = \"20ms\"\nstart = \"now\"\n{keys}\n",
            receiver.address,
            token.display(),
        )
    }

    /// Somebody with records on a day, that day and the one behind it.
    fn somebody(&self) -> (String, String, String) {
        let mut days: BTreeMap<(String, String), usize> = BTreeMap::new();
        for record in &self.live {
            if let (Some(user), Some(time)) = (record["actor"]["email"].as_str(), record["time"].as_str()) {
                *days.entry((user.to_owned(), time[..10].to_owned())).or_default() += 1;
            }
        }
        let middle =
            days.keys().map(|(_, day)| day.clone()).collect::<BTreeSet<_>>().into_iter().nth(3).unwrap();
        let of_day = days.iter().filter(|((_, day), _)| *day == middle);
        let ((user, day), _) = of_day.max_by_key(|(_, count)| **count).unwrap();
        let next: jiff::civil::Date = day.parse().unwrap();
        (user.clone(), day.clone(), next.tomorrow().unwrap().to_string())
    }

    /// Live records of this user from `since` until before `until`, by their ids.
    fn wanted(&self, (user, since, until): &(String, String, String)) -> BTreeMap<&str, &Value> {
        let of_user = self.live.iter().filter(|record| {
            let time = record["time"].as_str().unwrap_or_default();
            record["actor"]["email"] == user.as_str() && time >= since.as_str() && time < until.as_str()
        });
        of_user.map(|record| (record["id"].as_str().unwrap(), record)).collect()
    }

    fn replay(&self, more: &[&str], code: i32) -> (String, String) {
        let from = self.archive();
        let arguments: Vec<&str> = ["replay", "--from", &from].iter().chain(more).copied().collect();
        let output = self.place.run_to(&arguments, code);
        let text = |bytes: &[u8]| String::from_utf8(bytes.into()).unwrap();
        (text(&output.stdout), text(&output.stderr))
    }
}

/// Length of all files in the folders of a folder.
fn bytes_in(folder: &Path) -> u64 {
    files(folder).iter().map(|path| fs::metadata(path).map_or(0, |found| found.len())).sum()
}

/// The number before a word in a text.
fn number_before(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap_or_else(|| panic!("no {word} in {text}"));
    before.split_whitespace().last().unwrap().parse().unwrap_or_else(|_| panic!("before {word} in {text}"))
}

#[test]
fn a_users_day_goes_to_another_index_marked_and_with_its_own_times() {
    let world = World::new();
    let receiver = Receiver::start(Ways::default());
    let somebody = world.somebody();
    let (user, since, until) = &somebody;
    let selectors = ["--to", "splunk", "--user", user, "--since", since, "--until", until];
    world.configure(&world.collector(&receiver, ""));
    let (_, refused) = world.replay(&selectors, 2);
    assert!(refused.contains("`replay` of [sinks.splunk]") && refused.contains("--into-live"), "{refused}");
    world.configure(&world.collector(&receiver, "replay = { index = \"again\" }"));
    let wanted = world.wanted(&somebody);
    assert!(wanted.len() > 5, "{somebody:?}: {}", wanted.len());

    let (told, _) = world.replay(&[&selectors[..], &["--dry-run"]].concat(), 0);
    assert_eq!(number_before(&told, " records,"), wanted.len(), "{told}");
    let passed_over: usize =
        told.split("passed over: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    let read: usize =
        told.split("log files read: ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(read > 0 && passed_over > 2 * read, "one day of six is not most of it: {told}");
    assert_eq!(receiver.known().posts, 0, "a dry run sent something");

    // Beside the daemon, which has what it holds to itself.
    let _daemon = Process(world.place.command(&["run"]).stderr(Stdio::null()).spawn().unwrap());
    let (_, told) = world.replay(&selectors, 0);
    assert!(told.contains(&format!("{} records delivered to splunk", wanted.len())), "{told}");
    let known = receiver.known();
    let again: Vec<&Value> = known.envelopes.iter().filter(|event| event["index"] == "again").collect();
    assert_eq!(again.len(), wanted.len());
    for envelope in again {
        let (event, live) = (&envelope["event"], wanted[envelope["fields"]["id"].as_str().unwrap()]);
        let id = event["replay"]["id"].as_str().unwrap();
        assert!(told.contains(&format!("replay {id} is done")), "{told}");
        assert_eq!(envelope["fields"]["replay_id"], id);
        let time: jiff::Timestamp = live["time"].as_str().unwrap().parse().unwrap();
        assert!((envelope["time"].as_f64().unwrap() - time.as_millisecond() as f64 / 1000.0).abs() < 0.01);
        let mut plain = event.clone();
        plain.as_object_mut().unwrap().remove("replay");
        assert_eq!(plain, *live);
    }
}

#[test]
fn a_replay_is_done_once_unless_it_is_asked_for_again() {
    let world = World::new();
    let (user, since, until) = world.somebody();
    let selectors = ["--to", "out", "--user", &user, "--since", &since, "--until", &until];
    let (_, refused) = world.replay(&[&selectors[..], &["--into-live"]].concat(), 2);
    assert!(refused.contains("one writer"), "{refused}");
    let (_, refused) = world.replay(&["--to", "archive"], 2);
    assert!(refused.contains("is an archive"), "{refused}");
    let live = output_bytes(&world.place.output());
    let wanted = world.wanted(&(user.clone(), since.clone(), until.clone())).len();
    let again = &["--again"][..];
    for (more, folders, says) in
        [(&[][..], 1, "is done"), (&[], 1, "already done"), (again, 2, "is done"), (&[], 2, "already done")]
    {
        let (_, told) = world.replay(&[&selectors[..], more].concat(), 0);
        assert!(told.contains(says), "{told}");
        let all: Vec<PathBuf> =
            fs::read_dir(world.beside("again")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(all.len(), folders);
        for folder in all {
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            let text = String::from_utf8(output_bytes(&folder)).unwrap();
            assert_eq!(text.lines().count(), wanted);
            assert!(text.lines().all(|line| line.contains(&format!(r#""replay":{{"id":"{name}""#))));
        }
    }
    assert_eq!(output_bytes(&world.place.output()), live, "live records are untouched");
}

#[test]
fn killed_at_any_moment_a_folder_gets_each_record_once() {
    let kills: u64 = std::env::var("CUSTODEX_KILLS").map_or(6, |text| text.parse().unwrap());
    let world = World::new();
    let mut random = fastrand::Rng::with_seed(seed_of_kills());
    let from = world.archive();
    // Slow enough that every kill comes in the middle.
    let arguments = ["replay", "--from", &from, "--to", "out", "--rate", "800"];
    for _ in 0..kills {
        let before = bytes_in(&world.beside("again"));
        let command = &mut world.place.command(&arguments);
        let mut process = Process(command.stderr(Stdio::null()).spawn().unwrap());
        let grown = (0..3000).any(|_| {
            pause(Duration::from_millis(10));
            bytes_in(&world.beside("again")) > before || process.0.try_wait().unwrap().is_some()
        });
        assert!(grown, "nothing is delivered");
        pause(Duration::from_millis(random.u64(0..400)));
        process.0.kill().unwrap();
        process.0.wait().unwrap();
    }
    let (_, told) = world.replay(&["--to", "out", "--rate", "1000000"], 0);
    assert!(told.contains("goes on behind"), "{told}");
    let folder = fs::read_dir(world.beside("again")).unwrap().next().unwrap().unwrap().path();
    let text = String::from_utf8(output_bytes(&folder)).unwrap();
    let ids: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    let once: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(once.len(), ids.len(), "a record is there twice");
    let live: BTreeSet<&str> = world.live.iter().map(|record| record["id"].as_str().unwrap()).collect();
    assert_eq!(once, live);
}
