use crate::{secret::Secret, words::Principal};
use std::time::Duration;
use url::Url;
#[derive(Clone, Debug)]
pub struct ComplianceConfig {
    pub principal: Principal,
    pub api_key: Secret,
    pub event_types: Vec<String>,
    pub base_url: Url,
    pub poll_interval: Duration,
    pub start_from: Duration,
    pub overlap: Option<Duration>,
    pub requests_per_minute: u32,
}
impl ComplianceConfig {
    pub fn overlap_of(&self, _: &str) -> Duration {
        Duration::ZERO
    }
}
