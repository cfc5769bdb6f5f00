//! Tasks of the marketplace: which of them count, and which of them a miner is given in its next poll.
//!
//! Owns every task that has not expired, also those that the store still writes down: these are given to nobody and
//! acknowledged to nobody. A miner that is not known is no fault: its tasks wait until they expire. What a task asks for is
//! not looked at; whether anybody does it is its miner's affair. Bounded: [`MOST`] tasks, [`MOST_BYTES`] of payloads.
//!
//! How a miner is given tasks, and how it says that it has them, is [`crate::wire::messages::MarketTask`]'s to tell. That
//! keeps no state between polls but for what is shown to operators.

mod fault;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub(super) use self::fault::TaskFault;
use super::{Validator, ledger::Waiter};
use crate::{
    machine::contract::{store::Write, task::TaskRow},
    metrics::{Metric, Page},
    units::{Hotkey, Mono, Now, WorkerKey},
    wire::{
        json::Raw,
        limits,
        marketplace::{Ack, Stamp, TaskPublish, ToHub, kind},
        messages::{MarketTask, TaskRequest, TaskResponse},
    },
};

/// Of a task, as much goes into a line.
const MOST_TOLD: usize = 300;

/// Tasks that are kept; one more is refused.
pub const MOST: usize = 10_000;
/// Payloads of all of them together.
pub const MOST_BYTES: usize = 64 << 20;
/// How long a task may count. Below it no poll would find it, above it the disk would be a store of wishes.
const TTL: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(7 * 86_400)];
/// Messages that may wait for one task to be written down.
const MOST_ASKING: usize = 16;

/// What is to be done about a task that was published.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    /// New: to be stored; its message is answered when it is.
    Store(Box<TaskRow>),
    /// Known and durable.
    Known,
    /// Known, and still with the store: answered with the first.
    Waits,
}

#[derive(Debug, Default)]
pub(super) struct Tasks {
    by_key: BTreeMap<String, Task>,
    by_end: BTreeSet<(Mono, String)>,
    miners: BTreeMap<Hotkey, OfMiner>,
    bytes: usize,
    ended: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
struct Task {
    row: TaskRow,
    ends: Mono,
    /// Messages that are acknowledged when it is durable; `None`: it is.
    asking: Option<Vec<String>>,
    /// Its miner was seen to have it.
    arrived: bool,
}

/// Durable tasks of a miner's workers.
#[derive(Debug, Default)]
struct OfMiner {
    /// In the order in which they are given.
    order: BTreeSet<(Reverse<i64>, u64, String)>,
    /// Those that it named in its last poll.
    held: BTreeSet<String>,
}

impl Task {
    fn place(&self) -> (Reverse<i64>, u64, String) {
        (Reverse(self.row.priority), self.row.received.0, self.row.key.clone())
    }

    fn given(&self) -> MarketTask {
        MarketTask {
            task_key: self.row.key.clone(),
            worker_id: self.row.worker.worker.clone(),
            task_type: self.row.task_type.clone(),
            payload: self.row.payload.clone(),
            priority: self.row.priority,
            expires_at: self.row.expires.as_secs_f64(),
        }
    }
}

impl Tasks {
    /// What the store knows. Says what of it does not count any more.
    pub(super) fn resume(&mut self, now: Now, rows: Vec<TaskRow>) -> Vec<TaskRow> {
        let mut over = Vec::new();
        for row in rows {
            // A clock that was set back makes no task longer than it was.
            let left = row.expires.since(now.wall).min(row.ttl());
            if left.is_zero() || self.room(&row).is_err() {
                over.push(row);
                continue;
            }
            let key = row.key.clone();
            self.insert(Task { row, ends: now.mono + left, asking: None, arrived: false });
            self.line_up(&key);
        }
        over
    }

