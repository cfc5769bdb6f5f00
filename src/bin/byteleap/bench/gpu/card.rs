//! One card: its kernels loaded each way that there is, and every n measured with each of them.

use byteleap::{
    compute::gemm_i8::{Hash, Spec},
    cuda::{Artefact, Choice, CublasLt, DeviceFacts, Gpu, Kernels, Product},
    executor::JobFault,
};

use super::{
    Options,
    figures::{Card, Cublas, Row, Size},
    peaks, product, whole,
};
use crate::Fault;

/// One way to compute: an artefact, and which of its products.
struct Path {
    name: String,
    kernels: Kernels,
}

pub fn measure(facts: DeviceFacts, options: &Options) -> Card {
    let opened = open(&facts);
    let mut card = Card {
        peak_tops: peaks::tops(&facts.name),
        cublas: None,
        sizes: Vec::new(),
        fault: None,
        notes: Vec::new(),
        refused: Vec::new(),
        uuid: facts.uuid,
        name: facts.name,
        compute_capability: [facts.compute.0, facts.compute.1],
        memory_mib: facts.total_bytes >> 20,
        multiprocessors: facts.multiprocessors,
        clock_mhz: facts.clock_mhz,
    };
    match opened {
        Ok((paths, notes)) => {
            card.notes = notes;
            fill(&mut card, &paths, options);
        }
        Err(why) => card.fault = Some(why.to_string()),
    }
    card
}

/// Each n in turn, until one fails.
fn fill(card: &mut Card, paths: &[Path], options: &Options) {
    let cublas = match paths.first() {
        Some(path) => CublasLt::open(&path.kernels.gpu).map_err(|why| why.to_string()),
        None => Err(String::new()),
    };
    card.notes.extend(cublas.as_ref().err().cloned());
    card.cublas = cublas.as_ref().ok().map(CublasLt::name);
    for n in options.sides() {
        match size(card, paths, &cublas, *n, options) {
            Ok(size) => card.sizes.push(size),
            Err(why @ JobFault::TooLarge { .. }) => card.refused.push(why.to_string()),
            // What was measured before is told all the same.
            Err(why) => {
                card.fault = Some(format!("n = {n}: {why}"));
                break;
            }
        }
    }
    card.notes.extend(card.refused.iter().cloned());
}

/// Machine code with each of its products, and PTX as the driver compiles it.
fn open(facts: &DeviceFacts) -> Result<(Vec<Path>, Vec<String>), Fault> {
    let (major, minor) = facts.compute;
    let choice = Choice::of(facts.compute)
        .ok_or_else(|| format!("{}: compute capability {major}.{minor} is older than 8.0", facts.name))?;
    let products = |artefact: Artefact| match artefact.has_wgmma() {
        true => vec![(artefact, Product::Wgmma), (artefact, Product::Mma)],
        false => vec![(artefact, Product::Mma)],
    };
    let (mut paths, mut notes) = (Vec::new(), Vec::new());
    for (artefact, product) in products(choice.first).into_iter().chain(choice.then.map(|then| (then, Product::Mma))) {
        match Gpu::open(facts, artefact) {
            Ok(gpu) => {
                let kernels = Kernels { product, ..Kernels::new(gpu, artefact) };
                paths.push(Path { name: name(artefact, product), kernels });
            }
            Err(why) => notes.push(format!("{} does not load: {why}", artefact.name())),
        }
    }
    if paths.is_empty() { Err(format!("{}: {}", facts.name, notes.join("; ")).into()) } else { Ok((paths, notes)) }
}

fn name(artefact: Artefact, product: Product) -> String {
    let product = match product {
        Product::Mma => "mma",
        Product::Wgmma => "wgmma",
    };
    match artefact {
        Artefact::Ptx => format!("{product}, compiled by the driver"),
        _ => format!("{product}, {}", artefact.name()),
    }
}

fn size(
    card: &Card,
    paths: &[Path],
    cublas: &Result<CublasLt, String>,
    n: u32,
    options: &Options,
) -> Result<Size, JobFault> {
    let (uuid, spec) = (card.uuid.as_str(), Spec::new(n, 1)?);
    let (mut rows, mut roots, mut checked) = (Vec::new(), Vec::<Hash>::new(), Vec::new());
    for path in paths {
        let (whole, answer) = whole::measure(&path.kernels, uuid, spec, options.repeats)?;
        roots.push(whole.root);
        rows.push(Row::new(path.name.clone(), n, &whole));
        // The CPU computes a root once, which each kernel's is compared with; samples are opened with each kernel.
        let by_cpu = n <= options.check_up_to;
        if !by_cpu || rows.len() == 1 {
            checked.push(whole::check(&path.kernels, uuid, &answer, by_cpu));
        }
    }
    let kernels: Vec<&Kernels> = paths.iter().map(|path| &path.kernels).collect();
    let measured = product::measure(&kernels, cublas, n, options.repeats);
    let measured = measured.map_err(|fault| JobFault::Cuda { uuid: uuid.to_owned(), fault })?;
    let theirs = measured.cublas.map(|found| Cublas::new(n, found, card.peak_tops));
    for (row, ms) in rows.iter_mut().zip(measured.ours_ms) {
        row.add_product(n, ms, card.peak_tops, theirs.as_ref().ok());
    }
    let root = roots.first().map(hex::encode).unwrap_or_default();
    let agree = roots.windows(2).all(|pair| pair[0] == pair[1]);
    let checked = checked.into_iter().reduce(|one, next| one.and(next)).unwrap_or(Err("nothing was checked".into()));
    Ok(Size::new(n, rows, theirs, root, agree, checked))
}
