//! What was measured of each card, as one JSON object or as a table.

use std::fs;

use byteleap::cuda;
use serde::Serialize;

use super::{
    product,
    whole::{Checked, Whole},
};

#[derive(Debug, Serialize)]
pub struct Figures {
    pub version: &'static str,
    /// The newest CUDA that the driver knows, as it writes it: 13000 is 13.0.
    pub cuda_driver: Option<u32>,
    /// NVIDIA's own line about the driver that is loaded.
    pub driver: Option<String>,
    pub repeats: u16,
    /// How a time was chosen from several.
    pub taken: &'static str,
    pub cards: Vec<Card>,
}

#[derive(Debug, Serialize)]
pub struct Card {
    pub uuid: String,
    pub name: String,
    pub compute_capability: [u32; 2],
    pub memory_mib: u64,
    pub multiprocessors: u32,
    pub clock_mhz: u32,
    /// Dense int8, 10¹² operations a second, of the data sheet; null: a card that is not listed.
    pub peak_tops: Option<f64>,
    /// The library that was found.
    pub cublas: Option<String>,
    pub sizes: Vec<Size>,
    /// What ended the measurement; nothing of this n and of those behind it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What was not measured, and why.
    pub notes: Vec<String>,
    /// Those of the notes that are of an n which does not fit.
    #[serde(skip)]
    pub refused: Vec<String>,
}

/// One n.
#[derive(Debug, Serialize)]
pub struct Size {
    pub n: u32,
    pub paths: Vec<Row>,
    pub cublas: Option<Cublas>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cublas_fault: Option<String>,
    pub root: String,
    /// Whether each path gives this root.
    pub paths_agree: bool,
    /// By what the answer was found right.
    pub checked_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

/// One way to compute: stages and whole of a challenge of one round, and the product alone.
#[derive(Debug, Serialize)]
pub struct Row {
    pub path: String,
    pub generate_ms: f64,
    pub multiply_ms: f64,
    pub hash_ms: f64,
    pub whole_ms: f64,
    pub whole_tops: f64,
    pub product: Option<Product>,
}

#[derive(Debug, Serialize)]
pub struct Product {
    pub ms: f64,
    pub tops: f64,
    pub share_of_peak: Option<f64>,
    /// Its rate by that of NVIDIA's own product in the same run.
    pub share_of_cublas: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Cublas {
    pub ms: f64,
    pub tops: f64,
    pub share_of_peak: Option<f64>,
    /// So many of its own proposals were timed; the fastest counts.
    pub ways: usize,
    /// Its product is ours to the bit.
    pub agrees: bool,
}

/// Operations of a product: a multiplication and an addition for each of n³.
fn tops(n: u32, ms: f64) -> f64 {
    2.0 * f64::from(n).powi(3) / (ms * 1e9)
}

impl Figures {
    pub fn new(repeats: u16) -> Figures {
        let driver = fs::read_to_string("/proc/driver/nvidia/version").ok();
        Figures {
            version: env!("CARGO_PKG_VERSION"),
            cuda_driver: cuda::driver_version().ok(),
            driver: driver.and_then(|text| text.lines().next().map(str::to_owned)),
            repeats,
            taken: "the median; the products of one n in turn over the same random matrices, by CUDA events, warm; \
                    whole: with its memory taken and the hashes on the host, by the clock",
            cards: Vec::new(),
        }
    }

    /// What no figure makes up for.
    pub fn wrong(&self) -> Vec<String> {
        let of = |card: &Card| -> Vec<String> {
            let named = |what: &str| format!("{}: {what}", card.uuid);
            card.faults().iter().map(|what| named(what)).collect()
        };
        self.cards.iter().flat_map(of).collect()
    }

    /// A line for each card that nothing failed on, and nothing was measured of.
    pub fn unmeasured(&self) -> Vec<String> {
        let bare = self.cards.iter().filter(|card| card.sizes.is_empty() && card.fault.is_none());
        let reason = |card: &Card| card.refused.first().cloned().unwrap_or_else(|| "no n was asked for".into());
        bare.map(|card| format!("nothing was measured of {} ({}): {}", card.uuid, card.name, reason(card))).collect()
    }

