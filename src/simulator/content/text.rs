//! Texts: sentences and code put together, escaped for JSON already.

use super::Maker;

const SENTENCES: [&str; 26] = [
    "The importer reads the same row twice when the page ends on a tie.",
    "Please keep the public names as they are; two teams build on them.",
    "I looked at the scheduler first, because the wait starts there.",
    "Rename the column \\\"valid till\\\" to \\\"valid_until\\\", also in the views.",
    "Der Zähler läuft über, sobald mehr als 65\u{202f}535 Zeilen in einer Datei stehen.",
    "La prueba falla sólo cuando el reloj retrocede; ¿puedes reproducirlo?",
    "倉庫の在庫数が負になる場合があります。原因を調べてください。",
    "The path C:\\\\data\\\\inbox\\\\new is written with backslashes on purpose.",
    "Nothing else calls this function, so the lock can go.",
    "A retry after a refused connection must not count as a second order.",
    "Il manque un test pour le cas où la liste est vide \\u2013 je l\\u2019ai ajouté.",
    "Could you explain in three sentences what the index buys us here?",
    "The numbers now agree with the ledger: 4\u{a0}812 rows in, 4\u{a0}812 rows out. ✅",
    "Do not touch the migration; it has run in production.",
    "The flaky test waited for 50 ms; it now waits for the event itself.",
    "هذا التقرير يحتاج إلى عمود إضافي للتاريخ.",
    "I measured it: 38 % of the time went into parsing dates.",
    "Use tabs\\tonly in the makefile, spaces everywhere else.",
    "When the disk is full the writer should stop and say so, not skip.",
    "Two of the five warnings are real, the other three come from the old linter.",
    "Ask before deleting anything under `archive/`, even if it looks empty.",
    "The customer sees 14:00, the server logs 12:00; one of them ignores the zone.",
    "Проверь, пожалуйста, почему отчёт за март пустой.",
    "I split the change in two: first the move, then the fix 🙂",
    "If the token is older than an hour, fetch a new one before the upload.",
    "Error was: {\\\"code\\\":\\\"E1204\\\",\\\"message\\\":\\\"shelf \\\\\\\"B7\\\\\\\" unknown\\\"}",
];

const CODE: [&str; 6] = [
    "\\n```rust\\nfn next_due(now: i64, every: i64) -> i64 {\\n    // Never in the past, never now.\\n    now - now.rem_euclid(every) + every\\n}\\n```\\n",
    "\\n```python\\ndef totals(rows):\\n    \\\"\\\"\\\"Sum by shelf; rows may repeat.\\\"\\\"\\\"\\n    seen = {}\\n    for row in rows:\\n        seen.setdefault(row[\\\"shelf\\\"], set()).add(row[\\\"id\\\"])\\n    return {shelf: len(ids) for shelf, ids in seen.items()}\\n```\\n",
    "\\n```sql\\nSELECT shelf, count(DISTINCT id) AS items\\n  FROM stock\\n WHERE counted_at >= date('now', '-7 days')\\n GROUP BY shelf\\nHAVING items > 0;\\n```\\n",
    "\\n```ts\\nexport const once = <T>(make: () => T) => {\\n  let made: T | undefined;\\n  return () => (made ??= make());\\n};\\n```\\n",
    "\\n```diff\\n@@ -41,7 +41,7 @@\\n-    let rest = total - used;\\n+    let rest = total.saturating_sub(used);\\n```\\n",
    "\\n```text\\nrunning 212 tests\\ntest stock::counts_twice ... FAILED\\nassertion `left == right` failed\\n  left: 7\\n right: 6\\n```\\n",
];

impl Maker {
    /// About `length` bytes of prose, with code in between.
    pub(super) fn prose(&mut self, length: u64) -> &mut Self {
        let most = self.out.len() + usize::try_from(length).unwrap_or(0);
        while self.out.len() < most {
            let part = if self.one_in(5) { self.pick(&CODE) } else { self.pick(&SENTENCES) };
            self.raw(part).raw(" ");
        }
        self
    }

    /// A length as people write: mostly a little, now and then a lot; `usual` is about the mean.
    pub(super) fn length(&mut self, usual: u64) -> u64 {
        let length = self.below(usual) + 16;
        if self.one_in(12) { length + self.below(usual * 12) } else { length }
    }
}
