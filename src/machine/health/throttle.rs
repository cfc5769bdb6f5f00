//! Clocks that heat or the power supply holds down. A power limit and idling do so too, and are normal.

use super::{Finding, Grade};
use crate::machine::contract::inventory::{Card, Throttle};

/// The first that applies names the cause: `HardwareSlowdown` stands for either of those before it.
const CAUSES: [(Throttle, &str, &str); 4] = [
    (
        Throttle::PowerBrake,
        "the power supply brakes its clocks (power brake)",
        "look at power supplies and cables: the board pulls the brake when one fails or is overloaded",
    ),
    (
        Throttle::HardwareThermal,
        "heat halves its clocks (hardware thermal slowdown)",
        "look at fans, airflow, dust and the room's temperature",
    ),
    (
        Throttle::HardwareSlowdown,
        "the hardware halves its clocks (slowdown)",
        "look at its temperature and its power supply: nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER",
    ),
    (
        Throttle::SoftwareThermal,
        "heat lowers its clocks (software thermal slowdown)",
        "look at fans, airflow, dust and the room's temperature",
    ),
];

pub fn check(card: &Card) -> Option<Finding> {
    let now = card.readings.throttle.as_ref()?;
    let (_, reason, action) = CAUSES.iter().find(|(cause, ..)| now.contains(cause))?;
    Some(Finding::new("throttle", Grade::Degraded, *reason, *action))
}
