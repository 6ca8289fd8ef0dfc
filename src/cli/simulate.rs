//! `simulate`: the API's other side, alone.

use std::sync::Arc;

use super::args::SimulateOptions;
use super::{Exit, Outcome, print, runtime, say};
use crate::clock::SystemClock;
use crate::simulator::{API_KEY, ORGANIZATION, Options, Simulator, WORKSPACE};

pub fn simulate(options: SimulateOptions) -> Outcome {
    let SimulateOptions { listen, seed, days, files_per_day, records_per_file, records_from, chaos } =
        options;
    let options = Options { seed, days, files_per_day, records_per_file, records_from, chaos };
    runtime()?.block_on(async {
        let simulator = Simulator::start(listen, options, Arc::new(SystemClock)).await?;
        let summary = simulator.summary();
        say(&format!(
            "serving {} log files with {} records until interrupted",
            summary.files, summary.records
        ));
        print(configuration(&simulator.base_url()).as_bytes())?;
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminated.recv() => {}
        }
        simulator.stop().await;
        Ok(Exit::Done)
    })
}

/// Sources that collect from the simulator, ready for a configuration file.
fn configuration(base_url: &str) -> String {
    format!(
        "# The key: export SIMULATOR_KEY={API_KEY}\n\
         [sources.workspace]\n\
         type = \"compliance_logs\"\n\
         workspace_id = \"{WORKSPACE}\"\n\
         api_key = {{ env = \"SIMULATOR_KEY\" }}\n\
         base_url = \"{base_url}\"\n\
         requests_per_minute = 100000\n\
         \n\
         [sources.organization]\n\
         type = \"compliance_logs\"\n\
         organization_id = \"{ORGANIZATION}\"\n\
         api_key = {{ env = \"SIMULATOR_KEY\" }}\n\
         base_url = \"{base_url}\"\n\
         requests_per_minute = 100000\n"
    )
}
