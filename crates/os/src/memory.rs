//! Giving memory back.

/// Returns freed heap pages to the kernel. Worth it after a large, short-lived need, in a process that will then sleep
/// for days. Without effect where the C library has no such call.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time; it only releases what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has all threads share one heap: for a program that lives for some milliseconds, in which a second heap costs more than
/// waiting for each other does. To be called before there is a second thread. Without effect where the C library has no such
/// call.
pub fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) changes a parameter of the allocator, while nobody else allocates.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Unmaps the program's own code and constants: what a start and a burst of requests needed is most of what a process that
/// sleeps for days has mapped. What is needed again is mapped again, page by page, out of the page cache; and what nobody has
/// mapped the kernel gives up first when memory is short. Best effort: what cannot be found stays.
pub fn let_go_of_code() {
    for part in own_file() {
        let Ok(length) = usize::try_from(part.end - part.start) else { continue };
        let start = std::ptr::with_exposed_provenance_mut::<std::ffi::c_void>(part.start as usize);
        // SAFETY: a private mapping of the program's own file that was never writable has no page that differs from the
        // file, and MADV_DONTNEED only makes the next access read that again (madvise(2)).
        let _ = unsafe { rustix::mm::madvise(start, length, rustix::mm::Advice::LinuxDontNeed) };
    }
}

/// Where the program's file is mapped and never was writable: its code, and the part before it, which begins the file. The
/// part behind it looks the same once the dynamic linker has written to it and closed it (RELRO).
fn own_file() -> Vec<std::ops::Range<u64>> {
    let (Ok(maps), Ok(program)) = (std::fs::read("/proc/self/maps"), std::fs::read_link("/proc/self/exe")) else {
        return Vec::new();
    };
    mapped(&maps, std::os::unix::ffi::OsStrExt::as_bytes(program.as_os_str()))
}

/// Reads lines such as `55d0-55e0 r-xp 00001000 fe:00 131 /usr/bin/vigie` (proc_pid_maps(5)).
fn mapped(maps: &[u8], program: &[u8]) -> Vec<std::ops::Range<u64>> {
    let part = |line: &[u8]| {
        let line = std::str::from_utf8(line.strip_suffix(program)?).ok()?;
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let (rights, offset) = (fields.next()?, fields.next()?);
        let untouched = rights == "r-xp" || rights == "r--p" && offset.bytes().all(|digit| digit == b'0');
        // Device and inode, and nothing else before the path.
        let plain = fields.count() == 2;
        let number = |text| u64::from_str_radix(text, 16).ok();
        (untouched && plain).then_some(number(start)?..number(end)?)
    };
    maps.split(|byte| *byte == b'\n').filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_that_nobody_wrote_to() {
        let maps = b"1000-2000 r--p 00000000 fe:00 131                        /usr/bin/vigie\n\
            2000-4000 r-xp 00001000 fe:00 131                        /usr/bin/vigie\n\
            4000-5000 r--p 00003000 fe:00 131                        /usr/bin/vigie\n\
            5000-6000 rw-p 00004000 fe:00 131                        /usr/bin/vigie\n\
            7000-8000 r-xp 00000000 fe:00 132                        /usr/lib/usr/bin/vigie\n\
            9000-a000 r-xp 00000000 00:00 0                          [vdso]\n";
        assert_eq!(mapped(maps, b"/usr/bin/vigie"), [0x1000..0x2000, 0x2000..0x4000]);
        assert_eq!(mapped(b"", b"/usr/bin/vigie"), []);
    }

    /// Of this very program: resident before, less of it afterwards, and it goes on.
    #[test]
    fn code_is_mapped_again_when_it_is_needed() {
        let resident = || {
            let mut pages = 0;
            for part in own_file() {
                let count = ((part.end - part.start) / rustix::param::page_size() as u64) as usize;
                let mut states = vec![0_u8; count * 8];
                let pagemap = std::fs::File::open("/proc/self/pagemap").unwrap();
                let offset = part.start / rustix::param::page_size() as u64 * 8;
                std::os::unix::fs::FileExt::read_exact_at(&pagemap, &mut states, offset).unwrap();
                // Bit 63: present in memory, and mapped here (Documentation/admin-guide/mm/pagemap.rst).
                pages += states.chunks_exact(8).filter(|state| state[7] & 0x80 != 0).count();
            }
            pages
        };
        for part in own_file() {
            for page in (part.start..part.end).step_by(rustix::param::page_size()) {
                // SAFETY: it is mapped and readable, as was just read.
                unsafe { std::ptr::with_exposed_provenance::<u8>(page as usize).read_volatile() };
            }
        }
        let before = resident();
        let_go_of_code();
        let after = resident();
        assert!(before > 0 && after < before, "{before} pages before, {after} after");
    }
}
