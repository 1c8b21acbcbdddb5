//! Builders, strategies and waiting for tests.

mod between;
mod etcd;
mod eventually;
mod fuzz;
mod knife;
mod strategies;

pub use between::{Behind, Between};
pub use etcd::EtcdServer;
pub use eventually::{Attempt, eventually};
pub use fuzz::{Fuzz, assert_words};
pub use knife::{Knife, Knifed, Side};
pub use strategies::{any_fleet_options, any_unit_file, any_unit_name};