    pub fn table(&self) -> String {
        let cards: Vec<String> = self.cards.iter().map(|card| card.text(&aligned(&card.cells()))).collect();
        format!("{}\n\n{}", self.heading(), cards.join("\n\n"))
    }

    pub fn markdown(&self) -> String {
        let cards: Vec<String> = self.cards.iter().map(|card| card.text(&piped(&card.cells()))).collect();
        format!("{}:\n\n{}", self.heading(), cards.join("\n\n"))
    }

    fn heading(&self) -> String {
        let cuda = self
            .cuda_driver
            .map_or("CUDA of no known version".into(), |v| format!("CUDA {}.{}", v / 1000, v % 1000 / 10));
        let driver = self.driver.as_deref().unwrap_or("driver of no known version");
        format!("byteleap {}, {cuda}, {driver}; {} times each: {}", self.version, self.repeats, self.taken)
    }
}

impl Card {
    fn text(&self, table: &str) -> String {
        let Card { name, uuid, compute_capability: [major, minor], memory_mib, multiprocessors, clock_mhz, .. } = self;
        let peak = self.peak_tops.map_or("no peak is known of it".into(), |peak| format!("peak {peak} TOPS"));
        let notes: String = self.notes.iter().map(|note| format!("\nnot measured: {note}")).collect();
        let wrong: String = self.faults().iter().map(|what| format!("\nWRONG: {what}")).collect();
        format!(
            "{name}, {uuid}, compute capability {major}.{minor}, {memory_mib} MiB, {multiprocessors} multiprocessors, \
             {clock_mhz} MHz, {peak}\n\n{table}{notes}{wrong}"
        )
    }

    fn faults(&self) -> Vec<String> {
        self.sizes.iter().flat_map(Size::faults).chain(self.fault.clone()).collect()
    }

    /// The head first.
    fn cells(&self) -> Vec<[String; 10]> {
        let head =
            ["n", "product", "ms", "TOPS", "of peak", "of cuBLASLt", "generate ms", "hash ms", "whole ms", "checked"];
        let mut cells = vec![head.map(str::to_owned)];
        for size in &self.sizes {
            cells.extend(size.paths.iter().map(|row| row.cells(size)));
            cells.extend(size.cublas.iter().map(|cublas| cublas.cells(size.n)));
        }
        cells
    }
}

impl Size {
    pub fn new(
        n: u32,
        paths: Vec<Row>,
        cublas: Result<Cublas, String>,
        root: String,
        paths_agree: bool,
        checked: Checked,
    ) -> Size {
        let (cublas, cublas_fault) = match cublas {
            Ok(cublas) => (Some(cublas), None),
            Err(why) => (None, Some(why)),
        };
        let (checked_by, wrong) = match checked {
            Ok(by) => (Some(by), None),
            Err(why) => (None, Some(why)),
        };
        Size { n, paths, cublas, cublas_fault, root, paths_agree, checked_by, wrong }
    }

    fn faults(&self) -> Vec<String> {
        let n = self.n;
        let disagree = (!self.paths_agree).then(|| format!("n = {n}: the kernels do not agree on the root"));
        let cublas = self.cublas.as_ref().filter(|cublas| !cublas.agrees);
        let cublas = cublas.map(|_| format!("n = {n}: the product of cuBLASLt is another than ours"));
        disagree.into_iter().chain(cublas).chain(self.wrong.clone()).collect()
    }
}

impl Row {
    pub fn new(path: String, n: u32, whole: &Whole) -> Row {
        let Whole { generate_ms, multiply_ms, hash_ms, whole_ms, .. } = *whole;
        Row { path, generate_ms, multiply_ms, hash_ms, whole_ms, whole_tops: tops(n, whole_ms), product: None }
    }

    pub fn add_product(&mut self, n: u32, ms: f64, peak: Option<f64>, cublas: Option<&Cublas>) {
        let tops = tops(n, ms);
        let share_of_cublas = cublas.map(|theirs| tops / theirs.tops);
        self.product = Some(Product { ms, tops, share_of_peak: peak.map(|peak| tops / peak), share_of_cublas });
    }

