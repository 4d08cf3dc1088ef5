//! Which container a cgroup belongs to: whatever engine and driver made its path, the id is a part of it.

/// The digits of a container's id.
const ID: usize = 64;

/// The ids of containers in the paths of `/proc/PID/cgroup`: 64 hexadecimal digits, alone or between `docker-` or the like
/// and `.scope`. Of each path the innermost comes first.
pub fn ids(cgroup: &[u8]) -> impl Iterator<Item = &[u8]> {
    let paths = cgroup.split(|byte| *byte == b'\n').filter_map(|line| line.splitn(3, |byte| *byte == b':').nth(2));
    paths.flat_map(|path| path.rsplit(|byte| *byte == b'/')).filter_map(id)
}

/// The cgroup of the innermost container in a path, and its id. What lies below it the container has made itself.
pub fn innermost(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut end = path.len();
    loop {
        let start = path[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        if let Some(id) = id(&path[start..end]) {
            return Some((&path[..end], id));
        }
        end = start.checked_sub(1)?;
    }
}

/// The id that one part of a path bears.
fn id(part: &[u8]) -> Option<&[u8]> {
    let part = part.strip_suffix(b".scope").unwrap_or(part);
    // The monitor of a container lives beside it, in a scope of its own.
    if part.starts_with(b"libpod-conmon-") {
        return None;
    }
    let id = part.get(part.len().checked_sub(ID)?..)?;
    let before = part.get(..part.len() - ID)?;
    let whole = before.is_empty() || before.ends_with(b"-");
    (whole && id.iter().all(u8::is_ascii_hexdigit)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "7eba73f2d1234d1687ec85829aaa9f935f8070db64defe10572016d712082a93";
    const DB: &str = "a741527d78c087e698934c13fd73966d835f4a6cefd064a7063b68f2ede054ff";

    #[test]
    fn the_innermost_container_and_what_it_made_below() {
        for (path, folder) in [
            (format!("/docker/{WEB}"), Some(format!("/docker/{WEB}"))),
            (format!("/docker/{WEB}/init.scope/x"), Some(format!("/docker/{WEB}"))),
            (format!("/system.slice/docker-{WEB}.scope"), Some(format!("/system.slice/docker-{WEB}.scope"))),
            (
                format!("/machine.slice/libpod-{WEB}.scope/container"),
                Some(format!("/machine.slice/libpod-{WEB}.scope")),
            ),
            (format!("/docker/{DB}/docker/{WEB}"), Some(format!("/docker/{DB}/docker/{WEB}"))),
            (WEB.to_owned(), Some(WEB.to_owned())),
            (format!("/machine.slice/libpod-conmon-{WEB}.scope"), None),
            (format!("/x/{}", &WEB[1..]), None),
            (format!("/x/a{WEB}"), None),
            ("/".to_owned(), None),
            (String::new(), None),
            ("//".to_owned(), None),
        ] {
            let found = innermost(path.as_bytes());
            let expected = folder.as_ref().map(|folder| (folder.as_bytes(), WEB.as_bytes()));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn all_ids_of_a_process() {
        let nested = format!("4:memory:/docker/{DB}/docker/{WEB}\n0::/\nbroken");
        assert_eq!(ids(nested.as_bytes()).collect::<Vec<_>>(), [WEB.as_bytes(), DB.as_bytes()]);
        assert_eq!(ids(WEB.as_bytes()).count(), 0, "no line of the file");
    }
}
