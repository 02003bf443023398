//! How a file registers its timed jobs.

/// Registers jobs, each with a test of one small run. A job is a type that implements
/// [`TimedJob`](crate::jobs::timing::TimedJob), with the name of its rows:
///
/// ```text
/// timed_jobs! { "my-job": MyJob { unit: Page4K, writes: true } }
/// ```
///
/// `unit` is a [`Unit`](protocol::record::Unit); `writes` says whether the job writes every byte of its units. Optional are,
/// first, `order: NUMBER`, the place in the table, and, last, `needs: [FreeGib(1)]`, see [`Need`](protocol::ktest::Need).
#[macro_export]
macro_rules! timed_jobs {
    ($($name:literal: $job:ident {
        $(order: $order:literal,)? unit: $unit:ident, writes: $writes:literal
        $(, needs: [$($need:ident $(($count:literal))?),+])? $(,)?
    })+) => {
        $(const _: () = {
            #[used]
            #[unsafe(link_section = ".timed_jobs")]
            static JOB: $crate::jobs::timing::Registered = $crate::jobs::timing::Registered {
                name: $name,
                order: [$($order,)? $crate::jobs::timing::LAST][0],
                unit: ::protocol::record::Unit::$unit,
                writes: $writes,
                needs: &[$($(::protocol::ktest::Need::$need $(($count))?),+)?],
                time: $crate::jobs::timing::time::<$job>,
            };
            $crate::register_test! {
                concat!("jobs::timed::", $name, "::", stringify!($unit)),
                [MemoryMib(64) $($(, $need $(($count))?)+)?],
                || $crate::jobs::timing::check::<$job>(&JOB)
            }
        };)+
    };
}
