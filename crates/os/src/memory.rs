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
