//! What is read of each thread.

use vigie_core::stuck::facts::{SignalSet, TaskFacts};
use vigie_core::text::OsText;
use vigie_core::why::facts::{Hidden, Told};

use super::aside::{Aside, flat};
use super::call;
use crate::ancestry::hidden;
use crate::error::OsError;
use crate::proc::{Proc, stat, status};

/// The threads of a process, the main thread first; without what they wait for.
pub(super) fn tasks(proc: &Proc, pid: u32, aside: &Aside<'_>) -> Result<Vec<TaskFacts>, OsError> {
    let mut numbers = Vec::new();
    proc.tasks(pid, &mut numbers)?;
    numbers.sort_by_key(|tid| (*tid != pid, *tid));
    let mut tasks = Vec::with_capacity(numbers.len());
    let mut buffer = Vec::new();
    for tid in numbers {
        tasks.extend(task(proc, pid, tid, &mut buffer)?);
    }
    deep(pid, aside, &mut tasks)?;
    Ok(tasks)
}

/// `None` when it is gone.
fn task(proc: &Proc, pid: u32, tid: u32, buffer: &mut Vec<u8>) -> Result<Option<TaskFacts>, OsError> {
    let Some(line) = proc.read(pid, &format!("task/{tid}/stat"), buffer)? else { return Ok(None) };
    let Some(seen) = stat::parse(line) else { return Ok(None) };
    let (name, state) = (OsText(seen.comm.to_vec()), char::from(seen.state));
    let Some(content) = proc.read(pid, &format!("task/{tid}/status"), buffer)? else { return Ok(None) };
    let status = status::parse(content).unwrap_or_default();
    Ok(Some(TaskFacts {
        tid,
        name,
        state,
        raw_state: Told::Nothing,
        pending: SignalSet(status.pending),
        blocked: SignalSet(status.blocked),
        wchan: place(proc, pid, tid, state, buffer)?,
        call: Told::Nothing,
        stack: Told::Nothing,
        waits: Vec::new(),
    }))
}

/// The function that it sleeps in; proc_pid_wchan(5). The kernel writes `0` for one that does not sleep, and to whoever
/// may not see it.
fn place(proc: &Proc, pid: u32, tid: u32, state: char, buffer: &mut Vec<u8>) -> Result<Told<OsText>, OsError> {
    match proc.read(pid, &format!("task/{tid}/wchan"), buffer) {
        Ok(None) => Ok(Told::Nothing),
        Ok(Some(content)) => match content.trim_ascii() {
            b"" | b"0" if matches!(state, 'R' | 'Z' | 'X' | 'x') => Ok(Told::Nothing),
            b"" | b"0" => may_look(proc, pid),
            name => Ok(Told::Known(OsText(name.to_vec()))),
        },
        Err(error) => hidden(error),
    }
}

/// [`Told::Nothing`] when the kernel lets this user look into a process (`PTRACE_MODE_READ`, ptrace(2)), as for the text
/// of this link; else why not.
pub(super) fn may_look<T>(proc: &Proc, pid: u32) -> Result<Told<T>, OsError> {
    match proc.link(pid, "cwd") {
        Ok(_) => Ok(Told::Nothing),
        Err(error) => hidden(error),
    }
}

/// System calls and stacks. The kernel takes a lock for them that an exec of that process has.
fn deep(pid: u32, aside: &Aside<'_>, tasks: &mut [TaskFacts]) -> Result<(), OsError> {
    let asleep: Vec<usize> = (0..tasks.len()).filter(|&at| !matches!(tasks[at].state, 'Z' | 'X' | 'x')).collect();
    let files: Vec<String> = asleep
        .iter()
        .flat_map(|&at| ["syscall", "stack"].map(|file| format!("task/{}/{file}", tasks[at].tid)))
        .collect();
    let read = move |proc: &Proc, file: String| {
        let mut buffer = Vec::new();
        Ok(proc.read(pid, &file, &mut buffer)?.map(<[u8]>::to_vec))
    };
    let contents = aside.each(files, read)?;
    for (&at, pair) in asleep.iter().zip(contents.as_chunks::<2>().0) {
        let [call, stack] = pair.clone().map(flat);
        tasks[at].call = flat(map(call, |line| call::parse(&line)));
        tasks[at].stack = flat(map(stack, |text| Some(functions(&text)).filter(|all| !all.is_empty())));
    }
    Ok(())
}

fn map<T, U>(told: Told<T>, f: impl FnOnce(T) -> U) -> Told<U> {
    match told {
        Told::Known(value) => Told::Known(f(value)),
        Told::Nothing => Told::Nothing,
        Told::Hidden(why) => Told::Hidden(why),
    }
}

/// The functions in `stack`, the innermost first: `[<0>] do_wait+0x5e/0x120`, with the module behind it in brackets;
/// before Linux 4.15 with an address for the zero.
fn functions(text: &[u8]) -> Vec<OsText> {
    let lines = text.split(|byte| *byte == b'\n');
    let name = |line: &[u8]| {
        let rest = line.strip_prefix(b"[<")?;
        let close = rest.windows(2).position(|pair| pair == b">]")?;
        let name = rest[close + 2..].trim_ascii().split(|byte| matches!(byte, b'+' | b' ')).next()?;
        // The end of a stack, as old kernels write it, and what they have no name for.
        let is_name = !name.is_empty() && !name.starts_with(b"0x");
        is_name.then(|| OsText(name.to_vec()))
    };
    lines.filter_map(name).collect()
}

/// How a zombie ended: field 52 of `stat`, which is 0 also to whoever may not see it.
pub(super) fn wait_status(proc: &Proc, pid: u32) -> Result<Told<i32>, OsError> {
    let mut buffer = Vec::new();
    let Some(line) = proc.read(pid, "stat", &mut buffer)? else { return Ok(Told::Nothing) };
    if stat::parse(line).is_none_or(|stat| !matches!(stat.state, b'Z' | b'X' | b'x')) {
        return Ok(Told::Nothing);
    }
    let status = stat::later(line, 52).and_then(stat::number::<u32>).map(u32::cast_signed);
    Ok(match status {
        None => Told::Nothing,
        Some(0) => match may_look::<i32>(proc, pid)? {
            Told::Nothing | Told::Known(_) => Told::Known(0),
            Told::Hidden(why) => Told::Hidden(why),
        },
        Some(status) => Told::Known(status),
    })
}

/// Why the kernel hides something from this user.
pub(super) fn out_of_sight() -> Hidden {
    if rustix::process::geteuid().is_root() { Hidden::FromRoot } else { Hidden::NeedsRoot }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks() {
        for (text, wanted) in [
            ("", &[][..]),
            (
                "[<0>] folio_wait_bit_common+0x13d/0x350\n[<0>] fuse_lock_inode.part.0+0x5/0x9 [fuse]\n[<0>] ksys_read\n",
                &["folio_wait_bit_common", "fuse_lock_inode.part.0", "ksys_read"][..],
            ),
            (
                "[<ffffffff8107d1b9>] do_wait+0x1f9/0x260\n[<ffffffff81663d69>] system_call_fastpath+0x16/0x1b\n\
                 [<ffffffffffffffff>] 0xffffffffffffffff\n",
                &["do_wait", "system_call_fastpath"],
            ),
            ("nonsense\n[<0>]\n[<0> x\n", &[]),
        ] {
            let wanted: Vec<OsText> = wanted.iter().map(|name| (*name).into()).collect();
            assert_eq!(functions(text.as_bytes()), wanted, "{text}");
        }
    }
}
