//! The type that stands for the kernel in ktask.

/// The kernel as a [`ktask::Platform`]; `platform` implements the trait.
#[derive(Debug, Clone, Copy)]
pub struct Kernel;