    /// A task was published.
    pub(super) fn publish(&mut self, now: Now, task: TaskPublish, message: Option<String>) -> Result<Taken, TaskFault> {
        let ttl = task.ttl.ok_or(TaskFault::NoTtl)?;
        if !(TTL[0]..=TTL[1]).contains(&ttl) {
            return Err(TaskFault::Ttl(ttl.as_millis()));
        }
        plain("taskKey", &task.key)?;
        plain("workerKey", task.worker.worker.as_str())?;
        plain("taskType", &task.task_type)?;
        if let Some(known) = self.by_key.get_mut(&task.key) {
            return known.again(&task, ttl, message);
        }
        let TaskPublish { key, worker, task_type, payload, priority, .. } = task;
        let (received, expires) = (now.wall, now.wall + ttl);
        let row = TaskRow { key, worker, task_type, payload, priority, received, expires };
        self.room(&row)?;
        let asking = Some(message.into_iter().collect());
        self.insert(Task { row: row.clone(), ends: now.mono + ttl, asking, arrived: false });
        Ok(Taken::Store(Box::new(row)))
    }

    fn room(&self, row: &TaskRow) -> Result<(), TaskFault> {
        if self.by_key.len() >= MOST {
            return Err(TaskFault::Full);
        }
        match self.bytes + row.bytes() <= MOST_BYTES {
            true => Ok(()),
            false => Err(TaskFault::Bytes { count: self.by_key.len(), bytes: self.bytes }),
        }
    }

    fn insert(&mut self, task: Task) {
        self.bytes += task.row.bytes();
        self.by_key.insert(task.row.key.clone(), task);
    }

    /// It is durable: from now on it is given, and ends with its time.
    fn line_up(&mut self, key: &str) {
        if let Some(task) = self.by_key.get(key) {
            self.by_end.insert((task.ends, key.to_owned()));
            self.miners.entry(task.row.worker.hotkey.clone()).or_default().order.insert(task.place());
        }
    }

    fn remove(&mut self, key: &str) -> Option<Task> {
        let task = self.by_key.remove(key)?;
        self.bytes -= task.row.bytes();
        self.by_end.remove(&(task.ends, task.row.key.clone()));
        if let Some(of) = self.miners.get_mut(&task.row.worker.hotkey) {
            of.order.remove(&task.place());
            of.held.remove(key);
            if of.order.is_empty() {
                self.miners.remove(&task.row.worker.hotkey);
            }
        }
        Some(task)
    }

    /// A task as a line names it.
    fn line_of(&self, key: &str) -> String {
        let Some(Task { row, .. }) = self.by_key.get(key) else { return format!("task {key:?}") };
        let (worker, task_type, expires) = (&row.worker, &row.task_type, Stamp::seconds(row.expires));
        format!("task {key:?} ({task_type}) of the marketplace for {worker}, which expires {expires}")
    }

    /// The store has a task, or has not: the messages that asked for it.
    pub(super) fn stored(&mut self, key: &str, is_durable: bool) -> Vec<String> {
        let Some(task) = self.by_key.get_mut(key) else { return Vec::new() };
        let asking = task.asking.take().unwrap_or_default();
        if is_durable {
            self.line_up(key);
        } else {
            self.remove(key);
        }
        asking
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.by_end.first().map(|(ends, _)| *ends)
    }

    /// Those whose time is over. One that the store has not answered for waits for that.
    pub(super) fn expire(&mut self, now: Mono) -> Vec<TaskRow> {
        let mut over = Vec::new();
        while let Some((_, key)) = self.by_end.first().filter(|(ends, _)| *ends <= now).cloned()
            && let Some(task) = self.remove(&key)
        {
            *self.ended.entry(if task.arrived { "expired" } else { "expired_unseen" }).or_default() += 1;
            over.push(task.row);
        }
        over
    }

