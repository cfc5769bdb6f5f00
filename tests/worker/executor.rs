//! A GPU executor of this test's own: it speaks the socket's protocol and computes on the CPU. It can die in the middle of
//! a job. The real one, over a fake driver, has tests of its own.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use byteleap::{
    compute::gemm_i8::{self, Answer, KeyPrefix, Spec},
    units::{ChallengeId, WorkerId},
    wire::{
        gpu_socket::{
            self, Failed, GEMM_I8_VERSION, GemmResult, GpuInfo, HEAD_BYTES, Opened, Pong, Request, Submitted, Timings,
        },
        json,
        messages::Raw,
    },
};
use serde_json::json;

pub const GPUS: [&str; 2] = ["GPU-fa4e0000-0000-0000-0000-000000000000", "GPU-fa4e0000-0000-0000-0000-000000000001"];

/// What the keys of the test's one challenge are made of.
#[derive(Clone)]
pub struct Challenge {
    pub id: String,
    pub seed: [u8; 32],
    pub miner: String,
    pub worker: String,
}

impl Challenge {
    pub fn prefix(&self, device: &str) -> KeyPrefix {
        let (id, worker) = (ChallengeId::new(&self.id), WorkerId::new(&self.worker));
        KeyPrefix::new(&id, &self.seed, &self.miner, &worker, device)
    }
}

#[derive(Clone)]
pub struct Executor {
    challenge: Challenge,
    answers: Arc<Mutex<Vec<Answer>>>,
    /// The next job ends with the connection.
    pub dies: Arc<AtomicBool>,
}

impl Executor {
    #[expect(clippy::disallowed_methods, reason = "a program beside the worker, in the test's own process")]
    pub fn listen(at: &Path, challenge: Challenge) -> Executor {
        let listener = UnixListener::bind(at).expect("a free path");
        let executor = Executor { challenge, answers: Arc::default(), dies: Arc::default() };
        let server = executor.clone();
        thread::spawn(move || {
            listener.incoming().for_each(|stream| server.serve(stream.expect("a connection")));
        });
        executor
    }

    /// A worker that hung up, for it waited in vain on a slow machine, asks again.
    fn serve(&self, mut stream: UnixStream) {
        let mut head = [0; HEAD_BYTES];
        let Ok(()) = stream.read_exact(&mut head) else { return };
        let mut body = vec![0; gpu_socket::body_length(head).expect("a length")];
        let Ok(()) = stream.read_exact(&mut body) else { return };
        let request: Request = json::parse(std::str::from_utf8(&body).expect("text")).expect("a request");
        if let Some(answer) = self.answer(request) {
            let _ = stream.write_all(&gpu_socket::frame(&answer).expect("a short answer"));
        }
    }

    fn answer(&self, request: Request) -> Option<String> {
        Some(match request {
            Request::Ping => json::text(&Pong { pong: true }),
            Request::GetGpuInfo => {
                let gpu =
                    |uuid: &str| json!({"uuid": uuid, "name": "NVIDIA H200"}).as_object().cloned().unwrap_or_default();
                let (gpus, gemm_i8) = (GPUS.map(gpu).into(), Some(GEMM_I8_VERSION));
                json::text(&GpuInfo { success: true, gpu_count: 2, gpus, gemm_i8, note: None })
            }
            Request::SubmitGemmI8 { .. } if self.dies.load(Ordering::SeqCst) => return None,
            Request::SubmitGemmI8 { task } => {
                let spec = Spec::new(task.matrix_size, task.rounds).expect("a size");
                let answers = task.devices.iter().map(|device| {
                    let prefix = self.challenge.prefix(&device.uuid);
                    assert_eq!(prefix.to_hex(), device.key_prefix);
                    gemm_i8::compute(spec, prefix).expect("an answer")
                });
                let answers: Vec<Answer> = answers.collect();
                let result = |answer: &Answer| GemmResult {
                    gpu_uuid: answer.prefix().device().into(),
                    merkle_root: hex::encode(answer.root()),
                    timings_ms: Timings { generate: 1.0, multiply: 5.0, hash: 2.0, total: 8.0 },
                };
                let text = json::text(&Submitted { success: true, results: answers.iter().map(result).collect() });
                *self.answers.lock().expect("no panic") = answers;
                text
            }
            Request::OpenGemmI8 { gpu_uuid, samples } => {
                let answers = self.answers.lock().expect("no panic");
                let answer = answers.iter().find(|answer| answer.prefix().device() == gpu_uuid).expect("a device");
                let proof = gemm_i8::open(answer, &samples).expect("samples within the answer");
                let tops = Raw::of(&proof.tops.iter().map(hex::encode).collect::<Vec<_>>()).expect("JSON");
                json::text(&Opened { success: true, tops, openings: Raw::of(&proof.openings).expect("JSON") })
            }
            other => json::text(&Failed::new(format!("not of this test: {other:?}"))),
        })
    }
}
