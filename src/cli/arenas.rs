//! One setting of the C library's allocator, which has to be there before the process begins.
//!
//! glibc gives threads arenas of their own, up to eight for each core, and what one frees another cannot use:
//! with sinks that are down beside others that work, that doubled the memory of the daemon. Two arenas cost no
//! speed that could be measured. Where the setting cannot be made, everything works as well, in more memory.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::secret::environment;

/// See mallopt(3).
const SETTING: &str = "MALLOC_ARENA_MAX";
const ARENAS: &str = "2";

/// Begins the process anew with the setting, unless it has one; it keeps its number and its files.
pub fn limit() {
    if !cfg!(target_env = "gnu") || environment(SETTING).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let error = Command::new(program).arg0(name).args(arguments).env(SETTING, ARENAS).exec();
    tracing::debug!(%error, "the allocator could not be set up");
}
