//! The program: everything happens in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    custodex::cli::main()
}
