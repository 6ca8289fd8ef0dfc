//! The look before delivery: nothing is indexed by it.

use std::sync::Arc;

use bytes::Bytes;

use super::config::SplunkHecConfig;
use super::reply::{Verdict, acknowledged, is_unknown_channel, judge, no_acknowledgements};
use super::send::{self, Link, exchange};
use super::sink::new_channel;
use crate::recovery::Recovery;
use crate::sink::SinkError;

/// Asks for the collector's health, shows it the token, and asks for an acknowledgement that does not exist.
pub(super) async fn probe(
    config: Arc<SplunkHecConfig>,
    mut random: fastrand::Rng,
) -> Result<String, SinkError> {
    let to = send::name(&config);
    // Another channel than delivery's: an acknowledgement read here would be lost there.
    let mut link = Link::new(config.clone(), new_channel(&mut random));
    let health = exchange(link.health()?, to.clone()).await?;
    link.learn(&health);
    if health.status >= 500 {
        let message = format!("{to} answered {} when asked for its health", health.status);
        return Err(SinkError::new(message, Recovery::Retry { after: health.retry_after }));
    }
    // No event at all: refused by whoever accepts the token.
    let empty = exchange(link.events(Bytes::new())?, to.clone()).await?;
    link.learn(&empty);
    match judge(&empty) {
        Verdict::Refused { .. } | Verdict::Taken { .. } => {}
        Verdict::Denied(error) | Verdict::Trouble(error) => return Err(error),
        Verdict::TooLarge { answer } => {
            let hint = "check that `url` leads to a Splunk HTTP Event Collector".into();
            return Err(SinkError::new(answer, Recovery::Pause { hint }));
        }
    }
    if !config.acknowledgements {
        return Ok(format!("{to} accepts the token"));
    }
    let asked = exchange(link.question(&[0])?, to.clone()).await?;
    match judge(&asked) {
        _ if acknowledged(&asked).is_some() || is_unknown_channel(&asked) => {
            Ok(format!("{to} accepts the token and acknowledges"))
        }
        Verdict::Denied(error) | Verdict::Trouble(error) => Err(error),
        _ => Err(no_acknowledgements("it gave no acknowledgements when asked for them")),
    }
}
