//! What NVML, CUDA, the kernel's driver and the PCI bus say of the same cards, side by side. Each disagreement is a
//! finding; where it leaves open which card it is, or whether it is one, the card is withheld.

use std::collections::BTreeSet;

use super::{Finding, Grade, Report, judge, memory, nameless};
use crate::machine::contract::{
    gpu::ExecutorGpu,
    inventory::{BusCard, Card, Inventory, KernelCard, PciAddress},
};

/// Modules that hand a card to a virtual machine.
const PASSED_ON: [&str; 2] = ["vfio-pci", "pci-stub"];
/// NVIDIA's own.
const NVIDIA: &str = "nvidia";

/// One report for each card that anybody names, by place. `cuda`: what an executor lists; `None`: there is none now.
pub fn review(inventory: &Inventory, cuda: Option<&[ExecutorGpu]>) -> Vec<Report> {
    let inventory = &nameless::named(inventory, cuda);
    let suspects = nameless::suspects(inventory, cuda);
    let mut review = Review { reports: Vec::new(), read: inventory.reading().is_some(), suspects };
    inventory.cards().iter().for_each(|card| review.nvml(card));
    inventory.kernel.iter().flatten().for_each(|card| review.kernel(card));
    if let Some(listed) = inventory.kernel.as_deref().filter(|listed| !listed.is_empty()) {
        inventory.cards().iter().for_each(|card| review.unknown_to_kernel(card, listed));
    }
    inventory.bus.iter().for_each(|card| review.bus(card));
    cuda.into_iter().flatten().for_each(|gpu| review.cuda(gpu, inventory));
    if let Some(gpus) = cuda {
        inventory.cards().iter().for_each(|card| review.unknown_to_cuda(card, gpus));
    }
    if !review.read {
        // Nobody has looked at its health.
        review.reports.iter_mut().for_each(|report| report.grade = report.grade.max(Grade::Unknown));
    }
    review.reports.sort_by(|one, other| (one.pci, &one.uuid).cmp(&(other.pci, &other.uuid)));
    review.reports
}

struct Review {
    reports: Vec<Report>,
    /// NVML has answered: what it does not name is not there for it.
    read: bool,
    /// Any of these may be a card that NVML has lost and cannot name.
    suspects: BTreeSet<String>,
}

impl Review {
    fn by_uuid(&mut self, uuid: &str) -> Option<&mut Report> {
        self.reports.iter_mut().find(|report| report.uuid.as_deref() == Some(uuid))
    }

    fn at(&mut self, pci: PciAddress) -> Option<&mut Report> {
        self.reports.iter_mut().find(|report| report.pci == Some(pci))
    }

    fn add(&mut self, report: Report, finding: Option<Finding>) {
        self.reports.push(report);
        if let (Some(finding), Some(report)) = (finding, self.reports.last_mut()) {
            report.find(finding);
        }
    }

    fn nvml(&mut self, card: &Card) {
        let (uuid, name, pci) = (card.uuid.clone(), card.name.clone(), card.pci);
        let mut report = Report { uuid, name, pci, ..Report::default() };
        judge(card).into_iter().for_each(|finding| report.find(finding));
        self.reports.push(report);
    }

    fn kernel(&mut self, card: &KernelCard) {
        let read = self.read;
        let Some(report) = self.at(card.pci) else {
            let missing = Finding::new(
                "nvml_lacks",
                Grade::Degraded,
                "the kernel's driver lists this card, NVML does not",
                "look for it in the kernel's log (dmesg | grep NVRM) and in nvidia-smi; in a container, give it to it",
            );
            let (uuid, name, pci) = (card.uuid.clone(), card.model.clone(), Some(card.pci));
            return self.add(Report { uuid, name, pci, ..Report::default() }, read.then_some(missing));
        };
        let (Some(ours), Some(theirs)) = (&report.uuid, &card.uuid) else { return };
        if ours != theirs {
            let reason = format!("NVML calls this card {ours}, the kernel's driver {theirs}");
            report.find(Finding::new("uuid_disagrees", Grade::Withheld, reason, OTHER_LIBRARY));
        }
    }

    fn unknown_to_kernel(&mut self, card: &Card, listed: &[KernelCard]) {
        let Some(pci) = card.pci.filter(|pci| !listed.iter().any(|other| other.pci == *pci)) else { return };
        let reason = "NVML lists this card, the kernel's driver does not";
        let finding = Finding::new("kernel_lacks", Grade::Degraded, reason, OTHER_LIBRARY);
        if let Some(report) = self.at(pci) {
            report.find(finding);
        }
    }

