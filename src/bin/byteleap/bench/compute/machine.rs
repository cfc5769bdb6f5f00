//! The machine that figures are of.

use std::{fs, num::NonZeroUsize, thread};

use byteleap::compute::kernel::{Isa, Kind};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Machine {
    /// The CPU's model, as the kernel names it.
    pub cpu: String,
    /// That this process may use.
    pub cores: usize,
    /// That products ran on.
    pub threads: usize,
    /// The fastest instructions that this CPU has and this build knows.
    pub isa: &'static str,
    /// What the peaks below are of: the instruction that multiplies exactly and adds up.
    pub instruction: Instruction,
}

#[derive(Debug, Serialize)]
pub struct Instruction {
    pub int8: &'static str,
    pub int16: &'static str,
}

impl Machine {
    pub fn look(threads: NonZeroUsize) -> Machine {
        let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).get();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let isa = Isa::best();
        let instruction =
            Instruction { int8: isa.dot_instruction(Kind::Int8), int16: isa.dot_instruction(Kind::Int16) };
        Machine { cpu: model(&cpuinfo), cores, threads: threads.get(), isa: isa.name(), instruction }
    }
}

/// The first core's model with what tells generations apart where the name does not.
fn model(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let numbers = ["cpu family", "model", "stepping"].map(|name| field(name).map(|value| format!("{name} {value}")));
    let numbers: Vec<String> = numbers.into_iter().flatten().collect();
    let name = field("model name").unwrap_or_else(|| "unknown CPU".into());
    if numbers.is_empty() { name } else { format!("{name} ({})", numbers.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_told_by_name_and_numbers() {
        let text = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 207\nmodel name\t: Some Processor\nstepping\t: 2\n";
        assert_eq!(model(text), "Some Processor (cpu family 6, model 207, stepping 2)");
        assert_eq!(model(""), "unknown CPU");
    }
}
