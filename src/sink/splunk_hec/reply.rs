//! What the collector's answers mean.
//!
//! The documented codes are known here and nowhere else. What is not understood consumes nothing. A text of the
//! collector's is never shown: it may repeat what it was sent.

use std::time::Duration;

use serde_json::Value;

use super::send::Answer;
use crate::limits;
use crate::recovery::Recovery;
use crate::sink::SinkError;

/// What became of a request.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Taken; to be acknowledged by the id, if there is one.
    Taken { id: Option<u64>, slow: bool },
    /// One event of it can never be taken: the one with this number, or an unknown one.
    Refused { event: Option<usize>, answer: String },
    /// Too large as a whole.
    TooLarge { answer: String },
    /// The token is not accepted, or not here.
    Denied(SinkError),
    /// Anything else.
    Trouble(SinkError),
}

/// The parts of an answer's body.
#[derive(Debug)]
struct Reply {
    code: Option<i64>,
    id: Option<u64>,
    event: Option<usize>,
}

impl Reply {
    fn read(answer: &Answer) -> Self {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let event = body.get("invalid-event-number").and_then(Value::as_u64);
        Self {
            code: body.get("code").and_then(Value::as_i64),
            id: body.get("ackId").and_then(Value::as_u64),
            event: event.and_then(|event| usize::try_from(event).ok()),
        }
    }

    /// For people: status and code, and what that means.
    fn shown(&self, status: u16) -> String {
        let code = self.code.map(|code| format!(" code {code}{}", meaning(code))).unwrap_or_default();
        format!("the collector answered {status}{code}")
    }
}

/// What an answer to events, or to a question for acknowledgements, means.
pub(super) fn judge(answer: &Answer) -> Verdict {
    let reply = Reply::read(answer);
    let shown = reply.shown(answer.status);
    let pause = |hint: &str| SinkError::new(shown.clone(), Recovery::Pause { hint: hint.into() });
    let retry = || SinkError::new(shown.clone(), Recovery::Retry { after: answer.retry_after });
    match (answer.status, reply.code) {
        (200, Some(code @ (0 | 24 | 25))) => Verdict::Taken { id: reply.id, slow: code != 0 },
        (400, Some(5 | 6 | 12 | 13 | 15)) => Verdict::Refused { event: reply.event, answer: shown },
        (413, _) => Verdict::TooLarge { answer: shown },
        (401 | 403, _) => {
            Verdict::Denied(pause("give the token of an enabled HEC input, where `token` says it lies"))
        }
        (404, _) => Verdict::Denied(pause(
            "check `url`: the collector is not there; Splunk Cloud says so during maintenance, too",
        )),
        (400, Some(7)) => {
            Verdict::Trouble(pause("create the index, let the token write to it, or give another `index`"))
        }
        (400, Some(14)) => Verdict::Trouble(no_acknowledgements(&shown)),
        (400, Some(10 | 11)) => {
            Verdict::Trouble(pause("see that no proxy takes X-Splunk-Request-Channel away"))
        }
        (408 | 429 | 500..=599, _) => Verdict::Trouble(retry()),
        _ => Verdict::Trouble(pause("check that `url` leads to a Splunk HTTP Event Collector")),
    }
}

/// What is said of a token that has no acknowledgements.
pub(super) fn no_acknowledgements(what: &str) -> SinkError {
    let hint = "turn on indexer acknowledgement for the token, or set acknowledgements = false".into();
    SinkError::new(format!("the token has no indexer acknowledgement: {what}"), Recovery::Pause { hint })
}

/// Whether the collector does not know the channel: nothing was sent on it yet, so nothing follows from it.
pub(super) fn is_unknown_channel(answer: &Answer) -> bool {
    answer.status == 400 && Reply::read(answer).code == Some(11)
}

/// The ids that an answer to a question says are acknowledged; `None` when it is no such answer.
pub(super) fn acknowledged(answer: &Answer) -> Option<Vec<u64>> {
    let body: Value = serde_json::from_slice(&answer.body).ok().filter(|_| answer.status == 200)?;
    let acks = body.get("acks")?.as_object()?;
    let read = acks.iter().filter(|(_, said)| said.as_bool() == Some(true));
    Some(read.filter_map(|(id, _)| id.parse().ok()).collect())
}

