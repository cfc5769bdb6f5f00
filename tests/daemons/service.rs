//! The daemons under a service manager: what they tell it, that one which hangs falls silent, what the journal gets, and
//! that each ends soon after it was asked to, whoever does not answer it. Every wait has a deadline.

use std::{
    fs::{self, File},
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    os::unix::{fs::MetadataExt, net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use byteleap::devnet::site::{BLOCK_TIME, Plan, Site, worker_name};
use crossbeam::channel::{Receiver, after, tick};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);
/// Who asks a daemon to end waits no longer.
const END_WITHIN: Duration = Duration::from_secs(5);
/// The daemon speaks twice as often.
const WATCHDOG: Duration = Duration::from_millis(400);
/// As many watchdog intervals of silence are no chance.
const SILENCE: Duration = Duration::from_secs(2);

const ROLES: [(&str, &str); 3] = [
    ("validator", env!("CARGO_BIN_EXE_validator")),
    ("miner", env!("CARGO_BIN_EXE_miner")),
    ("worker", env!("CARGO_BIN_EXE_worker")),
];

fn name_of(role: &str) -> String {
    match role {
        "miner" => "miner-0".into(),
        "worker" => worker_name(0, 0),
        other => other.into(),
    }
}

/// Something that takes connections and never says a word.
struct Mute(TcpListener);

impl Mute {
    fn open() -> Mute {
        Mute(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }
}

/// A miner and its worker, a validator, and a chain that answers nothing. `miner`: where the worker looks for it.
fn site(dir: &Path, chain: SocketAddr, miner: Option<SocketAddr>) -> Site {
    let mut worker = json!({"gpu": {"enable": false}});
    if let Some(miner) = miner {
        worker["miner_url"] = json!(format!("ws://{miner}"));
    }
    let plan = Plan {
        miners: 1,
        workers: 1,
        matrix_size: 100,
        block_time: BLOCK_TIME,
        validator: json!({}),
        miner: json!({}),
        worker,
        last_worker: json!({}),
    };
    let site = Site::lay_out(dir, &plan).expect("wallets and files");
    site.configure(&plan, &format!("http://{chain}")).expect("configurations");
    site
}

/// A daemon and what its service manager hears of it.
struct Unit {
    child: Child,
    socket: UnixDatagram,
    heard: Vec<String>,
    log: PathBuf,
}

impl Unit {
    /// `journal`: its standard error is the journal's.
    fn start(site: &Site, role: &str, journal: bool) -> Unit {
        let (name, exe) = (name_of(role), ROLES.iter().find(|(known, _)| *known == role).expect("a role").1);
        let (log, notify) = (site.log_path(&name), site.dir.join(format!("{name}.notify")));
        let socket = UnixDatagram::bind(&notify).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket option");
        let file = File::create(&log).expect("a log");
        let about = file.metadata().expect("a log");
        let mut command = Command::new(exe);
        command.arg("--config").arg(site.config_path(&name)).env_remove("WATCHDOG_PID").env_remove("JOURNAL_STREAM");
        command.env("NOTIFY_SOCKET", &notify).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        if journal {
            command.env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino()));
        }
        let child = command.stdin(Stdio::null()).stderr(file).spawn().expect("the daemon starts");
        Unit { child, socket, heard: Vec::new(), log }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the daemon runs");
    }

    /// What was told since the last look, for up to 50 ms.
    fn listen(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.socket.recv(&mut bytes) {
            Ok(count) => self.heard.push(String::from_utf8(bytes[..count].to_vec()).expect("text")),
            Err(why) => {
                assert!(matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{why}");
                return false;
            }
        }
        true
    }

    fn told(&self, what: &str) -> usize {
        self.heard.iter().filter(|message| message.starts_with(what)).count()
    }

    fn until(&mut self, what: &str, done: impl Fn(&Unit) -> bool) {
        let end = after(PATIENCE);
        while !done(self) {
            assert!(end.try_recv().is_err(), "not in time: {what}; heard {:?}\n{}", self.heard, self.said());
            self.listen();
        }
    }

    /// Its log.
    fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("a log")
    }

    /// Asks it to end, and waits until it has.
    fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let status = self.ended(&after(END_WITHIN));
        while self.listen() {}
        status
    }

    fn ended(&mut self, end: &Receiver<std::time::Instant>) -> ExitStatus {
        let ticks = tick(Duration::from_millis(10));
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            crossbeam::select! {
                recv(ticks) -> _ => {},
                recv(end) -> _ => panic!("it did not end in time; heard {:?}\n{}", self.heard, self.said()),
            }
        }
    }
}

