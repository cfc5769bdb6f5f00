//! The facts that scoring looks at, in memory: read from the log once, then kept up with what the log adds.
//!
//! What a book knows follows from the log alone: of everything up to one number, within its reach. A new book that
//! reads up to that number says the same, which is how a score is made again from the database. No arithmetic here.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    sync::Arc,
};

use rusqlite::{Connection, Row, params};

use super::{
    leases,
    load::{key, unreadable},
    maintenance, rosters, rounds, stamp, wall,
};
use crate::{
    machine::{
        availability::{Beat, GpuSetId, RosterId, hour_of},
        contract::store::Reach,
        score::{ChallengeFact, Claim, Facts, LeaseFact, MinerFacts, Outcome, Span, WorkerFacts},
    },
    units::{Hotkey, Wall, WorkerId, WorkerKey},
};

#[derive(Debug)]
pub(super) struct Book {
    reach: Reach,
    /// The newest fact that it took in.
    seq: i64,
    facts: Facts,
    /// What the log has of workers that no beat names: a later one may.
    unnamed: BTreeMap<WorkerKey, WorkerFacts>,
    miners: BTreeMap<i64, Hotkey>,
    workers: BTreeMap<i64, WorkerKey>,
    rows: BTreeMap<WorkerKey, i64>,
    /// Who says to own a GPU, by uuid and the worker's row.
    held: BTreeMap<(Arc<str>, i64), Held>,
    sets: u32,
    /// Leases above 0, also of workers that nobody has heard of yet.
    leases: BTreeMap<WorkerKey, LeaseFact>,
    /// Announced maintenance, also of workers that nobody has heard of.
    maintenance: BTreeMap<WorkerKey, Vec<Span>>,
}

#[derive(Debug, Default)]
struct Held {
    since: Wall,
    proved: Option<Wall>,
}

