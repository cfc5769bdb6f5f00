//! Why no weights are set now, each reason by its name.
//!
//! Decides only whether the state is known good; what to set, and when it is due, is `epoch`'s.

use std::fmt;

use super::{chain::Chain, preflight::Runtime};
use crate::{
    machine::{
        clock::Drift,
        contract::chain::{Feature, Metagraph, Neuron},
    },
    units::{BlockNumber, Hotkey, Now, Uid},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocked {
    /// `weight_update_tempo` is 0.
    Off,
    NoMetagraph,
    /// The last one is too old to act on.
    StaleMetagraph,
    /// Nobody knows yet what the runtime can do.
    NoPreflight,
    /// The next block is the first of a new runtime.
    Upgrading,
    /// The runtime lacks what this needs.
    Broken(Feature),
    NotRegistered,
    NoPermit,
    /// No score was calculated since the start, or the last one is too old.
    NotScored,
    AllZero,
    /// The chain wants more weights than there are scored miners.
    TooFew,
    /// Even shares would be over the largest that the chain allows.
    OverLimit,
    /// Not so many blocks since the last update yet.
    TooSoon,
    /// The wall clock moved against the monotonic one.
    ClockMoved,
    /// The wall clock is far from the chain's.
    ClockOff,
    /// So many weights wait to be confirmed that more would be lost sight of.
    ManyAwaited,
    /// An attempt is under way, or failed a moment ago.
    Busy,
}

impl Blocked {
    /// What an operator must know and do; `None` where waiting is all there is to do.
    pub fn alarm(self) -> Option<&'static str> {
        Some(match self {
            Blocked::StaleMetagraph => "the metagraph is too old; see why the chain is not read",
            Blocked::Broken(_) => "the runtime lacks what this needs; `byteleap chain preflight` shows what",
            Blocked::NotRegistered => {
                "registered: no; run `byteleap chain register --burned --config FILE --coldkey-file FILE`"
            }
            Blocked::NoPermit => "our neuron has no validator permit: too little stake",
            Blocked::AllZero => "every score is 0: nothing is submitted",
            Blocked::TooFew => "the chain wants more weights than there are scored miners",
            Blocked::OverLimit => "too few scored miners for the largest weight that the chain allows",
            Blocked::ClockMoved => "the wall clock moved against the monotonic one",
            Blocked::ClockOff => "the wall clock is far from the chain's; see to time synchronisation (NTP)",
            Blocked::ManyAwaited => "too many weights wait to be confirmed by the chain",
            Blocked::Off
            | Blocked::NoMetagraph
            | Blocked::NoPreflight
            | Blocked::Upgrading
            | Blocked::NotScored
            | Blocked::TooSoon
            | Blocked::Busy => return None,
        })
    }

    /// Whether it is worth a look when it lasts: not what comes with each tempo.
    pub fn is_pause(self) -> bool {
        !matches!(self, Blocked::Off | Blocked::NotScored | Blocked::TooSoon | Blocked::Busy)
    }

    pub fn name(self) -> &'static str {
        match self {
            Blocked::Off => "off",
            Blocked::NoMetagraph => "no_metagraph",
            Blocked::StaleMetagraph => "stale_metagraph",
            Blocked::NoPreflight => "no_preflight",
            Blocked::Upgrading => "upgrading",
            Blocked::Broken(feature) => feature.name(),
            Blocked::NotRegistered => "not_registered",
            Blocked::NoPermit => "no_permit",
            Blocked::NotScored => "not_scored",
            Blocked::AllZero => "all_zero",
            Blocked::TooFew => "too_few",
            Blocked::OverLimit => "over_limit",
            Blocked::TooSoon => "too_soon",
            Blocked::ClockMoved => "clock_moved",
            Blocked::ClockOff => "clock_off",
            Blocked::ManyAwaited => "many_awaited",
            Blocked::Busy => "busy",
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.alarm()) {
            (Blocked::Broken(feature), Some(text)) => write!(f, "{}: {text}", feature.name()),
            (_, Some(text)) => f.write_str(text),
            (_, None) => f.write_str(self.name()),
        }
    }
}

/// What the chain, the clocks and the runtime are like now.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    pub graph: Option<&'a Metagraph>,
    /// It is too old to act on.
    pub stale: bool,
    pub me: Option<&'a Neuron>,
    pub block: BlockNumber,
    /// A node of our chain said where it is.
    pub head: bool,
    pub upgrading: bool,
    pub runtime: &'a Runtime,
    pub clock_moved: bool,
    pub clock_off: bool,
}

