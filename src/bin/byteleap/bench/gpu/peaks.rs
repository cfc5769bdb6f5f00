//! What NVIDIA says that its cards reach: dense int8, in 10¹² operations a second, at the boost clock of the data sheet.
//!
//! From NVIDIA's own papers, where int8 is given with sparsity, which doubles it, half of that: the data sheets of the H100 (SXM
//! 3,958, PCIe 3,026, NVL 3,341), H200 (SXM 3,958, NVL 3,341), A100 (624 dense), L40S (733 dense) and L4 (485); the HGX page of
//! the B200 (9,000); the white papers of GA102 (3090: 284 dense), AD102 (4090: 660.6 dense) and Blackwell's RTX (5090: 838 dense).
//!
//! A card that is not in the list has no share of a peak: none is made up for it.

/// A card by words of its name; those that look alike and are another come first, without a figure.
const PEAKS: [(&[&str], Option<f64>); 19] = [
    // a part of a card has a part of its peak, and its name does not say which
    (&["MIG"], None),
    (&["B200"], Some(4500.0)),
    (&["H200", "NVL"], Some(1671.0)),
    (&["H200"], Some(1979.0)),
    (&["H100", "PCIe"], Some(1513.0)),
    (&["H100", "NVL"], Some(1671.0)),
    (&["H100", "80GB", "HBM3"], Some(1979.0)),
    (&["H100", "SXM5"], Some(1979.0)),
    (&["A100"], Some(624.0)),
    (&["L40S"], Some(733.0)),
    (&["L4"], Some(242.5)),
    (&["RTX", "5090", "D"], None),
    (&["RTX", "5090", "Laptop"], None),
    (&["RTX", "5090"], Some(838.0)),
    (&["RTX", "4090", "D"], None),
    (&["RTX", "4090", "Laptop"], None),
    (&["RTX", "4090"], Some(660.6)),
    (&["RTX", "3090", "Ti"], None),
    (&["RTX", "3090"], Some(284.0)),
];

/// The peak of the card of this name.
pub fn tops(name: &str) -> Option<f64> {
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let named = |wanted: &[&str]| wanted.iter().all(|word| words.contains(word));
    PEAKS.into_iter().find(|(wanted, _)| named(wanted)).and_then(|(_, peak)| peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_told_apart_by_the_names_that_the_driver_gives_them() {
        for (name, peak) in [
            ("NVIDIA H100 80GB HBM3", Some(1979.0)),
            ("NVIDIA H100 PCIe", Some(1513.0)),
            ("NVIDIA H100 NVL", Some(1671.0)),
            ("NVIDIA H200", Some(1979.0)),
            ("NVIDIA H200 NVL", Some(1671.0)),
            ("NVIDIA A100-SXM4-80GB", Some(624.0)),
            ("NVIDIA A100 80GB PCIe", Some(624.0)),
            ("NVIDIA B200", Some(4500.0)),
            ("NVIDIA GeForce RTX 3090", Some(284.0)),
            ("NVIDIA GeForce RTX 4090", Some(660.6)),
            ("NVIDIA L40S", Some(733.0)),
            ("NVIDIA L4", Some(242.5)),
            ("NVIDIA GeForce RTX 5090", Some(838.0)),
        ] {
            assert_eq!(tops(name), peak, "{name}");
        }
    }

    #[test]
    fn a_card_that_is_not_listed_has_no_peak() {
        for name in [
            "CPU emulation (cc 90)",
            "NVIDIA GH200 480GB",
            "NVIDIA L40",
            "NVIDIA GeForce RTX 4090 D",
            "NVIDIA GeForce RTX 3090 Ti",
            "NVIDIA GeForce RTX 5090 Laptop GPU",
            "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
            "",
        ] {
            assert_eq!(tops(name), None, "{name}");
        }
    }
}
