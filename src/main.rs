//! The command `runtime-agent`.

use std::alloc::System;
use std::process::ExitCode;

use clap::Parser as _;
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that is freed. Keys and tokens pass through buffers of libraries, for HTTP, TLS, PEM and JSON, which
/// leave behind what was in them; and so does every text that outgrows its place.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    runtime_agent::command::execute(runtime_agent::cli::Cli::parse())
}
