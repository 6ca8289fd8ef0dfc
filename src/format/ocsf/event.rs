//! A record with its class: what the tables of OCSF ask.

use super::Version;
use super::classes::{self, Class, Kind};
use crate::format::Options;
use crate::format::mapping::{self, View, plain};
use crate::format::trim::Cuts;
use crate::record::Record;

/// The product whose records these are.
pub(super) const PRODUCT: &str = "\"ChatGPT Enterprise\"";

/// A record about to be written.
pub(super) struct Event<'r> {
    pub(super) view: View<'r>,
    pub(super) record: &'r Record<'r>,
    pub(super) class: Class,
    pub(super) version: Version,
    /// Milliseconds of upstream's time.
    pub(super) time: Option<i64>,
}

impl<'r> Event<'r> {
    pub(super) fn new(record: &'r Record<'r>, options: Options, cuts: &'r Cuts) -> Self {
        let (view, version) = (View::new(record, options, cuts), options.ocsf_version);
        let class = classes::of(&view, version);
        Self { record, class, version, time: record.time.as_deref().and_then(mapping::milliseconds), view }
    }

    pub(super) fn is(&self, kind: Kind) -> bool {
        self.class.kind == kind
    }

    /// Whether the profile for models and messages is used.
    pub(super) fn has_model(&self) -> bool {
        self.is(Kind::Api) && self.record.category != "admin"
    }

    /// The actor's name, unless that is an agent's.
    fn name(&self) -> Option<&'r str> {
        self.record.actor.name.filter(|_| !self.view.agent)
    }

    /// What the user is called: his address, else his name.
    pub(super) fn user_name(&self) -> Option<&'r str> {
        self.view.user_email().or(self.name())
    }

    /// Whether anybody is named.
    pub(super) fn has_user(&self) -> bool {
        self.view.user_id().or(self.user_name()).is_some()
    }

    /// Id and name of the agent that acted.
    pub(super) fn agent(&self) -> [Option<&'r str>; 2] {
        let actor = &self.record.actor;
        if self.view.agent { [actor.id, actor.name] } else { [None, None] }
    }

    /// Whether there is anything that an actor can be told by.
    pub(super) fn has_actor(&self) -> bool {
        self.has_user()
            || self.agent().iter().any(Option::is_some)
            || self.record.session.session_id.is_some()
    }

    /// The client, or the product where upstream names none.
    pub(super) fn application(&self) -> &'r str {
        self.record.surface.unwrap_or(PRODUCT)
    }

    /// Whether it is told where the request came from.
    pub(super) fn has_endpoint(&self) -> bool {
        let actor = &self.record.actor;
        let told = actor.ip.or(self.record.surface).or(actor.asn).or(actor.ja3).or(actor.ja4);
        self.class.has_endpoint() && (self.is(Kind::Api) || told.is_some() || !actor.geo.is_empty())
    }

    /// Whether a place is told that an endpoint can have.
    pub(super) fn has_location(&self) -> bool {
        let named = ["city", "country", "region", "region_code"];
        self.has_endpoint() && named.iter().any(|key| self.view.geo(key).is_some())
    }

    /// Which of the schema's profiles are used.
    pub(super) fn profiles(&self) -> impl Iterator<Item = Option<&'static str>> {
        let host = matches!(self.class.kind, Kind::Base | Kind::Finding) && self.has_actor();
        [
            self.has_model().then_some("\"ai_operation\""),
            self.time.map(|_| "\"datetime\""),
            host.then_some("\"host\""),
        ]
        .into_iter()
    }

    /// What ties events together.
    pub(super) fn correlation(&self) -> Option<&'r str> {
        let session = &self.record.session;
        session.session_id.or(session.thread_id).or(session.conversation_id)
    }
}

/// A mail address as the schema wants it: ASCII, with one @ and a dot behind it.
pub(super) fn is_mail(token: &str) -> bool {
    let Some((local, domain)) = plain(token).and_then(|text| text.split_once('@')) else { return false };
    let in_local = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    let in_domain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let Some((label, rest)) = domain.split_once('.') else { return false };
    !local.is_empty()
        && local.bytes().all(in_local)
        && !label.is_empty()
        && label.bytes().all(in_domain)
        && !rest.is_empty()
        && rest.bytes().all(|byte| in_domain(byte) || byte == b'.')
}
