//! The engine from outside: what it plans, and what a running one does.

mod absence;
mod fixture;
mod handover;
mod lab;
mod leadership;
mod leaving;
mod long_passes;
mod plan_table;
mod prop_changes;
mod prop_handover;
mod prop_plan;
mod running;
