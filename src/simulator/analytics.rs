//! The Codex Analytics API: daily figures that add up.
//!
//! A day's figures are a function of seed, day and person; the workspace's are the sum of its people's.
//! Only whole days up to today are answered, at most 90 of them.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::content::PEOPLE;
use super::query::Query;
use super::state::State;
use super::{answer, api};
use crate::digest::{hex, sha256};

const DAY: i64 = 86_400;
/// Days that can be looked back.
const LOOK_BACK: i64 = 90;
/// Days answered when no time is given.
const USUAL: i64 = 30;
/// Rows of a page: the usual and the most.
const ROWS: (i64, i64) = (1000, 30_000);
const MODELS: [&str; 3] = ["gpt-5.5-codex", "gpt-5.5", "other"];

/// Figures that can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    threads: u64,
    turns: u64,
    /// Hundredths of a credit.
    credits: u64,
    uncached: u64,
    cached: u64,
    output: u64,
}

/// What one person, or everybody, did on one day.
#[derive(Clone, Debug, Default)]
struct Use {
    clients: Vec<(&'static str, Figures)>,
    models: [Figures; 3],
    lines: [u64; 3],
    commits: (u64, u64),
}

/// Answers a request for one of the three reports.
pub(super) fn answer(state: &State, report: &str, query: &Query) -> Response {
    let make: fn(u64, i64, bool) -> Vec<Value> = match report {
        "usage" => usage,
        "code_reviews" => |seed, day, _| vec![code_reviews(seed, day)],
        "code_review_responses" => |seed, day, _| vec![code_review_responses(seed, day)],
        _ => return api::not_found(),
    };
    let mut problems = Vec::new();
    let mut number = |key, least, most| match query.number(key, (least, most)) {
        Ok(number) => number,
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    let (start, end) = (number("start_time", 0, i64::MAX), number("end_time", 0, i64::MAX));
    let limit = number("limit", 1, ROWS.1).unwrap_or(ROWS.0);
    let offset = query.get("page").map_or(Some(0), |token| offset_of(report, token));
    if offset.is_none() {
        problems.push(json!({"type": "value_error", "loc": ["query", "page"], "msg": "Invalid page token"}));
    }
    let group = query.get("group");
    if group.is_some_and(|group| group != "workspace") {
        let message = "Input should be 'workspace'";
        problems.push(
            json!({"type": "literal_error", "loc": ["query", "group"], "msg": message, "input": group}),
        );
    }
    if !problems.is_empty() {
        return answer::invalid(problems);
    }
    let today = state.now().div_euclid(DAY);
    let end = end.map_or(today, |end| end.saturating_add(DAY - 1).div_euclid(DAY)).min(today);
    let start = start
        .map_or(end - USUAL, |start| start.saturating_add(DAY - 1).div_euclid(DAY))
        .max(today - LOOK_BACK);
    let rows: Vec<_> = (start..end).flat_map(|day| make(state.seed, day, group.is_some())).collect();
    let (first, limit) = (offset.unwrap_or(0).min(rows.len()), usize::try_from(limit).unwrap_or(1));
    let last = rows.len().min(first.saturating_add(limit));
    let more = last < rows.len();
    let next = more.then(|| token(report, last));
    let body = json!({"object": "page", "data": rows[first..last], "has_more": more, "next_page": next});
    answer::json(StatusCode::OK, &body)
}

fn token(report: &str, offset: usize) -> String {
    let check = hex(&sha256(format!("{report} {offset}").as_bytes()));
    format!("pg_{offset:x}_{}", &check[..12])
}

fn offset_of(report: &str, text: &str) -> Option<usize> {
    let digits = text.strip_prefix("pg_")?.split('_').next()?;
    let offset = usize::from_str_radix(digits, 16).ok()?;
    (token(report, offset) == text).then_some(offset)
}

fn random(seed: u64, day: i64, who: u64) -> fastrand::Rng {
    let hash = sha256(format!("{seed} {day} {who}").as_bytes());
    let start = hash.first_chunk::<8>().map_or(seed, |bytes| u64::from_be_bytes(*bytes));
    fastrand::Rng::with_seed(start)
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.threads += other.threads;
        self.turns += other.turns;
        self.credits += other.credits;
        self.uncached += other.uncached;
        self.cached += other.cached;
        self.output += other.output;
    }

    fn some(random: &mut fastrand::Rng) -> Self {
        let threads = random.u64(1..9);
        let turns = threads * random.u64(1..9);
        let uncached = turns * random.u64(800..4000);
        let (cached, output) = (uncached * random.u64(1..5), turns * random.u64(60..600));
        Self { threads, turns, credits: (uncached + 8 * output) / 90, uncached, cached, output }
    }

    fn amounts(self) -> Value {
        json!({
            "credits": hundredths(self.credits),
            "estimated_cost_usd": hundredths(self.credits / 25),
            "uncached_text_input_tokens": self.uncached,
            "cached_text_input_tokens": self.cached,
            "text_output_tokens": self.output,
            "text_total_tokens": self.uncached + self.cached + self.output,
        })
    }

    fn all(self) -> Value {
        let mut all = self.amounts();
        all["threads"] = self.threads.into();
        all["turns"] = self.turns.into();
        all
    }
}

fn hundredths(value: u64) -> f64 {
    value as f64 / 100.0
}

impl Use {
    fn of(seed: u64, day: i64, who: usize) -> Option<Self> {
        let mut random = random(seed, day, who as u64);
        let weekend = (day + 4).rem_euclid(7) % 6 == 0;
        if random.u64(0..10) < if weekend { 8 } else { 2 } {
            return None;
        }
        let mut done = Self::default();
        let clients = [PEOPLE[who].client, "CODEX_WEB"];
        let distinct = if clients[0] == clients[1] || random.bool() { 1 } else { 2 };
        for client in &clients[..distinct] {
            let figures = Figures::some(&mut random);
            done.clients.push((client, figures));
            done.models[random.usize(0..MODELS.len())].add(figures);
        }
        let added = random.u64(0..900);
        done.lines = [added, added / 3, added * 3 / 4];
        let commits = random.u64(0..8);
        done.commits = (commits / 2, commits);
        Some(done)
    }

