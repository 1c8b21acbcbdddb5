//! The real server on a unix socket, as its clients see it: byte by byte.

mod basics;
mod harness;
mod limits;
mod listeners;
mod lists;
mod machines;
mod outage;
mod prop_requests;
mod put;
mod races;
mod units;
