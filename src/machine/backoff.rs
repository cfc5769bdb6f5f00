//! How long to wait before the next attempt: exponential, jittered, with a ceiling.
//!
//! Owns the count of failures in a row. Draws its jitter from the generator it is handed, so a seed
//! replays; never looks at a clock.

use std::time::Duration;

use rand_core::RngCore;

/// Waits that double from `base` to `ceiling`; each is drawn evenly from the upper half of its step, so
/// that many clients cut off together do not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    ceiling: Duration,
    failures: u32,
}

impl Backoff {
    /// `base` is the longest first wait, `ceiling` the longest of all; a ceiling below the base is the base.
    pub fn new(base: Duration, ceiling: Duration) -> Backoff {
        Backoff { base, ceiling: ceiling.max(base), failures: 0 }
    }

    /// Counts a failure and says how long to wait before the next attempt.
    pub fn wait(&mut self, rng: &mut impl RngCore) -> Duration {
        let step = self.step();
        self.failures = self.failures.saturating_add(1);
        let half = u64::try_from(step.as_nanos() / 2).unwrap_or(u64::MAX);
        step - Duration::from_nanos(draw_up_to(rng, half))
    }

    /// An attempt worked: the next wait is a first one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn step(&self) -> Duration {
        // 2^20 steps of a nanosecond-sized base are past any ceiling in use; the shift cannot overflow.
        let factor = 1u32 << self.failures.min(20);
        self.base.checked_mul(factor).unwrap_or(self.ceiling).min(self.ceiling)
    }
}

/// Evenly from 0 … `most`; the bias of the multiplication is below 2⁻⁶⁴ of the range, and harmless here.
fn draw_up_to(rng: &mut impl RngCore, most: u64) -> u64 {
    let wide = u128::from(rng.next_u64()) * (u128::from(most) + 1);
    (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn waits(seed: u64, count: usize) -> Vec<Duration> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(60));
        (0..count).map(|_| backoff.wait(&mut rng)).collect()
    }

    #[test]
    fn waits_double_up_to_the_ceiling() {
        let steps = [5, 10, 20, 40, 60, 60, 60];
        for (wait, step) in waits(1, steps.len()).into_iter().zip(steps) {
            let step = Duration::from_secs(step);
            assert!(step / 2 <= wait && wait <= step, "{wait:?} is not within half of {step:?}");
        }
    }

    #[test]
    fn a_seed_replays_and_another_seed_differs() {
        assert_eq!(waits(7, 5), waits(7, 5));
        assert_ne!(waits(7, 5), waits(8, 5));
    }

    #[test]
    fn a_success_starts_over() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(60));
        for _ in 0..100 {
            backoff.wait(&mut rng);
        }
        assert_eq!(backoff.failures(), 100);
        backoff.reset();
        assert!(backoff.wait(&mut rng) <= Duration::from_secs(5));
    }
}
