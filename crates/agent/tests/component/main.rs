//! Whole agents on a store in memory and a fake service manager, under paused time.

mod bounce;
mod failure;
mod handover;
mod killed;
mod knife;
mod life;
mod log;
mod presence;
mod purge;
mod restart;
mod start;
mod world;
