//! The opening spoke: computes again what a `gemm_i8` proof shows, and writes the proof.
//!
//! Runs on: its own thread, `open`, with `open-0`, `open-1` … during an opening. Owns nothing between two openings.
//! It never waits for a product, and decides neither what is opened nor who is told.

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    compute::gemm_i8::{OpenFault, Opener, Part, Piece},
    machine::contract::open::{OpenOutcome, OpenReply, OpenRequest},
    net::Clock,
    spoke::{CallOff, in_parallel},
    wire::messages::Raw,
};

/// What [`crate::spoke::spawn`] serves requests with.
#[derive(Clone, Debug)]
pub struct Openings {
    threads: NonZeroUsize,
    called_off: CallOff,
    clock: Clock,
}

impl Openings {
    /// `threads`: all cores that this process may use, when `None`.
    pub fn new(threads: Option<NonZeroUsize>, called_off: CallOff, clock: Clock) -> Openings {
        let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Openings { threads: threads.unwrap_or_else(cores), called_off, clock }
    }

    pub fn serve(&self, request: OpenRequest) -> OpenReply {
        let began = self.clock.mono();
        let outcome = match self.proof(&request) {
            Ok(Some(proof)) => OpenOutcome::Opened { proof, took: self.clock.mono().since(began) },
            Ok(None) => OpenOutcome::CalledOff,
            Err(why) => OpenOutcome::Refused(why),
        };
        OpenReply { id: request.id, outcome }
    }

    /// `None` when it was called off.
    fn proof(&self, request: &OpenRequest) -> Result<Option<Raw>, String> {
        let opener = Opener::new(&request.answer, &request.samples).map_err(|why: OpenFault| why.to_string())?;
        let pieces: Vec<Piece> = opener.pieces().collect();
        let next = AtomicUsize::new(0);
        let hands = vec![(); self.threads.get().min(pieces.len())];
        let go_on = || !self.called_off.covers(request.id.0);
        let work = |()| {
            let taken = std::iter::from_fn(|| pieces.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| go_on()));
            let mut desk = opener.desk();
            taken.filter_map(|piece| opener.compute(&mut desk, *piece)).collect::<Vec<Part>>()
        };
        let parts: Vec<Part> = in_parallel("open", hands, work).into_iter().flatten().collect();
        match opener.proof(parts).filter(|_| go_on()) {
            Some(proof) => Raw::of(&proof).map(Some).map_err(|why| why.to_string()),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        compute::gemm_i8::{self, KeyPrefix, Spec},
        machine::contract::open::OpenId,
        units::{ChallengeId, WorkerId},
        wire::messages::gemm_i8::{GemmProof, Sample},
    };

    fn request(samples: &[Sample]) -> OpenRequest {
        let prefix = KeyPrefix::new(&ChallengeId::new("c"), &[3; 32], "5A", &WorkerId::new("w"), "cpu");
        let answer = gemm_i8::compute(Spec::new(256, 2).unwrap(), prefix).unwrap();
        OpenRequest { id: OpenId(2), answer: Arc::new(answer), samples: samples.to_vec() }
    }

    fn openings(threads: usize, called_off: &CallOff) -> Openings {
        Openings::new(NonZeroUsize::new(threads), called_off.clone(), Clock::start())
    }

    const SAMPLES: [Sample; 3] = [
        Sample { round: 1, row: 255, chunk: 0 },
        Sample { round: 0, row: 7, chunk: 0 },
        Sample { round: 1, row: 0, chunk: 0 },
    ];

    #[test]
    fn any_number_of_threads_gives_a_proof_that_holds() {
        let request = request(&SAMPLES);
        let (spec, prefix, root) = (request.answer.spec(), request.answer.prefix(), request.answer.root());
        for threads in [1, 2, 7] {
            let openings = openings(threads, &CallOff::default());
            let OpenOutcome::Opened { proof, .. } = openings.serve(request.clone()).outcome else {
                panic!("nobody called it off")
            };
            let proof = GemmProof::read(&proof).unwrap();
            assert_eq!(gemm_i8::verify(spec, prefix, root, &SAMPLES, &proof), Ok(()), "{threads} threads");
        }
    }

    #[test]
    fn what_is_called_off_gives_no_proof() {
        let called_off = CallOff::default();
        let openings = openings(2, &called_off);
        called_off.up_to(2);
        let second = request(&SAMPLES);
        let third = OpenRequest { id: OpenId(3), ..second.clone() };
        assert_eq!(openings.serve(second).outcome, OpenOutcome::CalledOff);
        assert!(matches!(openings.serve(third).outcome, OpenOutcome::Opened { .. }));
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        let outside = request(&[Sample { round: 2, row: 0, chunk: 0 }]);
        let OpenOutcome::Refused(why) = openings(1, &CallOff::default()).serve(outside).outcome else {
            panic!("there is no round 2")
        };
        assert!(why.contains("round 2"), "{why}");
    }
}
