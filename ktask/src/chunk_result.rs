//! What a thread function may return.

use core::convert::Infallible;

/// The result of a thread function: `()` if it cannot fail, otherwise `Result<(), E>`.
///
/// ```compile_fail
/// # use ktask::{Job, Platform};
/// # fn f(platform: &impl Platform) {
/// // A number is neither.
/// let _ = Job::new(0..10_u64).run(platform, |chunk| chunk.len());
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "a thread function returns `()` or `Result<(), E>`, not `{Self}`",
    note = "`E` must be `Send`: a helper may return the error"
)]
pub trait ChunkResult: private::Sealed {
    /// The thread function's error; [`Infallible`] for `()`.
    type Error: Send;

    /// Returns the result as a `Result`.
    #[doc(hidden)]
    fn into_result(self) -> Result<(), Self::Error>;
}

impl ChunkResult for () {
    type Error = Infallible;

    fn into_result(self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<E: Send> ChunkResult for Result<(), E> {
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}

mod private {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<E> Sealed for Result<(), E> {}
}
