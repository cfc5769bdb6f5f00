//! The miner: arguments, configuration, spokes, loop. Nothing else is done here.

fn main() {}