impl<'a> Ground<'a> {
    /// As it is now.
    pub fn of(chain: &'a Chain, drift: &Drift, now: Now) -> Ground<'a> {
        Ground {
            graph: chain.graph().map(|graph| &**graph),
            stale: chain.is_stale(now.mono),
            me: chain.me(),
            block: chain.block().unwrap_or(0),
            head: chain.heads().best().is_some(),
            upgrading: chain.heads().is_upgrading(),
            runtime: chain.runtime(),
            clock_moved: drift.alarmed(),
            clock_off: chain.heads().is_clock_off(),
        }
    }

    /// Whether something may be handed in at all.
    pub fn may_send(&self) -> Result<(), Blocked> {
        let reasons = [
            (self.clock_moved, Blocked::ClockMoved),
            (self.clock_off, Blocked::ClockOff),
            (!self.head, Blocked::NoMetagraph),
            (self.upgrading, Blocked::Upgrading),
        ];
        reasons.into_iter().find(|(holds, _)| *holds).map_or(Ok(()), |(_, reason)| Err(reason))
    }

    /// The subnet and our neuron in it, when all that signing depends on is known and good.
    pub fn good(&self) -> Result<(&'a Metagraph, &'a Neuron), Blocked> {
        self.may_send()?;
        let graph = self.graph.ok_or(Blocked::NoMetagraph)?;
        if self.stale {
            return Err(Blocked::StaleMetagraph);
        }
        if !self.runtime.is_known() {
            return Err(Blocked::NoPreflight);
        }
        let needed = [Feature::Metagraph, Feature::Signing, Feature::Outcome];
        if let Some(broken) = needed.into_iter().find(|feature| self.runtime.is_broken(*feature)) {
            return Err(Blocked::Broken(broken));
        }
        Ok((graph, self.me.ok_or(Blocked::NotRegistered)?))
    }
}

/// Weights as the chain will take them: enough of them, and none over its limit.
pub fn allowed(weights: Vec<(Uid, Hotkey, u16)>, graph: &Metagraph) -> Result<Vec<(Uid, Hotkey, u16)>, Blocked> {
    let wanted = usize::from(graph.min_allowed_weights).min(graph.neurons.len());
    match weights.len() {
        0 => Err(Blocked::AllZero),
        given if given < wanted => Err(Blocked::TooFew),
        _ => clipped(weights, graph.max_weights_limit).ok_or(Blocked::OverLimit),
    }
}

/// The largest weights cut down until the share of none is over `limit` / 65535; `None` where even shares would be.
pub fn clipped(mut weights: Vec<(Uid, Hotkey, u16)>, limit: u16) -> Option<Vec<(Uid, Hotkey, u16)>> {
    const FULL: u64 = u16::MAX as u64;
    let limit = u64::from(limit);
    let fits = |weights: &[(Uid, Hotkey, u16)]| {
        let sum: u64 = weights.iter().map(|(_, _, weight)| u64::from(*weight)).sum();
        weights.iter().all(|(_, _, weight)| u64::from(*weight) * FULL <= limit * sum)
    };
    if fits(&weights) {
        return Some(weights);
    }
    let cap = cap(weights.iter().map(|(_, _, weight)| u64::from(*weight)).collect(), limit)?;
    for (_, _, weight) in &mut weights {
        // Rounded up: others may only gain, so the largest share only falls.
        let scaled = (f64::from(*weight) / cap * f64::from(u16::MAX)).ceil();
        *weight = scaled.min(f64::from(u16::MAX)) as u16;
    }
    fits(&weights).then_some(weights)
}

/// The value that the largest are cut to: with the k largest at `cap`, each has exactly the share `limit` / 65535.
fn cap(mut values: Vec<u64>, limit: u64) -> Option<f64> {
    values.sort_unstable_by(|a, b| b.cmp(a));
    let share = limit as f64 / f64::from(u16::MAX);
    let mut rest: u64 = values.iter().sum();
    for (cut, value) in (0u32..).zip(&values) {
        let left = 1.0 - f64::from(cut) * share;
        let cap = if left > 0.0 { share * rest as f64 / left } else { f64::INFINITY };
        if cut > 0 && cap >= *value as f64 {
            return Some(cap);
        }
        rest -= value;
    }
    // Nobody is below the cap: even shares.
    let count = values.len() as u64;
    (count * limit >= u64::from(u16::MAX)).then(|| values.last().map_or(1.0, |least| *least as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(weights: &[u16], limit: u16) -> Option<Vec<u16>> {
        let weights = (0..).zip(weights).map(|(uid, weight)| (Uid(uid), Hotkey::label("5A"), *weight)).collect();
        Some(clipped(weights, limit)?.into_iter().map(|(_, _, weight)| weight).collect())
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        assert_eq!(cut(&[65535], 65535), Some(vec![65535]));
        assert_eq!(cut(&[65535, 100, 7], 65535), Some(vec![65535, 100, 7]));
        assert_eq!(cut(&[65535, 65535], 32768), Some(vec![65535, 65535]));
    }

    #[test]
    fn the_largest_are_cut_and_the_others_keep_their_order() {
        // a half at most: the largest equals the sum of the others
        assert_eq!(cut(&[60000, 1000, 500], 32768), Some(vec![65535, 43689, 21845]));
        // a third at most of three: all even
        assert_eq!(cut(&[60000, 1000, 500], 21845), Some(vec![65535; 3]));
    }

    #[test]
    fn no_share_is_over_the_limit() {
        let limit = 65535 / 10;
        for seed in 1..200u64 {
            let weights: Vec<u16> = (1..40).map(|n| (seed * n * n * 7919 % 65535) as u16 + 1).collect();
            let cut = cut(&weights, limit).unwrap();
            let sum: u64 = cut.iter().map(|weight| u64::from(*weight)).sum();
            assert!(
                cut.iter().all(|weight| u64::from(*weight) * 65535 <= u64::from(limit) * sum),
                "{weights:?}: {cut:?}"
            );
        }
    }

    #[test]
    fn too_few_for_the_limit_are_refused() {
        assert_eq!(cut(&[65535], 32768), None);
        assert_eq!(cut(&[65535, 65535], 30000), None);
    }
}
