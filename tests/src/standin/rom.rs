//! The ROM: a list of steps, the data that they copy, and the machine code that executes them.
//!
//! A step is four words of 32 bits: an operation and three operands. The code, 256 bytes at the ROM's end, is assembled by hand;
//! each line of `CODE` is one instruction.

/// The ROM's length. It ends at 4 GiB, near which the processor's first instruction is.
const LEN_BYTES: usize = 256 << 10;
/// Address of the ROM and of the first step in it.
const BASE: u32 = (LEN_BYTES as u32).wrapping_neg();
/// Offset of the code in the ROM.
const CODE_AT: usize = LEN_BYTES - CODE_BYTES;
const CODE_BYTES: usize = 0x100;
/// Offset of the first instruction in the code.
const RESET_AT: usize = 0xf0;
const STEP_BYTES: usize = 16;

/// Operations, as the code numbers them.
const ENTER: u32 = 0;
const COPY: u32 = 1;
const CONFIGURE: u32 = 2;

/// The code. It starts in 16-bit mode, with a code segment of 64 KiB that ends at 4 GiB.
const CODE: &[&[u8]] = &[
    &[0xfa],                                     // 00 cli
    &[0xfc],                                     // 01 cld
    &[0x2e, 0x66, 0x0f, 0x01, 0x16, 0x88, 0xff], // 02 lgdt cs:[0xff88]
    &[0x0f, 0x20, 0xc0],                         // 09 mov eax, cr0
    &[0x0c, 0x01],                               // 0c or al, 1: protected mode
    &[0x0f, 0x22, 0xc0],                         // 0e mov cr0, eax
    &[0x66, 0xea, 0x19, 0xff, 0xff, 0xff, 8, 0], // 11 jmp 8:0xffffff19, which is the next instruction, in 32-bit mode
    &[0xb8, 0x10, 0, 0, 0],                      // 19 mov eax, 16
    &[0x8e, 0xd8],                               // 1e mov ds, eax
    &[0x8e, 0xc0],                               // 20 mov es, eax
    &[0x8e, 0xd0],                               // 22 mov ss, eax
    &[0xbe, 0, 0, 0xfc, 0xff],                   // 24 mov esi, BASE
    // Next step: eax is the operation; edi, edx, ecx are its operands.
    &[0x8b, 0x06],       // 29 mov eax, [esi]
    &[0x8b, 0x7e, 0x04], // 2b mov edi, [esi + 4]
    &[0x8b, 0x56, 0x08], // 2e mov edx, [esi + 8]
    &[0x8b, 0x4e, 0x0c], // 31 mov ecx, [esi + 12]
    &[0x83, 0xc6, 0x10], // 34 add esi, 16
    &[0x48],             // 37 dec eax
    &[0x78, 0x26],       // 38 js enter
    &[0x74, 0x02],       // 3a jz copy
    &[0xeb, 0x08],       // 3c jmp configure
    // Copy: ecx bytes from edx to edi.
    &[0x87, 0xd6], // 3e xchg esi, edx
    &[0xf3, 0xa4], // 40 rep movsb
    &[0x89, 0xd6], // 42 mov esi, edx
    &[0xeb, 0xe3], // 44 jmp next step
    // Configure: a byte of edx to the PCI configuration address edi.
    &[0x89, 0xd3],                   // 46 mov ebx, edx
    &[0x89, 0xf8],                   // 48 mov eax, edi
    &[0x24, 0xfc],                   // 4a and al, 0xfc
    &[0xba, 0xf8, 0x0c, 0, 0],       // 4c mov edx, 0xcf8
    &[0xef],                         // 51 out dx, eax
    &[0x83, 0xe7, 0x03],             // 52 and edi, 3
    &[0x8d, 0x97, 0xfc, 0x0c, 0, 0], // 55 lea edx, [edi + 0xcfc]
    &[0x89, 0xd8],                   // 5b mov eax, ebx
    &[0xee],                         // 5d out dx, al
    &[0xeb, 0xc9],                   // 5e jmp next step
    // Enter: the kernel at edx, with its start info or tags at edi, and ecx as the loader's mark.
    &[0x89, 0xfb], // 60 mov ebx, edi
    &[0x89, 0xc8], // 62 mov eax, ecx
    &[0xff, 0xe2], // 64 jmp edx
    &[0; 0x0a],    // 66 up to a multiple of 8
    // The descriptor table: null, code and data of 4 GiB each; and the table's pointer.
    &[0; 8],                               // 70
    &[0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0], // 78
    &[0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0], // 80
    &[23, 0, 0x70, 0xff, 0xff, 0xff],      // 88
    &[0; RESET_AT - 0x8e],                 // 8e up to the reset vector
    &[0xe9, 0x0d, 0xff],                   // f0 jmp 00
    &[0; CODE_BYTES - RESET_AT - 3],       // f3
];

