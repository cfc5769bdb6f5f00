//! Which validators this miner talks to, where they are, and which of them are passed over.
//!
//! Owns the list made from the last good metagraph and the operator's whitelist, and each validator's
//! record of answers. It sends nothing and asks nobody; silence is reported to it.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use crate::{
    machine::contract::chain::{Metagraph, Neuron},
    units::{Hotkey, Mono},
};

/// Whom to talk to.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// This miner: never its own validator.
    pub own: Hotkey,
    /// Least stake, in TAO, when there is no whitelist.
    pub min_stake_tao: f64,
    /// Empty: every validator with a permit and enough stake. Else these alone, whatever their permit and
    /// stake, each at the address given here or else at the chain's.
    pub whitelist: BTreeMap<Hotkey, Option<SocketAddr>>,
    pub passing_over: PassingOver,
}

/// When an unresponsive validator is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassingOver {
    /// Unanswered requests in a row.
    pub threshold: u32,
    pub ttl: Duration,
}

/// Unanswered requests in a row after which an operator is told: one alone may be a restart.
const TOLD_AT: u32 = 2;

/// The validators in use.
#[derive(Debug)]
pub struct Validators {
    choice: Choice,
    listed: BTreeMap<Hotkey, Validator>,
    /// When any validator last answered: without it, a silence of all is our own line's.
    last_answer: Option<Mono>,
}

#[derive(Debug)]
struct Validator {
    axon: SocketAddr,
    /// Ever.
    answered: bool,
    silence: Option<Silence>,
    passed_over_until: Option<Mono>,
}

/// A row of unanswered requests.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Mono,
    requests: u32,
}

impl Validator {
    fn at(axon: SocketAddr) -> Validator {
        Validator { axon, answered: false, silence: None, passed_over_until: None }
    }
}

impl Validators {
    /// Whitelisted validators with an address need no chain; they are listed at once.
    pub fn new(choice: Choice) -> Validators {
        let fixed =
            choice.whitelist.iter().filter_map(|(hotkey, axon)| Some((hotkey.clone(), Validator::at((*axon)?))));
        let listed = fixed.collect();
        Validators { choice, listed, last_answer: None }
    }

    /// Takes a new metagraph. The records of validators that stay are kept.
    pub fn update(&mut self, metagraph: &Metagraph) {
        let mut wanted = self.choice.wanted(metagraph);
        self.listed.retain(|hotkey, _| wanted.contains_key(hotkey));
        for (hotkey, validator) in &mut self.listed {
            if let Some(axon) = wanted.remove(hotkey) {
                validator.axon = axon;
            }
        }
        self.listed.extend(wanted.into_iter().map(|(hotkey, axon)| (hotkey, Validator::at(axon))));
    }

    pub fn axon(&self, hotkey: &Hotkey) -> Option<SocketAddr> {
        Some(self.listed.get(hotkey)?.axon)
    }

    /// All listed ones, in order of their hotkeys.
    pub fn iter(&self) -> impl Iterator<Item = &Hotkey> {
        self.listed.keys()
    }

    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Until when a validator is left alone; `None` when it may be asked now.
    pub fn passed_over_until(&self, hotkey: &Hotkey, now: Mono) -> Option<Mono> {
        self.listed.get(hotkey)?.passed_over_until.filter(|until| now < *until)
    }

    pub fn passed_over_count(&self, now: Mono) -> usize {
        self.listed.keys().filter(|hotkey| self.passed_over_until(hotkey, now).is_some()).count()
    }

    /// Those whose last word was an answer.
    pub fn answering_count(&self, now: Mono) -> usize {
        let answers = |validator: &&Validator| {
            let passed_over = validator.passed_over_until.is_some_and(|until| now < until);
            validator.answered && validator.silence.is_none() && !passed_over
        };
        self.listed.values().filter(answers).count()
    }

