//! Dead letters that are tried again: none is lost or counted twice, and none passes a rule by.

use super::*;
use crate::format::Redaction;
use crate::ledger::{LetterRow, SinkRow, Stamp};

/// Records of one file; every third is not selected.
const TOTAL: u64 = 30;

fn record(number: u64) -> Vec<u8> {
    let action = if number.is_multiple_of(3) { "PROMPT_RESPONSE_RECEIVED" } else { "PROMPT_SENT" };
    let text = format!("canary {number} of ada@example.com");
    let line = serde_json::json!({
        "event_id": number.to_string(), "type": "CODEX_LOG", "event_type": action,
        "event_details": { "prompt_text": text },
    });
    format!("{line}\n").into_bytes()
}

fn selected() -> impl Iterator<Item = Vec<u8>> {
    (0..TOTAL).filter(|number| !number.is_multiple_of(3)).map(record)
}

impl Bench {
    async fn selecting() -> Self {
        let mut bench = Self::with(&[(0..TOTAL).flat_map(record).collect()]).await;
        bench.select = toml::from_str("categories = ['prompt']").unwrap();
        bench
    }

    async fn letters(&self) -> Vec<LetterRow> {
        self.shared.ledger.letters("a".into()).await.unwrap()
    }

    async fn retry(&self) {
        let stamp = Stamp::program(self.shared.ground.clock.now());
        assert!(self.shared.ledger.retry_letters(None, stamp).await.unwrap() > 0);
    }

