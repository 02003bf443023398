//! Records on the second serial port.

use crate::files::{File, Path};
use crate::system::{Error, drain, now_ns, write};
use protocol::record::{JobRun, LINE_MAX_BYTES, Record, Status, Unit};

/// A timed run of a job.
pub struct Run {
    /// Name of the job.
    pub job: &'static str,
    /// Kind of its units.
    pub unit: Unit,
    /// Number of its units.
    pub units: usize,
    /// Whether the job writes all bytes of its units.
    pub writes: bool,
    /// Wall time.
    pub ns: u64,
    /// CPU time.
    pub cpu_ns: u64,
    /// Whether the result was right.
    pub ok: bool,
}

/// The port for records.
pub struct Records {
    port: File,
}

impl Records {
    /// Opens the port.
    ///
    /// # Errors
    ///
    /// When the machine has none.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { port: File::open(&Path::new("/dev/ttyS1"))? })
    }

    /// Reports a run of a job. Linux does each on the thread that asks for it.
    ///
    /// # Errors
    ///
    /// When the port takes nothing.
    pub fn job(&mut self, run: &Run) -> Result<(), Error> {
        let unit_bytes: u64 = match run.unit {
            Unit::Page4K => 4 << 10,
            Unit::Page2M => 2 << 20,
            Unit::Page1G => 1 << 30,
        };
        self.put(&Record::Job(JobRun {
            t_ns: now_ns(),
            job: run.job,
            threads: 1,
            threads_used: 1,
            units: run.units as u64,
            unit: run.unit,
            bytes: run.units as u64 * unit_bytes,
            writes: run.writes,
            chunks: 1,
            ns: run.ns,
            cpu_ns: run.cpu_ns,
            spread_ns: 0,
            local_chunks: None,
            ok: run.ok,
        }))
    }

    /// Reports that something was not measured.
    ///
    /// # Errors
    ///
    /// When the port takes nothing.
    pub fn warning(&mut self, what: &str) -> Result<(), Error> {
        self.put(&Record::Warning { t_ns: now_ns(), what })
    }

    /// Reports the end, and waits until all records are sent.
    ///
    /// # Errors
    ///
    /// When the port takes nothing.
    pub fn end(&mut self, is_right: bool) -> Result<(), Error> {
        let (status, reason) =
            if is_right { (Status::Pass, "") } else { (Status::Fail, "a result is wrong") };
        self.put(&Record::End { t_ns: now_ns(), status, reason })?;
        drain(self.port.number());
        Ok(())
    }

    fn put(&mut self, record: &Record<&str>) -> Result<(), Error> {
        let mut line = [0; LINE_MAX_BYTES];
        let line =
            record.to_line(&mut line).map_err(|_| Error { what: "formatting a record", number: -7 })?;
        write(self.port.number(), line)
    }
}