    fn bus(&mut self, card: &BusCard) {
        let pci = Some(card.pci);
        let finding = match card.driver.as_deref() {
            Some(NVIDIA) => return,
            Some(driver) if PASSED_ON.contains(&driver) => Finding::new(
                "vfio",
                Grade::Noted,
                format!("bound to {driver}: it is for virtual machines, and no CUDA card of this host"),
                "nothing if that is wanted; else bind it to nvidia",
            ),
            Some(driver) => Finding::new(
                "other_driver",
                Grade::Degraded,
                format!("bound to {driver}, which does no CUDA"),
                format!("keep {driver} from loading and load nvidia, or reboot after NVIDIA's driver is installed"),
            ),
            None => Finding::new(
                "no_driver",
                Grade::Degraded,
                "no kernel module drives it",
                "install NVIDIA's driver, or see why it refused the card: dmesg | grep NVRM",
            ),
        };
        match self.at(card.pci) {
            Some(report) => {
                let reason =
                    format!("NVML or the kernel's driver lists it, but on the PCI bus it is {}", finding.reason);
                report.find(Finding::new("bus_disagrees", Grade::Withheld, reason, OTHER_LIBRARY));
            }
            None => self.add(Report { pci, ..Report::default() }, Some(finding)),
        }
    }

    fn cuda(&mut self, gpu: &ExecutorGpu, inventory: &Inventory) {
        self.place(gpu, inventory);
        if let (Some(finding), Some(report)) = (memory::check(gpu), self.by_uuid(&gpu.uuid)) {
            report.find(finding);
        }
    }

    fn place(&mut self, gpu: &ExecutorGpu, inventory: &Inventory) {
        let pci = gpu.pci();
        let read = self.read;
        if let Some(report) = self.by_uuid(&gpu.uuid) {
            let moved = pci.zip(report.pci).filter(|(theirs, ours)| theirs != ours);
            report.pci = report.pci.or(pci);
            if let Some((theirs, ours)) = moved {
                let reason = format!("CUDA says it is at PCI {theirs}, NVML at {ours}");
                report.find(Finding::new("pci_disagrees", Grade::Withheld, reason, OTHER_LIBRARY));
            }
            return;
        }
        let suspected = self.suspects.contains(&gpu.uuid).then(suspected);
        let unknown = || unknown_to_nvml(gpu, inventory).filter(|finding| read || finding.grade == Grade::Withheld);
        let finding = suspected.or_else(unknown);
        let (uuid, name) = (Some(gpu.uuid.clone()), Some(gpu.name.clone()).filter(|name| !name.is_empty()));
        self.add(Report { uuid, name, pci, ..Report::default() }, finding);
    }

    fn unknown_to_cuda(&mut self, card: &Card, gpus: &[ExecutorGpu]) {
        let Some(uuid) = card.uuid.as_deref() else { return };
        let divided = card.readings.mig.is_some_and(|mig| mig.enabled);
        let listed = gpus.iter().any(|gpu| gpu.uuid == uuid || card.pci.is_some_and(|pci| gpu.pci() == Some(pci)));
        if divided || listed || card.lost.is_some() {
            return;
        }
        let reason = "NVML lists this card, the executor does not";
        let action =
            "see the executor's log; look at CUDA_VISIBLE_DEVICES and the compute mode (nvidia-smi -q -d COMPUTE)";
        if let Some(report) = self.by_uuid(uuid) {
            report.find(Finding::new("cuda_lacks", Grade::Degraded, reason, action));
        }
    }
}

const OTHER_LIBRARY: &str =
    "see that libcuda.so.1 and libnvidia-ml.so.1 are those of the driver that is loaded, and reboot";

fn suspected() -> Finding {
    let reason = "NVML has lost a card and cannot say which: it may be this one";
    let action = "see which it is: dmesg | grep -e Xid -e 'fallen off'; then stop the worker and reset that card \
                  (nvidia-smi --gpu-reset), or reboot";
    Finding::new("lost", Grade::Withheld, reason, action)
}