    fn cells(&self, size: &Size) -> [String; 10] {
        let product = self.product.as_ref();
        let of = |part: fn(&Product) -> Option<f64>| product.and_then(part);
        [
            size.n.to_string(),
            self.path.clone(),
            shown(of(|p| Some(p.ms))),
            shown(of(|p| Some(p.tops))),
            percent(of(|p| p.share_of_peak)),
            percent(of(|p| p.share_of_cublas)),
            shown(Some(self.generate_ms)),
            shown(Some(self.hash_ms)),
            shown(Some(self.whole_ms)),
            size.checked_by.unwrap_or("WRONG").into(),
        ]
    }
}

impl Cublas {
    pub fn new(n: u32, found: product::Cublas, peak: Option<f64>) -> Cublas {
        let tops = tops(n, found.ms);
        let share_of_peak = peak.map(|peak| tops / peak);
        Cublas { ms: found.ms, tops, share_of_peak, ways: found.ways, agrees: found.agrees }
    }

    fn cells(&self, n: u32) -> [String; 10] {
        let checked = if self.agrees { "ours to the bit" } else { "WRONG" };
        let path = format!("cuBLASLt, best of {}", self.ways);
        let [none, absent, nothing, empty] = std::array::from_fn(|_| String::new());
        let share = percent(self.share_of_peak);
        [
            n.to_string(),
            path,
            shown(Some(self.ms)),
            shown(Some(self.tops)),
            share,
            none,
            absent,
            nothing,
            empty,
            checked.into(),
        ]
    }
}

/// Three digits; nothing for what was not measured.
fn shown(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or(String::new(), crate::bench::compute::significant)
}

fn percent(share: Option<f64>) -> String {
    share.filter(|share| share.is_finite()).map_or(String::new(), |share| format!("{:.1} %", share * 100.0))
}

fn aligned(cells: &[[String; 10]]) -> String {
    let width = |at: usize| cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: [usize; 10] = std::array::from_fn(width);
    let cell = |(at, text): (usize, &String)| match at {
        1 | 9 => format!("{text:<0$}", widths[at]),
        _ => format!("{text:>0$}", widths[at]),
    };
    let line =
        |row: &[String; 10]| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned();
    cells.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn piped(cells: &[[String; 10]]) -> String {
    let line = |row: &[String; 10]| format!("| {} |", row.join(" | "));
    let mut lines: Vec<String> = cells.iter().map(line).collect();
    lines.insert(lines.len().min(1), "|---:|---|---:|---:|---:|---:|---:|---:|---:|---|".into());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(peak: Option<f64>, cublas: Option<&Cublas>) -> Row {
        let whole = Whole { generate_ms: 1.0, multiply_ms: 2.0, hash_ms: 3.0, whole_ms: 10.0, root: [0; 32] };
        let mut row = Row::new("wgmma".into(), 10_000, &whole);
        row.add_product(10_000, 2.0, peak, cublas);
        row
    }

    #[test]
    fn a_rate_is_two_operations_for_each_of_n_cubed() {
        let theirs = Cublas::new(10_000, product::Cublas { ms: 1.0, ways: 1, agrees: true }, None);
        let product = row(Some(2000.0), Some(&theirs)).product.unwrap();
        assert_eq!((product.tops, product.share_of_peak, product.share_of_cublas), (1000.0, Some(0.5), Some(0.5)));
        let product = row(None, None).product.unwrap();
        assert_eq!((product.share_of_peak, product.share_of_cublas), (None, None), "nothing is made up");
    }

    #[test]
    fn what_is_wrong_is_said_whatever_the_figures() {
        let size = |agree, ours: bool, checked| {
            let theirs = Cublas::new(512, product::Cublas { ms: 1.0, ways: 1, agrees: ours }, None);
            Size::new(512, vec![row(None, None)], Ok(theirs), String::new(), agree, checked).faults().len()
        };
        assert_eq!([size(true, true, Ok("it")), size(false, true, Ok("it"))], [0, 1]);
        assert_eq!([size(true, false, Ok("it")), size(false, false, Err("bad".into()))], [1, 3]);
    }
}
