//! The engine from outside: what it plans, and what a running one does.

mod fixture;
mod lab;
mod leadership;
mod plan_table;
mod prop_plan;
mod running;
