//! The smallest guest: it tests whether an accelerator runs code, and how fast.
//!
//! The guest is a file of a few hundred bytes. It enters 64-bit mode, as the kernel does, and times a loop. It reports pass if
//! an iteration is as fast as under a translator, else fail.

use super::accel::Accel;
use super::program::Program;
use protocol::exit::{PORT, Verdict};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Speed class of an accelerator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speed {
    /// At least as fast as a translator.
    Translated,
    /// Slower than a translator by a large factor: KVM on a host where it must interpret instructions.
    Interpreted,
}

/// Runs the guest for at most `timeout`; the error is one line of QEMU's messages.
pub(super) fn run(qemu: &Program, accel: Accel, cpu_model: &str, timeout: Duration) -> Result<Speed, String> {
    run_against(qemu, accel, cpu_model, CYCLES_MAX, timeout)
}

/// Like [`run`], with a limit for the cycles of an iteration.
fn run_against(
    qemu: &Program,
    accel: Accel,
    cpu_model: &str,
    cycles_max: u32,
    timeout: Duration,
) -> Result<Speed, String> {
    let mut file = tempfile::Builder::new()
        .prefix("ktask-probe-")
        .tempfile()
        .map_err(|error| format!("cannot make a temporary file: {error}"))?;
    file.write_all(&image(cycles_max)).map_err(|error| format!("cannot write a temporary file: {error}"))?;
    let mut child = Command::new(&qemu.path)
        .args(qemu.arguments())
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "16"])
        .args(["-machine", "q35", "-accel", accel.argument(), "-cpu", cpu_model])
        .args(["-device", &format!("isa-debug-exit,iobase={PORT:#x},iosize=0x04"), "-kernel"])
        .arg(file.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", qemu.path.display()))?;
    let start = Instant::now();
    while start.elapsed() < timeout {
        if child.try_wait().ok().flatten().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // Ends a guest that hangs; does nothing if it has ended.
    let _ = child.kill();
    let output = child.wait_with_output().map_err(|error| format!("cannot wait for QEMU: {error}"))?;
    match output.status.code().and_then(Verdict::from_qemu_status) {
        Some(Verdict::Pass) => return Ok(Speed::Translated),
        Some(Verdict::Fail) => return Ok(Speed::Interpreted),
        _ => {}
    }
    let messages = String::from_utf8_lossy(&output.stderr);
    let line =
        messages.lines().find(|line| !line.contains("warning")).unwrap_or("a small guest does not run");
    Err(line.to_string())
}

/// Load address of the file.
const BASE: u32 = 0x10_0000;
const NOTE_OFFSET: usize = 0x80;
const CODE_OFFSET: usize = 0x100;
/// Address of the page tables, which the guest builds in otherwise unused memory.
const TABLES: u32 = 0x20_0000;

/// Returns the guest's file. Entered in 32-bit mode, it maps 2 MiB, enters 64-bit mode, times a loop and reports a verdict.
fn image(cycles_max: u32) -> Vec<u8> {
    image_of(&code(cycles_max))
}

/// Returns the address of the guest's first instruction.
pub(crate) const fn entry() -> u32 {
    BASE + CODE_OFFSET as u32
}

/// Returns an ELF file with a PVH note that enters `code` in 32-bit mode.
pub(crate) fn image_of(code: &[u8]) -> Vec<u8> {
    let file_bytes = u32::try_from(CODE_OFFSET + code.len()).expect("the code is short");
    let entry = entry();
    let mut image = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |image: &mut Vec<u8>, value: u16| image.extend(value.to_le_bytes());
    let words = |image: &mut Vec<u8>, values: &[u32]| {
        image.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    // An executable for the 80386; program headers directly after this header, no sections.
    half(&mut image, 2);
    half(&mut image, 3);
    words(&mut image, &[1, entry, 52, 0, 0]);
    for value in [52, 32, 2, 0, 0, 0] {
        half(&mut image, value);
    }
    // The whole file is loaded; its note has the entry address.
    words(&mut image, &[1, 0, BASE, BASE, file_bytes, file_bytes, 7, 0x1000]);
    let note = BASE + NOTE_OFFSET as u32;
    words(&mut image, &[4, NOTE_OFFSET as u32, note, note, 20, 20, 4, 4]);
    image.resize(NOTE_OFFSET, 0);
    words(&mut image, &[4, 4, 18]);
    image.extend(b"Xen\0");
    words(&mut image, &[entry]);
    image.resize(CODE_OFFSET, 0);
    image.extend(code);
    image
}

/// Number of times that the loop is timed. The fastest counts: the host may preempt the virtual CPU, but hardly each time.
const ROUNDS: u32 = 16;
/// Iterations of the loop, of two instructions each. There are enough of them to hide the cost of reading the clock.
const ITERATIONS: u32 = 2000;
/// Limit for the cycles of an iteration. Processors need 1 or 2, the translator 2 to 10, interpreters thousands.
const CYCLES_MAX: u32 = 128;

/// Returns the guest's instructions; `cycles_max` is the limit for the cycles of an iteration.
fn code(cycles_max: u32) -> Vec<u8> {
    let mut code = Vec::new();
    let store = |code: &mut Vec<u8>, address: u32, value: u32| {
        code.extend([0xc7, 0x05]); // mov dword [address], value
        code.extend(address.to_le_bytes());
        code.extend(value.to_le_bytes());
    };
    // PML4 -> PDPT -> PD with one page of 2 MiB at 0. The other entries are zero, as fresh memory is.
    store(&mut code, TABLES, (TABLES + 0x1000) | 3);
    store(&mut code, TABLES + 0x1000, (TABLES + 0x2000) | 3);
    store(&mut code, TABLES + 0x2000, 0x83);
    code.push(0xb8); // mov eax, TABLES
    code.extend(TABLES.to_le_bytes());
    code.extend([0x0f, 0x22, 0xd8]); // mov cr3, eax
    code.extend([0x0f, 0x20, 0xe0, 0x83, 0xc8, 0x20, 0x0f, 0x22, 0xe0]); // cr4.PAE
    code.extend([0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30]); // EFER.LME
    code.extend([0x0f, 0x20, 0xc0, 0x0d, 0x00, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0]); // cr0.PG
    // lgdt [pointer]; jmp 8:long_mode
    let pointer_at = BASE + (CODE_OFFSET + code.len()) as u32 + 7 + 7;
    code.extend([0x0f, 0x01, 0x15]);
    code.extend(pointer_at.to_le_bytes());
    let long_mode_at = pointer_at + 6 + 16;
    code.push(0xea);
    code.extend(long_mode_at.to_le_bytes());
    code.extend([0x08, 0x00]);
    // The descriptor table's pointer, and the table: null descriptor and 64-bit code.
    code.extend(15_u16.to_le_bytes());
    code.extend((pointer_at + 6).to_le_bytes());
    code.extend([0; 8]);
    code.extend(0x00af_9b00_0000_ffff_u64.to_le_bytes());
    // From here in 64-bit mode. The clock: rdtsc; shl rdx, 32; or rdx, rax
    let clock = [0x0f, 0x31, 0x48, 0xc1, 0xe2, 32, 0x48, 0x09, 0xc2];
    code.extend([0x48, 0xc7, 0xc7, 0xff, 0xff, 0xff, 0xff]); // mov rdi, -1: the fastest round
    code.push(0xbd); // mov ebp, ROUNDS
    code.extend(ROUNDS.to_le_bytes());
    let round = code.len();
    code.extend(clock);
    code.extend([0x48, 0x89, 0xd6]); // mov rsi, rdx
    code.push(0xb9); // mov ecx, ITERATIONS
    code.extend(ITERATIONS.to_le_bytes());
    code.extend([0xff, 0xc9, 0x75, 0xfc]); // dec ecx; jnz to the dec
    code.extend(clock);
    code.extend([0x48, 0x29, 0xf2]); // sub rdx, rsi
    code.extend([0x48, 0x39, 0xfa, 0x73, 0x03, 0x48, 0x89, 0xd7]); // cmp rdx, rdi; jae over; mov rdi, rdx
    code.extend([0xff, 0xcd, 0x75]); // dec ebp; jnz round
    let back = code.len() + 1 - round;
    code.push(u8::try_from(back).expect("the round is short").wrapping_neg());
    // mov rax, code << 28 (other modes decode this differently), once for each verdict. The second is skipped if the fastest
    // round was fast: cmp rdi, limit; jbe over
    let verdict = |code: &mut Vec<u8>, verdict: Verdict| {
        code.extend([0x48, 0xb8]);
        code.extend((u64::from(verdict.code()) << 28).to_le_bytes());
    };
    verdict(&mut code, Verdict::Pass);
    code.extend([0x48, 0x81, 0xff]);
    code.extend((ITERATIONS * cycles_max).to_le_bytes());
    code.extend([0x76, 10]);
    verdict(&mut code, Verdict::Fail);
    // shr rax, 28; out PORT, eax
    code.extend([0x48, 0xc1, 0xe8, 28]);
    code.extend([0xe7, PORT as u8]);
    code.extend([0xf4, 0xeb, 0xfd]); // hlt in a loop
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    #[test]
    fn image_is_an_elf_file_with_a_pvh_note() {
        use object::read::elf::{FileHeader, ProgramHeader};
        let image = image(CYCLES_MAX);
        let header = object::elf::FileHeader32::<object::LittleEndian>::parse(&*image).unwrap();
        let headers = header.program_headers(object::LittleEndian, &*image).unwrap();
        let mut notes = headers[1].notes(object::LittleEndian, &*image).unwrap().unwrap();
        let note = notes.next().unwrap().unwrap();
        assert_eq!((note.name(), note.n_type(object::LittleEndian)), (&b"Xen"[..], 18));
        assert_eq!(note.desc(), entry().to_le_bytes());
    }

    #[test]
    fn translator_runs_the_guest() {
        // The host tests run without QEMU too.
        let Some(qemu) =
            crate::system::System::find_in_path(&crate::system::Real, crate::qemu::program::NAME)
        else {
            eprintln!("no QEMU here: not run");
            return;
        };
        let qemu = Program::unchecked(qemu);
        assert_eq!(run(&qemu, Accel::Tcg, Accel::Tcg.default_cpu(false), TIMEOUT), Ok(Speed::Translated));
        // No translator makes two thousand iterations in zero cycles.
        let speed = run_against(&qemu, Accel::Tcg, Accel::Tcg.default_cpu(false), 0, TIMEOUT);
        assert_eq!(speed, Ok(Speed::Interpreted));
        let error = run(&qemu, Accel::Tcg, "no-such-model", TIMEOUT).unwrap_err();
        assert!(error.contains("no-such-model"), "{error}");
    }
}
