//! The crate's `shared_cells`, made anew for each run of a model.

use crate::HelperCell;

/// Few, so that jobs of a model use cells again.
const SHARED_CELLS: usize = 4;

loom::lazy_static! {
    static ref SHARED: [HelperCell; SHARED_CELLS] = core::array::from_fn(|_| HelperCell::new());
}

pub(crate) fn shared_cells() -> &'static [HelperCell] {
    &*SHARED
}
