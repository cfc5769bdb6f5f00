//! The product alone: each of our kernels and NVIDIA's, in turn, over the same random matrices, timed by the device's own
//! events; and whether all of them give the same bytes.

use std::time::Duration;

use byteleap::{
    cuda::{Buffer, CublasFault, CublasLt, CublasProduct, Fault, Kernels, Key},
    net::Clock,
};

use super::whole::median;

/// Each contender runs before it is measured until this long has passed: clocks rise, and caches fill.
const WARM_UP: Duration = Duration::from_millis(200);
/// Events are good to half a microsecond.
const MEASURABLE_MS: f64 = 2.0;

/// The matrices of one n and the room to hash what comes out, in the device's memory.
struct Field {
    n: u32,
    a: Buffer,
    b: Buffer,
    c: Buffer,
    nodes: [Buffer; 2],
}

/// What is measured.
enum Contender<'a> {
    Ours(&'a Kernels),
    /// One way of those that cuBLASLt proposes.
    Theirs {
        kernels: &'a Kernels,
        product: &'a CublasProduct<'a>,
        way: usize,
    },
}

/// What one n gives.
pub struct Measured {
    /// Milliseconds of each of our kernels, in their order.
    pub ours_ms: Vec<f64>,
    pub cublas: Result<Cublas, String>,
}

pub struct Cublas {
    /// Of the fastest way.
    pub ms: f64,
    pub ways: usize,
    /// Whether its product is ours to the bit.
    pub agrees: bool,
}

impl Field {
    /// Random matrices: of zeros every card is faster.
    fn new(kernels: &Kernels, n: u32) -> Result<Field, Fault> {
        let (side, per_row) = (u64::from(n), u64::from(n / 256));
        let buffer = |bytes| kernels.gpu.buffer(bytes);
        let nodes = [buffer(side * per_row * 32)?, buffer(side * per_row.div_ceil(2) * 32)?];
        let field = Field { n, a: buffer(side * side)?, b: buffer(side * side)?, c: buffer(side * side * 4)?, nodes };
        let key = Key(std::array::from_fn(|at| at as u8 ^ 0xb5));
        kernels.expand(&field.a, side * side, key, 0)?;
        kernels.expand(&field.b, side * side, key, 1)?;
        kernels.gpu.synchronize()?;
        Ok(field)
    }

    /// Milliseconds of one product, of so many in a row. Another one runs before the first moment is marked: what the host
    /// takes to start a kernel is none of the kernel's time.
    fn time(&self, contender: &Contender<'_>, in_a_row: u32) -> Result<f64, CublasFault> {
        let (Contender::Ours(kernels) | Contender::Theirs { kernels, .. }) = contender;
        self.start(contender)?;
        let began = kernels.gpu.mark()?;
        for _ in 0..in_a_row {
            self.start(contender)?;
        }
        let ended = kernels.gpu.mark()?;
        kernels.gpu.synchronize()?;
        Ok(kernels.gpu.ms_between(&began, &ended)? / f64::from(in_a_row))
    }

    fn start(&self, contender: &Contender<'_>) -> Result<(), CublasFault> {
        match contender {
            Contender::Ours(kernels) => Ok(kernels.multiply(&self.a, &self.b, &self.c, self.n, self.n, self.n)?),
            Contender::Theirs { product, way, .. } => product.multiply(*way, &self.a, &self.b, &self.c),
        }
    }

    /// The hash of each row of the product that was made last.
    fn hashes(&self, kernels: &Kernels) -> Result<Vec<u8>, Fault> {
        let (rows, per_row, [lower, upper]) = (u64::from(self.n), self.n / 256, &self.nodes);
        kernels.chunk_cvs(&self.c, lower, rows, per_row)?;
        let top = kernels.row_hashes(lower, upper, rows, per_row)?;
        let mut bytes = vec![0; rows as usize * 32];
        kernels.gpu.read(top, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Says how many products in a row take a measurable time.
    fn warm_up(&self, contender: &Contender<'_>, clock: &Clock) -> Result<u32, CublasFault> {
        let until = clock.mono() + WARM_UP;
        loop {
            let ms = self.time(contender, 1)?;
            if clock.mono() >= until {
                return Ok((MEASURABLE_MS / ms).ceil().clamp(1.0, 100.0) as u32);
            }
        }
    }
}

/// All kernels of a card, in turn, `repeats` times each. Without cuBLASLt, or where it fails, ours alone.
pub fn measure(paths: &[&Kernels], cublas: &Result<CublasLt, String>, n: u32, repeats: u16) -> Result<Measured, Fault> {
    let Some(first) = paths.first() else {
        return Ok(Measured { ours_ms: Vec::new(), cublas: Err("no kernel".into()) });
    };
    let (field, clock) = (Field::new(first, n)?, Clock::start());
    let product = cublas.as_ref().map_err(String::clone).and_then(|lt| {
        let product = lt.product(&first.gpu, n, n, n).map_err(|why| why.to_string())?;
        try_out(&field, first, &product).map(|agrees| (product, agrees)).map_err(|why| why.to_string())
    });
    let mut contenders: Vec<_> = paths.iter().map(|kernels| Contender::Ours(kernels)).collect();
    if let Ok((product, _)) = &product {
        contenders.extend((0..product.ways()).map(|way| Contender::Theirs { kernels: first, product, way }));
    }
    let mut times = vec![Vec::new(); contenders.len()];
    let counts: Result<Vec<u32>, _> = contenders.iter().map(|contender| field.warm_up(contender, &clock)).collect();
    let counts = counts.map_err(ours)?;
    for _ in 0..repeats {
        for ((contender, count), times) in contenders.iter().zip(&counts).zip(&mut times) {
            times.push(field.time(contender, *count).map_err(ours)?);
        }
    }
    let theirs = times.split_off(paths.len());
    let best = theirs.into_iter().filter_map(median).reduce(f64::min);
    let cublas = product.and_then(|(product, agrees)| {
        let ms = best.ok_or("it was not timed")?;
        Ok(Cublas { ms, ways: product.ways(), agrees })
    });
    Ok(Measured { ours_ms: times.into_iter().filter_map(median).collect(), cublas })
}

/// Whether every way gives the bytes that our first kernel gives.
fn try_out(field: &Field, kernels: &Kernels, product: &CublasProduct<'_>) -> Result<bool, CublasFault> {
    field.start(&Contender::Ours(kernels))?;
    let expected = field.hashes(kernels)?;
    for way in 0..product.ways() {
        // What it leaves out is seen: our own product is gone.
        kernels.expand(&field.c, u64::from(field.n).pow(2) * 4, Key([0; 32]), 2)?;
        field.start(&Contender::Theirs { kernels, product, way })?;
        if field.hashes(kernels)? != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A fault of the device; what cuBLASLt says after it was tried out is one too.
fn ours(fault: CublasFault) -> Fault {
    match fault {
        CublasFault::Cuda(fault) => fault,
        other => Fault { call: "cublasLtMatmul", code: 999, text: other.to_string() },
    }
}