impl Drop for Unit {
    /// No daemon outlives its test.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn each_daemon_says_how_it_stands_and_ends_soon_although_nobody_answers_it() {
    let (chain, miner) = (Mute::open(), Mute::open());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let site = site(dir.path(), chain.address(), Some(miner.address()));
    for (role, status) in [
        ("validator", "no node of the chain has answered yet"),
        ("miner", "no node of the chain has answered yet"),
        ("worker", "starting: connecting to the miner 127.0.0.1:"),
    ] {
        let mut unit = Unit::start(&site, role, false);
        unit.until("ready, alive, and how it stands", |unit| {
            unit.told("READY=1") == 1
                && unit.told("WATCHDOG=1") >= 4
                && unit.heard.iter().any(|message| message.starts_with("STATUS=") && message.contains(status))
        });
        assert_eq!(unit.heard[0], "READY=1", "{role}");
        assert_eq!(unit.stop().code(), Some(0), "{role}: {}", unit.said());
        let told = [unit.told("STOPPING=1") > 0, unit.told("STATUS=stopping: ") > 0];
        assert_eq!(told, [true, true], "{role}: {:?}", unit.heard);
        let dated = |line: &str| line.len() > 24 && line.starts_with("20") && line[..24].ends_with('Z');
        assert!(unit.said().lines().all(dated), "{role}: {}", unit.said());
    }
}

#[test]
fn a_daemon_that_hangs_feeds_no_watchdog() {
    let mute = Mute::open();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let site = site(dir.path(), mute.address(), Some(mute.address()));
    for (role, _) in ROLES {
        let mut unit = Unit::start(&site, role, false);
        unit.until("it lives", |unit| unit.told("WATCHDOG=1") >= 2);
        unit.signal(Signal::STOP);
        // what it said before it was stopped
        while unit.listen() {}
        unit.heard.clear();
        let end = after(SILENCE);
        while end.try_recv().is_err() {
            unit.listen();
        }
        assert_eq!(unit.heard, [""; 0], "{role} was stopped");
        unit.signal(Signal::CONT);
        unit.until("it lives again", |unit| unit.told("WATCHDOG=1") >= 2);
        assert_eq!(unit.stop().code(), Some(0), "{role}: {}", unit.said());
    }
}

#[test]
fn lines_for_the_journal_have_a_priority_in_place_of_a_time() {
    let mute = Mute::open();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let site = site(dir.path(), mute.address(), Some(mute.address()));
    for (role, _) in ROLES {
        let mut unit = Unit::start(&site, role, true);
        unit.until("it is up", |unit| unit.told("READY=1") == 1);
        assert_eq!(unit.stop().code(), Some(0), "{role}: {}", unit.said());
        let text = unit.said();
        let of_journal = |line: &str| matches!(line.as_bytes(), [b'<', b'3'..=b'7', b'>', b'a'..=b'z', ..]);
        assert!(text.lines().count() > 1 && text.lines().all(of_journal), "{role}: {text}");
    }
}

#[test]
fn a_daemon_that_cannot_start_tells_the_service_manager_why() {
    let mute = Mute::open();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let site = site(dir.path(), mute.address(), None);
    let hotkey = dir.path().join("wallets/miner-0/hotkeys/default");
    fs::remove_file(&hotkey).expect("a wallet");
    let mut unit = Unit::start(&site, "miner", false);
    assert_eq!(unit.ended(&after(PATIENCE)).code(), Some(78));
    while unit.listen() {}
    assert_eq!(unit.heard.len(), 1, "{:?}", unit.heard);
    assert!(unit.heard[0].starts_with(&format!("STATUS=no hotkey at {}", hotkey.display())), "{:?}", unit.heard);
}

#[test]
fn a_peer_that_is_frozen_holds_up_nobodys_end() {
    let chain = Mute::open();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let site = site(dir.path(), chain.address(), None);
    let is_connected = |unit: &Unit| unit.heard.iter().any(|message| message.contains(" connected; "));
    let mut miner = Unit::start(&site, "miner", false);
    let mut worker = Unit::start(&site, "worker", false);
    worker.until("the worker is connected", is_connected);
    miner.signal(Signal::STOP);
    assert_eq!(worker.stop().code(), Some(0), "{}", worker.said());
    miner.signal(Signal::CONT);

    fs::remove_file(site.dir.join(format!("{}.notify", name_of("worker")))).expect("a socket");
    let mut worker = Unit::start(&site, "worker", false);
    worker.until("the worker is connected", is_connected);
    worker.signal(Signal::STOP);
    assert_eq!(miner.stop().code(), Some(0), "{}", miner.said());
}