/// Returns the address of a register in a device's configuration space on bus 0.
pub const fn config(device: u32, function: u32, register: u32) -> u32 {
    0x8000_0000 | device << 11 | function << 8 | register
}

/// Memory contents to copy.
#[derive(Clone, Debug)]
pub struct Blob {
    /// The physical address, below 4 GiB.
    pub at: u64,
    /// The contents.
    pub bytes: Vec<u8>,
}

/// Builds the ROM: configures devices by `writes` (address and value), copies `blobs`, and enters the kernel with
/// `registers`: ebx and eax.
///
/// # Errors
///
/// When the contents do not fit, or a blob is not below 4 GiB.
pub fn image(
    writes: &[(u32, u8)],
    blobs: &[Blob],
    registers: [u32; 2],
    entry: u32,
) -> Result<Vec<u8>, String> {
    let mut steps = Vec::new();
    let mut step = |words: [u32; 4]| steps.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    for &(address, value) in writes {
        step([CONFIGURE, address, value.into(), 0]);
    }
    let mut data = Vec::new();
    let data_at = (writes.len() + blobs.len() + 1) * STEP_BYTES;
    for blob in blobs {
        let at = u32::try_from(blob.at).map_err(|_| format!("{:#x} is not below 4 GiB", blob.at))?;
        step([COPY, at, BASE + (data_at + data.len()) as u32, blob.bytes.len() as u32]);
        data.extend(&blob.bytes);
    }
    let [info, mark] = registers;
    step([ENTER, info, entry, mark]);
    let mut image = [steps, data].concat();
    if image.len() > CODE_AT {
        return Err(format!("{} bytes of steps and data do not fit into {CODE_AT}", image.len()));
    }
    image.resize(CODE_AT, 0);
    image.extend(CODE.concat());
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_has_its_length_and_jumps_lead_to_instructions() {
        let starts: Vec<_> = CODE
            .iter()
            .scan(0, |at, instruction| {
                *at += instruction.len();
                Some(*at - instruction.len())
            })
            .collect();
        assert_eq!(CODE.concat().len(), CODE_BYTES);
        let code = CODE.concat();
        // Short jumps: their offsets and targets.
        for (at, target) in [(0x38, 0x60), (0x3a, 0x3e), (0x3c, 0x46), (0x44, 0x29), (0x5e, 0x29)] {
            assert!(starts.contains(&at) && starts.contains(&target), "{at:#x} to {target:#x}");
            let distance = isize::from(code[at + 1].cast_signed());
            assert_eq!((at as isize + 2 + distance) as usize, target, "from {at:#x}");
        }
        // The near jump at the reset vector, modulo 64 KiB.
        let distance = u16::from_le_bytes([code[RESET_AT + 1], code[RESET_AT + 2]]);
        assert_eq!((0xff00 + RESET_AT as u16 + 3).wrapping_add(distance), 0xff00);
    }

    #[test]
    fn steps_come_first_then_data_then_code() {
        let blob = |at, bytes: &[u8]| Blob { at, bytes: bytes.to_vec() };
        let writes = [(config(31, 0, 0x44), 0x80)];
        let image =
            image(&writes, &[blob(0x9000, b"abc"), blob(0xa000, b"d")], [0x6000, 7], 0x10_0000).unwrap();
        assert_eq!(image.len(), LEN_BYTES);
        let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
        assert_eq!([word(0), word(4), word(8)], [CONFIGURE, 0x8000_f844, 0x80]);
        assert_eq!([word(16), word(20), word(24), word(28)], [COPY, 0x9000, BASE + 64, 3]);
        assert_eq!([word(32), word(36), word(40), word(44)], [COPY, 0xa000, BASE + 67, 1]);
        assert_eq!([word(48), word(52), word(56), word(60)], [ENTER, 0x6000, 0x10_0000, 7]);
        assert_eq!(&image[64..68], b"abcd");
    }

    #[test]
    fn contents_that_do_not_fit_are_refused() {
        let blob = |at, len| Blob { at, bytes: vec![0; len] };
        assert!(image(&[], &[blob(0, LEN_BYTES)], [0; 2], 0).unwrap_err().contains("do not fit"));
        assert!(image(&[], &[blob(1 << 32, 1)], [0; 2], 0).unwrap_err().contains("not below 4 GiB"));
    }
}