    /// It answered, whatever it said: it is there.
    pub fn answered(&mut self, hotkey: &Hotkey, now: Mono) {
        self.last_answer = Some(now);
        if let Some(validator) = self.listed.get_mut(hotkey) {
            if let Some(silence) = validator.silence.take().filter(|silence| silence.requests >= TOLD_AT) {
                let secs = now.since(silence.since).as_secs();
                log::info!(target: "miner", "validator {hotkey} answers again after {secs} s");
            }
            validator.answered = true;
            validator.passed_over_until = None;
        }
    }

    /// Whether this is the unanswered request at which an operator is told.
    pub fn fell_silent(&self, hotkey: &Hotkey) -> bool {
        let silence = self.listed.get(hotkey).and_then(|validator| validator.silence);
        silence.is_some_and(|silence| silence.requests == TOLD_AT)
    }

    /// A request to it brought no usable answer. Says for how long it is now passed over, when this one was
    /// too many. That takes an answer of another validator since its silence began: when all are silent, our
    /// own line is cut, and they are asked on.
    pub fn silent(&mut self, hotkey: &Hotkey, now: Mono) -> Option<Duration> {
        let rule = self.choice.passing_over;
        let last_answer = self.last_answer;
        let validator = self.listed.get_mut(hotkey)?;
        let silence = validator.silence.get_or_insert(Silence { since: now, requests: 0 });
        silence.requests = silence.requests.saturating_add(1);
        let others_answered = last_answer.is_some_and(|at| at >= silence.since);
        if silence.requests < rule.threshold || !others_answered {
            return None;
        }
        validator.silence = None;
        validator.passed_over_until = Some(now + rule.ttl);
        Some(rule.ttl)
    }
}

impl Choice {
    fn trusts(&self, neuron: &Neuron) -> bool {
        if self.whitelist.is_empty() {
            neuron.validator_permit && neuron.stake_tao >= self.min_stake_tao
        } else {
            self.whitelist.contains_key(&neuron.hotkey)
        }
    }

    /// Hotkey and address of each validator that should be talked to.
    fn wanted(&self, metagraph: &Metagraph) -> BTreeMap<Hotkey, SocketAddr> {
        let on_chain = metagraph.neurons.iter().filter_map(|neuron| Some((neuron, neuron.axon?)));
        let mut wanted: BTreeMap<_, _> = on_chain
            .filter(|(neuron, _)| neuron.hotkey != self.own && self.trusts(neuron))
            .map(|(neuron, axon)| (neuron.hotkey.clone(), axon))
            .collect();
        let fixed = self.whitelist.iter().filter_map(|(hotkey, axon)| Some((hotkey.clone(), (*axon)?)));
        wanted.extend(fixed);
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Netuid, Uid};

    fn neuron(name: &str, permit: bool, stake_tao: f64, axon: Option<&str>) -> Neuron {
        Neuron {
            uid: Uid(0),
            hotkey: Hotkey::label(name),
            coldkey: Hotkey::label("cold"),
            axon: axon.map(|text| text.parse().unwrap()),
            axon_block: 0,
            active: true,
            validator_permit: permit,
            stake_tao,
            last_update: 0,
        }
    }

    fn metagraph(neurons: Vec<Neuron>) -> Metagraph {
        Metagraph {
            netuid: Netuid(128),
            block: 7,
            tempo: 360,
            weights_rate_limit: 100,
            serving_rate_limit: 50,
            weights_version: 0,
            commit_reveal: false,
            reveal_period: 1,
            min_allowed_weights: 1,
            max_weights_limit: u16::MAX,
            neurons,
        }
    }

    fn choice(whitelist: &[(&str, Option<&str>)]) -> Choice {
        let entry = |(name, axon): &(&str, Option<&str>)| (Hotkey::label(name), axon.map(|text| text.parse().unwrap()));
        Choice {
            own: Hotkey::label("alice"),
            min_stake_tao: 10_000.0,
            whitelist: whitelist.iter().map(entry).collect(),
            passing_over: PassingOver { threshold: 3, ttl: Duration::from_secs(600) },
        }
    }

    fn names(validators: &Validators) -> Vec<&str> {
        validators.iter().map(Hotkey::as_str).collect()
    }

