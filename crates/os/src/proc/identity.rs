//! From a number to an identity, and back to the question whether it lives.

use vigie_core::identity::{BootId, ProcKey};

use super::{End, Proc, Rel};
use crate::error::OsError;

/// What has become of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs, or could run. A process whose main thread has ended while others go on is alive.
    Alive,
    /// It is dead and its parent has not taken notice yet. It holds nothing but its number.
    Zombie,
    /// It is not there; its number may be somebody else's.
    Gone,
}

impl Proc {
    /// The identity of whoever has this number now; also of a zombie.
    ///
    /// # Errors
    /// As for [`Proc::stat`].
    pub fn key(&self, pid: u32) -> Result<Option<ProcKey>, OsError> {
        let mut buf = Vec::new();
        Ok(self.stat(pid, &mut buf)?.map(|stat| self.key_of(pid, stat.start_ticks)))
    }

    /// Puts an identity together from what was read before.
    pub fn key_of(&self, pid: u32, start_ticks: u64) -> ProcKey {
        ProcKey { boot_id: self.boot_id().clone(), pid, start_ticks }
    }

    /// What has become of a process (R4.7). One of another boot is gone.
    ///
    /// # Errors
    /// As for [`Proc::stat`].
    pub fn life(&self, key: &ProcKey) -> Result<Life, OsError> {
        if key.boot_id != *self.boot_id() {
            return Ok(Life::Gone);
        }
        let mut buf = Vec::new();
        Ok(match self.stat(key.pid, &mut buf)? {
            Some(stat) if stat.start_ticks != key.start_ticks => Life::Gone,
            Some(stat) if stat.is_zombie() => Life::Zombie,
            Some(_) => Life::Alive,
            None => Life::Gone,
        })
    }

    /// Whether a process runs; a zombie does not.
    ///
    /// # Errors
    /// As for [`Proc::stat`].
    pub fn is_alive(&self, key: &ProcKey) -> Result<bool, OsError> {
        Ok(self.life(key)? == Life::Alive)
    }

    pub(super) fn read_boot_id(&self) -> Result<BootId, OsError> {
        let rel = Rel::new(format_args!("sys/kernel/random/boot_id"));
        let mut buf = Vec::new();
        let content = self
            .read_at(&rel, End::Empty, &mut buf)?
            .ok_or_else(|| self.error("read", &rel, rustix::io::Errno::NOENT))?;
        let digits: String =
            content.iter().filter(|&&byte| byte != b'-' && byte != b'\n').map(|&byte| char::from(byte)).collect();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.misread(&rel));
        }
        Ok(BootId(digits.into()))
    }
}