/// `Retry-After` in seconds, clamped.
pub(super) fn retry_after(text: &str) -> Option<Duration> {
    let seconds = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(limits::RETRY_AFTER_MAX))
}

/// What Splunk's documentation says of a code, to follow it.
fn meaning(code: i64) -> &'static str {
    match code {
        1 | 22 => ": the token is disabled",
        2 => ": a token is required",
        3 => ": invalid authorization",
        4 | 21 => ": invalid token",
        5 => ": no data",
        6 => ": invalid data format",
        7 => ": incorrect index",
        8 => ": internal server error",
        9 => ": the server is busy",
        10 => ": the data channel is missing",
        11 => ": invalid data channel",
        12 => ": an event is required",
        13 => ": an event cannot be blank",
        14 => ": acknowledgement is disabled",
        15 => ": an indexed field cannot be handled",
        18..=20 => ": queues or acknowledgements are not available",
        23 => ": the server is shutting down",
        24..=26 => ": queues are near their capacity",
        27 => ": the request is too large",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, cookies: Vec::new(), body: body.into() }
    }

    #[test]
    fn documented_answers_are_understood() {
        let judge = |status, body: &str| judge(&answer(status, body));
        let taken = judge(200, r#"{"text":"Success","code":0,"ackId":7}"#);
        assert!(matches!(taken, Verdict::Taken { id: Some(7), slow: false }));
        assert!(matches!(judge(200, r#"{"text":"Success","code":0}"#), Verdict::Taken { id: None, .. }));
        assert!(matches!(judge(200, r#"{"code":24,"ackId":1}"#), Verdict::Taken { slow: true, .. }));
        let refused = judge(400, r#"{"text":"ada@example.com is bad","code":6,"invalid-event-number":3}"#);
        assert!(matches!(refused, Verdict::Refused { event: Some(3), answer }
            if answer == "the collector answered 400 code 6: invalid data format"));
        for code in [5, 12, 13, 15] {
            assert!(matches!(
                judge(400, &format!("{{\"code\":{code}}}")),
                Verdict::Refused { event: None, .. }
            ));
        }
        assert!(matches!(judge(413, "<html>"), Verdict::TooLarge { .. }));
        for (status, code) in [(401, 2), (401, 3), (403, 1), (403, 4), (404, 0)] {
            assert!(matches!(judge(status, &format!("{{\"code\":{code}}}")), Verdict::Denied(_)));
        }
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_waits_for_somebody() {
        let recovery = |status, body: &str| match judge(&answer(status, body)) {
            Verdict::Trouble(error) => error.recovery,
            other => panic!("{status} {body}: {other:?}"),
        };
        for (status, body) in [(503, r#"{"code":9}"#), (429, ""), (500, r#"{"code":8}"#), (502, "<html>")] {
            assert_eq!(recovery(status, body), Recovery::Retry { after: None }, "{status}");
        }
        for (status, body) in
            [(400, r#"{"code":7}"#), (400, r#"{"code":14}"#), (400, r#"{"code":99}"#), (400, ""), (301, "")]
        {
            assert!(matches!(recovery(status, body), Recovery::Pause { .. }), "{status} {body}");
        }
        assert!(
            matches!(recovery(200, "<html>welcome</html>"), Recovery::Pause { .. }),
            "no collector at all"
        );
    }

    #[test]
    fn acknowledgements_are_read() {
        let read = acknowledged(&answer(200, r#"{"acks":{"0":true,"2":false,"11":true,"x":true}}"#)).unwrap();
        assert_eq!(read, [0, 11]);
        assert_eq!(acknowledged(&answer(200, "[]")), None);
        assert_eq!(acknowledged(&answer(503, r#"{"acks":{}}"#)), None);
        assert!(is_unknown_channel(&answer(400, r#"{"text":"Invalid data channel","code":11}"#)));
        assert!(!is_unknown_channel(&answer(400, r#"{"code":14}"#)));
        assert_eq!(retry_after("100000"), Some(limits::RETRY_AFTER_MAX));
    }
}
