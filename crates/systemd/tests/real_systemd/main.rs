//! The manager on a real systemd, in a host of the lab: `--features lab`, as root.

mod content;
mod life;
mod loss;
mod machine;
mod own;
mod reading;
mod types;
