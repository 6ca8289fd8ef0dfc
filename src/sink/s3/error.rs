//! What an answer of the store means for delivery.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::config::S3Config;
use crate::limits;
use crate::net::with_causes;
use crate::recovery::Recovery;
use crate::sink::SinkError;

/// A request that failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Something lies under the key.
    Exists,
    /// Nothing does.
    Missing,
    /// Refused with these credentials.
    Denied(SinkError),
    /// Anything else.
    Other(SinkError),
}

/// An answer that is an error.
#[derive(Clone, Copy, Debug)]
struct Answer<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
    /// Where the store says the bucket lies.
    region: Option<&'a str>,
}

impl Trouble {
    /// What to do about it, whatever it is.
    pub(super) fn into_error(self) -> SinkError {
        let unexpected = |what: &str| SinkError::new(what, Recovery::Retry { after: None });
        match self {
            Self::Exists => unexpected("the store answers that the object is there, and that it is not"),
            Self::Missing => unexpected("the object is not there any more"),
            Self::Denied(error) | Self::Other(error) => error,
        }
    }
}

/// Judges a failed request; `what` it was to do.
pub(super) fn judge<E>(what: &str, config: &S3Config, error: &SdkError<E, HttpResponse>) -> Trouble
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let Some(response) = error.raw_response() else { return unsent(what, config, error) };
    let metadata = error.as_service_error().map(ProvideErrorMetadata::meta);
    let answer = Answer {
        status: response.status().as_u16(),
        code: metadata.and_then(|meta| meta.code()).unwrap_or_default(),
        message: metadata.and_then(|meta| meta.message()).unwrap_or_default(),
        region: response.headers().get("x-amz-bucket-region"),
    };
    answer.judge(what, config)
}

/// No answer came, or the request was never sent.
fn unsent<E>(what: &str, config: &S3Config, error: &SdkError<E, HttpResponse>) -> Trouble
where
    E: Error + 'static,
{
    let text = chain(error);
    let message = format!("cannot {what} in {}: {text}", config.shown());
    let passes = match error {
        SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        _ => false,
    };
    if passes {
        return Trouble::Other(SinkError::new(message, Recovery::Retry { after: None }));
    }
    let hint = "give credentials: access_key_id and secret_access_key, a profile, or those of the machine; \
                see the message"
        .to_owned();
    Trouble::Denied(SinkError::new(message, Recovery::Pause { hint }))
}

impl Answer<'_> {
    fn judge(self, what: &str, config: &S3Config) -> Trouble {
        let other = |recovery| Trouble::Other(SinkError::new(self.text(what, config), recovery));
        let pause = |hint: String| other(Recovery::Pause { hint });
        match (self.status, self.code) {
            (412, _) | (_, "PreconditionFailed") => Trouble::Exists,
            (_, "RequestTimeTooSkewed") => {
                pause("set the clock of this machine; let it follow a time server".into())
            }
            (301 | 307, _)
            | (
                _,
                "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException",
            ) => pause(match self.region {
                Some(region) => format!("set region = {region:?}: the bucket lies there"),
                None => "set region to that of the bucket; the message may name it".into(),
            }),
            (_, "NoSuchBucket") => pause(format!("make the bucket {:?}, or mend its name", config.bucket)),
            (404, _) => Trouble::Missing,
            (401 | 403, _) | (_, "ExpiredToken" | "InvalidAccessKeyId" | "InvalidToken" | "AccessDenied") => {
                Trouble::Denied(SinkError::new(
                    self.text(what, config),
                    Recovery::Pause { hint: self.denied_hint(config) },
                ))
            }
            (409 | 408 | 429 | 500.., _)
            | (
                _,
                "BadDigest" | "IncompleteBody" | "RequestTimeout" | "SlowDown" | "XAmzContentSHA256Mismatch",
            ) => other(Recovery::Retry { after: None }),
            _ => pause("see the store's answer and the keys of this sink".into()),
        }
    }

    fn denied_hint(self, config: &S3Config) -> String {
        match self.code {
            "ExpiredToken" | "TokenRefreshRequired" => {
                "renew the credentials; custodex reads them again by itself".into()
            }
            "InvalidAccessKeyId" | "InvalidToken" | "SignatureDoesNotMatch" => {
                "check access key and secret; custodex reads them again by itself".into()
            }
            _ => format!(
                "let these credentials put and get objects below {}, and list the bucket; with a key, a lock, \
                 tags or an owner also what these need",
                config.shown()
            ),
        }
    }

    fn text(self, what: &str, config: &S3Config) -> String {
        let code = if self.code.is_empty() { String::new() } else { format!(" {}", self.code) };
        let message: String =
            self.message.chars().filter(|c| !c.is_control()).take(limits::ERROR_TEXT).collect();
        let message = if message.is_empty() { message } else { format!(": {message}") };
        format!("cannot {what} in {}: the store answers {}{code}{message}", config.shown(), self.status)
    }
}

/// An error with its causes, each once.
fn chain(error: &dyn Error) -> String {
    let text = with_causes(error.to_string(), error);
    text.chars().filter(|c| !c.is_control()).take(2 * limits::ERROR_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, code: &str, region: Option<&str>) -> Trouble {
        let config: S3Config = toml::from_str("bucket = 'b'\nprefix = 'p/'").unwrap();
        Answer { status, code, message: "so it is", region }.judge("store an object", &config)
    }

    #[test]
    fn each_answer_has_its_way_on() {
        for (status, code) in [
            (503, "SlowDown"),
            (500, "InternalError"),
            (409, "ConditionalRequestConflict"),
            (400, "RequestTimeout"),
            (400, "BadDigest"),
            (429, ""),
        ] {
            let Trouble::Other(error) = judged(status, code, None) else { panic!("{code}") };
            assert_eq!(error.recovery, Recovery::Retry { after: None }, "{code}");
        }
        for (status, code, region, says) in [
            (301, "PermanentRedirect", Some("eu-west-1"), "set region = \"eu-west-1\""),
            (400, "AuthorizationHeaderMalformed", None, "the message may name it"),
            (404, "NoSuchBucket", None, "make the bucket \"b\""),
            (403, "RequestTimeTooSkewed", None, "clock of this machine"),
            (400, "KMS.NotFoundException", None, "the keys of this sink"),
        ] {
            let Trouble::Other(error) = judged(status, code, region) else { panic!("{code}") };
            assert!(matches!(&error.recovery, Recovery::Pause { hint } if hint.contains(says)), "{error:?}");
        }
        for (status, code, says) in [
            (403, "AccessDenied", "below s3://b/p,"),
            (403, "SignatureDoesNotMatch", "check access key and secret"),
            (400, "ExpiredToken", "renew the credentials"),
            (403, "", "let these credentials"),
        ] {
            let Trouble::Denied(error) = judged(status, code, None) else { panic!("{code}") };
            assert!(matches!(&error.recovery, Recovery::Pause { hint } if hint.contains(says)), "{error:?}");
        }
        assert!(matches!(judged(412, "", None), Trouble::Exists));
        assert!(matches!(judged(404, "", None), Trouble::Missing));
        let Trouble::Other(error) = judged(503, "SlowDown", None) else { panic!("not that") };
        assert_eq!(
            error.message,
            "cannot store an object in s3://b/p: the store answers 503 SlowDown: so it is"
        );
    }
}
