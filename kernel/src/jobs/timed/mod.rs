//! The timed jobs, one file each. The build script lists the files of this folder: a new one needs no line elsewhere.
//! `docs/your-first-job.md` tells how to write one.

include!(concat!(env!("OUT_DIR"), "/timed_jobs.rs"));
