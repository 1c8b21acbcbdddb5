//! fleetctl: systemctl for the cluster.

use std::process::ExitCode;

fn main() -> ExitCode {
    fleetctl::main()
}
