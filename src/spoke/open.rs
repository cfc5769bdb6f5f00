//! The opening spoke: computes again what a `gemm_i8` proof shows, or has the GPU executor do so, and writes the proof.
//!
//! Runs on: its own thread, `open`, with `open-0`, `open-1` … during an opening. Owns nothing between two openings.
//! It never waits for a product, and decides neither what is opened nor who is told.

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    compute::gemm_i8::{Answer, OpenFault, Opener, Part, Piece},
    machine::contract::open::{OpenOutcome, OpenReply, OpenRequest, ToOpen},
    net::Clock,
    spoke::{CallOff, gpu, in_parallel},
    wire::messages::{Raw, gemm_i8::Sample},
};

/// What [`crate::spoke::spawn`] serves requests with.
#[derive(Clone, Debug)]
pub struct Openings {
    threads: NonZeroUsize,
    called_off: CallOff,
    clock: Clock,
    gpus: gpu::Client,
}

impl Openings {
    /// `threads`: all cores that this process may use, when `None`.
    pub fn new(threads: Option<NonZeroUsize>, called_off: CallOff, clock: Clock, gpus: gpu::Client) -> Openings {
        let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Openings { threads: threads.unwrap_or_else(cores), called_off, clock, gpus }
    }

    pub fn serve(&self, request: OpenRequest) -> OpenReply {
        let began = self.clock.mono();
        let outcome = match self.proofs(&request) {
            Ok(Some(proofs)) => OpenOutcome::Opened { proofs, took: self.clock.mono().since(began) },
            Ok(None) => OpenOutcome::CalledOff,
            Err(why) => OpenOutcome::Refused(why),
        };
        OpenReply { id: request.id, outcome }
    }

    /// `None` when it was called off.
    fn proofs(&self, request: &OpenRequest) -> Result<Option<Raw>, String> {
        let go_on = || !self.called_off.covers(request.id.0);
        match &request.wanted {
            ToOpen::Cpu { answer, samples } => self.of_cpu(answer, samples, &go_on),
            ToOpen::Gpu { answer, requests } => match gpu::proofs(&self.gpus, answer, requests, &go_on) {
                Err(_) if !go_on() => Ok(None),
                proofs => proofs.map(Some),
            },
        }
    }

    fn of_cpu(
        &self,
        answer: &Answer,
        samples: &[Sample],
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Raw>, String> {
        let opener = Opener::new(answer, samples).map_err(|why: OpenFault| why.to_string())?;
        let pieces: Vec<Piece> = opener.pieces().collect();
        let next = AtomicUsize::new(0);
        let hands = vec![(); self.threads.get().min(pieces.len())];
        let work = |()| {
            let taken = std::iter::from_fn(|| pieces.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| go_on()));
            let mut desk = opener.desk();
            taken.filter_map(|piece| opener.compute(&mut desk, *piece)).collect::<Vec<Part>>()
        };
        let parts: Vec<Part> = in_parallel("open", hands, work).into_iter().flatten().collect();
        match opener.proof(parts).filter(|_| go_on()) {
            Some(proof) => Raw::of(&[proof]).map(Some).map_err(|why| why.to_string()),
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
        machine::contract::{
            gpu::{GpuAnswer, GpuKept},
            open::OpenId,
        },
        units::{ChallengeId, WorkerId},
        wire::messages::{DeviceRequest, gemm_i8::GemmProof},
    };

    fn request(samples: &[Sample]) -> OpenRequest {
        let prefix = KeyPrefix::new(&ChallengeId::new("c"), &[3; 32], "5A", &WorkerId::new("w"), "cpu");
        let answer = gemm_i8::compute(Spec::new(256, 2).unwrap(), prefix).unwrap();
        OpenRequest { id: OpenId(2), wanted: ToOpen::Cpu { answer: Arc::new(answer), samples: samples.to_vec() } }
    }

    fn openings(threads: usize, called_off: &CallOff) -> Openings {
        let gpus = gpu::Client::new("/nowhere/gpu.sock".into(), Clock::start());
        Openings::new(NonZeroUsize::new(threads), called_off.clone(), Clock::start(), gpus)
    }

    const SAMPLES: [Sample; 3] = [
        Sample { round: 1, row: 255, chunk: 0 },
        Sample { round: 0, row: 7, chunk: 0 },
        Sample { round: 1, row: 0, chunk: 0 },
    ];

    #[test]
    fn any_number_of_threads_gives_a_proof_that_holds() {
        let request = request(&SAMPLES);
        let ToOpen::Cpu { answer, .. } = &request.wanted else { panic!("of the CPU") };
        let (spec, prefix, root) = (answer.spec(), answer.prefix(), answer.root());
        for threads in [1, 2, 7] {
            let openings = openings(threads, &CallOff::default());
            let OpenOutcome::Opened { proofs, .. } = openings.serve(request.clone()).outcome else {
                panic!("nobody called it off")
            };
            let proofs: Vec<Raw> = proofs.read().unwrap();
            let proof = GemmProof::read(&proofs[0]).unwrap();
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

    #[test]
    fn a_gpu_whose_executor_is_gone_is_refused_by_name() {
        let request = request(&SAMPLES);
        let kept = GpuKept::GemmI8(Spec::new(256, 2).unwrap());
        let answer = Arc::new(GpuAnswer { commitments: vec![], kept });
        let requests = vec![DeviceRequest::samples("GPU-1", SAMPLES.to_vec())];
        let request = OpenRequest { wanted: ToOpen::Gpu { answer, requests }, ..request };
        let OpenOutcome::Refused(why) = openings(1, &CallOff::default()).serve(request).outcome else {
            panic!("nobody listens there")
        };
        assert!(why.starts_with("no executor answers at /nowhere/gpu.sock"), "{why}");
    }
}