    fn at(secs: u64) -> Mono {
        Mono(secs * 1_000_000_000)
    }

    #[test]
    fn permit_stake_and_an_address_make_a_validator() {
        let mut validators = Validators::new(choice(&[]));
        validators.update(&metagraph(vec![
            neuron("good", true, 10_000.0, Some("192.0.2.1:9091")),
            neuron("poor", true, 9_999.9, Some("192.0.2.2:9091")),
            neuron("unpermitted", false, 50_000.0, Some("192.0.2.3:9091")),
            neuron("nowhere", true, 50_000.0, None),
            neuron("alice", true, 50_000.0, Some("192.0.2.4:9091")),
        ]));
        assert_eq!(names(&validators), ["good"]);
    }

    #[test]
    fn a_whitelist_says_who_alone_and_may_say_where() {
        let mut validators = Validators::new(choice(&[("friend", None), ("local", Some("127.0.0.1:9091"))]));
        assert_eq!(names(&validators), ["local"], "one with an address works without the chain");
        validators.update(&metagraph(vec![
            neuron("friend", false, 0.0, Some("192.0.2.5:1")),
            neuron("local", true, 0.0, Some("192.0.2.6:1")),
            neuron("stranger", true, 50_000.0, Some("192.0.2.7:1")),
        ]));
        assert_eq!(names(&validators), ["friend", "local"]);
        assert_eq!(validators.axon(&Hotkey::label("local")), Some("127.0.0.1:9091".parse().unwrap()));
    }

    fn three() -> Validators {
        let mut validators = Validators::new(choice(&[]));
        let neurons = ["bob", "carol", "dave"].map(|name| neuron(name, true, 20_000.0, Some("192.0.2.9:9")));
        validators.update(&metagraph(neurons.into()));
        validators
    }

    #[test]
    fn a_silent_validator_is_passed_over_and_comes_back() {
        let (mut validators, bob, carol) = (three(), Hotkey::label("bob"), Hotkey::label("carol"));
        assert_eq!(validators.silent(&bob, at(1)), None);
        validators.answered(&carol, at(2));
        assert_eq!(validators.silent(&bob, at(3)), None);
        assert_eq!(validators.silent(&bob, at(4)), Some(Duration::from_secs(600)));
        assert_eq!(validators.passed_over_until(&bob, at(5)), Some(at(604)));
        assert_eq!(validators.passed_over_until(&carol, at(5)), None);
        assert_eq!(validators.passed_over_until(&bob, at(604)), None);
    }

    #[test]
    fn an_answer_ends_the_silence() {
        let (mut validators, bob) = (three(), Hotkey::label("bob"));
        for second in 0..10 {
            assert_eq!(validators.silent(&bob, at(second * 10)), None);
            assert_eq!(validators.silent(&bob, at(second * 10 + 1)), None);
            validators.answered(&bob, at(second * 10 + 2));
        }
    }

    #[test]
    fn when_nobody_answers_nobody_is_passed_over() {
        let (mut validators, bob, carol) = (three(), Hotkey::label("bob"), Hotkey::label("carol"));
        validators.answered(&carol, at(0));
        for second in 1..20 {
            assert_eq!(validators.silent(&bob, at(second)), None);
            assert_eq!(validators.silent(&carol, at(second)), None);
        }
    }

    #[test]
    fn a_new_metagraph_keeps_the_record_of_those_who_stay() {
        let (mut validators, bob) = (three(), Hotkey::label("bob"));
        validators.silent(&bob, at(1));
        validators.silent(&bob, at(2));
        validators.update(&metagraph(vec![neuron("bob", true, 20_000.0, Some("192.0.2.77:9"))]));
        validators.answered(&Hotkey::label("carol"), at(3));
        assert!(validators.silent(&bob, at(4)).is_some());
        assert_eq!(validators.axon(&bob), Some("192.0.2.77:9".parse().unwrap()));
        assert_eq!(names(&validators), ["bob"]);
    }
}
