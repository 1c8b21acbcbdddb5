//! Pauses between attempts at what goes wrong again and again: each is twice the one before.
//!
//! Whoever tries names the bounds in a constant. Where many may try in step, pauses differ by chance,
//! which is handed in: whoever seeds it, or the generator of its thread that a
//! [`fastrand::Rng::new`] is drawn from ([`fastrand::seed`]), gets the same pauses again.

use std::time::Duration;

use fastrand::Rng;

/// The bounds of pauses that grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    first: Duration,
    longest: Duration,
}

impl Pauses {
    /// Pauses from `first` to `longest`, or of `longest` if that is less.
    #[must_use]
    pub const fn between(first: Duration, longest: Duration) -> Self {
        let first = if first.as_nanos() > longest.as_nanos() { longest } else { first };
        Self { first, longest }
    }

    /// The longest of them.
    #[must_use]
    pub const fn longest(self) -> Duration {
        self.longest
    }

    /// The pause before which there were `earlier` ones.
    #[must_use]
    pub fn after(self, earlier: u32) -> Duration {
        let factor = 1_u32.checked_shl(earlier).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// Attempts that pause so.
    #[must_use]
    pub const fn begin(self) -> Backoff {
        Backoff { pauses: self, next: self.first, is_fresh: true, chance: None }
    }

    /// Attempts that pause between half and all of that, so that nobody tries in step with others.
    #[must_use]
    pub fn begin_jittered(self, chance: Rng) -> Backoff {
        Backoff { chance: Some(chance), ..self.begin() }
    }
}

/// Between half and all of `pause`, so that nobody tries in step with others.
#[must_use]
pub fn jittered(pause: Duration, chance: &mut Rng) -> Duration {
    pause.mul_f64(0.5 + chance.f64() / 2.0)
}

/// Attempts in a row, as far as their pauses are concerned.
#[derive(Debug)]
pub struct Backoff {
    pauses: Pauses,
    next: Duration,
    is_fresh: bool,
    chance: Option<Rng>,
}

impl Backoff {
    /// How long to pause now.
    pub fn pause(&mut self) -> Duration {
        assert!(self.next <= self.pauses.longest, "no pause is longer than the longest");
        let pause = match &mut self.chance {
            Some(chance) => jittered(self.next, chance),
            None => self.next,
        };
        self.next = self.next.saturating_mul(2).min(self.pauses.longest);
        self.is_fresh = false;
        pause
    }

    /// From now on no pause is longer than `longest`; the first may be shorter.
    pub fn limit(&mut self, longest: Duration) {
        self.pauses = Pauses::between(self.pauses.first, longest);
        self.next = self.next.min(longest);
    }

    /// Whether there was no pause since the beginning, or the last success.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// An attempt succeeded: pauses begin anew.
    pub fn reset(&mut self) {
        (self.next, self.is_fresh) = (self.pauses.first, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const PAUSES: Pauses = Pauses::between(MS.saturating_mul(100), MS.saturating_mul(700));

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let mut backoff = PAUSES.begin();
        assert!(backoff.is_fresh());
        for (earlier, expected) in (0..5).zip([100, 200, 400, 700, 700]) {
            assert_eq!(backoff.pause(), MS * expected);
            assert_eq!(PAUSES.after(earlier), MS * expected);
        }
        assert!(!backoff.is_fresh());
        backoff.reset();
        assert!(backoff.is_fresh());
        assert_eq!(backoff.pause(), MS * 100);
        for earlier in [31, 32, 33, u32::MAX] {
            assert_eq!(PAUSES.after(earlier), MS * 700);
        }
        let endless = Pauses::between(MS, Duration::MAX);
        assert!(endless.after(u32::MAX) > Duration::from_secs(86_400));
    }

    #[test]
    fn the_longest_counts_wherever_it_comes_from() {
        assert_eq!(Pauses::between(MS * 9, MS).begin().pause(), MS);
        let mut backoff = PAUSES.begin();
        let pauses = [700, 700, 50, 600, 600, 600].map(|longest| {
            backoff.limit(MS * longest);
            backoff.pause()
        });
        assert_eq!(pauses, [100, 200, 50, 50, 100, 200].map(|ms| MS * ms));
    }

    #[test]
    fn pauses_differ_by_chance_between_half_and_all_and_a_seed_repeats_them() {
        let pauses = |chance| {
            let mut backoff = PAUSES.begin_jittered(chance);
            [(); 20].map(|()| backoff.pause())
        };
        let some = pauses(Rng::with_seed(1));
        for (pause, earlier) in some.iter().zip(0..) {
            let all = PAUSES.after(earlier);
            assert!(*pause >= all / 2 && *pause <= all, "{earlier}: {pause:?}");
        }
        assert_eq!(some, pauses(Rng::with_seed(1)));
        assert_ne!(some, pauses(Rng::with_seed(2)));
        fastrand::seed(3);
        let drawn = pauses(Rng::new());
        fastrand::seed(3);
        assert_eq!(drawn, pauses(Rng::new()), "the generator of the thread is seeded as well");
    }
}
