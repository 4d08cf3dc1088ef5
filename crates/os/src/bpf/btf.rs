//! What the running kernel's structures look like: `/sys/kernel/btf/vmlinux`, in the format of
//! Documentation/bpf/btf.rst.

use std::path::Path;

/// Where a kernel with `CONFIG_DEBUG_INFO_BTF` tells it.
pub(super) const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const INT: u32 = 1;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const TYPE_TAG: u32 = 18;

/// The types of a kernel.
#[derive(Debug)]
pub(super) struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    /// Where each type begins; the first is number 1.
    types: Vec<u32>,
    /// The numbers of [`SOUGHT`], as far as they are there.
    found: [Option<u32>; SOUGHT.len()],
}

/// What is asked for. A kernel has 150,000 types, which are gone through once.
const SOUGHT: [(u32, &str); 12] = [
    (FUNC, "bpf_iter_task"),
    (STRUCT, "task_struct"),
    (STRUCT, "signal_struct"),
    (STRUCT, "pid"),
    (STRUCT, "upid"),
    (STRUCT, "tty_struct"),
    (STRUCT, "tty_driver"),
    (STRUCT, "cred"),
    (STRUCT, "mm_struct"),
    (STRUCT, "mutex"),
    (STRUCT, "semaphore"),
    (STRUCT, "rw_semaphore"),
];

/// One of its types.
#[derive(Debug, Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    /// Offsets of members are packed with their width in bits.
    packed: bool,
    members: usize,
    size_or_type: u32,
    /// Where its members begin.
    rest: usize,
}

impl Btf {
    /// `None` when the kernel tells nothing, or what it tells cannot be understood.
    pub(super) fn read(path: &Path) -> Option<Self> {
        Self::parse(std::fs::read(path).ok()?)
    }

    fn parse(bytes: Vec<u8>) -> Option<Self> {
        // Magic, version, flags, length of the header; offset and length of the types, of the strings.
        if bytes.first_chunk()? != &0xeb9f_u16.to_ne_bytes() {
            return None;
        }
        let header = word(&bytes, 4)?;
        let [types, length, strings] = [8, 12, 16].map(|at| word(&bytes, at));
        let end = header.checked_add(types?)?.checked_add(length?)? as usize;
        let strings = header.checked_add(strings?)? as usize;
        let mut btf = Self { strings, types: Vec::new(), found: [None; SOUGHT.len()], bytes };
        let mut at = (header + types?) as usize;
        btf.types.reserve((end - at) / 20);
        while at < end {
            btf.types.push(u32::try_from(at).ok()?);
            let one = btf.at(at)?;
            if matches!(one.kind, STRUCT | FUNC)
                && let Some(place) =
                    SOUGHT.iter().position(|&(kind, name)| one.kind == kind && btf.is_called(one.name, name))
            {
                btf.found[place] = u32::try_from(btf.types.len()).ok();
            }
            at = one.rest + one.rest_length()?;
        }
        Some(btf)
    }

    fn at(&self, at: usize) -> Option<Type> {
        let info = word(&self.bytes, at + 4)?;
        Some(Type {
            name: word(&self.bytes, at)?,
            kind: info >> 24 & 0x1f,
            packed: info >> 31 == 1,
            members: (info & 0xffff) as usize,
            size_or_type: word(&self.bytes, at + 8)?,
            rest: at + 12,
        })
    }

    fn number(&self, number: u32) -> Option<Type> {
        self.at(*self.types.get((number as usize).checked_sub(1)?)? as usize)
    }

    fn is_called(&self, name: u32, wanted: &str) -> bool {
        let text = self.bytes.get(self.strings + name as usize..).unwrap_or_default();
        text.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    fn find(&self, kind: u32, name: &str) -> Option<u32> {
        SOUGHT.iter().zip(self.found).find(|(sought, _)| **sought == (kind, name))?.1
    }

    /// The number of a function.
    pub(super) fn function(&self, name: &str) -> Option<u32> {
        self.find(FUNC, name)
    }

    /// Where the members of a structure stand in it, in bytes, and how long those are that are integers (else 0).
    /// `None` when one is not there.
    pub(super) fn members<const N: usize>(&self, structure: &str, names: [&str; N]) -> Option<[Member; N]> {
        let structure = self.number(self.find(STRUCT, structure)?)?;
        let mut found = [Member { offset: 0, size: 0 }; N];
        for (found, name) in found.iter_mut().zip(names) {
            *found = self.member(structure, name, 0)?;
        }
        Some(found)
    }

    fn member(&self, structure: Type, name: &str, base: u32) -> Option<Member> {
        (0..structure.members).find_map(|index| {
            let at = structure.rest + index * 12;
            let [its_name, its_type, bits] = [0, 4, 8].map(|offset| word(&self.bytes, at + offset));
            let bits = if structure.packed { bits? & 0x00ff_ffff } else { bits? };
            let offset = base + bits / 8;
            if self.is_called(its_name?, name) {
                return Some(Member { offset: i16::try_from(offset).ok()?, size: self.integer(its_type?) });
            }
            // Members of a structure without a name belong to the one around it.
            let inner = self.number(its_type?)?;
            let nameless = self.is_called(its_name?, "") && matches!(inner.kind, STRUCT | UNION);
            if nameless { self.member(inner, name, offset) } else { None }
        })
    }

    /// How many bytes an integer has, by whatever names; 0 for what is none.
    fn integer(&self, mut number: u32) -> u32 {
        // Longer chains of names are none.
        for _ in 0..16 {
            match self.number(number) {
                Some(one) if one.kind == INT => return one.size_or_type,
                Some(one) if matches!(one.kind, TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG) => {
                    number = one.size_or_type;
                }
                _ => return 0,
            }
        }
        0
    }
}

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    /// In bytes; instructions have room for no more.
    pub(super) offset: i16,
    /// In bytes, of an integer.
    pub(super) size: u32,
}

impl Type {
    /// How many bytes follow, by kind; `None` for one that this format did not have when this was written.
    fn rest_length(&self) -> Option<usize> {
        Some(match self.kind {
            // Pointer, forward, the four that name or qualify, function, float, tag.
            2 | 7..=FUNC | 16 | TYPE_TAG => 0,
            // Integer, variable, tag of a declaration.
            INT | 14 | 17 => 4,
            // Array.
            3 => 12,
            // Structure, union, section, long enumeration.
            STRUCT | UNION | 15 | 19 => self.members * 12,
            // Enumeration, prototype.
            6 | 13 => self.members * 8,
            _ => return None,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}
