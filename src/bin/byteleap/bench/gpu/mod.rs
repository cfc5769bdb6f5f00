//! `byteleap bench gpu`: what each GPU does with the challenge gemm_i8, stage by stage, beside its peak and NVIDIA's own
//! product; and whether what it computes is what a validator takes.

#[cfg(feature = "cuda")]
mod card;
#[cfg(feature = "cuda")]
mod figures;
#[cfg(feature = "cuda")]
mod peaks;
#[cfg(feature = "cuda")]
mod product;
#[cfg(feature = "cuda")]
mod whole;

use byteleap::{
    compute::gemm_i8::Spec,
    exit::{Code, Failure},
};
use clap::Args;

/// Sides that a validator may ask for, as far as they fit the card.
#[cfg(any(test, feature = "cuda"))]
const SIDES: [u32; 7] = [512, 1024, 2048, 4096, 8192, 16_384, 32_768];

#[derive(Args, Debug)]
pub struct Options {
    /// Sides of the matrices, multiples of 256 [default: 512 to 32768, doubling, as far as they fit the card]
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', value_parser = side)]
    n: Vec<u32>,
    /// This GPU alone, by CUDA's count from 0 [default: all, one after the other]
    #[arg(long)]
    device: Option<u32>,
    /// Times that each thing is measured; the median counts
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=999))]
    repeats: u16,
    /// The CPU computes the same challenge and compares roots up to this n; beyond it 64 samples are opened and checked
    /// as a validator does
    #[arg(long, value_name = "N", default_value_t = 8192)]
    check_up_to: u32,
    /// Print one JSON object
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print a table in Markdown
    #[arg(long)]
    markdown: bool,
}

fn side(text: &str) -> Result<u32, String> {
    let n = text.parse::<u32>().map_err(|why| why.to_string())?;
    Spec::new(n, 1).map(|_| n).map_err(|why| why.to_string())
}

#[cfg(feature = "cuda")]
impl Options {
    fn sides(&self) -> &[u32] {
        if self.n.is_empty() { &SIDES } else { &self.n }
    }
}

/// Nothing to measure, which is told from a measurement that failed.
fn no_gpu(why: String) -> Failure {
    Failure { code: Code::NoGpu, error: format!("{why}; nothing was measured").into() }
}

#[cfg(not(feature = "cuda"))]
pub fn main(_: &Options) -> Result<(), Failure> {
    Err(no_gpu("this byteleap was built without the feature `cuda`".into()))
}

#[cfg(feature = "cuda")]
pub fn main(options: &Options) -> Result<(), Failure> {
    use byteleap::cuda;
    cuda::start().map_err(|why| no_gpu(why.to_string()))?;
    let devices = cuda::devices().map_err(|why| no_gpu(why.to_string()))?;
    let count = devices.len();
    let chosen: Vec<_> =
        devices.into_iter().filter(|facts| options.device.is_none_or(|only| only == facts.ordinal)).collect();
    if chosen.is_empty() {
        let asked = options.device.map_or(String::new(), |device| format!(" of number {device}"));
        return Err(no_gpu(format!("there is no GPU{asked}; the driver names {count}")));
    }
    let mut figures = figures::Figures::new(options.repeats);
    for facts in chosen {
        figures.cards.push(card::measure(facts, options));
    }
    let text = match (options.json, options.markdown) {
        (true, _) => serde_json::to_string(&figures).map_err(Failure::failed)?,
        (false, true) => figures.markdown(),
        (false, false) => figures.table(),
    };
    crate::print::line(&text).map_err(Failure::failed)?;
    match (figures.wrong(), figures.unmeasured()) {
        (wrong, _) if !wrong.is_empty() => Err(Failure::failed(wrong.join("; "))),
        (_, bare) if bare.is_empty() => Ok(()),
        (_, bare) => Err(Failure { code: Code::NothingMeasured, error: bare.join("; ").into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_those_of_the_challenge() {
        assert_eq!(side("32768"), Ok(32_768));
        for bad in ["", "-256", "1000", "0", "99999999999"] {
            assert!(side(bad).is_err(), "{bad}");
        }
        assert!(SIDES.iter().all(|n| side(&n.to_string()).is_ok()));
    }
}