impl Book {
    pub(super) fn new(reach: Reach) -> Book {
        Book {
            reach,
            seq: 0,
            facts: Facts::default(),
            unnamed: BTreeMap::new(),
            miners: BTreeMap::new(),
            workers: BTreeMap::new(),
            rows: BTreeMap::new(),
            held: BTreeMap::new(),
            sets: 0,
            leases: BTreeMap::new(),
            maintenance: BTreeMap::new(),
        }
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// The moment that it was last asked about. What lies before its reach from there is forgotten.
    pub(super) fn asked(&self) -> Wall {
        self.facts.at
    }

    pub(super) fn seq(&self) -> u64 {
        self.seq.unsigned_abs()
    }

    /// Takes in what the log has up to a number, as far as it reaches back from `at`.
    pub(super) fn read(&mut self, from: &Connection, at: Wall, upto: i64) -> rusqlite::Result<()> {
        let (heard, ranking) = (at - self.reach.heard, at - self.reach.ranking);
        self.names(from, upto)?;
        self.gpu_sets(from)?;
        self.beats(from, heard, upto)?;
        self.challenges(from, ranking, upto)?;
        self.rounds(from, ranking, upto)?;
        self.claims(from, upto)?;
        self.leases(from, upto)?;
        self.announced(from, upto)?;
        self.seq = upto;
        Ok(())
    }

    /// The facts as of a moment, which the caller may complete. Facts of before its reach are forgotten.
    pub(super) fn as_of(&mut self, at: Wall) -> &mut Facts {
        self.facts.at = at;
        self.forget(at - self.reach.heard, at - self.reach.ranking);
        let named = self.named(at - self.reach.ranking);
        self.keep_workers(&named);
        self.facts.claims = self.claimed(&named);
        &mut self.facts
    }

    fn forget(&mut self, heard: Wall, ranking: Wall) {
        for miner in self.facts.miners.values_mut() {
            miner.beats.retain(|beat| beat.at >= heard);
            miner.seen = miner.beats.iter().map(|beat| beat.at).max().unwrap_or_default();
        }
        self.maintenance.retain(|_, spans| {
            spans.retain(|span| span.until >= heard);
            !spans.is_empty()
        });
        for worker in self.facts.workers.values_mut().chain(self.unnamed.values_mut()) {
            worker.challenges.retain(|fact| fact.created >= ranking);
            worker.passed_over.retain(|at| *at >= ranking);
        }
        self.unnamed.retain(|_, worker| !worker.challenges.is_empty() || !worker.passed_over.is_empty());
    }

    /// The workers that beats name, each with when it last named which GPUs as its own, if since then.
    fn named(&self, since: Wall) -> BTreeMap<WorkerKey, BTreeMap<GpuSetId, Wall>> {
        let mut named: BTreeMap<WorkerKey, BTreeMap<GpuSetId, Wall>> = BTreeMap::new();
        for (hotkey, miner) in &self.facts.miners {
            let mut last: BTreeMap<RosterId, Wall> = BTreeMap::new();
            for run in miner.beats.chunk_by(|a, b| a.roster == b.roster) {
                let newest = run.iter().map(|beat| beat.at).max().unwrap_or_default();
                if let Some(id) = run.first().and_then(|beat| beat.roster) {
                    let at = last.entry(id).or_default();
                    *at = newest.max(*at);
                }
            }
            for (id, at) in last {
                for present in self.facts.rosters.get(&id).into_iter().flat_map(|roster| roster.iter()) {
                    let owned = named.entry(WorkerKey::new(hotkey, &present.worker)).or_default();
                    if let Some(set) = present.owned.filter(|_| at >= since) {
                        let seen = owned.entry(set).or_default();
                        *seen = at.max(*seen);
                    }
                }
            }
        }
        named
    }

    /// A worker is known while a beat names it: a lease makes nobody known, for its row may be forgotten before.
    fn keep_workers(&mut self, named: &BTreeMap<WorkerKey, BTreeMap<GpuSetId, Wall>>) {
        for key in named.keys() {
            if !self.facts.workers.contains_key(key) {
                self.facts.workers.insert(key.clone(), self.unnamed.remove(key).unwrap_or_default());
            }
        }
        let (leases, maintenance) = (&self.leases, &self.maintenance);
        let gone = self.facts.workers.extract_if(.., |key, worker| {
            worker.lease = leases.get(key).copied();
            worker.maintenance = maintenance.get(key).cloned().unwrap_or_default();
            !named.contains_key(key)
        });
        self.unnamed.extend(gone);
        self.facts.miners.retain(|_, miner| !miner.beats.is_empty());
    }

    fn claimed(&self, named: &BTreeMap<WorkerKey, BTreeMap<GpuSetId, Wall>>) -> BTreeMap<Arc<str>, Vec<Claim>> {
        let mut claims: BTreeMap<Arc<str>, Vec<Claim>> = BTreeMap::new();
        for ((uuid, row), held) in &self.held {
            let Some((key, owned)) = self.workers.get(row).and_then(|key| named.get_key_value(key)) else { continue };
            let naming =
                owned.iter().filter(|(set, _)| self.facts.gpu_sets.get(set).is_some_and(|set| set.contains(uuid)));
            if let Some(seen) = naming.map(|(_, at)| *at).max() {
                let claim = Claim { worker: key.clone(), since: held.since, seen, proved: held.proved, removed: false };
                claims.entry(Arc::clone(uuid)).or_default().push(claim);
            }
        }
        claims.values_mut().for_each(|claims| claims.sort_by(|a, b| a.worker.cmp(&b.worker)));
        claims
    }

    fn names(&mut self, from: &Connection, upto: i64) -> rusqlite::Result<()> {
        let mut miners = from.prepare_cached("SELECT id, hotkey FROM miners")?;
        let found = miners.query_map([], |row| Ok((row.get(0)?, Hotkey::label(row.get_ref(1)?.as_str()?))))?;
        for miner in found {
            let (id, hotkey) = miner?;
            self.miners.entry(id).or_insert(hotkey);
        }
        let mut workers = from.prepare_cached("SELECT id, miner, worker FROM workers WHERE seq > ?1 AND seq <= ?2")?;
        let mut found = workers.query([self.seq, upto])?;
        while let Some(row) = found.next()? {
            let Some(hotkey) = self.miners.get(&row.get(1)?) else { continue };
            let key = WorkerKey::new(hotkey, &WorkerId::new(row.get_ref(2)?.as_str()?));
            let id = row.get(0)?;
            if let Some(forgotten) = self.rows.insert(key.clone(), id).filter(|before| *before != id) {
                self.workers.remove(&forgotten);
                self.held.retain(|(_, row), _| *row != forgotten);
            }
            self.workers.insert(id, key);
        }
        Ok(())
    }

    fn gpu_sets(&mut self, from: &Connection) -> rusqlite::Result<()> {
        let mut statement = from.prepare_cached("SELECT id, text FROM gpu_sets WHERE id > ?1 ORDER BY id")?;
        let mut found = statement.query([self.sets])?;
        while let Some(row) = found.next()? {
            let uuids: BTreeSet<Arc<str>> =
                serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|error| unreadable(1, error))?;
            self.sets = row.get(0)?;
            let id = NonZeroU32::new(self.sets).map(GpuSetId);
            self.facts.gpu_sets.extend(id.map(|id| (id, uuids)));
        }
        Ok(())
    }

