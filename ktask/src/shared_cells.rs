//! The helper cells of platforms that lend none.
//!
//! `tests/loom` has another file in place of this: a model checker's atomics cannot be in a static.

use crate::HelperCell;

/// The number of cells that all platforms share that lend none: 64 KiB.
const SHARED_CELLS: usize = 1024;

/// Returns the cells of all platforms that keep the default.
pub(crate) fn shared_cells() -> &'static [HelperCell] {
    static SHARED: [HelperCell; SHARED_CELLS] = [const { HelperCell::new() }; SHARED_CELLS];
    &SHARED
}
