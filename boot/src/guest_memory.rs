//! How much memory a machine gets if no option says so.

use crate::size::Size;

/// Memory on which the jobs are large enough for a second thread to pay. The host backs only what is touched.
const ROOMY: Size = Size::from_mib(4096);
/// Memory that every host has.
const SMALL: Size = Size::from_mib(1024);

/// Returns [`ROOMY`] where the host could back all of it now, else [`SMALL`].
pub fn default_size() -> Size {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    fitting(available_bytes(&text))
}

/// Returns the memory that processes can get without swapping, as the text of `/proc/meminfo` tells it.
fn available_bytes(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn fitting(available_bytes: Option<u64>) -> Size {
    match available_bytes {
        Some(available) if available >= ROOMY.bytes => ROOMY,
        _ => SMALL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_get_what_the_host_can_back() {
        let sizes = [
            ("MemTotal: 9 kB\nMemAvailable:    4194304 kB\n", ROOMY),
            ("MemAvailable:    4194303 kB\n", SMALL),
            ("MemTotal: 99999999 kB\n", SMALL),
            ("MemAvailable: much kB\n", SMALL),
            ("MemAvailable: 99999999999999999999 kB\n", SMALL),
            ("MemAvailable: 18446744073709551615 kB\n", SMALL),
            ("MemAvailable: 4194304\n", SMALL),
            ("", SMALL),
        ];
        for (text, size) in sizes {
            assert_eq!(fitting(available_bytes(text)), size, "{text:?}");
        }
    }
}
