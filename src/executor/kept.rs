//! The last answer of a device, for as long as it may be asked to open it. The time is an argument.

use std::time::Duration;

use crate::{compute::gemm_i8::Answer, units::Mono};

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub struct Kept(Option<(Answer, Mono)>);

impl Kept {
    /// In place of the one before.
    pub fn put(&mut self, answer: Answer, now: Mono) {
        self.0 = Some((answer, now + KEPT));
    }

    /// The answer, unless its time is over: then it is gone.
    pub fn get(&mut self, now: Mono) -> Option<&Answer> {
        self.0.take_if(|(_, until)| *until <= now);
        self.0.as_ref().map(|(answer, _)| answer)
    }

    /// Forgets it; whether there was one.
    pub fn clear(&mut self, now: Mono) -> bool {
        let there = self.get(now).is_some();
        self.0 = None;
        there
    }

    /// When it is to be forgotten.
    pub fn until(&self) -> Option<Mono> {
        self.0.as_ref().map(|(_, until)| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compute::gemm_i8::{self, KeyPrefix, Spec},
        units::{ChallengeId, WorkerId},
    };

    #[test]
    fn an_answer_is_kept_for_ten_minutes_or_until_the_next() {
        let prefix = KeyPrefix::new(&ChallengeId::new("c"), &[1; 32], "5A", &WorkerId::new("w"), "GPU-1");
        let answer = gemm_i8::compute(Spec::new(256, 1).unwrap(), prefix).unwrap();
        let mut kept = Kept::default();
        assert!(kept.get(Mono(0)).is_none() && !kept.clear(Mono(0)));
        kept.put(answer.clone(), Mono(0));
        let end = Mono(0) + KEPT;
        assert_eq!(kept.get(Mono(end.0 - 1)), Some(&answer));
        assert_eq!(kept.get(end), None);
        kept.put(answer, Mono(0));
        assert!(kept.clear(Mono(1)) && !kept.clear(Mono(1)));
    }
}
