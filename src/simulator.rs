//! stub
use crate::clock::Clock;
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
pub struct Options {
    pub seed: u64,
    pub days: u32,
    pub files_per_day: u32,
    pub records_per_file: u32,
    pub records_from: Option<PathBuf>,
    pub chaos: bool,
}
pub struct Simulator;
pub struct Summary {
    pub files: u64,
    pub records: u64,
    pub bytes: u64,
}
pub const WORKSPACE: &str = "";
pub const ORGANIZATION: &str = "";
pub const API_KEY: &str = "";
impl Simulator {
    pub async fn start(_: SocketAddr, _: Options, _: Arc<dyn Clock>) -> anyhow::Result<Self> {
        Ok(Self)
    }
    pub fn base_url(&self) -> String {
        String::new()
    }
    pub fn summary(&self) -> Summary {
        Summary { files: 0, records: 0, bytes: 0 }
    }
    pub async fn stop(self) {}
}
