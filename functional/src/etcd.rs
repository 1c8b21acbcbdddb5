//! The lab's etcd: one server on the bridge's address, or several members with addresses of their
//! own. Their data is in the lab's folder.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::base::Base;
use crate::process::Process;
use crate::sandbox::Sandbox;
use crate::slot::Slot;
use crate::wait::eventually;

mod member;

pub use member::Member;

/// Longest time it may take to be healthy.
const START_LIMIT: Duration = Duration::from_secs(20);

/// The etcd of a lab.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
}

impl Etcd {
    pub(crate) fn new(
        sandbox: &Arc<Sandbox>,
        folder: &Path,
        slot: Slot,
        count: u8,
        base: &Base,
    ) -> Self {
        let member = |i| Member::new(sandbox, folder, slot, (i, count), base.clone());
        Self { members: (1..=count.max(1)).map(member).collect() }
    }

    /// Returns its members.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns member number `i`, counted from 1.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn member(&self, i: usize) -> Result<&Member> {
        let member = i.checked_sub(1).and_then(|i| self.members.get(i));
        member.with_context(|| format!("etcd has no member {i}, only 1 to {}", self.members.len()))
    }

    /// Returns the member that leads, by what it says itself.
    ///
    /// # Errors
    /// When none says so within 20 s.
    pub fn leader(&self) -> Result<&Member> {
        eventually("a member of etcd leads", START_LIMIT, || {
            let leader = self.members.iter().find(|member| member.leads().unwrap_or(false));
            leader.context("none says that it does")
        })
    }

    /// Returns the client URL, as hosts use it: the first member's.
    #[must_use]
    pub fn url(&self) -> String {
        self.first().url()
    }

    pub(crate) fn addresses(&self) -> Vec<Ipv4Addr> {
        self.members.iter().map(Member::address).collect()
    }

    /// Starts it on the data that is there, and waits until all of it is healthy.
    ///
    /// # Errors
    /// When some of it runs already, or doesn't become healthy: with the end of its log.
    pub fn start(&self) -> Result<()> {
        self.members.iter().try_for_each(Member::start)?;
        self.wait_healthy()
    }

    /// Waits until every member is healthy.
    ///
    /// # Errors
    /// When one isn't after 20 s: with the end of its log.
    pub fn wait_healthy(&self) -> Result<()> {
        self.members.iter().try_for_each(|member| {
            let what = format!("{} is healthy", member.name());
            eventually(&what, START_LIMIT, || member.health())
                .with_context(|| format!("its log ends in:\n{}", member.log_tail(10)))
        })
    }

    /// Stops it as an operator would, and waits until it is gone.
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn stop(&self) -> Result<()> {
        self.members.iter().try_for_each(Member::stop)
    }

    /// Kills it: nothing more is written.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn kill(&self) -> Result<()> {
        self.members.iter().try_for_each(Member::kill)
    }

    /// Makes it hang: connections stay open and nothing answers.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn freeze(&self) -> Result<()> {
        self.members.iter().try_for_each(Member::freeze)
    }

    /// Lets it go on after [`Self::freeze`].
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn thaw(&self) -> Result<()> {
        self.members.iter().try_for_each(Member::thaw)
    }

    /// Returns the first member's process, if it runs.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        self.first().process()
    }

    /// Returns one of its counters or gauges, such as `etcd_server_proposals_committed_total`.
    ///
    /// # Errors
    /// When it doesn't answer or has no such value.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let page = self.send("GET", "/metrics", None)?;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("etcd has no {name}"))?.trim().parse()?)
    }

    /// Sends a request, to its JSON gateway for instance, and returns the body of the answer: of
    /// the first member that gives one.
    ///
    /// # Errors
    /// When none answers within 5 s, or not with 200: the last one's.
    pub fn send(&self, method: &str, path: &str, body: Option<&str>) -> Result<String> {
        let mut last = anyhow!("etcd has no members");
        for member in &self.members {
            match member.send(method, path, body) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Returns the last `lines` lines of every member's log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let tails = self.members.iter().map(|member| {
            let head = match self.members.len() {
                1 => String::new(),
                _ => format!("({})\n", member.name()),
            };
            head + &member.log_tail(lines)
        });
        tails.collect::<Vec<_>>().join("\n")
    }

    #[expect(clippy::indexing_slicing, reason = "there is always one, see `new`")]
    fn first(&self) -> &Member {
        &self.members[0]
    }
}
