//! The engine from outside: what it plans, and what a running one does.

mod fixture;
mod handover;
mod lab;
mod leadership;
mod leaving;
mod plan_table;
mod prop_handover;
mod prop_plan;
mod running;