/// A device that CUDA lists under a uuid that NVML does not have.
fn unknown_to_nvml(gpu: &ExecutorGpu, inventory: &Inventory) -> Option<Finding> {
    let at = |pci| inventory.cards().iter().find(|card| card.pci == Some(pci));
    let card = gpu.pci().and_then(at);
    let instance = card.and_then(|card| card.readings.mig).is_some_and(|mig| mig.enabled) || gpu.name.contains(" MIG ");
    let passed_on = inventory.bus.iter().any(|card| {
        gpu.pci() == Some(card.pci) && card.driver.as_deref().is_some_and(|driver| PASSED_ON.contains(&driver))
    });
    Some(if instance {
        let reason = "CUDA lists a MIG instance, which is no whole card";
        Finding::new("mig", Grade::Withheld, reason, "to offer the whole card, disable MIG: nvidia-smi -i CARD -mig 0")
    } else if passed_on {
        let reason = "CUDA lists it, but it is bound to vfio-pci";
        Finding::new("vfio", Grade::Withheld, reason, OTHER_LIBRARY)
    } else if let Some(card) = card {
        let reason =
            format!("CUDA calls the card here {}, NVML {}", gpu.uuid, card.uuid.as_deref().unwrap_or("nothing"));
        Finding::new("uuid_disagrees", Grade::Withheld, reason, OTHER_LIBRARY)
    } else {
        Finding::new("nvml_lacks", Grade::Degraded, "CUDA lists this card, NVML does not", OTHER_LIBRARY)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::machine::contract::inventory::{Mig, Nvml, NvmlReading, Readings};

    fn pci(bus: u8) -> PciAddress {
        PciAddress { domain: 0, bus, device: 0, function: 0 }
    }

    fn card(uuid: &str, bus: u8) -> Card {
        Card { uuid: Some(uuid.into()), name: Some("H100".into()), pci: Some(pci(bus)), ..Card::default() }
    }

    fn gpu(uuid: &str, bus: u8) -> ExecutorGpu {
        let told = json!({"uuid": uuid, "pci_bus_id": pci(bus).to_string()}).as_object().unwrap().clone();
        ExecutorGpu { uuid: uuid.into(), name: "H100".into(), told }
    }

    fn kernel(uuid: &str, bus: u8) -> KernelCard {
        KernelCard { pci: pci(bus), uuid: Some(uuid.into()), model: None, minor: None }
    }

    fn read(cards: &[Card]) -> Inventory {
        Inventory {
            nvml: Nvml::Read(NvmlReading { cards: cards.to_vec(), ..NvmlReading::default() }),
            ..Inventory::default()
        }
    }

    fn found(inventory: &Inventory, cuda: Option<&[ExecutorGpu]>) -> Vec<(Option<String>, &'static str, Grade)> {
        let reports = review(inventory, cuda);
        let each = reports.iter().flat_map(|report| {
            report.findings.iter().map(|finding| (report.uuid.clone(), finding.check, finding.grade))
        });
        each.collect()
    }

    fn one(uuid: &str, check: &'static str, grade: Grade) -> Vec<(Option<String>, &'static str, Grade)> {
        vec![(Some(uuid.into()), check, grade)]
    }

    #[test]
    fn what_all_agree_on_is_one_report_a_card_without_a_finding() {
        let inventory =
            Inventory { kernel: Some(vec![kernel("A", 1), kernel("B", 2)]), ..read(&[card("B", 2), card("A", 1)]) };
        let cuda = [gpu("A", 1), gpu("B", 2)];
        assert_eq!(found(&inventory, Some(&cuda)), []);
        let uuids: Vec<_> = review(&inventory, Some(&cuda)).into_iter().filter_map(|report| report.uuid).collect();
        assert_eq!(uuids, ["A", "B"]);
    }

    #[test]
    fn without_nvml_nothing_disagrees_with_it() {
        let inventory = Inventory { kernel: Some(vec![kernel("A", 1)]), ..Inventory::default() };
        assert_eq!(found(&inventory, Some(&[gpu("A", 1)])), []);
        assert_eq!(found(&Inventory::default(), Some(&[gpu("A", 1)])), []);
        let silent = Inventory { nvml: Nvml::Silent, ..Inventory::default() };
        assert_eq!(review(&silent, Some(&[gpu("A", 1)]))[0].grade, Grade::Unknown, "and nobody calls it healthy");
    }

    #[test]
    fn each_disagreement_has_its_name() {
        let both = read(&[card("A", 1), card("B", 2)]);
        assert_eq!(found(&both, Some(&[gpu("A", 1)])), one("B", "cuda_lacks", Grade::Degraded));
        assert_eq!(found(&both, None), [], "no executor says nothing of a card");
        let more = [gpu("A", 1), gpu("B", 2), gpu("C", 3)];
        assert_eq!(found(&both, Some(&more)), one("C", "nvml_lacks", Grade::Degraded));
        assert_eq!(found(&both, Some(&[gpu("A", 1), gpu("B", 7)])), one("B", "pci_disagrees", Grade::Withheld));
        let other = found(&both, Some(&[gpu("A", 1), gpu("X", 2)]));
        assert_eq!(other, one("X", "uuid_disagrees", Grade::Withheld));
        let listed = |cards| Inventory { kernel: Some(cards), ..both.clone() };
        let less = listed(vec![kernel("A", 1)]);
        assert_eq!(found(&less, None), one("B", "kernel_lacks", Grade::Degraded));
        let renamed = listed(vec![kernel("A", 1), kernel("X", 2)]);
        assert_eq!(found(&renamed, None), one("B", "uuid_disagrees", Grade::Withheld));
        let third = listed(vec![kernel("A", 1), kernel("B", 2), kernel("C", 3)]);
        assert_eq!(found(&third, None), one("C", "nvml_lacks", Grade::Degraded));
    }

    #[test]
    fn a_card_of_virtual_machines_is_told_of_and_no_cuda_card() {
        let bus = |driver: &str| BusCard { pci: pci(9), driver: Some(driver.into()) };
        let passed_on = Inventory { bus: vec![bus("vfio-pci")], ..read(&[]) };
        assert_eq!(found(&passed_on, Some(&[])), [(None, "vfio", Grade::Noted)]);
        let claimed = found(&passed_on, Some(&[gpu("V", 9)]));
        assert!(claimed.contains(&(Some("V".into()), "vfio", Grade::Withheld)), "{claimed:?}");
        let nouveau = Inventory { bus: vec![bus("nouveau")], ..read(&[]) };
        assert_eq!(found(&nouveau, None), [(None, "other_driver", Grade::Degraded)]);
        let unbound = Inventory { bus: vec![BusCard { pci: pci(9), driver: None }], ..read(&[]) };
        assert_eq!(found(&unbound, None), [(None, "no_driver", Grade::Degraded)]);
        let own = Inventory { bus: vec![bus("nvidia")], ..read(&[]) };
        assert_eq!(found(&own, None), [], "a container sees its host's bus");
    }

    fn lost(index: u32) -> Card {
        Card { index, lost: Some("GPU is lost".into()), ..Card::default() }
    }

    #[test]
    fn a_card_that_nvml_has_lost_from_the_start_is_one_and_withheld_under_its_name() {
        let inventory = read(&[lost(0), card("B", 2)]);
        let reports = review(&inventory, Some(&[gpu("A", 1), gpu("B", 2)]));
        assert_eq!(reports.len(), 2, "{reports:?}");
        let of = |report: &Report| (report.uuid.clone(), report.pci, report.grade);
        assert_eq!(of(&reports[0]), (Some("A".into()), Some(pci(1)), Grade::Withheld));
        let finding = &reports[0].findings[0];
        assert_eq!((finding.check, reports[0].findings.len()), ("lost", 1));
        assert!(finding.action.contains("reset the card"), "{}", finding.action);
        assert_eq!(of(&reports[1]), (Some("B".into()), Some(pci(2)), Grade::Healthy));
        let by_kernel = Inventory { kernel: Some(vec![kernel("A", 1), kernel("B", 2)]), ..inventory };
        assert_eq!(found(&by_kernel, None), one("A", "lost", Grade::Withheld), "without an executor");
        assert_eq!(review(&by_kernel, Some(&[gpu("A", 1), gpu("B", 2)])).len(), 2, "both list it");
    }

    #[test]
    fn where_nobody_can_say_which_card_is_lost_none_of_those_is_offered() {
        let inventory = read(&[lost(0), card("C", 3)]);
        let cuda = [gpu("A", 1), gpu("B", 2), gpu("C", 3)];
        let withheld = |report: &Report| report.uuid.is_some() && report.grade == Grade::Withheld;
        let reports = review(&inventory, Some(&cuda));
        let named: Vec<_> = reports.iter().filter(|one| withheld(one)).filter_map(|one| one.uuid.as_deref()).collect();
        assert_eq!(named, ["A", "B"]);
        let two = read(&[lost(0), lost(1), card("C", 3)]);
        let both: Vec<_> = found(&two, Some(&cuda)).into_iter().filter_map(|(uuid, _, _)| uuid).collect();
        assert_eq!(both, ["A", "B"], "as many as are left over");
    }

    #[test]
    fn an_instance_of_a_divided_card_is_no_card() {
        let mig = Some(Mig { enabled: true, instances: Some(7) });
        let divided = Card { readings: Readings { mig, ..Readings::default() }, ..card("A", 1) };
        let inventory = read(&[divided]);
        let seen = found(&inventory, Some(&[gpu("GPU-slice", 1)]));
        let expected = [("A", "mig", Grade::Withheld), ("GPU-slice", "mig", Grade::Withheld)];
        assert_eq!(seen, expected.map(|(uuid, check, grade)| (Some(uuid.to_owned()), check, grade)));
        let named = ExecutorGpu { name: "NVIDIA A100 MIG 1g.5gb".into(), ..gpu("M", 5) };
        let named = found(&Inventory::default(), Some(&[named]));
        assert_eq!(named, one("M", "mig", Grade::Withheld), "its name says it where NVML cannot");
    }
}
