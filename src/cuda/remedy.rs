//! What an operator should do about an error of the driver, by its code, as `cuda.h` numbers them. Of others there is nothing
//! better to say than the driver's own words.

/// Ends a line about an error; nothing where nothing is known.
pub(super) fn shown(code: u32) -> String {
    remedy(code).map_or_else(String::new, |remedy| format!("; to do: {remedy}"))
}

fn remedy(code: u32) -> Option<&'static str> {
    Some(match code {
        2 => "end what holds the card's memory (nvidia-smi names the processes)",
        3 | 999 => {
            "see dmesg | grep NVRM; load the module anew as root (rmmod nvidia_uvm, then modprobe nvidia_uvm), or reboot"
        }
        34 => "a toolkit's stub of libcuda.so.1 was found in place of the driver's: take stubs out of LD_LIBRARY_PATH",
        35 => "the driver is too old: install NVIDIA's driver 535 or newer, and reboot",
        46 => "see that no other program has the card for itself: nvidia-smi -q -d COMPUTE, then nvidia-smi -c DEFAULT",
        100 => {
            "see that the card is there (nvidia-smi -L), that CUDA_VISIBLE_DEVICES does not hide it, and in a container that \
             it is passed in"
        }
        214 => "the card's memory has an error that cannot be corrected: reset the card (nvidia-smi --gpu-reset)",
        802 => {
            "a host with NVSwitch needs the fabric manager of the driver's own version: systemctl start nvidia-fabricmanager"
        }
        803 => {
            "libcuda.so.1 is of another version than the kernel's module: reboot; in a container, use its host's version"
        }
        804 => {
            "libcuda.so.1 is of a cuda-compat package that this card does not take: remove that from LD_LIBRARY_PATH"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_errors_have_a_remedy_of_their_own() {
        let said = [2, 3, 34, 35, 46, 100, 214, 802, 803, 804].map(shown);
        assert!(said.iter().all(|said| said.starts_with("; to do: ")), "{said:?}");
        assert!(shown(802).contains("fabricmanager") && shown(803).contains("reboot") && shown(35).contains("535"));
        assert_eq!((shown(3), shown(1)), (shown(999), String::new()));
    }
}