    fn add(&mut self, other: &Self) {
        for (client, figures) in &other.clients {
            match self.clients.iter_mut().find(|(name, _)| name == client) {
                Some((_, sum)) => sum.add(*figures),
                None => self.clients.push((client, *figures)),
            }
        }
        for (sum, figures) in self.models.iter_mut().zip(other.models) {
            sum.add(figures);
        }
        for (sum, lines) in self.lines.iter_mut().zip(other.lines) {
            *sum += lines;
        }
        self.commits = (self.commits.0 + other.commits.0, self.commits.1 + other.commits.1);
    }

    fn row(&self, day: i64) -> Value {
        let mut totals = Figures::default();
        let clients: Vec<_> = self
            .clients
            .iter()
            .map(|(client, figures)| {
                totals.add(*figures);
                let mut one = figures.all();
                one["client_id"] = (*client).into();
                one
            })
            .collect();
        let used = MODELS.iter().zip(self.models).filter(|(_, figures)| figures.turns > 0);
        let models: Vec<_> = used
            .map(|(model, figures)| {
                let mut one = figures.amounts();
                one["model"] = (*model).into();
                one["speed"] = "standard".into();
                one
            })
            .collect();
        let [added, removed, committed] = self.lines;
        let share = |part: u64, whole: u64| hundredths((part * 10_000).checked_div(whole).unwrap_or(0));
        json!({
            "object": "workspace.codex.usage.result",
            "start_time": day * DAY,
            "end_time": (day + 1) * DAY,
            "totals": totals.all(),
            "clients": clients,
            "models": models,
            "code_attribution": {
                "lines_of_code": {
                    "added": added,
                    "removed": removed,
                    "committed": committed,
                    "total_committed_lines": committed * 2,
                    "committed_percentage": share(committed, committed * 2),
                },
                "commits": {
                    "with_codex_contribution": self.commits.0,
                    "with_codex_contribution_percentage": share(self.commits.0, self.commits.1),
                    "total_commits": self.commits.1,
                },
            },
        })
    }
}

fn usage(seed: u64, day: i64, together: bool) -> Vec<Value> {
    let each = (0..PEOPLE.len()).filter_map(|who| Use::of(seed, day, who).map(|done| (who, done)));
    if !together {
        let rows = each.map(|(who, done)| {
            let mut row = done.row(day);
            let hash = hex(&sha256(PEOPLE[who].id.as_bytes()));
            let id = format!("{}-{}-4000-8000-{}", &hash[..8], &hash[8..12], &hash[12..24]);
            let email = format!("{}@example.com", PEOPLE[who].mail);
            row["actor"] = json!({"type": "ACCOUNT_USER", "user_id": id, "email": email});
            row["user_id"] = id.into();
            row
        });
        return rows.collect();
    }
    let mut all = Use::default();
    for (_, done) in each {
        all.add(&done);
    }
    let mut row = all.row(day);
    row["user_id"] = Value::Null;
    row["actor"] = Value::Null;
    vec![row]
}

/// Reviews, and comments of the three priorities.
fn reviews(seed: u64, day: i64) -> (u64, [u64; 3], fastrand::Rng) {
    let mut random = random(seed, day, 1000);
    let reviews = random.u64(0..30);
    let comments = [reviews / 10, reviews / 3, reviews + random.u64(0..5)];
    (reviews, comments, random)
}

fn code_reviews(seed: u64, day: i64) -> Value {
    let (reviews, comments, _) = reviews(seed, day);
    json!({
        "object": "workspace.codex.usage.code_reviews.result",
        "start_time": day * DAY,
        "end_time": (day + 1) * DAY,
        "pull_request_reviews": reviews,
        "comments": comments.iter().sum::<u64>(),
        "comment_details": {"p0": comments[0], "p1": comments[1], "p2": comments[2]},
    })
}

fn code_review_responses(seed: u64, day: i64) -> Value {
    let (reviews, comments, mut random) = reviews(seed, day);
    let comments = comments.iter().sum::<u64>();
    let (upvotes, downvotes, other) = (comments / 4, comments / 12, comments / 20);
    let (reactions, replies) = (upvotes + downvotes + other, random.u64(0..=comments / 3));
    json!({
        "object": "workspace.codex.usage.code_review_responses.result",
        "start_time": day * DAY,
        "end_time": (day + 1) * DAY,
        "pull_request_reviews": reviews,
        "comments": comments,
        "replies": replies,
        "reactions": reactions,
        "reaction_details": {"upvotes": upvotes, "downvotes": downvotes, "other": other},
        "comment_response_details": {
            "engaged": reactions + replies, "reacted": reactions, "upvoted": upvotes,
            "downvoted": downvotes, "reacted_other": other, "replied": replies,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_the_sum_of_its_people() {
        for day in 20_000..20_010 {
            let sum = |rows: Vec<Value>, key: &str| {
                rows.iter().map(|row| row["totals"][key].as_u64().expect("a number")).sum::<u64>()
            };
            for key in ["threads", "turns", "text_total_tokens"] {
                assert_eq!(sum(usage(1, day, false), key), sum(usage(1, day, true), key));
            }
            assert_eq!(usage(1, day, false), usage(1, day, false));
        }
    }

    #[test]
    fn page_tokens_are_checked() {
        assert_eq!(offset_of("usage", &token("usage", 300)), Some(300));
        assert_eq!(offset_of("code_reviews", &token("usage", 300)), None);
        assert_eq!(offset_of("usage", "pg_12c_é"), None);
    }
}
