//! What the kernel shows of a process, read without anything of vigie: the tests hold it against what vigie says.

use std::fs;

/// A file of `/proc/PID`, as text; nothing when it cannot be read.
pub fn file(pid: u32, name: &str) -> Option<String> {
    fs::read(format!("/proc/{pid}/{name}")).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The letter of its state, of the main thread.
pub fn state(pid: u32) -> Option<char> {
    state_of(&file(pid, "stat")?)
}

/// The letter of a thread's state.
pub fn task_state(pid: u32, tid: u32) -> Option<char> {
    state_of(&file(pid, &format!("task/{tid}/stat"))?)
}

/// The name may hold anything, a `)` too.
fn state_of(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A field of `stat`, by its number in proc_pid_stat(5); 3 is the first one behind the name.
pub fn field(pid: u32, number: usize) -> Option<String> {
    let stat = file(pid, "stat")?;
    stat.rsplit_once(") ")?.1.split_ascii_whitespace().nth(number - 3).map(str::to_owned)
}

/// A line of `status`.
pub fn status(pid: u32, name: &str) -> Option<String> {
    let status = file(pid, "status")?;
    let rest = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(rest.trim().to_owned())
}

/// A set of signals of `status`: bit 0 is signal 1.
pub fn signals(pid: u32, name: &str) -> Option<u64> {
    u64::from_str_radix(&status(pid, name)?, 16).ok()
}

/// Whether a set of signals of `status` has this one.
pub fn has_signal(pid: u32, name: &str, signal: i32) -> bool {
    signals(pid, name).is_some_and(|set| set >> (signal - 1) & 1 == 1)
}

/// The function of the kernel that it sleeps in. `0`: none is shown.
pub fn wchan(pid: u32) -> Option<String> {
    file(pid, "wchan")
}

/// The functions of the kernel that it is in, where that may be seen.
pub fn stack(pid: u32) -> Option<String> {
    file(pid, "stack")
}

/// The number of the system call that it is in, and its first argument.
pub fn call(pid: u32) -> Option<(i64, u64)> {
    let line = file(pid, "syscall")?;
    let mut words = line.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let first = words.next().and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())?;
    Some((number, first))
}

/// Its threads.
pub fn tasks(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut tids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    tids.sort_unstable();
    tids
}

/// Its children, of the main thread.
pub fn children(pid: u32) -> Vec<u32> {
    let text = file(pid, &format!("task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Whether there is nothing with this number, or only what somebody has not asked about yet.
pub fn is_gone(pid: u32) -> bool {
    state(pid).is_none_or(|state| matches!(state, 'X')) || is_dead(pid)
}

/// A zombie without any other thread.
fn is_dead(pid: u32) -> bool {
    state(pid) == Some('Z') && tasks(pid).len() <= 1
}