    fn kept(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.folder.path().join("dead-letters")).unwrap();
        folder.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    }

    /// Delivers until the sink was called that often, and ends there as a kill would; whether it ended by itself.
    async fn killed_at(&mut self, moment: usize, script: &Arc<Mutex<Script>>) -> bool {
        let mut running = tokio::spawn(self.worker("a", script, 7).await.run());
        let ended = loop {
            if script.lock().unwrap().calls > moment {
                break false;
            }
            if let Ok(ended) = tokio::time::timeout(Duration::from_millis(1), &mut running).await {
                break ended.is_ok();
            }
        };
        running.abort();
        script.lock().unwrap().dies_at = None;
        ended
    }

    /// Every record is accounted for, and each dead letter is there.
    async fn assert_closed(&self) -> SinkRow {
        let row = self.row("a").await;
        let counts = row.counts;
        let sum = counts.delivered + counts.repeats + counts.deselected + counts.dead_letters;
        assert_eq!(sum + row.records_pending, TOTAL, "{row:?}");
        assert_eq!(counts.dead_letters, self.letters().await.len() as u64, "{row:?}");
        assert_eq!(self.kept().len() as u64, counts.dead_letters);
        row
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_confirmation_is_lost_is_delivered_again() {
    let mut bench = Bench::selecting().await;
    let bad = record(7);
    let script = Arc::new(Mutex::new(Script { refuses: vec![bad.clone()], ..Script::default() }));
    bench.worker("a", &script, 50).await.run().await;
    assert_eq!(bench.assert_closed().await.counts.dead_letters, 1);
    bench.retry().await;
    *script.lock().unwrap() = Script { forgets: 1, ..Script::default() };
    bench.worker("a", &script, 50).await.run().await;
    assert_eq!(script.lock().unwrap().lines, [bad.clone(), bad], "once for the loss");
    let row = bench.assert_closed().await;
    assert_eq!((row.counts.delivered, row.counts.dead_letters), (20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_no_refusal_and_a_refusal_is_one_again() {
    let mut bench = Bench::selecting().await;
    let bad = record(7);
    let script = Arc::new(Mutex::new(Script { refuses: vec![bad.clone()], ..Script::default() }));
    bench.worker("a", &script, 50).await.run().await;
    bench.retry().await;
    bench.worker("a", &script, 50).await.run().await;
    let letters = bench.letters().await;
    assert_eq!((letters[0].retry, letters[0].reason.as_str()), (false, "refused; it answered: no"));
    assert_eq!(bench.assert_closed().await.counts.dead_letters, 1);
    bench.retry().await;
    *script.lock().unwrap() = Script { fails_after: Some(0), ..Script::default() };
    bench.worker("a", &script, 50).await.run().await;
    assert_eq!(script.lock().unwrap().lines, [bad]);
    assert_eq!(bench.assert_closed().await.counts.dead_letters, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_of_a_retry_leaves_the_accounts_closed() {
    let (mended, bad) = (record(7), record(11));
    for moment in 0.. {
        let mut bench = Bench::selecting().await;
        let refuses = vec![mended.clone(), bad.clone()];
        let script = Arc::new(Mutex::new(Script { refuses, ..Script::default() }));
        bench.worker("a", &script, 7).await.run().await;
        let row = bench.assert_closed().await;
        assert_eq!((row.counts.deselected, row.counts.dead_letters), (10, 2));
        bench.retry().await;
        let refuses = vec![bad.clone()];
        *script.lock().unwrap() = Script { refuses, dies_at: Some(moment), ..Script::default() };
        let ended = bench.killed_at(moment, &script).await;
        bench.worker("a", &script, 7).await.run().await;
        let row = bench.assert_closed().await;
        assert_eq!((row.counts.delivered, row.counts.deselected, row.counts.dead_letters), (19, 10, 1));
        let lines = std::mem::take(&mut script.lock().unwrap().lines);
        assert!(!lines.is_empty() && lines.iter().all(|line| *line == mended), "at moment {moment}");
        if ended {
            assert!(moment > 3, "nothing was killed");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_of_a_delivery_with_refusals_leaves_the_accounts_closed() {
    for moment in 0.. {
        let mut bench = Bench::selecting().await;
        let refuses = vec![record(7), record(11)];
        let first = Script { refuses: refuses.clone(), dies_at: Some(moment), ..Script::default() };
        let script = Arc::new(Mutex::new(first));
        let ended = bench.killed_at(moment, &script).await;
        bench.worker("a", &script, 7).await.run().await;
        let row = bench.assert_closed().await;
        assert_eq!((row.counts.delivered, row.counts.deselected, row.counts.dead_letters), (18, 10, 2));
        let mut lines = std::mem::take(&mut script.lock().unwrap().lines);
        lines.sort();
        lines.dedup();
        let mut wanted: Vec<_> = selected().filter(|line| !refuses.contains(line)).collect();
        wanted.sort();
        assert_eq!(lines, wanted, "at moment {moment}");
        if ended {
            assert!(moment > 5, "nothing was killed");
            break;
        }
    }
}

fn rules(text: &str) -> Redaction {
    #[derive(serde::Deserialize)]
    struct Keys {
        redact: Redaction,
    }
    toml::from_str::<Keys>(&format!("redact = [{text}]")).unwrap().redact
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_holds_what_the_rules_leave_and_passes_no_later_rule_by() {
    let mut bench = Bench::selecting().await;
    let native = || Encoder::new(Options::default(), None);
    bench.encoder = native().redacting(rules("{ action = 'mask', patterns = ['email'] }"));
    // What this encoder makes of the record, to refuse it.
    let seen = Arc::new(Mutex::new(Script::default()));
    bench.worker("b", &seen, 50).await.run().await;
    let bad = seen.lock().unwrap().lines.iter().find(|line| holds(line, "canary 7 ")).unwrap().clone();
    let script = Arc::new(Mutex::new(Script { refuses: vec![bad.clone()], ..Script::default() }));
    bench.worker("a", &script, 50).await.run().await;
    let kept = bench.kept();
    assert!(kept.len() == 1 && kept[0].contains("canary 7 of [redacted:email]"), "{kept:?}");
    assert!(!kept[0].contains("ada@"), "{kept:?}");
    bench.retry().await;
    bench.encoder = native().redacting(rules("{ field = 'prompt_text', action = 'drop' }"));
    *script.lock().unwrap() = Script::default();
    bench.worker("a", &script, 50).await.run().await;
    let lines = std::mem::take(&mut script.lock().unwrap().lines);
    assert!(lines.len() == 1 && !holds(&lines[0], "canary") && holds(&lines[0], "prompt_text"), "{lines:?}");
    assert_eq!(bench.assert_closed().await.counts.dead_letters, 0);
}

fn holds(line: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(line).contains(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_selected_no_more_is_deselected_and_one_that_cannot_be_made_anew_stays() {
    let mut bench = Bench::selecting().await;
    let script = Arc::new(Mutex::new(Script { refuses: vec![record(7)], ..Script::default() }));
    bench.worker("a", &script, 50).await.run().await;
    bench.select = toml::from_str("categories = ['response']").unwrap();
    let data = bench.folder.path().join("spool/000000000001.jsonl");
    let away = data.with_extension("away");
    std::fs::rename(&data, &away).unwrap();
    bench.retry().await;
    *script.lock().unwrap() = Script::default();
    bench.worker("a", &script, 50).await.run().await;
    let letters = bench.letters().await;
    assert!(!letters[0].retry && letters[0].reason.contains("left the spool"), "{letters:?}");
    bench.assert_closed().await;
    std::fs::rename(&away, &data).unwrap();
    bench.retry().await;
    bench.worker("a", &script, 50).await.run().await;
    let row = bench.assert_closed().await;
    assert_eq!((row.counts.deselected, row.counts.dead_letters), (11, 0));
    assert!(script.lock().unwrap().lines.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_come_back_as_they_were_and_strangers_are_left_alone() {
    let content = [b"no \xff JSON\n".to_vec(), record(1)].concat();
    let mut bench = Bench::with(&[content]).await;
    let bad = b"no \xff JSON\n".to_vec();
    let script = Arc::new(Mutex::new(Script { refuses: vec![bad.clone()], ..Script::default() }));
    bench.worker("a", &script, 50).await.run().await;
    let folder = bench.folder.path().join("dead-letters");
    for name in ["a-1-1.json", "a-9-9.json.new", "b-a-1-1.json", "a.json"] {
        std::fs::write(folder.join(name), "left by a crash").unwrap();
    }
    bench.retry().await;
    script.lock().unwrap().refuses.clear();
    bench.worker("a", &script, 50).await.run().await;
    assert_eq!(script.lock().unwrap().lines.last(), Some(&bad));
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.json", "b-a-1-1.json"]);
}