    fn beats(&mut self, from: &Connection, since: Wall, upto: i64) -> rusqlite::Result<()> {
        let mut statement = from.prepare_cached(
            "SELECT miner, at, roster FROM beats
             WHERE seq > max(?1, coalesce((SELECT min(seq) - 1 FROM hours WHERE hour >= ?4), 0))
                 AND seq <= ?2 AND at >= ?3 ORDER BY seq",
        )?;
        let mut found = statement.query(params![self.seq, upto, stamp(since), hour_of(since)])?;
        while let Some(row) = found.next()? {
            let Some(hotkey) = self.miners.get(&row.get(0)?) else { continue };
            let roster = row.get::<_, Option<u32>>(2)?.and_then(NonZeroU32::new);
            let beat = Beat { at: wall(row.get(1)?), roster: roster.map(RosterId) };
            match self.facts.miners.get_mut(hotkey) {
                Some(miner) => miner.beats.push(beat),
                None => {
                    let miner = MinerFacts { beats: vec![beat], ..MinerFacts::default() };
                    self.facts.miners.insert(hotkey.clone(), miner);
                }
            }
            if let Some(id) = roster
                && !self.facts.rosters.contains_key(&RosterId(id))
            {
                let name = |row| self.workers.get(&row).map(|key| key.worker.clone());
                let roster = rosters::read(from, id, name)?;
                self.facts.rosters.insert(RosterId(id), roster);
            }
        }
        Ok(())
    }

    /// A new book looks by age, one that goes on by number: each has its index. Rows of before there was a second kind
    /// have no `ops`; theirs are those of `cpu_matrix`.
    fn challenges(&mut self, from: &Connection, since: Wall, upto: i64) -> rusqlite::Result<()> {
        let by = match self.seq {
            0 => "created >= ?3 AND +ended_seq > ?1 AND +ended_seq <= ?2",
            _ => "+created >= ?3 AND ended_seq > ?1 AND ended_seq <= ?2",
        };
        let mut statement = from.prepare_cached(&format!(
            "SELECT worker, created, uuid, verdict, computation_ms, success_count, gpu_set, coalesce(reason, ''),
                 coalesce(ops, 2.0 * matrix_size * matrix_size * matrix_size * iterations)
             FROM challenges WHERE {by}"
        ))?;
        let mut found = statement.query(params![self.seq, upto, stamp(since)])?;
        while let Some(row) = found.next()? {
            let tie = tie(row.get_ref(2)?.as_str()?);
            let fact = ChallengeFact { created: wall(row.get(1)?), tie, outcome: outcome(row)? };
            if let Some(worker) = self.worker(row.get(0)?) {
                worker.challenges.push(fact);
            }
        }
        Ok(())
    }

    fn worker(&mut self, row: i64) -> Option<&mut WorkerFacts> {
        let key = self.workers.get(&row)?;
        if !self.facts.workers.contains_key(key) {
            return Some(self.unnamed.entry(key.clone()).or_default());
        }
        self.facts.workers.get_mut(key)
    }