    /// What a miner is given that has those of these keys, and which of its tasks were not known to have arrived.
    pub(super) fn hand_out(
        &mut self,
        now: Mono,
        miner: &Hotkey,
        held: &[String],
    ) -> (Vec<MarketTask>, Vec<(String, WorkerKey)>) {
        let Some(of) = self.miners.get_mut(miner) else { return Default::default() };
        let tasks = &mut self.by_key;
        let own = |task: &Task| task.row.worker.hotkey == *miner && task.asking.is_none();
        of.held = held.iter().filter(|key| tasks.get(*key).is_some_and(own)).cloned().collect();
        let mut arrived = Vec::new();
        for key in &of.held {
            if let Some(task) = tasks.get_mut(key).filter(|task| !task.arrived) {
                task.arrived = true;
                arrived.push((key.clone(), task.row.worker.clone()));
            }
        }
        let most = limits::MARKET_TASKS_ANSWER.min(limits::MARKET_TASKS_HELD.saturating_sub(held.len()));
        let waiting = of.order.iter().filter(|(_, _, key)| !of.held.contains(key));
        let waiting = waiting.filter_map(|(_, _, key)| tasks.get(key)).filter(|task| task.ends > now).take(most);
        let mut bytes = 0;
        let fits = |task: &&Task| {
            let first = bytes == 0;
            bytes += task.row.bytes();
            first || bytes <= limits::MARKET_TASKS_BYTES
        };
        (waiting.take_while(fits).map(Task::given).collect(), arrived)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub(super) fn fill(&self, page: &mut Page) {
        let held: usize = self.miners.values().map(|of| of.held.len()).sum();
        page.set(Metric::MarketplaceTasksOpen, &["held"], held as f64);
        page.set(Metric::MarketplaceTasksOpen, &["waiting"], (self.by_key.len() - held) as f64);
        page.set(Metric::QueueDepth, &["marketplace_tasks"], self.by_key.len() as f64);
        page.set(Metric::QueueLimit, &["marketplace_tasks"], MOST as f64);
        for (how, count) in &self.ended {
            page.add(Metric::MarketplaceTasks, &[how], *count as f64);
        }
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.by_key.len() <= MOST && self.bytes <= MOST_BYTES, "more tasks than there may be");
        let bytes: usize = self.by_key.values().map(|task| task.row.bytes()).sum();
        assert_eq!(bytes, self.bytes, "the payloads are counted");
        let lined_up: usize = self.miners.values().map(|of| of.order.len()).sum();
        let durable = self.by_key.values().filter(|task| task.asking.is_none()).count();
        assert_eq!((lined_up, self.by_end.len()), (durable, durable), "what is durable is given, and nothing else");
        let of = |of: &OfMiner| of.held.iter().all(|key| of.order.iter().any(|(_, _, other)| other == key));
        assert!(self.miners.values().all(of), "a miner holds a task that is none of its");
    }
}

impl Task {
    /// The same key once more.
    fn again(&mut self, task: &TaskPublish, ttl: Duration, message: Option<String>) -> Result<Taken, TaskFault> {
        let row = &self.row;
        let differs = [
            ("workerKey", row.worker != task.worker),
            ("taskType", row.task_type != task.task_type),
            ("priority", row.priority != task.priority),
            ("ttl", row.ttl() != ttl),
            ("payload", !same_json(&row.payload, &task.payload)),
        ];
        if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
            return Err(TaskFault::OtherContent { key: task.key.clone(), what });
        }
        let Some(asking) = &mut self.asking else { return Ok(Taken::Known) };
        if asking.len() >= MOST_ASKING {
            return Err(TaskFault::Asked);
        }
        asking.extend(message);
        Ok(Taken::Waits)
    }
}

/// Whether two texts say the same, in whatever order of fields.
fn same_json(one: &Raw, other: &Raw) -> bool {
    let value = |raw: &Raw| raw.read::<serde_json::Value>().ok();
    one == other || value(one).is_some_and(|one| value(other) == Some(one))
}

fn plain(what: &'static str, text: &str) -> Result<(), TaskFault> {
    if text.chars().any(char::is_control) { Err(TaskFault::Control(what)) } else { Ok(()) }
}

