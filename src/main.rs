//! `yakt`: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    yakt::cli::main()
}
