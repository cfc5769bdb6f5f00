//! How times are taken: several things in turn, round after round, so that a machine that is busy for a while is
//! busy for all of them. The best of a thing's times counts; all figures of a run share one clock.

use std::{hint::black_box, time::Duration};

use byteleap::net::Clock;

/// The times of one thing.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Infinite before the first one.
    pub fn best_s(&self) -> f64 {
        self.0.iter().map(Duration::as_secs_f64).fold(f64::INFINITY, f64::min)
    }
}

/// What `work` takes, and what it gives.
pub fn time<T>(clock: &Clock, work: impl FnOnce() -> T) -> (Duration, T) {
    let began = clock.mono();
    let made = black_box(work());
    (clock.mono().since(began), made)
}

/// Repeats `work` until it has taken at least `span`, in powers of two; what one of them took.
pub fn time_repeated<T>(clock: &Clock, span: Duration, mut work: impl FnMut() -> T) -> Duration {
    let mut repeats = 1;
    loop {
        let all = || {
            for _ in 0..repeats {
                black_box(work());
            }
        };
        let (took, ()) = time(clock, all);
        if took >= span || repeats >= 1 << 20 {
            return took / repeats;
        }
        repeats *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_time_counts() {
        let mut times = Times::default();
        assert!(times.best_s().is_infinite());
        [30, 10, 20].into_iter().for_each(|ms| times.add(Duration::from_millis(ms)));
        assert_eq!(times.best_s(), 0.01);
    }

    #[test]
    fn short_work_is_repeated() {
        let mut count = 0;
        time_repeated(&Clock::start(), Duration::from_millis(1), || count += 1);
        assert!(count > 1);
    }
}
