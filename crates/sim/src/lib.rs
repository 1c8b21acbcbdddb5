//! A cluster in one thread: the real engine, agent, API and registry of every machine on a store and
//! service managers that are played, on a clock that is played, and broken from a seed.
//!
//! ```text
//! Plan (from a seed) ──steps──▶ run ──▶ World ─┬─ Machine ─┬─ Fleetd: Agent, Engine, Api   (real)
//!                                │             │           │    │ Line          │ Driver
//!                                │             │           │    ▼               ▼
//!                                │             ├─ MemoryStore             FakeManager
//!                                │             └─ Truth: what the store has said so far
//!                                ▼
//!                        Outcome: broken invariants, what was reached, the trace
//! ```
//!
//! Every call of a fleetd to its store goes through a [`mod@line`], every one to its service manager through
//! a [`driver`]: there the order of things is drawn from the seed, and there things go wrong. One seed is
//! one run, to the byte.
//!
//! [`scale`] is the other way round: real time, a real etcd, many machines, and nothing that goes wrong
//! but what is measured.

pub mod checks;
pub mod driver;
pub mod faults;
pub mod fleetd;
pub mod life;
pub mod line;
pub mod machine;
pub mod plan;
pub mod rest;
pub mod run;
pub mod scale;
pub mod shrink;
pub mod sometimes;
pub mod trace;
pub mod truth;
pub mod users;
pub mod watched;
pub mod world;
