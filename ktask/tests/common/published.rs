//! Published tables that several tests use: threads, and time.

/// Clearing 100 GiB on an 8-socket E7-8895 v3, in seconds.
pub const CLEAR_E7_8895: [(usize, f64); 5] = [(1, 41.13), (2, 20.26), (4, 9.62), (8, 4.90), (16, 3.94)];

/// Clearing 100 GiB on a SPARC T7-4, in seconds.
pub const CLEAR_SPARC_T7: [(usize, f64); 5] = [(1, 15.50), (2, 8.10), (4, 4.45), (8, 2.99), (16, 1.99)];

/// Pinning 320 GiB for VFIO with patch 9, in seconds.
pub const VFIO_PATCH_9: [(usize, f64); 10] = [
    (1, 65.5),
    (2, 34.4),
    (3, 23.7),
    (4, 18.3),
    (5, 15.1),
    (6, 12.9),
    (7, 11.5),
    (8, 10.3),
    (12, 7.6),
    (16, 6.4),
];

/// Deferred initialisation on an E5-2699 v3, in milliseconds.
pub const DEFERRED_E5_2699_MS: [(usize, f64); 7] =
    [(1, 625.3), (4, 200.3), (9, 128.0), (13, 117.7), (18, 117.0), (27, 110.0), (36, 90.0)];
