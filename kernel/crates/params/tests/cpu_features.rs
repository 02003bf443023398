//! Values of `cpu.disable`.

use params::Param;
use params::cpu_features::{Disabled, Feature, NAMES, parse};
use params::registry::CPU_DISABLE;

#[test]
fn names_stand_for_their_features() {
    let features = [
        Feature::X2Apic,
        Feature::TscDeadline,
        Feature::TscAdjust,
        Feature::Avx,
        Feature::SseStores,
        Feature::Clzero,
        Feature::Pages1G,
        Feature::NoExecute,
        Feature::MachineCheck,
        Feature::Pat,
    ];
    assert_eq!(features.len(), NAMES.len());
    for (feature, name) in features.into_iter().zip(NAMES) {
        let disabled = parse(name).unwrap();
        assert!(features.into_iter().all(|other| disabled.contains(other) == (other == feature)), "{name}");
        assert_eq!(disabled.names().collect::<Vec<_>>(), [name]);
    }
}

#[test]
fn lists_are_read_whole_or_refused() {
    assert_eq!(parse("none"), Some(Disabled::default()));
    let disabled = parse("nx,avx,nx").unwrap();
    assert_eq!(disabled.names().collect::<Vec<_>>(), ["avx", "nx"]);
    for bad in ["", "sse9", "avx,", ",avx", "avx, nx", "none,avx", "AVX", "all"] {
        assert_eq!(parse(bad), None, "{bad:?}");
        assert!(CPU_DISABLE.set(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn all_names_fit_at_once() {
    let all = NAMES.join(",");
    assert!(CPU_DISABLE.set(&all).is_ok());
    assert_eq!(parse(CPU_DISABLE.get(&mut [0; params::TEXT_CAPACITY])).unwrap().names().count(), NAMES.len());
    CPU_DISABLE.set("none").unwrap();
}