impl Validator {
    /// The marketplace has a task. It is told what became of it: at once of a task that is not taken, when the store has
    /// answered of one that is.
    pub(super) fn task_published(&mut self, now: Now, message: Option<String>, task: TaskPublish) {
        let (key, worker) = (task.key.clone(), task.worker.clone());
        match self.market.tasks.publish(now, task, message.clone()) {
            Ok(Taken::Store(row)) => {
                if !self.ledger.first(now, Write::Task(row), Waiter::Task(key.clone())) {
                    self.task_stored(now, &key, &Err("too many writes wait for the disk".into()));
                }
            }
            Ok(Taken::Known) => {
                self.counters.count(Metric::MarketplaceTasks, &["repeated"]);
                self.acknowledge_task(now, message, Ok(()));
            }
            Ok(Taken::Waits) => self.counters.count(Metric::MarketplaceTasks, &["repeated"]),
            Err(fault) => {
                self.counters.count(Metric::MarketplaceTasks, &[fault.label()]);
                if self.market.is_worth_a_line(now.mono, fault.label()) {
                    let told = self.market.told(&format!("task {key:?} for {worker} is refused: {fault}"), MOST_TOLD);
                    log::warn!(target: "validator", "{told}");
                }
                self.acknowledge_task(now, message, Err(&fault));
            }
        }
    }

    /// The store answered for a task.
    pub(super) fn task_stored(&mut self, now: Now, key: &str, result: &Result<(), String>) {
        let line = self.market.told(&self.market.tasks.line_of(key), MOST_TOLD);
        let asking = self.market.tasks.stored(key, result.is_ok());
        let fault = result.as_ref().err().map(|why| TaskFault::NotStored(why.clone()));
        self.counters.count(Metric::MarketplaceTasks, &[fault.as_ref().map_or("stored", TaskFault::label)]);
        match &fault {
            None => log::info!(target: "validator", "{line}: stored, and waits for its miner to ask"),
            Some(fault) if self.market.is_worth_a_line(now.mono, fault.label()) => {
                log::error!(target: "validator", "{line}: refused: {fault}");
            }
            Some(_) => {}
        }
        for message in asking {
            self.acknowledge_task(now, Some(message), fault.as_ref().map_or(Ok(()), Err));
        }
    }

    fn acknowledge_task(&mut self, now: Now, message: Option<String>, outcome: Result<(), &TaskFault>) {
        let Some(id) = message else { return };
        let ack = match outcome {
            Ok(()) => Ack::accepted(&id, kind::TASK_PUBLISH),
            Err(fault) => Ack::failed(&id, kind::TASK_PUBLISH, &fault.to_string()),
        };
        self.market.say(now, &ToHub::Ack(ack), &mut self.counters);
    }

    /// Tasks of the database. What expired meanwhile is forgotten there, too.
    pub(super) fn resume_tasks(&mut self, now: Now, rows: Vec<TaskRow>) {
        let over = self.market.tasks.resume(now, rows);
        self.tasks_over(over);
    }

    pub(super) fn expire_tasks(&mut self, now: Now) {
        let over = self.market.tasks.expire(now.mono);
        for row in &over {
            let told = self.market.told(&format!("task {:?} for {} has expired", row.key, row.worker), MOST_TOLD);
            log::info!(target: "validator", "{told}");
        }
        self.tasks_over(over);
    }

    fn tasks_over(&mut self, over: Vec<TaskRow>) {
        if !over.is_empty() {
            let over = over.into_iter().map(|row| (row.key, row.expires)).collect();
            self.ledger.must(Write::TasksOver(over));
        }
    }

    /// Adds the tasks of its workers to the answer for a miner that takes any.
    pub(super) fn add_market_tasks(
        &mut self,
        now: Now,
        miner: &Hotkey,
        request: &TaskRequest,
        answer: &mut TaskResponse,
    ) {
        let Some(held) = &request.market_tasks_held else { return };
        let (given, arrived) = self.market.tasks.hand_out(now.mono, miner, held);
        for (key, worker) in arrived {
            self.counters.count(Metric::MarketplaceTasks, &["arrived"]);
            log::info!(target: "validator", "the miner of {worker} has task {key:?}");
        }
        answer.market_tasks = given;
    }
}
