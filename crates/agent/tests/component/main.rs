//! Whole agents on a store in memory and a fake service manager, under paused time.

mod boot;
mod bounce;
mod failure;
mod gate;
mod handover;
mod killed;
mod knife;
mod life;
mod log;
mod own;
mod presence;
mod purge;
mod restart;
mod standing;
mod start;
mod world;
