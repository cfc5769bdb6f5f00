//! What was measured, as one JSON object or as a table.

use serde::Serialize;

use super::{
    cpu_matrix, gemm_i8,
    generators::Rng,
    hashes::Hash,
    machine::{Instruction, Machine},
};

#[derive(Debug, Serialize)]
pub struct Figures {
    pub version: &'static str,
    pub machine: Machine,
    /// Smaller matrices: no figures to compare with others.
    pub quick: bool,
    /// How a time was chosen from several.
    pub taken: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rng: Option<Rng>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<Hash>,
    #[serde(skip_serializing_if = "Two::is_empty")]
    pub cpu_matrix: Two<cpu_matrix::Challenge, cpu_matrix::Verify>,
    #[serde(skip_serializing_if = "Two::is_empty")]
    pub gemm_i8: Two<gemm_i8::Challenge, gemm_i8::Verify>,
}

/// Of one challenge: what the worker does, and what the validator does.
#[derive(Debug, Serialize)]
pub struct Two<C, V> {
    #[serde(flatten)]
    pub challenge: Option<C>,
    #[serde(flatten)]
    pub verify: Option<V>,
}

impl<C, V> Two<C, V> {
    fn is_empty(&self) -> bool {
        self.challenge.is_none() && self.verify.is_none()
    }
}

/// One line of a table.
#[derive(Debug)]
pub struct Row {
    what: String,
    figure: String,
    beside: String,
}

impl Row {
    /// A figure with its unit, and what it is to be seen beside.
    pub fn new(what: &str, figure: f64, unit: &str, beside: &str) -> Row {
        let figure = format!("{} {unit}", significant(figure));
        Row { what: what.into(), figure, beside: beside.into() }
    }
}

/// Three figures, as many as repeated runs agree on.
pub fn significant(value: f64) -> String {
    let magnitude = value.abs().clamp(1e-9, 1e15).log10().floor() as i32;
    let places = usize::try_from(2 - magnitude).unwrap_or(0);
    format!("{value:.places$}")
}

impl Figures {
    fn rows(&self) -> Vec<Row> {
        let Instruction { int8, int16 } = &self.machine.instruction;
        let Figures { cpu_matrix, gemm_i8, rng, hash, .. } = self;
        let parts = [
            cpu_matrix.challenge.as_ref().map(|part| part.rows(int16)),
            gemm_i8.challenge.as_ref().map(|part| part.rows(int8)),
            cpu_matrix.verify.as_ref().map(cpu_matrix::Verify::rows),
            gemm_i8.verify.as_ref().map(gemm_i8::Verify::rows),
            rng.as_ref().map(Rng::rows),
            hash.as_ref().map(Hash::rows),
        ];
        parts.into_iter().flatten().flatten().collect()
    }

    /// Which machine and how, in one line.
    fn heading(&self) -> String {
        let Machine { cpu, cores, threads, isa, .. } = &self.machine;
        let quick = if self.quick { "; quick: small matrices, not to be compared" } else { "" };
        format!("byteleap {} on {cpu}, {isa}, {threads} threads on {cores} cores; {}{quick}", self.version, self.taken)
    }

    pub fn table(&self) -> String {
        let rows = self.rows();
        let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (what, figure) = (width(|row| &row.what), width(|row| &row.figure));
        let line = |row: &Row| format!("{:<what$}  {:>figure$}  {}", row.what, row.figure, row.beside);
        let lines: Vec<String> = rows.iter().map(|row| line(row).trim_end().to_owned()).collect();
        format!("{}\n\n{}", self.heading(), lines.join("\n"))
    }

    pub fn markdown(&self) -> String {
        let line = |row: &Row| format!("| {} | {} | {} |", row.what, row.figure, row.beside);
        let lines: Vec<String> = self.rows().iter().map(line).collect();
        format!("{}:\n\n| what | figure | |\n|---|---:|---|\n{}", self.heading(), lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let shown = [1234.5, 123.4, 12.34, 1.234, 0.1234, 0.01234].map(significant);
        assert_eq!(shown, ["1234", "123", "12.3", "1.23", "0.123", "0.0123"]);
        assert_eq!(significant(1000.0), "1000");
    }
}
