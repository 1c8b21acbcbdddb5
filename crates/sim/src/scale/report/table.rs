//! The table.

use std::fmt;

use super::{Cost, Figure, PartReport, Report, Spread};

/// The width of what a figure is called.
const NAME: usize = 44;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, settings) = (&self.host, &self.settings);
        let build = if host.release { "release" } else { "debug" };
        writeln!(
            f,
            "{} machines, {} units, seed {}, agent_ttl {} s, {} requests in flight; {build} build",
            settings.machines, settings.units, settings.seed, settings.ttl, settings.in_flight
        )?;
        writeln!(
            f,
            "{} processors ({}), {} MiB, Linux {}, etcd {}",
            host.processors, host.model, host.memory, host.kernel, host.etcd
        )?;
        self.parts.iter().try_for_each(|part| write!(f, "\n{part}"))?;
        writeln!(f, "\n{} units verified", self.verified)?;
        self.broken.iter().try_for_each(|what| writeln!(f, "BROKEN: {what}"))
    }
}

impl fmt::Display for PartReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({:.2} s)", self.part.name(), self.seconds)?;
        for Figure { name, value, unit } in &self.figures {
            writeln!(f, "  {name:NAME$} {:>10} {unit}", number(*value))?;
        }
        let costs = &self.costs;
        for (name, cost) in
            [("engine, API", costs.engine), ("agents", costs.agents), ("etcd", costs.etcd)]
        {
            let Cost { cpu, peak, resident, .. } = cost;
            writeln!(
                f,
                "  {name:NAME$} {cpu:>10.2} s of CPU, {resident:.0} MiB, peak {peak:.0} MiB"
            )?;
        }
        if costs.leases_lost + costs.moved > 0 {
            writeln!(
                f,
                "  {:NAME$} {:>10} leases gone, {} units taken off their machine",
                "cluster", costs.leases_lost, costs.moved
            )?;
        }
        let counts = &costs.counts;
        let (received, sent) = (counts.received / 1024.0, counts.sent / 1024.0);
        writeln!(
            f,
            "  {:NAME$} {:>10} proposals, {received:.0} KiB in, {sent:.0} KiB out, {} watches",
            "etcd", counts.proposals, counts.watches
        )?;
        if let Some(Spread { number, median, p99, longest, failed }) = self.pages {
            writeln!(
                f,
                "  {:NAME$} {median:>10.1} ms, 99 % {p99:.1} ms, longest {longest:.1} ms of {number}, {failed} failed",
                "pages of 100 meanwhile, median"
            )?;
        }
        match &self.problem {
            Some(problem) => writeln!(f, "  INCOMPLETE: {problem}"),
            None => Ok(()),
        }
    }
}

/// With as many digits as say something.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 || (large.fract() == 0.0) => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
