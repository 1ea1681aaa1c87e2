//! The smallest image that runs: one static program of some 150 bytes that waits to be killed, in a tar archive.
//! Made here byte by byte, so that nothing has to be pulled, and nobody else's program runs.

/// Where the program is in its image.
pub(super) const PROGRAM: &str = "/wait";

/// Both the program's alignment and more than any kernel's page.
const ALIGNMENT: u64 = 0x1_0000;
const LOAD_ADDRESS: u64 = 0x40_0000;
const FILE_HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const TAR_BLOCK: usize = 512;

/// A processor that the program is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    X86_64,
    Aarch64,
}

impl Architecture {
    /// The one that an engine names.
    pub(super) fn from_engine(name: &str) -> Option<Self> {
        match name {
            "amd64" | "x86_64" => Some(Self::X86_64),
            "arm64" | "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The number that ELF has for it.
    fn machine(self) -> u16 {
        match self {
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
        }
    }

    /// For ever: wait for a signal. A container's first process is not ended by one that it does not handle,
    /// only by SIGKILL.
    fn code(self) -> &'static [u8] {
        match self {
            Self::X86_64 => &[
                0xb8, 0x22, 0x00, 0x00, 0x00, // mov eax, 34 (pause)
                0x0f, 0x05, // syscall
                0xeb, 0xf7, // jmp to the start
            ],
            Self::Aarch64 => &[
                0x00, 0x00, 0x80, 0xd2, // mov x0, 0 (no descriptors)
                0x01, 0x00, 0x80, 0xd2, // mov x1, 0
                0x02, 0x00, 0x80, 0xd2, // mov x2, 0 (no time-out)
                0x03, 0x00, 0x80, 0xd2, // mov x3, 0 (no signal mask)
                0x28, 0x09, 0x80, 0xd2, // mov x8, 73 (ppoll)
                0x01, 0x00, 0x00, 0xd4, // svc 0
                0xfa, 0xff, 0xff, 0x17, // b to the start
            ],
        }
    }
}

/// The root file system of the image, as a tar archive.
pub(super) fn root_file_system(architecture: Architecture) -> Vec<u8> {
    let program = program(architecture);
    let mut archive = tar_header(PROGRAM.trim_start_matches('/'), program.len());
    archive.extend(&program);
    archive.resize(archive.len().next_multiple_of(TAR_BLOCK), 0);
    // Two empty blocks end an archive.
    archive.resize(archive.len() + 2 * TAR_BLOCK, 0);
    archive
}

/// An ELF file of one segment, which is the whole file.
fn program(architecture: Architecture) -> Vec<u8> {
    let headers = FILE_HEADER + PROGRAM_HEADER;
    let size = (headers + architecture.code().len()) as u64;
    let mut file = Vec::with_capacity(headers + architecture.code().len());
    file.extend(b"\x7fELF\x02\x01\x01"); // 64 bits, little-endian, version 1
    file.resize(16, 0);
    file.extend(2_u16.to_le_bytes()); // executable
    file.extend(architecture.machine().to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend((LOAD_ADDRESS + headers as u64).to_le_bytes()); // entry
    file.extend((FILE_HEADER as u64).to_le_bytes()); // program headers
    file.extend(0_u64.to_le_bytes()); // section headers: none
    file.extend(0_u32.to_le_bytes()); // flags
    // Sizes of the file's header and of a program header, number of these, and the same of sections.
    for field in [FILE_HEADER, PROGRAM_HEADER, 1, 0, 0, 0] {
        file.extend((field as u16).to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes()); // to be loaded
    file.extend(5_u32.to_le_bytes()); // readable, executable
    for field in [0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, ALIGNMENT] {
        file.extend(field.to_le_bytes()); // offset, addresses, sizes in file and memory, alignment
    }
    file.extend(architecture.code());
    file
}

/// The header of a regular file that everybody may execute.
fn tar_header(name: &str, size: usize) -> Vec<u8> {
    let header = |checksum: &str| {
        let mut header = Vec::with_capacity(TAR_BLOCK);
        let fields: [(&str, usize); 10] = [
            (name, 100),
            ("0000755", 8),
            ("0000000", 8),
            ("0000000", 8),
            (&format!("{size:011o}"), 12),
            ("00000000000", 12),
            (checksum, 8),
            ("0", 1),
            ("", 100),
            ("ustar\x0000", 8),
        ];
        for (text, width) in fields {
            let end = header.len() + width;
            header.extend(text.bytes().take(width));
            header.resize(end, 0);
        }
        header.resize(TAR_BLOCK, 0);
        header
    };
    // The sum is over a header with spaces in its place.
    let sum: u32 = header("        ").into_iter().map(u32::from).sum();
    header(&format!("{sum:06o}\0 "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_one_that_tar_reads() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};

        let mut tar = Command::new("tar").args(["-tvf", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let tar = tar.as_mut().expect("tar");
        tar.stdin.take().unwrap().write_all(&root_file_system(Architecture::X86_64)).unwrap();
        let mut listed = String::new();
        std::io::Read::read_to_string(tar.stdout.as_mut().unwrap(), &mut listed).unwrap();
        assert!(tar.wait().unwrap().success());
        assert!(listed.starts_with("-rwxr-xr-x 0/0") && listed.trim_end().ends_with(" wait"), "{listed}");
    }

    #[test]
    fn a_program_is_its_headers_and_its_code() {
        for architecture in [Architecture::X86_64, Architecture::Aarch64] {
            let file = program(architecture);
            assert_eq!(file.len(), 120 + architecture.code().len());
            assert_eq!(file.get(24..32), Some(&0x40_0078_u64.to_le_bytes()[..]), "the entry is the first instruction");
        }
    }

    #[test]
    fn architectures_go_by_the_engines_names() {
        assert_eq!(Architecture::from_engine("amd64"), Some(Architecture::X86_64));
        assert_eq!(Architecture::from_engine("arm64"), Some(Architecture::Aarch64));
        assert_eq!(Architecture::from_engine("riscv64"), None);
    }
}