    fn rounds(&mut self, from: &Connection, since: Wall, upto: i64) -> rusqlite::Result<()> {
        let mut statement = from.prepare_cached(
            "SELECT at, passed_over FROM rounds WHERE at >= ?3 AND seq > ?1 AND seq <= ?2 ORDER BY at",
        )?;
        let mut found = statement.query(params![self.seq, upto, stamp(since)])?;
        while let Some(row) = found.next()? {
            let at = wall(row.get(0)?);
            for number in rounds::numbers(row.get_ref(1)?.as_blob()?)? {
                if let Some(worker) = self.worker(number) {
                    worker.passed_over.push(at);
                }
            }
        }
        Ok(())
    }

    fn claims(&mut self, from: &Connection, upto: i64) -> rusqlite::Result<()> {
        let mut statement =
            from.prepare_cached("SELECT uuid, worker, since FROM gpu_inventory WHERE seq > ?1 AND seq <= ?2")?;
        let mut found = statement.query([self.seq, upto])?;
        while let Some(row) = found.next()? {
            let held = self.held.entry((row.get_ref(0)?.as_str()?.into(), row.get(1)?)).or_default();
            held.since = wall(row.get(2)?);
        }
        let mut statement =
            from.prepare_cached("SELECT uuid, worker, created FROM proofs WHERE seq > ?1 AND seq <= ?2")?;
        let mut found = statement.query([self.seq, upto])?;
        while let Some(row) = found.next()? {
            let held = self.held.entry((row.get_ref(0)?.as_str()?.into(), row.get(1)?)).or_default();
            held.proved = held.proved.max(Some(wall(row.get(2)?)));
        }
        Ok(())
    }

    /// A window counts from when it was announced, and until something else is.
    fn announced(&mut self, from: &Connection, upto: i64) -> rusqlite::Result<()> {
        for change in maintenance::changed(from, self.seq, upto)? {
            let Some(hotkey) = self.miners.get(&change.miner) else { continue };
            let spans = self.maintenance.entry(WorkerKey::new(hotkey, &WorkerId::new(&change.worker))).or_default();
            spans.iter_mut().for_each(|span| span.until = span.until.min(change.at));
            let span = Span { from: change.window.from.max(change.at), until: change.window.until };
            spans.push(span);
            spans.retain(|span| span.from < span.until);
        }
        Ok(())
    }

    fn leases(&mut self, from: &Connection, upto: i64) -> rusqlite::Result<()> {
        let mut statement = from.prepare_cached(
            "SELECT hotkey, worker, score, at FROM lease_events WHERE seq > ?1 AND seq <= ?2 ORDER BY seq",
        )?;
        let mut found = statement.query([self.seq, upto])?;
        while let Some(row) = found.next()? {
            let fact = LeaseFact { score: row.get(2)?, heard: wall(row.get(3)?) };
            match fact.score > 0.0 {
                true => self.leases.insert(key(row, 0, 1)?, fact),
                false => self.leases.remove(&key(row, 0, 1)?),
            };
        }
        self.facts.leases_heard = leases::heard(from, self.seq, upto)?.or(self.facts.leases_heard);
        Ok(())
    }
}

/// The same on any machine, whatever the order of rows: FNV-1a of the challenge's name.
fn tie(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

fn outcome(row: &Row) -> rusqlite::Result<Outcome> {
    let reason = || -> rusqlite::Result<Arc<str>> { Ok(row.get_ref(7)?.as_str()?.into()) };
    Ok(match row.get_ref(3)?.as_str()? {
        "verified" => Outcome::Verified {
            computation_ms: row.get(4)?,
            success_count: row.get(5)?,
            gpus: row.get::<_, Option<u32>>(6)?.and_then(NonZeroU32::new).map(GpuSetId),
            ops: row.get(8)?,
        },
        "failed" => Outcome::Failed(reason()?),
        "void" => Outcome::Void(reason()?),
        other => return Err(unreadable(3, format!("verdict {other:?}"))),
    })
}
