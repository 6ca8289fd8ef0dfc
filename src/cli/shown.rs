//! Texts of records, made fit for a terminal: whoever wrote a record must not drive the terminal of who reads it.

use std::borrow::Cow;

use crate::record::{Record, json};

/// One line of a text, at most so many characters long.
pub fn line(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let (mut count, mut blank) = (0, false);
    for c in text.trim_start().chars() {
        if c.is_whitespace() {
            blank = true;
            continue;
        }
        if count + usize::from(blank) >= most {
            shown.push('…');
            break;
        }
        if std::mem::take(&mut blank) {
            shown.push(' ');
            count += 1;
        }
        shown.push(if drives(c) { char::REPLACEMENT_CHARACTER } else { c });
        count += 1;
    }
    shown
}

/// A text over several lines, all of it.
pub fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(|line| {
        let plain = |c: char| match c {
            '\t' => ' ',
            c if drives(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        };
        line.chars().map(plain).collect()
    })
}

/// Whether a character changes how a terminal shows others: controls, and what turns the direction of a text.
fn drives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What a token stands for; one that is no text is shown as it is written.
pub fn value(token: Option<&str>) -> Cow<'_, str> {
    token.map(|token| json::text(token).unwrap_or(Cow::Borrowed(token))).unwrap_or_default()
}

/// Who did it, for people.
pub fn user<'a>(record: &Record<'a>) -> Cow<'a, str> {
    let actor = &record.actor;
    value(actor.email.or(actor.id).or(actor.name))
}

/// The widest thing that a record belongs to.
pub fn session<'a>(record: &Record<'a>) -> Cow<'a, str> {
    let session = &record.session;
    let ids = [session.session_id, session.thread_id, session.conversation_id, session.run_id];
    value(ids.into_iter().flatten().next())
}

/// What was said or done, in the words of the record.
pub fn text<'a>(record: &Record<'a>) -> Cow<'a, str> {
    let call = &record.tool_call;
    let said = record.prompt_text.or(record.response_text);
    match (said, call.name, call.arguments.or(call.result)) {
        (None, Some(name), Some(more)) => Cow::Owned(format!("{} {}", value(Some(name)), value(Some(more)))),
        (said, name, more) => value(said.or(name).or(more).or(record.outcome.message).or(record.target.id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_drives_a_terminal() {
        assert_eq!(line(" a\n\n b\u{1b}[31m\u{202e}c ", 80), "a b\u{fffd}[31m\u{fffd}c");
        assert_eq!(
            (line("abc", 3), line("abcd", 3), line("ab cd", 3)),
            ("abc".into(), "abc…".into(), "ab…".into())
        );
        let all: Vec<String> = lines("a\tb\r\n\u{9b}2J\r").collect();
        assert_eq!(all, ["a b", "\u{fffd}2J\u{fffd}"]);
    }
}
