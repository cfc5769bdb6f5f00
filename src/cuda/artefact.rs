//! Which compiled form of the kernels a card gets: machine code for the families that have some, PTX for the rest.
//!
//! It decides and holds the bytes; loading is the fence's.

/// One checked-in form of the kernels, built by `cuda/build.sh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artefact {
    Sm80,
    Sm90a,
    Sm100,
    Sm120,
    /// Compiled by the driver when it is loaded, for any card from compute capability 8.0 on.
    Ptx,
}

/// What is tried on a card, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub first: Artefact,
    /// When the first does not load.
    pub then: Option<Artefact>,
}

impl Artefact {
    pub fn name(self) -> &'static str {
        match self {
            Artefact::Sm80 => "sm_80.cubin",
            Artefact::Sm90a => "sm_90a.cubin",
            Artefact::Sm100 => "sm_100.cubin",
            Artefact::Sm120 => "sm_120.cubin",
            Artefact::Ptx => "compute_80.ptx (compiled by the driver)",
        }
    }

    /// Whether the product runs on Hopper's own instructions.
    pub fn has_wgmma(self) -> bool {
        self == Artefact::Sm90a
    }

    /// Machine code as it is, PTX as text.
    pub fn image(self) -> &'static [u8] {
        match self {
            Artefact::Sm80 => include_bytes!("../../cuda/artefacts/sm_80.cubin"),
            Artefact::Sm90a => include_bytes!("../../cuda/artefacts/sm_90a.cubin"),
            Artefact::Sm100 => include_bytes!("../../cuda/artefacts/sm_100.cubin"),
            Artefact::Sm120 => include_bytes!("../../cuda/artefacts/sm_120.cubin"),
            Artefact::Ptx => include_bytes!("../../cuda/artefacts/compute_80.ptx"),
        }
    }
}

impl Choice {
    /// For a card of this compute capability. `None`: it is older than the kernels.
    pub fn of((major, minor): (u32, u32)) -> Option<Choice> {
        let first = match (major, minor) {
            (..=7, _) => return None,
            (8, _) => Artefact::Sm80,
            (9, 0) => Artefact::Sm90a,
            (10, _) => Artefact::Sm100,
            (12, _) => Artefact::Sm120,
            _ => return Some(Choice { first: Artefact::Ptx, then: None }),
        };
        Some(Choice { first, then: Some(Artefact::Ptx) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_own_and_the_rest_is_compiled() {
        let first = |major, minor| Choice::of((major, minor)).map(|choice| choice.first);
        assert_eq!([first(8, 0), first(8, 6), first(8, 9)], [Some(Artefact::Sm80); 3]);
        assert_eq!([first(9, 0), first(9, 1)], [Some(Artefact::Sm90a), Some(Artefact::Ptx)]);
        assert_eq!([first(10, 0), first(10, 3)], [Some(Artefact::Sm100); 2]);
        assert_eq!(
            [first(11, 0), first(12, 0), first(13, 0)],
            [Artefact::Ptx, Artefact::Sm120, Artefact::Ptx].map(Some)
        );
        assert_eq!([first(7, 5), first(3, 0)], [None; 2]);
    }

    #[test]
    fn an_artefact_is_what_its_name_says() {
        for artefact in [Artefact::Sm80, Artefact::Sm90a, Artefact::Sm100, Artefact::Sm120] {
            assert!(artefact.image().starts_with(b"\x7fELF"), "{}", artefact.name());
        }
        assert!(str::from_utf8(Artefact::Ptx.image()).is_ok_and(|text| text.contains(".target sm_80")));
    }
}
